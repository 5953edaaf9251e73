//! Storms: real pipelines started and stopped at random instants, one alone and ten at once, on one model.
//! scripts/storms runs them at full length.

#[path = "common/alone.rs"]
mod alone;
#[path = "common/storm/mod.rs"]
mod storm;

mod element_support;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use alone::{alone, is_loaded, wait};
use element_support::{init, recording};
use gst::prelude::*;
use gstwhisperstream::engine::models;
use storm::held::Held;
use storm::ride::{Census, MISCHIEF, Ride, add};
use storm::watch::Watchdog;
use storm::{assert_nothing_left, report, seed, turns};

/// What stands around the element, called `w`. IN is a recording of 54 s.
const PIPELINES: [&str; 6] = [
    // Free: the input waits for the network.
    "filesrc location=IN ! wavparse ! whisperstream name=w language=fr ! fakesink sync=false",
    // The sink waits for the clock: text waits, so does the input.
    "filesrc location=IN ! wavparse ! whisperstream name=w language=fr unit=word ! fakesink sync=true",
    // The pace of live, from a source that can be held back.
    "filesrc location=IN ! wavparse ! whisperstream name=w language=fr pace=live vad=auto interim=true ! \
     queue ! fakesink sync=false",
    // Live in truth, with speech mixed into it.
    "audiotestsrc is-live=true volume=0 ! audio/x-raw,rate=16000,channels=1 ! audiomixer name=m ! audioconvert ! \
     audioresample ! whisperstream name=w language=fr vad=auto ! fakesink sync=false async=false \
     filesrc location=IN ! wavparse ! m.",
    // A text track beside its audio.
    "filesrc location=IN ! wavparse ! tee name=t ! queue max-size-time=5000000000 max-size-bytes=0 max-size-buffers=0 ! \
     whisperstream name=w language=fr ! matroskamux name=x ! fakesink sync=false \
     t. ! queue max-size-time=5000000000 max-size-bytes=0 max-size-buffers=0 ! x.",
    // The language found out, JSON, captions that wait for their end, two beams.
    "filesrc location=IN ! wavparse ! whisperstream name=w language=auto unit=utterance beams=2 barge-in-after=300 \
     vad=auto ! application/x-json ! queue max-size-buffers=1 ! fakesink sync=true",
];

fn launch(description: &str, name: &str) -> (gst::Pipeline, gst::Element) {
    let location = format!("\"{}\"", recording(name).display());
    let pipeline = gst::parse::launch(&description.replace("IN", &location))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let element = pipeline.by_name("w").unwrap();
    (pipeline, element)
}

/// Turns of the pipeline number `kind`, made anew every so often. Each leaves nothing of itself behind.
fn storm(watchdog: &Watchdog, kind: usize, turns: u64, seed: u64, every: u64) -> Census {
    let mut census = Census::new();
    let mut turn = 0;
    while turn < turns {
        let (pipeline, element) = launch(PIPELINES[kind % PIPELINES.len()], "fr-long");
        let left = (pipeline.downgrade(), element.downgrade());
        let seat = watchdog.seat(&format!("pipeline {kind}, seed {seed}"));
        let mut ride = Ride::new(pipeline, element, seed ^ turn, seat);
        for _ in 0..every.min(turns - turn) {
            ride.turn(turn, &MISCHIEF);
            turn += 1;
        }
        add(&mut census, &ride.census);
        drop(ride);
        wait("the pipeline to be freed", || {
            left.0.upgrade().is_none() && left.1.upgrade().is_none()
        });
    }
    census
}

/// The element still does what it is for.
fn hears_well() {
    let (pipeline, element) = launch(PIPELINES[0], "fr-court");
    let record = element_support::Record::of(&element.static_pad("src").unwrap());
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
    assert_eq!(end.map(|end| end.type_()), Some(gst::MessageType::Eos));
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(record.text(), "allô");
}

/// An element in NULL that keeps the model.
fn keeper() -> gst::Element {
    let element = gst::ElementFactory::make("whisperstream").build().unwrap();
    element.set_state(gst::State::Paused).unwrap();
    wait("the model", || is_loaded(&element));
    element.set_state(gst::State::Null).unwrap();
    element
}

