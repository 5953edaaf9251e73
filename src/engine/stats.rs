//! Figures of a session and its model.

use std::time::Duration;

use super::scheduler::Effort;
use crate::policy::{Guards, Samples};
use crate::whisper::SAMPLE_RATE;

/// A snapshot.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub loaded: bool,
    /// Sessions that use the same model in this process.
    pub streams: u32,
    pub passes: u64,
    /// Passes not run, because nothing could have come of them.
    pub skipped: u64,
    /// Live passes that ended after the next one was due.
    pub late: u64,
    pub pass_time_p50: Duration,
    pub pass_time_p95: Duration,
    /// The part of a pass's time in which the network ran for other streams.
    pub waiting_p50: Duration,
    pub waiting_p95: Duration,
    /// What passes took in all, less what they waited: over the stream's length its real-time factor.
    pub network_time: Duration,
    /// Decoders, this stream's included, that a step of the network served on average; 0 before the first.
    pub batch_mean: f64,
    /// What is done at present so that the machine keeps up, 0 for nothing; and how often that was raised.
    pub degradation: u32,
    pub degradations: u64,
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
    /// Bytes that the stream holds between two passes: audio, log-mel, tokens, text.
    pub memory: u64,
}

/// Most passes the percentiles look back on.
const WINDOW: usize = 512;

/// Counts as the session goes; of constant size.
#[derive(Default)]
pub(super) struct Meter {
    pub passes: u64,
    pub skipped: u64,
    pub late: u64,
    pub network_time: Duration,
    pub steps: u64,
    /// Decoders in those steps.
    pub decoders: u64,
    pub degradation: u32,
    pub degradations: u64,
    pub guards: Guards,
    /// Memory that the policy holds.
    pub bytes: usize,
    /// Stream position up to which passes are over.
    pub heard: Samples,
    pub pass_time: Window,
    pub chunk_to_text: Window,
    pub waiting: Window,
}

impl Meter {
    /// Adds a pass; `None`: it was not run.
    pub fn pass(&mut self, took: Duration, effort: Option<Effort>) {
        let Some(effort) = effort else {
            self.skipped += 1;
            return;
        };
        self.passes += 1;
        self.late += u64::from(effort.late);
        self.steps += u64::from(effort.steps);
        self.decoders += u64::from(effort.decoders);
        self.pass_time.add(took);
        self.network_time += took.saturating_sub(effort.waited);
        self.waiting.add(effort.waited);
    }

    pub fn degrade(&mut self, level: u32) {
        self.degradations += u64::from(level > self.degradation);
        self.degradation = level;
    }

    pub fn batch_mean(&self) -> f64 {
        match self.steps {
            0 => 0.0,
            steps => self.decoders as f64 / steps as f64,
        }
    }

    /// Adds what the guards cut in one pass.
    pub fn add(&mut self, cut: &Guards) {
        let add = |total: &mut u32, n: u32| *total = total.saturating_add(n);
        add(&mut self.guards.no_speech, cut.no_speech);
        add(&mut self.guards.rate, cut.rate);
        add(&mut self.guards.repetition, cut.repetition);
        add(&mut self.guards.rewind, cut.rewind);
        add(&mut self.guards.quiet, cut.quiet);
        add(&mut self.guards.unlikely, cut.unlikely);
        add(&mut self.guards.resampled, cut.resampled);
        add(&mut self.guards.repeated, cut.repeated);
    }
}

/// The last [`WINDOW`] times, oldest overwritten.
#[derive(Clone, Default)]
pub(super) struct Window {
    times: Vec<Duration>,
    next: usize,
}

impl Window {
    pub fn add(&mut self, time: Duration) {
        match self.times.get_mut(self.next) {
            Some(oldest) => *oldest = time,
            None => self.times.push(time),
        }
        self.next = (self.next + 1) % WINDOW;
    }

    /// Median and 95th percentile (nearest rank); zero while there is none.
    pub fn percentiles(mut self) -> (Duration, Duration) {
        self.times.sort_unstable();
        let rank = |percent: usize| {
            let rank = (self.times.len() * percent).div_ceil(100).max(1) - 1;
            self.times.get(rank).copied().unwrap_or_default()
        };
        (rank(50), rank(95))
    }
}

/// How long `samples` last.
pub(super) fn duration(samples: u64) -> Duration {
    let rate = SAMPLE_RATE as u64;
    Duration::new(
        samples / rate,
        (samples % rate * 1_000_000_000 / rate) as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_512_and_memory_stays() {
        let mut window = Window::default();
        assert_eq!(window.clone().percentiles(), Default::default());
        for ms in 0..100_000u64 {
            window.add(Duration::from_millis(ms));
        }
        assert_eq!(window.times.len(), WINDOW);
        let oldest = 100_000 - WINDOW as u64;
        let (p50, p95) = window.percentiles();
        assert_eq!(p50, Duration::from_millis(oldest + 255));
        assert_eq!(p95, Duration::from_millis(oldest + 486));
    }

    #[test]
    fn of_a_single_time_every_percentile_is_that_time() {
        let mut window = Window::default();
        window.add(Duration::from_millis(3));
        assert_eq!(
            window.percentiles(),
            (Duration::from_millis(3), Duration::from_millis(3))
        );
    }

    #[test]
    fn a_sample_lasts_a_sixteen_thousandth_of_a_second() {
        assert_eq!(duration(1), Duration::from_nanos(62_500));
        assert_eq!(duration(16_000 * 3600), Duration::from_secs(3600));
    }
}
