//! What the parts of a leg at a worker, and the worker itself, know of each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Cluster;
use crate::exchange::Exchange;
use crate::metrics::ClusterFigures;

/// What all legs of a worker share.
pub struct Shared {
    pub cluster: Cluster,
    pub exchange: Exchange,
    pub figures: ClusterFigures,
    pub worker: String,
    /// A leg whose gateway is gone for so long ends.
    pub abandon: Duration,
}

/// How a leg is no longer heard here.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its last word was told.
    Over,
    /// Another worker has it.
    Fenced,
    /// It is there for whoever has room.
    HandedOver,
    /// It was nobody's business to hear it: there is nothing to be heard.
    Gone,
}

/// What a leg is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Hear,
    /// Write a checkpoint and leave it to others.
    HandOver,
    /// Another has it: stop at once.
    Stop,
}

/// How far behind a leg is: who is too far behind takes no more legs.
#[derive(Debug, Default)]
pub struct Lag {
    /// Audio that came, and audio that was heard, in ns of the stream.
    came: AtomicU64,
    heard: AtomicU64,
}

impl Lag {
    /// The leg's audio begins there: what lies before it is nothing to catch up with.
    pub fn begins(&self, at: u64) {
        self.came.store(at, Ordering::Relaxed);
        self.heard.store(at, Ordering::Relaxed);
    }

    pub fn comes(&self, until: u64) {
        self.came.fetch_max(until, Ordering::Relaxed);
    }

    /// A leg that has only begun knows nothing of it yet, and says 0. Returns what is known.
    pub fn hears(&self, until: u64) -> u64 {
        self.heard.fetch_max(until, Ordering::Relaxed).max(until)
    }

    /// All was heard.
    pub fn ends(&self) {
        self.heard.store(u64::MAX, Ordering::Relaxed);
    }

    pub fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    pub fn get(&self) -> Duration {
        let heard = self.heard.load(Ordering::Relaxed);
        Duration::from_nanos(self.came().saturating_sub(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_behind_by_what_came_since_it_began() {
        let lag = Lag::default();
        let s = 1_000_000_000;
        lag.begins(100 * s);
        lag.comes(101 * s);
        assert_eq!(lag.hears(0), 100 * s, "nothing is known yet");
        assert_eq!(lag.get(), Duration::from_secs(1));
        assert_eq!(lag.hears(101 * s), 101 * s);
        lag.comes(140 * s);
        assert_eq!(lag.get(), Duration::from_secs(39));
        lag.ends();
        assert_eq!(lag.get(), Duration::ZERO);
    }
}
