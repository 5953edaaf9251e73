//! For tests that count what the whole process holds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstwhisperstream::engine::models;

/// One such test at a time, and none before the models of the last one are freed.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    wait("the models of earlier tests to be freed", || {
        models::resident() == 0
    });
    guard
}

#[track_caller]
pub fn wait(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited for {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn is_loaded(element: &gst::Element) -> bool {
    let stats: gst::Structure = element.property("stats");
    stats.get("loaded").unwrap()
}
