//! More streams than were allowed: refused at the door, in a sentence that says what to do.

mod element_support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use element_support::*;
use gst::prelude::*;

/// Streams of the whole process are counted: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn one_stream_more_than_max_streams_is_refused_at_paused() {
    let _alone = alone();
    let first = Bench::new().set("max-streams", 2u32).play();
    let second = Bench::new().set("max-streams", 2u32).play();
    let third = Bench::new().set("max-streams", 2u32);
    assert!(third.element.set_state(gst::State::Playing).is_err());
    let error = third.wait_for(gst::MessageType::Error);
    let said = sentence(&error);
    for part in ["2 streams", "max-streams", "stop one"] {
        assert!(said.contains(part), "no {part:?} in {said:?}");
    }
    first.stop();
    third.stop();
    assert!(third.element.set_state(gst::State::Playing).is_ok());
    drop(second);
}

#[test]
fn a_stream_that_settles_on_its_pace_counts_once() {
    let _alone = alone();
    // Upstream is live, which is known with the first buffer: the session is opened anew then.
    let bench = Bench::live().set("max-streams", 1u32).play();
    bench.push(&[0; 320], gst::ClockTime::ZERO).unwrap();
    assert!(bench.eos());
    let errors = bench
        .messages()
        .into_iter()
        .filter(|message| message.type_() == gst::MessageType::Error);
    assert_eq!(errors.count(), 0);
}
