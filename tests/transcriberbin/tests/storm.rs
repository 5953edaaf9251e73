//! The bin started and stopped at random instants, its switches thrown meanwhile.

#[path = "../../common/storm/mod.rs"]
mod storm;

use std::time::{Duration, Instant};

use gst::prelude::*;
use storm::held::Held;
use storm::ride::{Census, MISCHIEF, Mischief, Ride};
use storm::watch::Watchdog;
use storm::{assert_nothing_left, report, seed, turns};
use whisperstream_transcriberbin::Captioned;

/// What may be done to the bin while it plays. Not passthrough=true: now and then 0.13.6 counts its probe twice, and panics.
const SWITCHES: [Mischief; 3] = [
    ("leaves passthrough", |ride| {
        bin(ride).set_property("passthrough", false);
    }),
    ("changes the language", |ride| speak(ride, "fr-FR")),
    ("changes the language twice", |ride| {
        speak(ride, "fr-FR");
        ride.dice.wait(Duration::from_millis(50));
        speak(ride, "en-US");
    }),
];

fn bin(ride: &Ride) -> gst::Element {
    ride.pipeline.by_name("bin").unwrap()
}

fn speak(ride: &mut Ride, language: &str) {
    bin(ride).set_property("language-code", language);
}

/// Turns of as many bins: 0.13.6 panics when one is started for the second time.
fn storm(watchdog: &Watchdog, turns: std::ops::Range<u64>, census: &mut Census) {
    let mischief: Vec<Mischief> = MISCHIEF
        .iter()
        .filter(|(name, _)| *name != "goes through READY")
        .chain(&SWITCHES)
        .copied()
        .collect();
    for turn in turns {
        let run = Captioned::new("fr-long");
        let seat = watchdog.seat("transcriberbin");
        let transcriber = run.transcriber.clone();
        let mut ride = Ride::new(run.pipeline.clone(), transcriber, seed() ^ turn, seat);
        let passes = ride.dice.roll(4) == 0;
        run.bin.set_property("passthrough", passes);
        ride.turn(turn, &mischief);
        storm::ride::add(census, &ride.census);
        assert_eq!(run.loads(), 0, "turn {turn} loaded the model again");
    }
}

#[test]
fn bins_outlive_a_storm_on_one_load() {
    let turns = turns(24);
    let watchdog = Watchdog::new();
    let start = Instant::now();
    let _keeper = Captioned::keeper();
    let mut census = Census::new();
    let warm_up = turns / 3;
    storm(&watchdog, 0..warm_up, &mut census);
    let before = Held::settled(&Held::now());
    storm(&watchdog, warm_up..turns, &mut census);
    let after = Held::settled(&before);
    report("transcriberbin", turns, start, &census, &before, &after);
    assert_nothing_left(&before, &after);
}
