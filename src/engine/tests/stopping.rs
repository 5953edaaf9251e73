//! Flush and close, at every instant.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::fake::*;
use crate::engine::{Event, Pace, Session, Stopped, lock};

const AT_ONCE: Duration = Duration::from_millis(100);

/// A session with a pass in the network, a pusher on a full inbox and a drain that waits.
struct Busy {
    fake: Fake,
    session: Arc<Session>,
    ears: Ears,
    pusher: Caller<Result<u64, Stopped>>,
    drain: Caller<Result<(), Stopped>>,
}

impl Busy {
    fn new() -> Busy {
        let fake = Fake::default();
        let (session, ears) = opened(&fake, Pace::Exact);
        fake.strings.hold_passes.store(true, Relaxed);
        session.push_silence(12_000).unwrap();
        eventually("a pass runs", || !fake.strings.calls().is_empty());
        let other = Arc::clone(&session);
        let drain = Caller::new(move || other.drain());
        let other = Arc::clone(&session);
        let pusher = Caller::new(move || other.push_silence(16_000 * 60));
        assert!(pusher.waits() && drain.waits());
        Busy {
            fake,
            session,
            ears,
            pusher,
            drain,
        }
    }
}

#[test]
fn a_flush_in_mid_pass_returns_at_once_and_releases_everyone() {
    let busy = Busy::new();
    let took = time(|| busy.session.flush_begin());
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(busy.pusher.result(), Err(Stopped::Flushing));
    assert_eq!(busy.drain.result(), Err(Stopped::Flushing));
    assert_eq!(busy.session.push_silence(1), Err(Stopped::Flushing));
    assert_eq!(busy.session.drain(), Err(Stopped::Flushing));
    assert!(time(|| busy.session.flush_end()) < AT_ONCE);
}

#[test]
fn after_a_flush_nothing_of_before_is_said_and_positions_go_on() {
    let busy = Busy::new();
    busy.session.flush_begin();
    busy.session.flush_end();
    let position = busy.session.position();
    assert!(position >= 12_000);
    assert_eq!(busy.ears.all(), [""; 0]);
    busy.fake.strings.hold_passes.store(false, Relaxed);
    assert_eq!(busy.session.push_silence(100), Ok(position + 100));
    busy.session.drain().unwrap();
    let expected = format!("words 0 {position}-{}:0 final", position + 100);
    assert_eq!(busy.ears.only(&["words", "end"]), [expected]);
    assert!(busy.fake.strings.calls().contains(&Call::Reset(position)));
}

#[test]
fn an_utterance_cut_by_a_flush_keeps_its_number_to_itself() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Live);
    session.push_silence(8_000).unwrap();
    ears.wait_for("words 0");
    session.flush_begin();
    session.flush_end();
    session.push_silence(8_000).unwrap();
    ears.wait_for("words 1 8000-16000");
}

#[test]
fn a_flush_does_not_wait_for_a_listener_that_waits_for_the_flush() {
    let fake = Fake::default();
    let ears = Ears::default();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let hear = ears.clone();
    let listener = Arc::new(move |event: Event| {
        hear.hear(&event);
        if matches!(event, Event::Words { .. }) {
            let _ = lock(&gate).recv_timeout(PATIENCE);
        }
    });
    let session = Session::start(fake.clone(), Pace::Live, None, settings(), listener).unwrap();
    session.push_silence(8_000).unwrap();
    ears.wait_for("words");
    assert!(time(|| session.flush_begin()) < AT_ONCE);
    // It is granted 50 ms, in case it is about to end.
    assert!(time(|| session.flush_end()) < 3 * AT_ONCE);
    release.send(()).unwrap();
    release.send(()).unwrap();
    session.push_silence(100).unwrap();
    session.drain().unwrap();
    // The old pass's progress is swallowed: the first is of the new audio.
    assert_eq!(ears.only(&["progress"]), ["progress 8100 8100"]);
}

#[test]
fn flushes_without_number_end_clean() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Live);
    for n in 0..200 {
        session.push_silence(8_000 + n).unwrap();
        session.flush_begin();
        let before = ears.all().len();
        session.flush_end();
        assert!(ears.all().len() <= before + 1);
    }
    session.flush_end();
    let start = session.position();
    ears.forget();
    session.push_silence(500).unwrap();
    session.drain().unwrap();
    let words = ears.only(&["words"]);
    assert!(
        words.len() == 1 && words[0].contains(&format!(" {start}-")),
        "{words:?}"
    );
}

#[test]
fn a_close_in_mid_pass_releases_everyone_and_joins_at_once() {
    let busy = Busy::new();
    let took = time(|| busy.session.close());
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(busy.pusher.result(), Err(Stopped::Flushing));
    assert_eq!(busy.drain.result(), Err(Stopped::Flushing));
    assert_eq!(busy.session.push(&[0]), Err(Stopped::Flushing));
    busy.session.close();
    assert_eq!(busy.ears.all(), [""; 0]);
    assert!(!busy.session.stats().loaded, "the model is let go");
}

