//! Flush and close with whisper-nano at work: within 100 ms, wherever it stands.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "common/engine.rs"]
#[allow(dead_code)]
mod engine;

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use engine::*;
use gstwhisperstream::engine::{Pace, Session, Stopped};

const AT_ONCE: Duration = Duration::from_millis(100);

/// Times are measured: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The shortest of some tries: what it takes, without what the machine had to do besides.
fn best(tries: u32, mut run: impl FnMut(u32) -> Duration) -> Duration {
    (0..tries).map(&mut run).min().unwrap()
}

fn time(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    start.elapsed()
}

/// A session that has a pass under way for `ms` and a pusher that waits.
fn busy(ms: u64) -> (Arc<Session>, thread::JoinHandle<Result<u64, Stopped>>) {
    keep_model();
    let (session, ears) = open(settings(Pace::Exact, "fr"));
    ears.wait_loaded();
    let pusher = thread::spawn({
        let session = Arc::clone(&session);
        let samples = audio::samples("fr-long.wav");
        move || session.push(&samples)
    });
    // The call is under way once something has arrived.
    while session.position() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(ms));
    assert!(!pusher.is_finished(), "54 s were heard in {ms} ms");
    (session, pusher)
}

#[test]
fn a_flush_in_mid_pass_returns_within_100_ms_and_the_stream_goes_on() {
    let _alone = alone();
    let took = best(4, |n| {
        let (session, pusher) = busy(u64::from(n) * 17);
        let took = time(|| {
            session.flush_begin();
            session.flush_end();
        });
        assert_eq!(pusher.join().unwrap(), Err(Stopped::Flushing));
        session.push(&audio::samples("fr-court.wav")).unwrap();
        session.drain().unwrap();
        eprintln!("flush in mid-pass: {took:?}");
        took
    });
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_close_in_mid_pass_returns_within_100_ms() {
    let _alone = alone();
    let took = best(4, |n| {
        let (session, pusher) = busy(u64::from(n) * 17);
        let took = time(|| session.close());
        assert_eq!(pusher.join().unwrap(), Err(Stopped::Flushing));
        eprintln!("close in mid-pass: {took:?}");
        took
    });
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn after_a_flush_the_same_audio_is_heard_the_same_but_later() {
    let _alone = alone();
    keep_model();
    let (session, ears) = open(settings(Pace::Exact, "en"));
    let samples = audio::samples("en-short.wav");
    session.push(&samples).unwrap();
    session.drain().unwrap();
    let first = ears.text();
    assert!(!first.is_empty());
    session.push(&samples[..9_000]).unwrap();
    session.flush_begin();
    session.flush_end();
    let before = ears.text();
    session.push(&samples).unwrap();
    session.drain().unwrap();
    assert_eq!(ears.text(), before + &first);
}
