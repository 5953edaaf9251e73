//! One load for all, and what happens when it, or anything else, fails.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::fake::*;
use crate::engine::{Event, Pace, Session, Stopped};

#[test]
fn ten_sessions_load_once_and_all_hear_how_far_it_is() {
    let fake = Fake::default();
    fake.strings.hold_loads.store(true, Relaxed);
    let all: Vec<_> = (0..10)
        .map(|_| {
            let ears = Ears::default();
            (open(&fake, Pace::Exact, &ears), ears)
        })
        .collect();
    for (_, ears) in &all {
        ears.wait_for("loading 42");
    }
    fake.strings.hold_loads.store(false, Relaxed);
    let loaded: Vec<_> = all
        .iter()
        .map(|(_, ears)| ears.wait_for("loaded"))
        .collect();
    assert_eq!(
        loaded.iter().filter(|said| said.contains("true")).count(),
        9
    );
    assert_eq!(fake.cache.loads(), 1);
    eventually("all ten count", || all[0].0.stats().streams == 10);
    drop(all);
    let (again, _) = opened(&fake, Pace::Exact);
    assert_eq!((fake.cache.loads(), again.stats().streams), (2, 1));
}

#[test]
fn a_model_that_is_there_is_loaded_without_progress() {
    let fake = Fake::default();
    let (_first, _) = opened(&fake, Pace::Exact);
    let ears = Ears::default();
    let _second = open(&fake, Pace::Exact, &ears);
    ears.wait_for("loaded shared=true");
    assert_eq!(ears.only(&["loading"]), [""; 0]);
}

#[test]
fn a_failing_load_reaches_every_waiter_and_the_next_open_tries_again() {
    let fake = Fake::default();
    fake.strings.hold_loads.store(true, Relaxed);
    fake.strings.fail_loads.store(true, Relaxed);
    let all: Vec<_> = (0..3)
        .map(|_| {
            let ears = Ears::default();
            (open(&fake, Pace::Exact, &ears), ears)
        })
        .collect();
    let other = Arc::clone(&all[0].0);
    let pusher = Caller::new(move || other.push_silence(16_000 * 60));
    let other = Arc::clone(&all[1].0);
    let drain = Caller::new(move || other.drain());
    assert!(pusher.waits() && drain.waits());
    fake.strings.hold_loads.store(false, Relaxed);
    for (session, ears) in &all {
        assert!(ears.wait_for("failed").contains("nowhere"));
        eventually("refused from now on", || {
            session.push(&[0]) == Err(Stopped::Failed)
        });
        assert_eq!(session.drain(), Err(Stopped::Failed));
        assert_eq!(ears.only(&["failed"]).len(), 1);
    }
    assert_eq!(pusher.result(), Err(Stopped::Failed));
    assert_eq!(drain.result(), Err(Stopped::Failed));
    assert_eq!(fake.cache.loads(), 1);

    fake.strings.fail_loads.store(false, Relaxed);
    let (session, _) = opened(&fake, Pace::Exact);
    session.push_silence(10).unwrap();
    session.drain().unwrap();
}

#[test]
fn a_failing_pass_fails_the_session_and_frees_the_model() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Exact);
    fake.strings.fail_passes.store(true, Relaxed);
    session.push_silence(10).unwrap();
    assert_eq!(session.drain(), Err(Stopped::Failed));
    assert!(ears.wait_for("failed").contains("gone"));
    eventually("let go", || !session.stats().loaded);
    // Failing is no reason to hang at the end.
    session.flush_begin();
    session.flush_end();
    assert_eq!(session.push(&[0]), Err(Stopped::Failed));
    session.close();
}

#[test]
fn a_panic_in_a_pass_is_a_failure_and_no_hang() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Exact);
    fake.strings.panic_in_passes.store(true, Relaxed);
    session.push_silence(10).unwrap();
    assert_eq!(session.drain(), Err(Stopped::Failed));
    let said = ears.wait_for("failed");
    assert!(
        said.contains("a fault in the pass") && said.contains("restart"),
        "{said}"
    );
}

#[test]
fn a_panic_in_the_listener_is_a_failure_and_no_hang() {
    let fake = Fake::default();
    let listener = Arc::new(|event: Event| {
        if !matches!(event, Event::Loading(_)) {
            panic!("a fault in the listener");
        }
    });
    let session = Session::start(fake, Pace::Exact, None, settings(), listener).unwrap();
    eventually("failed", || session.push(&[0]) == Err(Stopped::Failed));
    session.close();
}