#[test]
fn a_close_in_mid_load_returns_at_once_and_cancels_the_load() {
    let fake = Fake::default();
    fake.strings.hold_loads.store(true, Relaxed);
    let ears = Ears::default();
    let session = open(&fake, Pace::Exact, &ears);
    ears.wait_for("loading 42");
    let pusher = Caller::new({
        let session = Arc::clone(&session);
        move || session.push_silence(16_000 * 60)
    });
    assert!(pusher.waits());
    assert!(time(|| session.close()) < AT_ONCE);
    assert_eq!(pusher.result(), Err(Stopped::Flushing));
    let cancelled = &fake.strings.loads_cancelled;
    eventually("the load ends", || cancelled.load(Relaxed) == 1);
    assert_eq!(ears.only(&["loaded", "failed"]), [""; 0]);
}

#[test]
fn a_flush_in_mid_load_keeps_the_load() {
    let fake = Fake::default();
    fake.strings.hold_loads.store(true, Relaxed);
    let ears = Ears::default();
    let session = open(&fake, Pace::Exact, &ears);
    session.push_silence(9_000).unwrap();
    let drain = Caller::new({
        let session = Arc::clone(&session);
        move || session.drain()
    });
    assert!(drain.waits(), "a drain waits for the model");
    assert!(time(|| session.flush_begin()) < AT_ONCE);
    assert_eq!(drain.result(), Err(Stopped::Flushing));
    assert!(time(|| session.flush_end()) < AT_ONCE);
    session.push_silence(10).unwrap();
    fake.strings.hold_loads.store(false, Relaxed);
    session.drain().unwrap();
    assert_eq!(ears.only(&["words"]), ["words 0 9000-9010:0 final"]);
}

#[test]
fn closing_while_another_session_loads_the_same_model_leaves_it_the_load() {
    let fake = Fake::default();
    fake.strings.hold_loads.store(true, Relaxed);
    let (one, two) = (Ears::default(), Ears::default());
    let first = open(&fake, Pace::Exact, &one);
    let second = open(&fake, Pace::Exact, &two);
    first.close();
    fake.strings.hold_loads.store(false, Relaxed);
    assert_eq!(two.wait_for("loaded"), "loaded shared=true");
    assert_eq!(fake.cache.loads(), 1);
    drop(second);
}

#[test]
fn the_listener_itself_may_close_and_drop_the_session() {
    let fake = Fake::default();
    let slot = Arc::new(Mutex::new(None::<Session>));
    let (done, end) = mpsc::channel();
    let own = Arc::clone(&slot);
    let listener = Arc::new(move |event: Event| {
        if matches!(event, Event::Words { .. })
            && let Some(session) = lock(&own).take()
        {
            session.flush_begin();
            session.flush_end();
            session.close();
            drop(session);
            done.send(()).unwrap();
        }
    });
    let session = Session::start(fake.clone(), Pace::Live, None, settings(), listener).unwrap();
    let mut place = lock(&slot);
    session.push_silence(8_000).unwrap();
    *place = Some(session);
    drop(place);
    end.recv_timeout(PATIENCE).expect("no self-join");
}

#[test]
fn a_stuck_listener_delays_a_close_by_a_second_at_most() {
    let fake = Fake::default();
    let (stuck, wait) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let listener = Arc::new(move |event: Event| {
        if matches!(event, Event::Words { .. }) {
            stuck.send(()).unwrap();
            let _ = lock(&gate).recv_timeout(PATIENCE);
        }
    });
    let session = Session::start(fake, Pace::Live, None, settings(), listener).unwrap();
    session.push_silence(8_000).unwrap();
    wait.recv_timeout(PATIENCE).unwrap();
    let took = time(|| session.close());
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    release.send(()).unwrap();
}

#[test]
fn whatever_threads_do_to_it_at_once_a_session_neither_hangs_nor_loses_its_place() {
    for pace in [Pace::Exact, Pace::Live] {
        let fake = Fake::default();
        let (session, ears) = opened(&fake, pace);
        let end = Instant::now() + Duration::from_millis(400);
        let threads: Vec<_> = (1..=4u32)
            .map(|seed| {
                let (session, fake) = (Arc::clone(&session), fake.clone());
                Caller::new(move || {
                    let mut random = seed;
                    while Instant::now() < end {
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let amount = u64::from(random >> 12) % 30_000;
                        match random >> 29 {
                            0 => session.flush_begin(),
                            1 | 2 => session.flush_end(),
                            3 => drop(session.drain()),
                            4 => fake.strings.hold_passes.store(amount % 2 == 0, Relaxed),
                            5 => session.desk().update(settings()),
                            _ => drop(session.push_silence(amount)),
                        }
                    }
                })
            })
            .collect();
        // With passes that end, nobody waits for ever.
        eventually("all calls return", || {
            if Instant::now() >= end {
                fake.strings.hold_passes.store(false, Relaxed);
            }
            threads.iter().all(Caller::is_finished)
        });
        threads.into_iter().for_each(Caller::result);
        session.flush_begin();
        session.flush_end();
        ears.forget();
        let start = session.position();
        session.push_silence(700).unwrap();
        session.drain().unwrap();
        let words = ears.only(&["words"]);
        let expected = format!(" {start}-{}:0 final", start + 700);
        assert!(
            words.len() == 1 && words[0].ends_with(&expected),
            "{words:?}"
        );
        session.close();
    }
}
