//! One pipeline in a storm: turns from NULL to NULL, each another way.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use gst::ClockTime;
use gst::prelude::*;

use super::Dice;
use super::watch::Seat;

/// How long a pipeline plays at most before the next thing happens to it.
const LONGEST: Duration = Duration::from_millis(150);

pub type Census = BTreeMap<&'static str, u64>;

/// Audio that waits, from where on whoever pushes waits, too: a second at the usual chunk.
const FULL: u64 = 1_000_000_000;

/// Something that may be done to a pipeline that plays.
pub type Mischief = (&'static str, fn(&mut Ride));

pub struct Ride {
    pub pipeline: gst::Pipeline,
    /// The transcriber in it.
    pub element: gst::Element,
    pub dice: Dice,
    pub seat: Seat,
    /// How often what was done, and in what the stop came.
    pub census: Census,
}

pub const MISCHIEF: [Mischief; 9] = [
    ("plays on", |_| {}),
    ("plays on", |_| {}),
    ("seeks", |ride| ride.seek()),
    ("seeks five times", |ride| (0..5).for_each(|_| ride.seek())),
    ("pauses", |ride| {
        ride.set(gst::State::Paused);
        ride.dice.wait(LONGEST);
        ride.set(gst::State::Playing);
    }),
    ("seeks in PAUSED", |ride| {
        ride.set(gst::State::Paused);
        ride.seek();
        ride.dice.wait(LONGEST);
    }),
    ("goes through READY", |ride| {
        ride.set(gst::State::Ready);
        ride.set(gst::State::Playing);
    }),
    ("flushes speech", |ride| {
        ride.element.emit_by_name::<()>("flush-speech", &[&"storm"]);
    }),
    ("ends the stream", |ride| {
        ride.pipeline.send_event(gst::event::Eos::new());
    }),
];

impl Ride {
    pub fn new(pipeline: gst::Pipeline, element: gst::Element, seed: u64, seat: Seat) -> Ride {
        seat.rides(&pipeline);
        Ride {
            pipeline,
            element,
            dice: Dice::new(seed),
            seat,
            census: Census::new(),
        }
    }

    /// From NULL to NULL, with one of `mischief` on the way.
    pub fn turn(&mut self, turn: u64, mischief: &[Mischief]) {
        let (name, act) = *self.dice.pick(mischief);
        self.seat.does(format!("turn {turn}, {name}"));
        *self.census.entry(name).or_default() += 1;
        if self.dice.roll(3) == 0 {
            self.set(gst::State::Paused);
            self.dice.wait(LONGEST);
        }
        self.set(gst::State::Playing);
        self.dice.wait(LONGEST);
        act(self);
        self.dice.wait(LONGEST);
        self.note();
        self.seat.does(format!("turn {turn}, {name}, to NULL"));
        // One in four stops while another thread flushes.
        match self.dice.roll(4) {
            0 => self.stop_in_mid_flush(),
            _ => self.set(gst::State::Null),
        }
        self.seat.does(format!("turn {turn}, {name}, in NULL"));
        self.read_bus();
    }

    pub fn set(&self, state: gst::State) {
        if self.pipeline.set_state(state).is_err() {
            let why = self.error().unwrap_or_default();
            panic!("the pipeline refused {state:?}: {why}");
        }
    }

    /// Anywhere in the first twenty seconds. One that comes too early is refused, which is right.
    pub fn seek(&mut self) {
        let to = ClockTime::from_mseconds(self.dice.roll(20_000));
        seek(&self.pipeline, to);
    }

    fn stop_in_mid_flush(&mut self) {
        *self.census.entry("stopped in mid-flush").or_default() += 1;
        let to = ClockTime::from_mseconds(self.dice.roll(20_000));
        let pipeline = self.pipeline.clone();
        let other = thread::spawn(move || (0..3).for_each(|_| seek(&pipeline, to)));
        self.dice.wait(Duration::from_millis(4));
        self.set(gst::State::Null);
        other.join().unwrap();
        // What the last of them did to a pipeline that was down already.
        self.set(gst::State::Null);
    }

    /// In what the stop comes.
    fn note(&mut self) {
        let stats: gst::Structure = self.element.property("stats");
        let backlog = stats.get::<u64>("backlog").unwrap_or_default();
        let passes = stats.get::<u64>("passes").unwrap_or_default();
        let what = if !stats.get::<bool>("loaded").unwrap_or_default() {
            "stopped before the model was there"
        } else if backlog >= FULL {
            "stopped in back-pressure"
        } else if passes > 0 || backlog > 0 {
            "stopped between two passes or in one"
        } else {
            "stopped before any audio"
        };
        *self.census.entry(what).or_default() += 1;
    }

    /// Nothing of all this is an error. Empties the bus, whose messages hold their elements.
    pub fn read_bus(&self) {
        if let Some(error) = self.error() {
            panic!("an error in a storm: {error}");
        }
    }

    fn error(&self) -> Option<String> {
        let bus = self.pipeline.bus().unwrap();
        std::iter::from_fn(|| bus.pop())
            .filter_map(|message| match message.view() {
                gst::MessageView::Error(error) => Some(format!(
                    "{}: {} ({})",
                    error.src().map(|src| src.name()).unwrap_or_default(),
                    error.error(),
                    error.debug().unwrap_or_default()
                )),
                _ => None,
            })
            .last()
    }
}

fn seek(pipeline: &gst::Pipeline, to: ClockTime) {
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    let _ = pipeline.seek_simple(flags, to);
}

pub fn add(total: &mut Census, more: &Census) {
    for (what, times) in more {
        *total.entry(what).or_default() += times;
    }
}
