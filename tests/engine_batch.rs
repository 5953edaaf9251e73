//! Many calls on one model: the words and times of each are those of running alone, in any interleaving and batch.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "common/engine.rs"]
#[allow(dead_code)]
mod engine;

use std::sync::Arc;
use std::thread;

use engine::*;
use gstwhisperstream::engine::{EngineError, Pace, Session, SessionSettings};
use gstwhisperstream::policy::{AudioCtx, PolicySettings};

/// Chooses at random, the same at every run.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[derive(Clone)]
struct Call {
    recording: &'static str,
    settings: SessionSettings,
}

fn call(recording: &'static str, language: &str, change: fn(&mut PolicySettings)) -> Call {
    let mut settings = settings(Pace::Exact, language);
    change(&mut settings.policy);
    Call {
        recording,
        settings,
    }
}

fn calls() -> Vec<Call> {
    vec![
        call("fr-court.wav", "fr", |_| {}),
        call("en-short.wav", "en", |policy| policy.interim = true),
        call("fr-accueil.wav", "auto", |policy| policy.min_chunk_ms = 700),
        call("en-digits.wav", "en", |policy| policy.min_chunk_ms = 1_000),
        call("fr-accueil.wav", "fr", |policy| {
            policy.beams = 4;
            policy.interim = true;
            policy.temperature = 0.6;
        }),
        call("en-greeting.wav", "en", |policy| {
            policy.audio_max_len_ms = 4_000;
            policy.audio_ctx = AudioCtx::Auto;
            policy.init_prompt = Some(" good morning".into());
        }),
    ]
}

/// Everything that is said of a call that is pushed in pieces as the dice fall.
fn hear(call: &Call, mut dice: Dice) -> Vec<String> {
    let (session, ears) = open(call.settings.clone());
    let samples = audio::samples(call.recording);
    let mut rest = samples.as_slice();
    while !rest.is_empty() {
        let longest = 1 + dice.below(20_000);
        let n = (1 + dice.below(longest) as usize).min(rest.len());
        session.push(&rest[..n]).unwrap();
        rest = &rest[n..];
        if dice.below(3) == 0 {
            thread::yield_now();
        }
    }
    session.drain().unwrap();
    ears.said()
}

#[test]
fn each_of_many_calls_says_what_it_says_alone() {
    keep_model();
    let calls = calls();
    let alone: Vec<_> = calls.iter().map(|call| hear(call, Dice(99))).collect();
    assert!(
        alone
            .iter()
            .all(|said| said.iter().any(|event| event.starts_with("Words"))),
        "a call without a word proves nothing"
    );
    for round in 1..3u64 {
        let threads: Vec<_> = calls
            .iter()
            .cloned()
            .zip(1..)
            .map(|(call, n)| thread::spawn(move || hear(&call, Dice(round * 1_000 + n))))
            .collect();
        for ((thread, alone), call) in threads.into_iter().zip(&alone).zip(&calls) {
            let said = thread.join().unwrap();
            assert_eq!(&said, alone, "{} in round {round}", call.recording);
        }
    }
}

#[test]
fn a_call_among_others_that_come_and_go_says_what_it_says_alone() {
    keep_model();
    let call = call("en-digits.wav", "en", |_| {});
    let alone = hear(&call, Dice(5));
    let others: Vec<_> = (1..4u64)
        .map(|n| {
            thread::spawn(move || {
                let mut dice = Dice(n);
                let samples = audio::samples("fr-long.wav");
                for _ in 0..6 {
                    let (session, _ears) = open(settings(Pace::Exact, "fr"));
                    let n = 8_000 + dice.below(24_000) as usize;
                    session.push(&samples[..n]).unwrap();
                    match dice.below(3) {
                        0 => session.close(),
                        1 => {
                            session.flush_begin();
                            session.flush_end();
                        }
                        _ => drop(session),
                    }
                }
            })
        })
        .collect();
    assert_eq!(hear(&call, Dice(6)), alone);
    for other in others {
        other.join().unwrap();
    }
}

#[test]
fn calls_in_one_batch_are_stepped_together() {
    keep_model();
    let threads: Vec<_> = (0..4)
        .map(|n| {
            thread::spawn(move || {
                let (session, ears) = open(settings(Pace::Exact, "fr"));
                ears.wait_loaded();
                session.push(&audio::samples("fr-numero.wav")).unwrap();
                session.drain().unwrap();
                (n, session.stats())
            })
        })
        .collect();
    let stats: Vec<_> = threads.into_iter().map(|t| t.join().unwrap().1).collect();
    let most = stats.iter().map(|s| s.batch_mean).fold(0.0, f64::max);
    assert!(most > 1.5, "{stats:?}");
    assert!(
        stats
            .iter()
            .all(|s| s.passes > 0 && !s.waiting_p95.is_zero())
    );
    assert!(stats.iter().all(|s| s.late == 0 && s.degradation == 0));
}

#[test]
fn one_stream_more_than_max_streams_is_refused_until_one_goes() {
    keep_model();
    let limited = |max_streams: u32| SessionSettings {
        max_streams,
        ..settings(Pace::Exact, "fr")
    };
    // A limit above what other tests of this process run at the same time would be luck: count on a model of our own.
    let own = |max_streams| {
        let mut settings = limited(max_streams);
        settings.model.source = gstwhisperstream::whisper::ModelSource::Path("/no/such".into());
        settings
    };
    let open = |settings| Session::open(settings, Ears::default().listener());
    let first = Arc::new(open(own(2)).unwrap());
    let second = open(own(2)).unwrap();
    let refused = open(own(2)).err().unwrap();
    assert!(matches!(
        refused,
        EngineError::TooManyStreams {
            running: 2,
            limit: 2
        }
    ));
    let follower = first
        .succeed(own(2), Ears::default().listener())
        .expect("it takes the place of the first");
    first.close();
    assert!(open(own(2)).is_err(), "the follower keeps the place");
    second.close();
    assert!(open(own(2)).is_ok());
    drop(follower);
}
