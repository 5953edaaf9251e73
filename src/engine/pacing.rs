//! Whether a stream comes faster than anybody speaks: a recording that is poured in. Pure.

use std::time::Instant;

use super::stats::duration;
use crate::policy::Samples;
use crate::whisper::SAMPLE_RATE;

/// Judged over so much audio: a network that stutters evens out.
const SPAN: Samples = 2 * SAMPLE_RATE as Samples;

/// Watches how fast a stream's audio arrives.
///
/// Nobody waits for the words of a recording as they are spoken, so its passes go behind those of calls, and when they come
/// late that says nothing of the machine.
#[derive(Default)]
pub(super) struct Pacing {
    /// Where and when the span being measured began.
    since: Option<(Samples, Instant)>,
    fast: bool,
}

impl Pacing {
    /// Audio up to `end` had arrived at `arrived`. Whether what arrives now comes at more than one and a half times the pace
    /// of speech.
    pub fn is_fast(&mut self, end: Samples, arrived: Instant) -> bool {
        match self.since {
            Some((start, began)) if start <= end => {
                let audio = end - start;
                if audio >= SPAN {
                    let wall = arrived.saturating_duration_since(began);
                    self.fast = duration(audio) > wall.mul_f64(1.5);
                    self.since = Some((end, arrived));
                }
            }
            _ => self.since = Some((end, arrived)),
        }
        self.fast
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What it says of chunks of half a second that arrive so many milliseconds apart.
    fn said(apart: impl Iterator<Item = u64>) -> Vec<bool> {
        let (mut pacing, mut now) = (Pacing::default(), Instant::now());
        (1..)
            .zip(apart)
            .map(|(chunk, ms)| {
                now += Duration::from_millis(ms);
                pacing.is_fast(chunk * 8_000, now)
            })
            .collect()
    }

    #[test]
    fn a_call_is_never_fast_however_its_network_stutters() {
        assert!(!said([500; 40].into_iter()).contains(&true));
        assert!(!said([900, 100, 500, 500].into_iter().cycle().take(40)).contains(&true));
        assert!(!said([50, 1950, 0, 0].into_iter().cycle().take(40)).contains(&true));
    }

    #[test]
    fn a_recording_is_fast_from_two_seconds_on_and_no_longer_when_the_machine_holds_it_back() {
        let fast = said([100; 12].into_iter().chain([1_000; 12]));
        assert_eq!(fast.iter().position(|fast| *fast), Some(4));
        assert!(fast[4..12].iter().all(|fast| *fast));
        assert!(!fast[20..].contains(&true));
    }
}
