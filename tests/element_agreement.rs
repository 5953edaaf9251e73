//! `policy=local-agreement` through the element, with the demo model.

#[path = "common/sounds.rs"]
mod sounds;

mod element_support;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

const RECORDINGS: [&str; 6] = [
    "en-greeting",
    "en-noise",
    "fr-accueil",
    "fr-dense",
    "fr-messagerie",
    "fr-pauses",
];

fn bench(name: &str) -> Bench {
    Bench::new()
        .set("language", &name[..2])
        .set_str("policy", "local-agreement")
}

fn hear(bench: Bench, samples: &[i16]) -> Bench {
    let bench = bench.play();
    bench.speak(samples, ms(0));
    assert!(bench.eos());
    bench
}

fn said(name: &str) -> Vec<String> {
    spoken(name).into_iter().map(|word| word.0).collect()
}

/// Word errors of each policy over all recordings.
#[test]
fn it_writes_the_words_down_as_alignatt_does() {
    let mut totals = [0, 0];
    let mut words_said = 0;
    for name in RECORDINGS {
        let said = said(name);
        words_said += said.len();
        for (total, policy) in totals.iter_mut().zip(["alignatt", "local-agreement"]) {
            let bench = bench(name).set_str("policy", policy);
            let bench = hear(bench, &samples(name));
            let wrong = errors(&said, &words(&bench.record.text()));
            println!("{name}, {policy}: {wrong} errors in {} words", said.len());
            *total += wrong;
        }
    }
    println!("in all {totals:?} of {words_said}");
    let [alignatt, agreement] = totals;
    assert!(agreement <= alignatt + 5, "{agreement}, but {alignatt}");
}

/// A recording of 18 s that is spoken without a breath, and a buffer that must be cut all the time.
#[test]
fn a_buffer_that_is_cut_often_loses_little_and_repeats_nothing() {
    let said = said("fr-dense");
    for way in ["segment", "sentence"] {
        let bench = bench("fr-dense")
            .set("buffer-trimming-len", 3_000u32)
            .set_str("buffer-trimming", way);
        let bench = hear(bench, &samples("fr-dense"));
        let heard = words(&bench.record.text());
        let wrong = errors(&said, &heard);
        println!("{way}: {wrong} errors in {} words: {heard:?}", said.len());
        assert!(wrong <= said.len() / 6, "{way}: {wrong}: {heard:?}");
        assert!(heard.len() <= said.len() + 3, "{way}: {heard:?}");
    }
}

#[test]
fn text_and_gaps_cover_the_stream_and_partials_lead_up_to_it() {
    let bench = hear(
        bench("fr-accueil").set("interim", true),
        &samples("fr-accueil"),
    );
    let end = ClockTime::from_nseconds(samples("fr-accueil").len() as u64 * 62_500);
    assert_covers(&bench.record.outs(), ms(0), end);
    let messages: Vec<_> = bench
        .messages()
        .iter()
        .filter_map(|message| message.structure().map(|s| s.to_owned()))
        .collect();
    let named = |name: &str| {
        let messages = messages.iter().filter(|s| s.name() == name);
        messages.cloned().collect::<Vec<_>>()
    };
    let field = |message: &gst::Structure, name: &str| message.get::<String>(name).unwrap();
    let partials = named("whisperstream/partial");
    assert!(partials.len() > 5, "{partials:?}");
    // What is committed only grows, and there is something behind it that is not.
    let mut before = (0, String::new());
    let mut tails = 0;
    for partial in &partials {
        let utterance = partial.get::<u64>("utterance").unwrap();
        let committed = field(partial, "committed");
        if utterance == before.0 {
            assert!(
                committed.starts_with(&before.1),
                "{committed}, but {before:?}"
            );
        }
        before = (utterance, committed);
        tails += usize::from(!field(partial, "tail").is_empty());
    }
    assert!(tails > 3, "{partials:?}");
    let stood = partials.iter().any(|partial| {
        let words = partial.get::<gst::Array>("words").unwrap();
        words.iter().any(|word| {
            let word = word.get::<gst::Structure>().unwrap();
            word.get::<u32>("stability").unwrap() >= 1
        })
    });
    assert!(stood);
    let finals: Vec<String> = named("whisperstream/final")
        .iter()
        .map(|message| field(message, "text"))
        .collect();
    assert_eq!(words(&finals.join(" ")), words(&bench.record.text()));
}

#[test]
fn two_runs_give_identical_bytes() {
    let audio = samples("fr-messagerie");
    let run = || hear(bench("fr-messagerie"), &audio[..80_000]).record.outs();
    let first = run();
    assert!(first.iter().any(|out| matches!(out, Out::Text(..))));
    assert_eq!(first, run());
}

/// Two minutes of silence and of noise, with either gate; then somebody speaks.
#[test]
fn silence_and_noise_hold_no_words() {
    let quiet = sounds::join(&[
        &sounds::silence(60.0, 16_000),
        &sounds::line_noise(-50.0, 60.0, 16_000, 1),
        &sounds::white(-35.0, 30.0, 16_000, 3),
    ]);
    let speech = samples("fr-accueil");
    for vad in ["auto", "none"] {
        let bench = bench("fr-accueil").set_str("vad", vad).play();
        let at = bench.speak(&quiet, ms(0));
        let said_from = at.saturating_sub(ms(200));
        bench.speak(&speech, at);
        assert!(bench.eos());
        let buffers = bench.record.buffers();
        let heard: Vec<_> = buffers
            .iter()
            .flat_map(|buffer| gstwhisperstream::element::words_of(buffer))
            .collect();
        let invented: Vec<_> = heard.iter().filter(|word| word.start < said_from).collect();
        assert!(invented.is_empty(), "vad={vad}: {invented:?}");
        let heard: Vec<String> = heard.iter().map(|word| word.text.to_lowercase()).collect();
        let wrong = errors(&said("fr-accueil"), &heard);
        assert!(wrong <= 3, "vad={vad}: {wrong}: {heard:?}");
    }
}

#[test]
fn paced_live_it_speaks_too() {
    let bench = Bench::live().set_str("policy", "local-agreement").play();
    let audio = samples("fr-accueil");
    let mut at = ms(0);
    for piece in audio.chunks(1_600) {
        at = bench.speak(piece, at);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(bench.eos());
    let heard = words(&bench.record.text());
    let wrong = errors(&said("fr-accueil"), &heard);
    assert!(wrong <= 3, "{wrong}: {heard:?}");
    assert_covers(&bench.record.outs(), ms(0), at);
}

#[test]
fn what_does_not_go_with_it_is_refused_in_a_sentence() {
    for (name, value, parts) in [
        (
            "compat",
            "simulstreaming",
            ["local-agreement", "compat to none"],
        ),
        ("beams", "4", ["beams is 4", "policy to alignatt"]),
        (
            "buffer-trimming-len",
            "31000",
            ["31000 ms", "30000 ms or less"],
        ),
    ] {
        let bench = bench("fr-accueil").set_str(name, value);
        assert!(bench.element.set_state(gst::State::Paused).is_err());
        let sentence = sentence(&bench.wait_for(gst::MessageType::Error));
        for part in parts {
            assert!(sentence.contains(part), "{name}={value}: {sentence}");
        }
    }
}
