//! Sessions on whisper-nano and real recordings: what they say, in which order, and that it depends on nothing else.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "common/engine.rs"]
#[allow(dead_code)]
mod engine;

use std::path::PathBuf;
use std::time::Duration;

use engine::*;
use gstwhisperstream::engine::{EngineError, Event, Pace, SessionSettings};
use gstwhisperstream::policy::PolicySettings;
use gstwhisperstream::whisper::{AlignmentHead, ModelSource};

/// Pushes a recording in pieces of `size` samples and drains.
fn transcribe(settings: SessionSettings, name: &str, size: usize) -> Ears {
    keep_model();
    let (session, ears) = open(settings);
    for piece in audio::samples(name).chunks(size) {
        session.push(piece).unwrap();
    }
    session.drain().unwrap();
    ears
}

#[test]
fn a_call_is_transcribed_the_same_whatever_the_push_sizes() {
    let first = transcribe(settings(Pace::Exact, "fr"), "fr-court.wav", 320);
    let text = first.text().to_lowercase();
    assert!(text.contains("allô"), "heard {text:?}");
    for size in [77, 1_777, 500_000] {
        let again = transcribe(settings(Pace::Exact, "fr"), "fr-court.wav", size);
        assert_eq!(again.said(), first.said(), "pushes of {size}");
    }
}

#[test]
fn words_come_in_stream_order_and_never_before_what_was_called_quiet() {
    keep_model();
    for pace in [Pace::Exact, Pace::Live] {
        let name = "en-digits.wav";
        let (session, ears) = open(settings(pace, "en"));
        ears.wait_loaded();
        let samples = audio::samples(name);
        for piece in samples.chunks(4_000) {
            session.push(piece).unwrap();
            if pace == Pace::Live {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        session.drain().unwrap();
        let (mut at, mut quiet, mut words, mut last_heard) = (0, 0, 0, 0);
        ears.look(|events| {
            for event in events {
                match event {
                    Event::Words { release, .. } => {
                        for word in &release.words {
                            assert!(word.start >= at, "{word:?} starts before {at}");
                            assert!(word.start >= quiet, "{word:?} in the quiet before {quiet}");
                            assert!(word.end >= word.start && word.end <= samples.len() as u64);
                            at = word.start;
                            words += 1;
                        }
                    }
                    Event::Progress { quiet_until, heard } => {
                        assert!(
                            *quiet_until >= quiet,
                            "quiet ran backwards to {quiet_until}"
                        );
                        assert!(*heard >= last_heard);
                        (quiet, last_heard) = (*quiet_until, *heard);
                    }
                    Event::Failed(error) => panic!("{error}"),
                    _ => {}
                }
            }
        });
        assert!(words > 3, "{words} words at {pace:?}");
        assert_eq!(last_heard, samples.len() as u64);
        assert!(session.stats().passes > 0);
    }
}

#[test]
fn silence_pushed_is_as_silence_recorded() {
    let samples = audio::samples("en-short.wav");
    keep_model();
    let of = |recorded: bool| {
        let (session, ears) = open(settings(Pace::Exact, "en"));
        session.push(&samples).unwrap();
        match recorded {
            true => session.push(&[0; 20_000]),
            false => session.push_silence(20_000),
        }
        .unwrap();
        session.push(&samples).unwrap();
        session.drain().unwrap();
        ears.said()
    };
    assert_eq!(of(true), of(false));
}

#[test]
fn partials_carry_the_utterance_so_far() {
    let mut settings = settings(Pace::Exact, "en");
    settings.policy.interim = true;
    let ears = transcribe(settings, "en-digits.wav", 8_000);
    let plain = transcribe(engine::settings(Pace::Exact, "en"), "en-digits.wav", 8_000);
    assert_eq!(
        ears.text(),
        plain.text(),
        "looking ahead changed what was decided"
    );
    let (mut text, mut partials) = (String::new(), 0);
    ears.look(|events| {
        for event in events {
            match event {
                Event::Words {
                    release, is_final, ..
                } => match is_final {
                    true => text.clear(),
                    false => text.push_str(&release.text),
                },
                Event::UtteranceEnd { .. } => text.clear(),
                Event::Partial { committed, .. } => {
                    assert_eq!(committed, &text);
                    partials += 1;
                }
                _ => {}
            }
        }
    });
    assert!(partials > 0, "no partial in eight seconds of speech");
}

#[test]
fn a_stream_s_memory_is_small_and_stays() {
    keep_model();
    let mut settings = settings(Pace::Exact, "fr");
    settings.policy.min_chunk_ms = 4_000;
    let (session, _ears) = open(settings);
    let samples = audio::samples("fr-long.wav");
    let memory: Vec<u64> = (0..3)
        .map(|_| {
            session.push(&samples).unwrap();
            session.stats().memory
        })
        .collect();
    assert!(memory[0] > 500_000, "{memory:?}: it holds audio");
    assert!(memory[2] < 20_000_000, "{memory:?}");
    assert!(memory[2] < memory[1] + 100_000, "{memory:?}: it grows");
}

#[test]
fn wrong_settings_are_refused_before_anything_starts() {
    let mut wrong = settings(Pace::Exact, "klingon");
    let refused =
        gstwhisperstream::engine::Session::open(wrong.clone(), Ears::default().listener());
    assert!(matches!(refused.err(), Some(EngineError::Settings(_))));
    wrong.policy = PolicySettings {
        min_chunk_ms: 30_000,
        ..PolicySettings::default()
    };
    let refused = gstwhisperstream::engine::Session::open(wrong, Ears::default().listener());
    assert!(matches!(refused.err(), Some(EngineError::Settings(_))));
}

#[test]
fn heads_the_model_does_not_have_are_refused_in_a_sentence() {
    let mut settings = settings(Pace::Exact, "fr");
    settings.alignment_heads = Some(vec![AlignmentHead { layer: 77, head: 0 }]);
    let (_session, ears) = open(settings.clone());
    let said = ears.wait_failed();
    assert!(
        said.contains("layer 77") && said.contains("unset"),
        "{said}"
    );
    settings.alignment_heads = Some(vec![]);
    let (_session, ears) = open(settings);
    assert!(ears.wait_failed().contains("no head"));
}

#[test]
fn a_language_the_loaded_model_cannot_speak_is_refused_and_the_stream_goes_on() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/models/random-en");
    if !path.is_dir() {
        eprintln!("SKIPPED: {path:?} is not there");
        return;
    }
    let mut english = settings(Pace::Exact, "en");
    english.model.source = ModelSource::Path(path);
    let (session, ears) = open(english.clone());
    session.push_silence(100).unwrap();
    let french = PolicySettings {
        language: "fr".into(),
        ..english.policy
    };
    session.update(french).unwrap();
    let refused = ears.wait("a refusal", |event| match event {
        Event::Refused(error) => Some(error.to_string()),
        Event::Failed(error) => panic!("{error}"),
        _ => None,
    });
    assert!(refused.contains("fr"), "{refused}");
    session.drain().unwrap();
    let klingon = PolicySettings {
        language: "klingon".into(),
        ..PolicySettings::default()
    };
    assert!(session.update(klingon).is_err(), "refused at once");
}
