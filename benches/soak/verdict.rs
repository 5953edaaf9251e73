//! What a soak must show.

use super::stream::{Figures, Word};

/// How much more memory the last round may hold than the one after which all is warm.
const GROWTH: f64 = 0.02;
/// The share of words that may differ where chunks follow the clock.
const LIVE_DIFFERENCE: f64 = 0.05;

/// # Errors
/// The first thing that did not hold.
pub fn of(rounds: &[Figures], exact: bool) -> Result<(), String> {
    let [first, .., last] = rounds else {
        return Err("a soak takes two rounds or more".to_owned());
    };
    if first.words.is_empty() {
        return Err("no word was heard".to_owned());
    }
    // Exact pace begins every round as it began the first but for the text that came before.
    let differing = differences(&first.words, &last.words);
    let allowed = if exact {
        0.0
    } else {
        LIVE_DIFFERENCE * first.words.len() as f64
    };
    if differing as f64 > allowed {
        return Err(format!(
            "{differing} of {} words of the last round are not those of the first",
            first.words.len()
        ));
    }
    if last.memory > first.memory * (1.0 + GROWTH) {
        return Err(format!(
            "memory grew from {:.1} to {:.1} MB",
            first.memory, last.memory
        ));
    }
    if last.threads > first.threads {
        let (before, after) = (first.threads, last.threads);
        return Err(format!("{before} threads became {after}"));
    }
    Ok(())
}

/// How a round differs from the first.
pub fn compared(first: &Figures, round: &Figures) -> String {
    let texts = differences(&first.words, &round.words);
    let moved = first
        .words
        .iter()
        .zip(&round.words)
        .filter(|(a, b)| a.text == b.text && a.start != b.start);
    format!(
        "    words that differ from the first round's: {texts}; moved: {}",
        moved.count()
    )
}

/// First and last, and the extremes after the first.
pub fn summary(rounds: &[Figures]) -> String {
    let Some((first, later)) = rounds.split_first() else {
        return String::new();
    };
    let range = |of: fn(&Figures) -> f64| {
        let values = later.iter().map(of);
        values.fold((f64::MAX, f64::MIN), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    };
    let (least, most) = range(|figures| figures.memory);
    let (quick, slow) = range(|figures| figures.pass_time * 1e3);
    let wall: f64 = rounds.iter().map(|figures| figures.wall).sum();
    format!(
        "memory {:.1} MB after the first round, then {least:.1} to {most:.1} MB; a pass {:.1} ms in the first round, then {quick:.1} to {slow:.1} ms; {:.0} s on the clock",
        first.memory,
        first.pass_time * 1e3,
        wall
    )
}

/// Words to insert, delete or change to make `b` of `a`.
fn differences(a: &[Word], b: &[Word]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let cost = diagonal + usize::from(a.text != b.text);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
