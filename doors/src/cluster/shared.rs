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

/// How far behind a leg is, for lists.
#[derive(Debug, Default)]
pub struct Lag {
    /// Audio that came, and audio that was heard, in ns of the stream.
    pub came: AtomicU64,
    pub heard: AtomicU64,
}

impl Lag {
    pub fn get(&self) -> Duration {
        let came = self.came.load(Ordering::Relaxed);
        Duration::from_nanos(came.saturating_sub(self.heard.load(Ordering::Relaxed)))
    }
}
