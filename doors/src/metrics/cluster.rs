//! What a gateway and a worker count, for `/metrics`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Seconds = Counter<f64, AtomicU64>;

/// Shared: a clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct ClusterFigures {
    /// Legs that no worker has.
    pub unclaimed: Gauge,
    /// Legs heard here.
    pub legs: Gauge,
    /// Of the leg that is furthest behind.
    pub lag: Gauge<f64, AtomicU64>,
    /// Legs taken over from a worker that was gone, or had handed them over.
    pub replays: Counter,
    /// Audio that was heard again.
    pub repeated: Seconds,
    /// Events that were told before and are not told again.
    pub untold: Counter,
    /// Writes refused, because another worker had the leg.
    pub fenced: Counter,
    pub checkpoints: Counter,
    /// Messages that were none, or not in their order.
    pub bad: Counter,
    /// Audio that waits here for JetStream.
    pub buffered: Gauge<f64, AtomicU64>,
    /// Times that JetStream did not take it.
    pub resent: Counter,
}

impl ClusterFigures {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "cluster_unclaimed",
            "Legs of calls that no worker has",
            self.unclaimed.clone(),
        );
        registry.register(
            "cluster_legs",
            "Legs of calls heard here",
            self.legs.clone(),
        );
        registry.register(
            "cluster_lag_seconds",
            "Audio not yet heard, of the leg that is furthest behind",
            self.lag.clone(),
        );
        registry.register(
            "cluster_replays",
            "Legs taken over from another worker",
            self.replays.clone(),
        );
        registry.register(
            "cluster_repeated_seconds",
            "Audio heard again after a leg was taken over",
            self.repeated.clone(),
        );
        registry.register(
            "cluster_repeated_events",
            "Events that another worker had told, and that were not told again",
            self.untold.clone(),
        );
        registry.register(
            "cluster_fenced_writes",
            "Writes refused because another worker had the leg",
            self.fenced.clone(),
        );
        registry.register(
            "cluster_checkpoints",
            "Checkpoints written",
            self.checkpoints.clone(),
        );
        registry.register(
            "cluster_bad_messages",
            "Messages that could not be read, or came out of their order",
            self.bad.clone(),
        );
        registry.register(
            "cluster_buffered_seconds",
            "Audio that waits here for JetStream to take it",
            self.buffered.clone(),
        );
        registry.register(
            "cluster_resent",
            "Times that JetStream did not take audio, and it was sent again",
            self.resent.clone(),
        );
    }

    /// `bytes` of audio wait now, beyond those that did.
    pub(crate) fn buffers(&self, bytes: i64) {
        self.buffered.inc_by(bytes as f64 / 32_000.0);
    }

    pub(crate) fn repeats(&self, audio: Duration) {
        self.repeated.inc_by(audio.as_secs_f64());
    }
}
