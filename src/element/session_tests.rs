//! Stops that come at the one instant when something else ends.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::*;
use crate::element::WhisperStream as Element;

/// In PAUSED, with its model.
fn loaded_element() -> Element {
    gst::init().unwrap();
    let element: Element = glib::Object::new();
    element.set_state(gst::State::Paused).unwrap();
    let start = Instant::now();
    while !element.imp().session().unwrap().stats().loaded {
        assert!(start.elapsed() < Duration::from_secs(60), "no model came");
        std::thread::sleep(Duration::from_millis(2));
    }
    element
}

#[test]
fn a_flush_that_ends_behind_a_stop_lets_nobody_wait_again() {
    let element = loaded_element();
    let imp = element.imp();
    let session = imp.session().unwrap();
    imp.release();
    imp.forget();
    // From here PAUSED→READY waits for the pads, and they for whoever pushes.
    imp.release_for_good();
    imp.resume();
    assert!(imp.is_flushing());
    assert_eq!(session.push(&[0; 320]), Err(engine::Stopped::Flushing));
    element.set_state(gst::State::Null).unwrap();
    element.set_state(gst::State::Paused).unwrap();
    assert!(!imp.is_flushing(), "the next start is free of it");
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_model_whose_arrival_is_told_behind_a_stop_stays_parked() {
    let element = loaded_element();
    let imp = element.imp();
    let number = lock(&imp.held).number;
    element.set_state(gst::State::Null).unwrap();
    assert!(lock(&imp.held).parked.is_some());
    assert!(!imp.loaded(number));
    assert!(lock(&imp.held).parked.is_some());
}
