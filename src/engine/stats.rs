//! Figures of a session and its model.

use std::time::Duration;

use crate::policy::Guards;

/// A snapshot.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub loaded: bool,
    /// Sessions that use the same model in this process.
    pub streams: u32,
    pub passes: u64,
    pub pass_time_p50: Duration,
    pub pass_time_p95: Duration,
    /// From the arrival of a chunk's last sample to the delivery of the text its pass released.
    pub chunk_to_text_p50: Duration,
    pub chunk_to_text_p95: Duration,
    /// End of audio received minus end of audio heard by a finished pass.
    pub lag: Duration,
    /// Audio waiting for a pass.
    pub backlog: Duration,
    /// Audio dropped because the machine could not keep up.
    pub dropped: Duration,
    /// Totals of what the guards cut.
    pub guards: Guards,
}
