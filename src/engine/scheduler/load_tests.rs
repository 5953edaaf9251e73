//! When measures are taken and taken back, with time as the tests say it is.

use super::*;

/// Calls on a machine: each second brings so many passes, of which some are late, and keeps the network busy for a while.
struct Machine {
    load: Load,
    start: Instant,
    now: Instant,
    shortenable: bool,
}

impl Machine {
    fn start() -> Machine {
        let start = Instant::now();
        Machine {
            load: Load::new(start),
            start,
            now: start,
            shortenable: false,
        }
    }

    /// Until the level changes, 60 s at most; returns how long that took.
    fn until_change(&mut self, busy: f64, late: f64) -> Option<Duration> {
        let (begun, level) = (self.now, self.level());
        while self.now - begun < Duration::from_secs(60) {
            self.pass(busy, late);
            if self.level() != level {
                return Some(self.now - begun);
            }
        }
        None
    }

    /// A tenth of a second, in which a pass ends.
    fn pass(&mut self, busy: f64, late: f64) {
        let step = Duration::from_millis(100);
        self.now += step;
        let count = ((self.now - self.start).as_millis() / 100) as u32;
        let is_late = f64::from(count % 10) < late * 10.0;
        self.load.ran(step.mul_f64(busy), self.now);
        self.load.ended(is_late, self.shortenable, self.now);
    }

    fn level(&mut self) -> Level {
        self.load.strain(self.now).level
    }
}

#[test]
fn passes_that_are_mostly_late_on_a_full_machine_raise_the_level_step_by_step() {
    let mut machine = Machine::start();
    let took = machine.until_change(1.0, 0.8).unwrap();
    assert!(took >= SETTLING && took < 2 * SETTLING, "{took:?}");
    let strain = machine.load.strain(machine.now);
    assert_eq!(strain.level, Level::Double);
    assert!(strain.late > 0.5 && strain.busy > 0.9, "{strain:?}");
    machine.until_change(1.0, 0.8).unwrap();
    assert_eq!(machine.level(), Level::Quadruple);
    assert_eq!(machine.until_change(1.0, 1.0), None, "nobody allows more");
}

#[test]
fn windows_are_shortened_last_and_only_where_a_stream_allows_it() {
    let mut machine = Machine::start();
    machine.shortenable = true;
    for level in [Level::Double, Level::Quadruple, Level::Shortened] {
        machine.until_change(1.0, 1.0).unwrap();
        assert_eq!(machine.level(), level);
    }
    assert_eq!(machine.until_change(1.0, 1.0), None);
}

#[test]
fn a_few_late_passes_change_nothing() {
    assert_eq!(Machine::start().until_change(1.0, 0.4), None);
}

#[test]
fn passes_that_are_late_for_another_reason_change_nothing() {
    assert_eq!(Machine::start().until_change(0.2, 1.0), None);
}

#[test]
fn a_measure_is_taken_back_when_the_machine_would_bear_it() {
    let mut machine = Machine::start();
    machine.until_change(1.0, 1.0).unwrap();
    assert_eq!(
        machine.until_change(0.6, 0.0),
        None,
        "twice that is too much"
    );
    let took = machine.until_change(0.3, 0.0).unwrap();
    assert!(took <= 2 * SPAN, "{took:?}");
    assert_eq!(machine.level(), Level::None);
    assert_eq!(machine.until_change(0.6, 0.0), None, "it stays so");
}

#[test]
fn with_no_call_left_the_level_falls_to_nothing() {
    let mut machine = Machine::start();
    machine.until_change(1.0, 1.0).unwrap();
    machine.until_change(1.0, 1.0).unwrap();
    for _ in 0..2 {
        machine.now += 2 * SPAN;
        machine.level();
    }
    assert_eq!(machine.level(), Level::None);
}

#[test]
fn decoders_are_gathered_only_while_the_machine_is_full() {
    let mut machine = Machine::start();
    assert!(!machine.load.collects(machine.now));
    for _ in 0..50 {
        machine.pass(0.9, 0.0);
    }
    assert!(machine.load.collects(machine.now));
    for _ in 0..50 {
        machine.pass(0.3, 0.0);
    }
    assert!(!machine.load.collects(machine.now));
}

#[test]
fn a_life_of_weeks_takes_no_more_memory_than_some_seconds() {
    let mut machine = Machine::start();
    for _ in 0..10_000 {
        machine.pass(0.5, 0.2);
    }
    assert!(machine.load.buckets.len() <= 14);
}
