//! What is counted of all calls, as Prometheus reads it.

mod cluster;

pub use cluster::ClusterFigures;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::call::Figures;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Door {
    door: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    door: &'static str,
    cause: &'static str,
}

type Seconds = Counter<f64, AtomicU64>;

/// The counters of a process.
pub struct Metrics {
    registry: Registry,
    calls: Family<Door, Gauge>,
    calls_total: Family<Door, Counter>,
    refusals: Family<Refused, Counter>,
    words: Family<Door, Counter>,
    lag: Histogram,
    passes: Counter,
    network: Seconds,
    audio: Seconds,
    dropped: Seconds,
    posted: Counter,
    unposted: Counter,
    cluster: ClusterFigures,
}

/// Seconds.
const LAG: [f64; 12] = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("whisperstream");
        let metrics = Metrics {
            calls: Family::default(),
            calls_total: Family::default(),
            refusals: Family::default(),
            words: Family::default(),
            lag: Histogram::new(LAG),
            passes: Counter::default(),
            network: Seconds::default(),
            audio: Seconds::default(),
            dropped: Seconds::default(),
            posted: Counter::default(),
            unposted: Counter::default(),
            cluster: ClusterFigures::default(),
            registry: Registry::default(),
        };
        registry.register("calls", "Calls that are there", metrics.calls.clone());
        registry.register(
            "calls_taken",
            "Calls taken since the start",
            metrics.calls_total.clone(),
        );
        registry.register("refusals", "Calls refused", metrics.refusals.clone());
        registry.register("words", "Words told", metrics.words.clone());
        registry.register(
            "lag_seconds",
            "From the arrival of the audio in which a word ends to its being told",
            metrics.lag.clone(),
        );
        registry.register("passes", "Passes of the network", metrics.passes.clone());
        registry.register(
            "network_seconds",
            "Time the network ran; by whisperstream_audio_seconds_total it is the real-time factor",
            metrics.network.clone(),
        );
        registry.register("audio_seconds", "Audio received", metrics.audio.clone());
        registry.register(
            "dropped_seconds",
            "Audio not heard because the machine was too slow",
            metrics.dropped.clone(),
        );
        registry.register(
            "webhook_events",
            "Events that the webhook's receiver took",
            metrics.posted.clone(),
        );
        registry.register(
            "webhook_dropped",
            "Events that it did not take, or that did not fit into the queue",
            metrics.unposted.clone(),
        );
        metrics.cluster.register(&mut registry);
        Metrics {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    /// Those of a gateway or a worker.
    pub(crate) fn cluster(&self) -> &ClusterFigures {
        &self.cluster
    }

    pub(crate) fn came(&self, door: &'static str) {
        self.calls.get_or_create(&Door { door }).inc();
        self.calls_total.get_or_create(&Door { door }).inc();
    }

    pub(crate) fn went(&self, door: &'static str) {
        self.calls.get_or_create(&Door { door }).dec();
    }

    pub(crate) fn refused(&self, door: &'static str, cause: &'static str) {
        self.refusals.get_or_create(&Refused { door, cause }).inc();
    }

    pub(crate) fn words(&self, door: &'static str, count: usize, lag: Option<Duration>) {
        self.words
            .get_or_create(&Door { door })
            .inc_by(count as u64);
        if let Some(lag) = lag {
            self.lag.observe(lag.as_secs_f64());
        }
    }

    pub(crate) fn posted(&self, events: usize) {
        self.posted.inc_by(events as u64);
    }

    pub(crate) fn unposted(&self, events: usize) {
        self.unposted.inc_by(events as u64);
    }

    /// What was counted since the last time.
    pub(crate) fn figures(&self, figures: &Figures, audio: Duration) {
        self.passes.inc_by(figures.passes);
        self.network.inc_by(figures.network.as_secs_f64());
        self.dropped.inc_by(figures.dropped.as_secs_f64());
        self.audio.inc_by(audio.as_secs_f64());
    }

    /// The text of `/metrics` (OpenMetrics).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Into memory: it cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