#[test]
fn one_element_outlives_a_storm_on_one_load() {
    init();
    let _alone = alone();
    let turns = turns(60);
    let loads = models::loads();
    let watchdog = Watchdog::new();
    let start = Instant::now();
    let (pipeline, element) = launch(PIPELINES[1], "fr-long");
    pipeline.set_state(gst::State::Playing).unwrap();
    wait("the model", || is_loaded(&element));
    let mut ride = Ride::new(pipeline, element, seed(), watchdog.seat("alone"));
    let warm_up = turns / 3;
    (0..warm_up).for_each(|turn| ride.turn(turn, &MISCHIEF));
    let before = Held::settled(&Held::now());
    (warm_up..turns).for_each(|turn| ride.turn(turn, &MISCHIEF));
    let after = Held::settled(&before);
    report("one element", turns, start, &ride.census, &before, &after);
    assert_eq!(models::loads() - loads, 1);
    assert_nothing_left(&before, &after);
    hears_well();
    drop(ride);
    wait("the model to be freed", || models::resident() == 0);
}

#[test]
fn ten_elements_outlive_a_storm_on_one_load() {
    init();
    let _alone = alone();
    let turns = turns(12);
    let loads = models::loads();
    let watchdog = Watchdog::new();
    let start = Instant::now();
    let keeper = keeper();
    let mut census = Census::new();
    let mut all = |turns: u64, seed: u64| {
        let storms = thread::scope(|scope| {
            let watchdog = &watchdog;
            let storms: Vec<_> = (0..10)
                .map(|kind| {
                    let seed = seed + kind as u64 * 1_000_003;
                    scope.spawn(move || storm(watchdog, kind, turns, seed, 10))
                })
                .collect();
            storms
                .into_iter()
                .map(|storm| storm.join().unwrap())
                .collect::<Vec<_>>()
        });
        storms.iter().for_each(|one| add(&mut census, one));
    };
    let warm_up = (turns / 3).max(4);
    all(warm_up, seed());
    let before = Held::settled(&Held::now());
    all(turns - warm_up, seed() + 1);
    let after = Held::settled(&before);
    report("ten elements", 10 * turns, start, &census, &before, &after);
    assert_eq!(models::loads() - loads, 1);
    assert_nothing_left(&before, &after);
    hears_well();
    assert_eq!(models::loads() - loads, 1);
    drop(keeper);
    wait("the model to be freed", || models::resident() == 0);
}

#[test]
fn a_storm_in_mid_load_shares_the_load_of_the_one_that_stays() {
    init();
    let _alone = alone();
    let rounds = turns(50).div_ceil(10);
    let watchdog = Watchdog::new();
    let start = Instant::now();
    let mut before = None;
    let mut early = 0;
    for round in 0..rounds {
        let loads = models::loads();
        let together = Barrier::new(10);
        early += thread::scope(|scope| {
            let storms: Vec<_> = (0..10u64)
                .map(|number| {
                    let (together, watchdog) = (&together, &watchdog);
                    scope.spawn(move || {
                        let seed = seed() + round * 10 + number;
                        stop_in_mid_load(watchdog, together, number == 0, seed)
                    })
                })
                .collect();
            storms
                .into_iter()
                .map(|storm| u64::from(storm.join().unwrap()))
                .sum::<u64>()
        });
        assert_eq!(models::loads() - loads, 1, "round {round}");
        wait("the model to be freed", || models::resident() == 0);
        if round == rounds / 3 {
            before = Some(Held::settled(&Held::now()));
        }
    }
    let before = before.unwrap();
    let after = Held::settled(&before);
    let census = Census::from([("stopped in mid-load", early)]);
    report("mid-load", 10 * rounds, start, &census, &before, &after);
    assert!(early > rounds, "nearly all came too late to meet a load");
    assert_nothing_left(&before, &after);
}

/// Whether the load was under way when the stop came.
fn stop_in_mid_load(watchdog: &Watchdog, together: &Barrier, stays: bool, seed: u64) -> bool {
    let kind = seed as usize % PIPELINES.len();
    let (pipeline, element) = launch(PIPELINES[kind], "fr-long");
    let seat = watchdog.seat(&format!("pipeline {kind}, seed {seed}"));
    let mut ride = Ride::new(pipeline, element, seed, seat);
    // The first to ask is the one that stays, so that the load is not given up.
    if stays {
        ride.set(gst::State::Playing);
        together.wait();
        wait("the model", || is_loaded(&ride.element));
    } else {
        together.wait();
        ride.set(gst::State::Playing);
        ride.dice.wait(Duration::from_millis(60));
    }
    let early = !is_loaded(&ride.element);
    ride.set(gst::State::Null);
    ride.read_bus();
    // Together to the end: one that starts when all have stopped would load anew.
    together.wait();
    early
}
