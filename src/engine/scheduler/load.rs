//! Whether the machine keeps up, and what is done about it. A pure state machine over what the scheduler tells it.
//!
//! The measure is what a caller notices: passes that end long after the next one was due. A little later is no harm: the
//! next pass takes in what has come meanwhile, and all is well again. If more than half of them are late by half a chunk
//! for some seconds, while the network has hardly a pause, the [`Level`] rises by one. It falls when what the network
//! does now would fit even without the last measure taken. Between the two lies a wide band, so that the level does not
//! swing; after each change only what came later counts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back it looks.
const SPAN: Duration = Duration::from_secs(6);
const BUCKET: Duration = Duration::from_millis(500);
/// Before it judges what a change has brought, at least.
const SETTLING: Duration = Duration::from_secs(3);
/// Fewest passes to judge by.
const PASSES: u32 = 3;
/// Share of the time the network runs for live calls above which it gathers decoders.
const FULL: f64 = 0.7;
/// A machine that pauses this much is not what makes passes late.
const BUSY: f64 = 0.5;
/// Share that may be reached by taking a measure back.
const ROOM: f64 = 0.8;

/// What is done to keep up: each level includes those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    None,
    /// Chunks of twice the length.
    Double,
    /// Chunks of four times the length.
    Quadruple,
    /// Only the part of the window that holds audio is encoded, for streams that allow it.
    Shortened,
}

impl Level {
    const ALL: [Level; 4] = [
        Level::None,
        Level::Double,
        Level::Quadruple,
        Level::Shortened,
    ];

    pub fn number(self) -> u32 {
        self as u32
    }

    /// Chunks are this many times as long.
    pub fn chunks(self) -> usize {
        match self {
            Level::None => 1,
            Level::Double => 2,
            Level::Quadruple | Level::Shortened => 4,
        }
    }

    fn step(self, by: isize) -> Option<Level> {
        let at = (self as usize).checked_add_signed(by)?;
        Level::ALL.get(at).copied()
    }

    /// How much more the network has to do, about, if this level is left for the one below.
    fn relief(self) -> f64 {
        match self {
            Level::None => 1.0,
            Level::Double | Level::Quadruple => 2.0,
            Level::Shortened => 3.0,
        }
    }
}

/// How it stands, and what that was judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strain {
    pub level: Level,
    /// Share of the time that the network ran for live calls, 0 to 1, when the level changed.
    pub busy: f64,
    /// Share of the live passes that came late, 0 to 1, when the level changed.
    pub late: f64,
}

#[derive(Default)]
struct Bucket {
    number: u64,
    busy: Duration,
    passes: u32,
    late: u32,
    shortenable: u32,
}

/// What the last seconds were like; of constant size.
pub struct Load {
    origin: Instant,
    /// When the level last changed, or the first pass began.
    since: Option<Instant>,
    buckets: VecDeque<Bucket>,
    strain: Strain,
}

impl Load {
    pub fn new(origin: Instant) -> Load {
        Load {
            origin,
            since: None,
            buckets: VecDeque::new(),
            strain: Strain::default(),
        }
    }

    /// The network ran for live calls, for so long.
    pub fn ran(&mut self, took: Duration, now: Instant) {
        self.since
            .get_or_insert(now.checked_sub(took).unwrap_or(now));
        self.count(now, |bucket| bucket.busy += took);
    }

    /// A live pass ended, `late` by more than its grace. `shortenable`: its stream allows [`Level::Shortened`].
    pub fn ended(&mut self, late: bool, shortenable: bool, now: Instant) {
        self.count(now, |bucket| {
            bucket.passes += 1;
            bucket.late += u32::from(late);
            bucket.shortenable += u32::from(shortenable);
        });
        self.judge(now);
    }

    /// Gather decoders rather than hurry each.
    pub fn collects(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.busy(now) > FULL
    }

    pub fn strain(&mut self, now: Instant) -> Strain {
        self.judge(now);
        self.strain
    }

    fn judge(&mut self, now: Instant) {
        self.forget(now);
        let Some(since) = self.since else { return };
        let settled = now.saturating_duration_since(since);
        let sum = |of: fn(&Bucket) -> u32| self.buckets.iter().map(of).sum::<u32>();
        let (busy, late) = (self.busy(now), self.late());
        let level = self.strain.level;
        let higher = level
            .step(1)
            .filter(|level| *level != Level::Shortened || sum(|bucket| bucket.shortenable) > 0);
        if settled >= SETTLING && sum(|bucket| bucket.passes) >= PASSES && late > 0.5 && busy > BUSY
        {
            self.change(higher, now);
        } else if settled >= SPAN && late < 0.1 && busy * level.relief() < ROOM {
            self.change(level.step(-1), now);
        }
    }

    fn change(&mut self, level: Option<Level>, now: Instant) {
        let Some(level) = level else { return };
        self.strain = Strain {
            level,
            busy: self.busy(now),
            late: self.late(),
        };
        self.since = Some(now);
        self.buckets.clear();
    }

    fn late(&self) -> f64 {
        let passes: u32 = self.buckets.iter().map(|bucket| bucket.passes).sum();
        let late: u32 = self.buckets.iter().map(|bucket| bucket.late).sum();
        f64::from(late) / f64::from(passes.max(1))
    }

    fn busy(&self, now: Instant) -> f64 {
        let Some(since) = self.since else { return 0.0 };
        let span = now.saturating_duration_since(since).clamp(BUCKET * 2, SPAN);
        let busy: Duration = self.buckets.iter().map(|bucket| bucket.busy).sum();
        (busy.as_secs_f64() / span.as_secs_f64()).min(1.0)
    }

    fn number(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.origin).as_millis();
        (age / BUCKET.as_millis()) as u64
    }

    fn count(&mut self, now: Instant, change: impl FnOnce(&mut Bucket)) {
        self.forget(now);
        let number = self.number(now);
        if self.buckets.back().is_none_or(|last| last.number < number) {
            self.buckets.push_back(Bucket {
                number,
                ..Bucket::default()
            });
        }
        if let Some(bucket) = self.buckets.back_mut() {
            change(bucket);
        }
    }

    fn forget(&mut self, now: Instant) {
        let oldest = self
            .number(now)
            .saturating_sub((SPAN.as_millis() / BUCKET.as_millis()) as u64);
        while self
            .buckets
            .front()
            .is_some_and(|first| first.number < oldest)
        {
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
