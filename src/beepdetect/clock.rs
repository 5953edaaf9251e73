//! Maps samples to timestamps, through holes and jitter, at either rate.

use std::collections::VecDeque;

use gst::ClockTime;

/// A timestamp that disagrees with the count of samples by no more than this is jitter.
const JITTER: ClockTime = ClockTime::from_mseconds(40);
/// Beyond this a clock that drifts is followed.
const DRIFT: ClockTime = ClockTime::from_mseconds(20);
/// Where the stream says that something is missing, this much may be.
const MISSING: ClockTime = ClockTime::from_mseconds(5);
/// A hole up to this long is heard as silence.
const FILL: ClockTime = ClockTime::from_seconds(1);
/// Anchors kept for the start of a tone that goes on.
const KEPT: usize = 256;

/// How audio joins what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Without a seam.
    Follows,
    /// Behind a hole of so many samples.
    Fill(u64),
    /// Elsewhere in time: what went before is over.
    Cut,
}

/// From `position` on, samples follow each other from `pts`.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    position: u64,
    pts: ClockTime,
}

/// The time of one run of samples, counted from 0.
#[derive(Debug)]
pub struct Clock {
    sample: ClockTime,
    position: u64,
    anchors: VecDeque<Anchor>,
}

impl Clock {
    /// A run of samples at `rate` that begins at `pts`.
    pub fn new(rate: u32, pts: ClockTime) -> Clock {
        let mut anchors = VecDeque::with_capacity(KEPT);
        anchors.push_back(Anchor { position: 0, pts });
        Clock {
            sample: ClockTime::SECOND / u64::from(rate.max(1)),
            position: 0,
            anchors,
        }
    }

    /// Where the next sample is expected.
    pub fn end(&self) -> ClockTime {
        self.at(self.position)
    }

    /// How audio stamped `pts` joins; without a timestamp it follows. `discont`: the stream says that something is missing.
    pub fn join(&mut self, pts: Option<ClockTime>, discont: bool) -> Join {
        let Some(pts) = pts else {
            return Join::Follows;
        };
        let expected = self.end();
        let (ahead, behind) = (pts.saturating_sub(expected), expected.saturating_sub(pts));
        if behind > JITTER {
            return Join::Cut;
        }
        if ahead > JITTER || discont && ahead >= MISSING {
            return match ahead > FILL {
                true => Join::Cut,
                false => Join::Fill(ahead / self.sample),
            };
        }
        if ahead.max(behind) > DRIFT {
            self.anchor(pts);
        }
        Join::Follows
    }

    /// How a hole announced from `pts` on, `duration` long, joins.
    pub fn hole(&self, pts: ClockTime, duration: ClockTime) -> Join {
        let expected = self.end();
        let until = pts.saturating_add(duration);
        if expected.saturating_sub(pts) > FILL || until.saturating_sub(expected) > FILL {
            return Join::Cut;
        }
        match until.saturating_sub(expected) / self.sample {
            // Late news of a hole that was heard already.
            0 => Join::Follows,
            samples => Join::Fill(samples),
        }
    }

    /// Counts samples.
    pub fn advance(&mut self, samples: u64) {
        self.position = self.position.saturating_add(samples);
    }

    /// The instant at which sample `position` starts.
    pub fn at(&self, position: u64) -> ClockTime {
        let found = self
            .anchors
            .iter()
            .rev()
            .find(|anchor| anchor.position <= position);
        match found.or(self.anchors.front()) {
            Some(anchor) => {
                let since = self.length(position.saturating_sub(anchor.position));
                anchor.pts.saturating_add(since)
            }
            None => self.length(position),
        }
    }

    /// So many samples as time.
    pub fn length(&self, samples: u64) -> ClockTime {
        let ns = samples.saturating_mul(self.sample.nseconds());
        ClockTime::from_nseconds(ns.min(ClockTime::MAX.nseconds()))
    }

    fn anchor(&mut self, pts: ClockTime) {
        if self.anchors.len() >= KEPT {
            self.anchors.pop_front();
        }
        let position = self.position;
        self.anchors.push_back(Anchor { position, pts });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> ClockTime {
        ClockTime::from_mseconds(ms)
    }

    /// A second from 10 s on has been heard.
    fn heard_one_second(rate: u32) -> Clock {
        let mut clock = Clock::new(rate, ms(10_000));
        clock.advance(u64::from(rate));
        clock
    }

    #[test]
    fn samples_are_timed_at_either_rate() {
        for rate in [8_000, 16_000] {
            let clock = heard_one_second(rate);
            assert_eq!(clock.at(u64::from(rate) / 2), ms(10_500));
            assert_eq!(clock.end(), ms(11_000));
        }
    }

    #[test]
    fn jitter_changes_nothing_and_drift_is_followed() {
        let mut clock = heard_one_second(8_000);
        assert_eq!(clock.join(Some(ms(11_015)), false), Join::Follows);
        assert_eq!(clock.end(), ms(11_000));
        assert_eq!(clock.join(Some(ms(11_025)), false), Join::Follows);
        assert_eq!(clock.end(), ms(11_025));
        assert_eq!(clock.at(4_000), ms(10_500));
        assert_eq!(clock.join(Some(ms(10_990)), false), Join::Follows);
        assert_eq!(clock.end(), ms(10_990));
        assert_eq!(clock.join(None, true), Join::Follows);
    }

    #[test]
    fn a_hole_is_filled_up_to_a_second() {
        let mut clock = heard_one_second(16_000);
        assert_eq!(clock.join(Some(ms(11_100)), false), Join::Fill(1_600));
        assert_eq!(clock.join(Some(ms(11_020)), true), Join::Fill(320));
        assert_eq!(clock.join(Some(ms(12_000)), true), Join::Fill(16_000));
        assert_eq!(clock.join(Some(ms(12_001)), true), Join::Cut);
        assert_eq!(clock.join(Some(ms(10_900)), false), Join::Cut);
    }

    #[test]
    fn a_gap_is_a_hole_once() {
        let mut clock = heard_one_second(8_000);
        assert_eq!(clock.hole(ms(11_000), ms(20)), Join::Fill(160));
        clock.advance(160);
        assert_eq!(clock.hole(ms(11_000), ms(20)), Join::Follows);
        assert_eq!(clock.hole(ms(11_020), ms(5_000)), Join::Cut);
        assert_eq!(clock.hole(ms(0), ms(20)), Join::Cut);
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        let mut clock = heard_one_second(8_000);
        let last = ClockTime::MAX;
        assert_eq!(clock.join(Some(last), true), Join::Cut);
        assert_eq!(clock.hole(last, last), Join::Cut);
        clock.advance(u64::MAX);
        assert_eq!(clock.end(), last);
    }
}
