//! The figures, printed.

use super::Options;
use super::calls::Class;
use super::play::Played;
use super::score::{Confusion, RESULTS, Scored, of_three, share, spread};

/// Who judges: its name, and its verdict of a call with the seconds it took.
type Judge = (&'static str, fn(&Scored) -> (&str, f64));

const JUDGES: [Judge; 3] = [
    ("answerdetect", |scored| of(&scored.ours)),
    ("answerdetect, the words as written", |scored| {
        of(&scored.written)
    }),
    ("Asterisk's rules", |scored| scored.asterisk),
];

fn of(played: &Played) -> (&str, f64) {
    let verdict = played.verdict();
    (&verdict.result, verdict.took)
}

pub fn print(scored: &[Scored], options: &Options) {
    for scored in scored {
        let right = of(&scored.ours).0 == scored.call.class.verdict();
        // The half that is held out is scored, not looked at.
        if options.calls || (!right && !scored.call.held_out) {
            print_call(scored);
        }
    }
    for (half, name) in [(false, "tuned on"), (true, "held out")] {
        let calls: Vec<&Scored> = scored.iter().filter(|s| s.call.held_out == half).collect();
        if calls.is_empty() {
            continue;
        }
        println!(
            "\n== {} calls {name}, decision-time {} ms",
            calls.len(),
            options.decision_time
        );
        for judge in &JUDGES {
            judged(judge, &calls);
        }
        afterwards(&calls);
    }
}

fn print_call(scored: &Scored) {
    let (call, verdict) = (&scored.call, scored.ours.verdict());
    println!(
        "{} {:12} → {} ({}, {:.2}) after {:.1} s; written: {}; Asterisk: {}\n     said:  {}\n     heard: {} ({:.2}) {:?}",
        call.id,
        call.class.name(),
        verdict.result,
        verdict.cause,
        verdict.confidence,
        verdict.took,
        scored.written.verdict().result,
        scored.asterisk.0,
        call.text(),
        verdict.text,
        verdict.trust,
        verdict.phrases
    );
}

fn judged((name, judge): &Judge, calls: &[&Scored]) {
    let mut confusion = Confusion::default();
    for scored in calls {
        confusion.add(scored.call.class, judge(scored).0);
    }
    println!("\n{name}");
    let header: String = RESULTS
        .iter()
        .map(|result| format!("{result:>10}"))
        .collect();
    println!("  {:14}{header}   right", "");
    for class in Class::ALL {
        let cells: String = RESULTS
            .iter()
            .map(|result| format!("{:>10}", confusion.get(class, result)))
            .collect();
        let right = confusion.get(class, class.verdict());
        println!(
            "  {:14}{cells}   {}",
            class.name(),
            share(right, confusion.row(class))
        );
    }
    let right = |of: &dyn Fn(&&&Scored) -> bool, is: &dyn Fn(&Scored) -> bool| {
        let chosen: Vec<&&Scored> = calls.iter().filter(of).collect();
        let right = chosen.iter().filter(|scored| is(scored)).count();
        share(right, chosen.len())
    };
    let exact = |scored: &Scored| judge(scored).0 == scored.call.class.verdict();
    let three =
        |scored: &Scored| of_three(judge(scored).0) == of_three(scored.call.class.verdict());
    let people = |scored: &&&Scored| {
        matches!(
            scored.call.class,
            Class::Human | Class::Machine | Class::MachineBeep
        )
    };
    let traps = |scored: &&&Scored| scored.call.note.is_some();
    println!(
        "  all, exactly                        {}",
        right(&|_| true, &exact)
    );
    println!(
        "  all, as HUMAN, MACHINE, NO_ANSWER   {}",
        right(&|_| true, &three)
    );
    println!(
        "  humans and machines, as HUMAN or not {}",
        right(&people, &three)
    );
    println!(
        "  humans with words of machines       {}",
        right(&traps, &three)
    );
    let took = calls.iter().map(|scored| judge(scored).1).collect();
    println!("  audio heard until the verdict       {}", spread(took));
}

/// What came behind the verdicts, and what the waiting was by the clock.
fn afterwards(calls: &[&Scored]) {
    println!();
    let waited: Vec<f64> = calls
        .iter()
        .filter_map(|scored| scored.ours.waited)
        .collect();
    if !waited.is_empty() {
        println!(
            "from the first sample to the message, by the clock: {}",
            spread(waited)
        );
        // Nobody stayed on the line to hear more.
        return;
    }
    let machines: Vec<(f64, &Scored)> = calls
        .iter()
        .filter(|scored| scored.ours.verdict().result == "machine")
        .filter_map(|scored| Some((scored.said?, *scored)))
        .collect();
    let ended = |(said, scored): &&(f64, &Scored)| {
        // By silence where the speech ended, or by the beep.
        let beep = scored.beep.unwrap_or(*said);
        let is_end = |end: &f64| (*end - said).abs() < 0.5 || (*end - beep).abs() < 0.3;
        scored.ours.greeting_ends.last().is_some_and(is_end)
    };
    let right = machines.iter().filter(ended).count();
    println!(
        "last greeting-end within 500 ms of the last word or at the beep, of those found a machine: {}",
        share(right, machines.len())
    );
    let with_beep: Vec<&&Scored> = calls.iter().filter(|s| s.beep.is_some()).collect();
    let near = |scored: &&&&Scored| {
        let beep = scored.beep.unwrap_or_default();
        scored
            .ours
            .beeps
            .iter()
            .any(|found| (found - beep).abs() < 0.3)
    };
    let found = with_beep.iter().filter(near).count();
    println!(
        "beeps told within 300 ms of where they are: {}",
        share(found, with_beep.len())
    );
    let false_beeps: usize = calls
        .iter()
        .map(|scored| {
            let is_false =
                |found: &&f64| scored.beep.is_none_or(|beep| (*found - beep).abs() >= 0.3);
            scored.ours.beeps.iter().filter(is_false).count()
        })
        .sum();
    println!("beeps told where there is none: {false_beeps}");
}
