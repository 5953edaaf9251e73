//! What is said, in which order, and what the figures count.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::fake::*;
use crate::engine::{Event, Pace, Session, lock};
use crate::policy::{Detected, Guards, Outcome, PartialWord, PolicySettings, Task};

/// Opens, sets what the next passes bring, pushes a chunk for each, and returns what was said.
fn said(outcomes: Vec<Outcome>) -> Vec<String> {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Exact);
    let settings = PolicySettings {
        interim: true,
        ..settings()
    };
    session.update(settings).unwrap();
    let passes = outcomes.len() as u64;
    *lock(&fake.strings.outcomes) = outcomes;
    session.push_silence(8_000 * passes + 1).unwrap();
    eventually("all passes ran", || session.stats().passes == passes);
    ears.all()
}

fn words(text: &str) -> Outcome {
    Outcome {
        release: Some(release(text, 0, 100)),
        ..Outcome::default()
    }
}

fn tail() -> Vec<PartialWord> {
    vec![PartialWord {
        word: word(" maybe", 100, 200),
        stability: 1,
    }]
}

#[test]
fn a_pass_says_language_then_words_then_partial_then_progress() {
    let outcome = Outcome {
        language: Some(Detected {
            code: "fr",
            probability: 0.9,
        }),
        partial: tail(),
        guards: Guards {
            rate: 1,
            ..Guards::default()
        },
        ..words(" bonjour")
    };
    assert_eq!(
        said(vec![outcome]),
        [
            "language fr",
            "words 0 bonjour",
            "partial 0 \" bonjour\" +1",
            "guarded",
            "progress 0 8000"
        ]
    );
}

#[test]
fn an_utterance_counts_when_it_had_words() {
    let end = |outcome: Outcome| Outcome {
        utterance_end: true,
        ..outcome
    };
    let said = said(vec![
        end(Outcome::default()),
        words(" one"),
        end(Outcome::default()),
        end(Outcome::default()),
        end(words(" two")),
        words(" three"),
    ]);
    let said: Vec<_> = said
        .iter()
        .filter(|s| !s.starts_with("progress") && !s.starts_with("partial"))
        .collect();
    assert_eq!(
        said,
        ["words 0 one", "end 0", "words 1 two final", "words 2 three"]
    );
}

#[test]
fn a_partial_carries_its_own_utterance_s_text_only() {
    let said = said(vec![
        words(" one"),
        Outcome {
            utterance_end: true,
            ..words(" two")
        },
        words(" three"),
        Outcome {
            partial: tail(),
            ..words(" four")
        },
    ]);
    assert!(
        said.contains(&"partial 1 \" three four\" +1".to_string()),
        "{said:?}"
    );
}

#[test]
fn of_an_endless_utterance_the_end_is_kept() {
    let long = "é".repeat(20_000);
    let said = said(vec![
        words(&long),
        words(&long),
        Outcome {
            partial: tail(),
            ..words(" end")
        },
    ]);
    let partial = said.iter().rfind(|s| s.starts_with("partial")).unwrap();
    assert!(partial.ends_with("é end\" +1"), "the newest text is gone");
    assert!(partial.len() < 65 * 1024, "{} bytes kept", partial.len());
}

#[test]
fn a_refused_update_is_said_and_the_session_goes_on() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Exact);
    let speak = |language: &str| PolicySettings {
        language: language.into(),
        ..settings()
    };
    // Past the check that `update` itself makes: what only the loaded model can refuse.
    session.desk().update(speak("xx"));
    ears.wait_for("refused");
    session.desk().update(speak("fr"));
    session.push_silence(100).unwrap();
    session.drain().unwrap();
    let updates = [Call::Update("xx".into()), Call::Update("fr".into())];
    assert_eq!(fake.strings.calls()[..2], updates);
    ears.wait_for("words");
}

#[test]
fn a_model_that_never_learned_to_translate_is_told_of_once() {
    let translate = || PolicySettings {
        task: Task::Translate,
        ..settings()
    };
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Exact);
    session.push_silence(100).unwrap();
    session.drain().unwrap();
    assert!(ears.only(&["cautioned"]).is_empty());
    for _ in 0..2 {
        session.update(translate()).unwrap();
        session.push_silence(100).unwrap();
        session.drain().unwrap();
    }
    let cautions = ears.only(&["cautioned"]);
    assert_eq!(cautions.len(), 1, "{cautions:?}");
    assert!(
        cautions[0].contains("not trained to translate"),
        "{cautions:?}"
    );
}

#[test]
fn an_update_is_taken_over_between_passes_and_survives_a_flush() {
    let fake = Fake::default();
    let (session, _) = opened(&fake, Pace::Live);
    fake.strings.hold_passes.store(true, Relaxed);
    session.push_silence(8_000).unwrap();
    eventually("the pass runs", || fake.strings.calls().len() == 2);
    session.desk().update(settings());
    assert_eq!(fake.strings.calls().len(), 2);
    session.flush_begin();
    session.flush_end();
    let update = Call::Update("auto".into());
    eventually("taken over", || fake.strings.calls().contains(&update));
}

#[test]
fn the_figures_count() {
    let fake = Fake::default();
    let (session, _) = opened(&fake, Pace::Exact);
    let guards = Guards {
        rate: 2,
        quiet: 1,
        ..Guards::default()
    };
    let cut = Outcome {
        guards,
        ..Outcome::default()
    };
    *lock(&fake.strings.outcomes) = vec![cut.clone(), cut];
    session.push_silence(16_000 + 400).unwrap();
    eventually("both passes ran", || session.stats().passes == 2);
    let stats = session.stats();
    assert!(stats.loaded);
    assert_eq!(
        (stats.streams, stats.guards.rate, stats.guards.quiet),
        (1, 4, 2)
    );
    assert_eq!(stats.lag, Duration::from_millis(25));
    assert_eq!(stats.backlog, Duration::from_millis(25));
    assert!(stats.chunk_to_text_p95.is_zero(), "no text, no delay");
    assert!(stats.memory > 1_000_000, "the policy's and the inbox's");
    session.drain().unwrap();
    let stats = session.stats();
    assert!(stats.chunk_to_text_p50 >= stats.pass_time_p50, "{stats:?}");
    assert!(stats.lag.is_zero() && stats.backlog.is_zero());
}

#[test]
fn a_listener_may_ask_the_session_for_figures() {
    let fake = Fake::default();
    let ears = Ears::default();
    let own = Arc::new(Mutex::new(Weak::<Session>::new()));
    let (hear, ask) = (ears.clone(), Arc::clone(&own));
    let listener = Arc::new(move |event: Event| {
        let session = lock(&ask).upgrade();
        if let Some(session) = session {
            session.stats();
            session.position();
        }
        hear.hear(&event);
    });
    let session = Session::start(fake, Pace::Exact, None, settings(), listener).unwrap();
    let session = Arc::new(session);
    *lock(&own) = Arc::downgrade(&session);
    session.push_silence(20_000).unwrap();
    session.drain().unwrap();
    ears.wait_for("progress 20000 20000");
}
