//! One model for all, while there is a user; no thread left behind. Counts of the whole process: one test at a time.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "common/engine.rs"]
#[allow(dead_code)]
mod engine;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use engine::*;
use gstwhisperstream::engine::{Pace, models};
use gstwhisperstream::whisper::ModelSource;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ten_sessions_are_one_load_and_the_last_to_go_takes_the_memory_along() {
    let _alone = alone();
    let before = models::loads();
    let all: Vec<_> = (0..10).map(|_| open(settings(Pace::Exact, "fr"))).collect();
    let shared = all.iter().filter(|(_, ears)| ears.wait_loaded()).count();
    assert_eq!((models::loads() - before, shared), (1, 9));
    assert_eq!(models::resident(), 1);
    eventually("each counts the others", || {
        all.iter().all(|(session, _)| session.stats().streams == 10)
    });
    let mut all = all.into_iter();
    let last = all.next();
    for (session, _) in all {
        session.close();
    }
    assert_eq!(models::resident(), 1);
    drop(last);
    assert_eq!(models::resident(), 0, "the memory outlives its last user");
}

#[test]
fn a_close_in_mid_load_does_not_wait_for_it_and_ends_it() {
    let _alone = alone();
    let before = models::loads();
    for n in 0..4u64 {
        let (session, _) = open(settings(Pace::Exact, "fr"));
        thread::sleep(Duration::from_millis(n * 5));
        session.close();
    }
    assert_eq!(
        models::loads() - before,
        4,
        "joined a load that nobody wanted"
    );
    eventually("nothing stays", || models::resident() == 0);
}

#[test]
fn a_path_that_is_not_there_fails_in_a_sentence_and_is_tried_afresh() {
    let _alone = alone();
    let mut wrong = settings(Pace::Exact, "fr");
    wrong.model.source = ModelSource::Path(PathBuf::from("/no/such/model"));
    let before = models::loads();
    for tries in 1..=2 {
        let (_session, ears) = open(wrong.clone());
        let said = ears.wait_failed();
        assert!(said.contains("/no/such/model"), "{said}");
        assert_eq!(models::loads() - before, tries);
    }
    let (_session, ears) = open(settings(Pace::Exact, "fr"));
    ears.wait_loaded();
}

/// Names and ids of this process's threads.
#[cfg(target_os = "linux")]
fn threads() -> Vec<(String, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let named = tasks.filter_map(|task| {
        let task = task.ok()?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        Some((
            name.trim().to_string(),
            task.file_name().into_string().ok()?,
        ))
    });
    named.collect()
}

#[test]
#[cfg(target_os = "linux")]
fn fifty_sessions_opened_and_closed_leave_no_thread() {
    let _alone = alone();
    // The first pass starts the threads that the process keeps.
    let (session, _ears) = open(settings(Pace::Exact, "fr"));
    session.push_silence(16_000).unwrap();
    session.drain().unwrap();
    session.close();
    let before = threads().len();
    for n in 0..50u32 {
        let (session, _ears) = open(settings(Pace::Live, "fr"));
        session.push_silence(8_000).unwrap();
        thread::sleep(Duration::from_millis(u64::from(n % 5)));
        drop(session);
    }
    // A cancelled load ends by itself, a little later.
    eventually("no thread more than before", || threads().len() <= before);
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_session_does_not_wake_up() {
    let _alone = alone();
    let (session, ears) = open(settings(Pace::Live, "fr"));
    ears.wait_loaded();
    session.push(&audio::samples("en-short.wav")).unwrap();
    session.drain().unwrap();
    assert!(session.stats().passes > 0);
    let switches = || -> Vec<String> {
        let ours = threads()
            .into_iter()
            .filter(|(name, _)| name == "whisperstream" || name == "whispernetwork");
        ours.flat_map(|(_, id)| {
            let status = std::fs::read_to_string(format!("/proc/self/task/{id}/status"));
            let lines = status.unwrap_or_default();
            let switches = lines.lines().filter(|line| line.contains("ctxt_switches"));
            switches.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
    };
    thread::sleep(Duration::from_millis(100));
    let before = switches();
    assert!(
        before.len() >= 4,
        "a worker and a driver have two lines each"
    );
    thread::sleep(Duration::from_millis(500));
    assert_eq!(switches(), before);
}
