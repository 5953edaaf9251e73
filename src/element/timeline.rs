//! The one way in for time: which instant of the segment a sample belongs to. Pure.
//!
//! The engine counts samples; GStreamer counts time. An [`Anchor`] ties the two together wherever audio starts or its
//! timestamps leave the count of samples; between two anchors a sample lasts 62.5 µs, exactly.

use std::collections::VecDeque;
use std::ops::Range;

use gst::ClockTime;
use serde::{Deserialize, Serialize};

use super::saved::instant;
use crate::policy::Samples;

/// Nanoseconds of one sample at 16 kHz; exact.
const SAMPLE_NS: u64 = 62_500;
/// A timestamp that disagrees with the count of samples by no more than this is jitter.
const JITTER: ClockTime = ClockTime::from_mseconds(40);
/// A hole up to this long is filled with silence; beyond it the utterance ends.
const FILL: ClockTime = ClockTime::from_seconds(1);
/// Anchors kept for words still to come (the audio window is 30 s).
const KEPT: usize = 512;

/// Samples as time.
pub fn duration_of(samples: Samples) -> ClockTime {
    ClockTime::from_nseconds(
        samples
            .saturating_mul(SAMPLE_NS)
            .min(ClockTime::MAX.nseconds()),
    )
}

/// Time as samples, to the nearest below.
pub fn samples_in(time: ClockTime) -> Samples {
    time.nseconds() / SAMPLE_NS
}

/// Which of the `count` samples from `pts` on lie in `segment`, and when the first of them is; `None` where none does. They
/// are counted: what a buffer says of its duration may be anything.
pub fn inside(
    segment: &gst::FormattedSegment<ClockTime>,
    pts: ClockTime,
    count: Samples,
) -> Option<(Range<Samples>, ClockTime)> {
    let end = pts.saturating_add(duration_of(count));
    let (start, stop) = segment.clip(pts, end)?;
    let (start, stop) = (start.unwrap_or(pts), stop.unwrap_or(end));
    let first = samples_in(start.saturating_sub(pts));
    let behind = match stop < end {
        // The last sample may reach out of it.
        true => stop.saturating_sub(pts).nseconds().div_ceil(SAMPLE_NS),
        false => count,
    };
    Some((first..behind.min(count).max(first), start))
}

/// From `position` on, samples follow each other from `pts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    position: Samples,
    #[serde(with = "instant")]
    pts: ClockTime,
}

/// How audio that arrives joins what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Without a seam.
    Follows,
    /// Behind a small hole: put this many samples of silence in first.
    Fill(Samples),
    /// Behind a large hole: drain, then call [`Timeline::jump`].
    Jump(ClockTime),
    /// Its timestamp lies this far before what was heard already: drain, then call [`Timeline::turn_back`].
    Back(ClockTime),
}

/// One stream's map from sample positions to timestamps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timeline {
    anchors: VecDeque<Anchor>,
    position: Samples,
    /// Added to timestamps since they ran backwards; the count of samples goes on.
    #[serde(with = "instant")]
    shift: ClockTime,
    /// No sample since the segment's start or the last jump: a hole needs no silence.
    fresh: bool,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline {
            anchors: VecDeque::new(),
            position: 0,
            shift: ClockTime::ZERO,
            fresh: true,
        }
    }
}

impl Timeline {
    /// Starts a segment (or a fresh stream) at `pts`; the next sample is number `position`.
    pub fn start(&mut self, position: Samples, pts: ClockTime) {
        // All before it is decided or flushed: no position behind the start may map to the time before it.
        self.anchors.clear();
        self.shift = ClockTime::ZERO;
        self.position = position;
        self.jump(pts);
    }

    /// Samples so far.
    pub fn position(&self) -> Samples {
        self.position
    }

    /// Whether nothing was heard since the last start or jump.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Where what was heard ends.
    pub fn end(&self) -> ClockTime {
        self.at_end_of(self.position)
    }

    /// Where the next sample is expected: the same, but behind a jump.
    fn next(&self) -> ClockTime {
        self.at(self.position)
    }

    /// How audio stamped `pts` joins. Without a timestamp it follows.
    pub fn join(&mut self, pts: Option<ClockTime>) -> Join {
        let Some(pts) = pts else { return Join::Follows };
        let (ended, expected) = (self.end(), self.next());
        if self.shift > ClockTime::ZERO && near(pts, expected) {
            // The clock has come back to what it was.
            self.shift = ClockTime::ZERO;
        }
        let pts = pts.saturating_add(self.shift);
        if near(pts, expected) {
            Join::Follows
        } else if pts > expected {
            let hole = pts - expected;
            if self.fresh || hole > FILL {
                Join::Jump(pts)
            } else {
                Join::Fill(samples_in(hole))
            }
        } else if pts >= ended {
            // The hole before it was announced too long.
            Join::Jump(pts)
        } else if ended - pts <= FILL {
            self.anchor(pts);
            Join::Follows
        } else {
            Join::Back(expected - pts)
        }
    }

    /// What a hole announced at `pts` for `duration` asks for: as audio that arrives behind it.
    pub fn hole(&mut self, pts: ClockTime, duration: Option<ClockTime>) -> Join {
        let Some(duration) = duration else {
            return Join::Follows;
        };
        let after = pts.saturating_add(self.shift).saturating_add(duration);
        let expected = self.next();
        if after <= expected {
            // Late news of a hole that was filled already.
            return Join::Follows;
        }
        let hole = after - expected;
        if self.fresh || hole > FILL {
            Join::Jump(after)
        } else {
            Join::Fill(samples_in(hole))
        }
    }

    /// Counts samples handed to the session.
    pub fn advance(&mut self, samples: Samples) {
        self.position = self.position.saturating_add(samples);
        self.fresh &= samples == 0;
    }

    /// Ties the next sample to `pts` (already shifted).
    pub fn jump(&mut self, pts: ClockTime) {
        self.anchor(pts);
        self.fresh = true;
    }

    /// Timestamps ran backwards by `by`: from now on they are shifted so that the stream goes on where it was.
    pub fn turn_back(&mut self, by: ClockTime) {
        self.shift = self.shift.saturating_add(by);
        self.fresh = true;
    }

    /// The instant at which sample `position` starts.
    pub fn at(&self, position: Samples) -> ClockTime {
        self.map(position, |anchor| anchor.position <= position)
    }

    /// The instant at which what precedes sample `position` ends: the same, but at a jump.
    pub fn at_end_of(&self, position: Samples) -> ClockTime {
        self.map(position, |anchor| anchor.position < position)
    }

    fn map(&self, position: Samples, holds: impl Fn(&Anchor) -> bool) -> ClockTime {
        let found = self.anchors.iter().rev().find(|anchor| holds(anchor));
        match found.or(self.anchors.front()) {
            Some(anchor) => anchor
                .pts
                .saturating_add(duration_of(position.saturating_sub(anchor.position))),
            None => duration_of(position),
        }
    }

    fn anchor(&mut self, pts: ClockTime) {
        // Two anchors at one position: nothing lies between them.
        if self
            .anchors
            .back()
            .is_some_and(|last| last.position == self.position)
        {
            self.anchors.pop_back();
        }
        self.anchors.push_back(Anchor {
            position: self.position,
            pts,
        });
        if self.anchors.len() > KEPT {
            self.anchors.pop_front();
        }
    }
}

fn near(a: ClockTime, b: ClockTime) -> bool {
    a.nseconds().abs_diff(b.nseconds()) <= JITTER.nseconds()
}

#[cfg(test)]
#[path = "timeline_any_tests.rs"]
mod any_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> ClockTime {
        ClockTime::from_mseconds(ms)
    }

    /// A stream whose first second, from 10 s on, has been heard.
    fn heard_one_second() -> Timeline {
        let mut timeline = Timeline::default();
        timeline.start(0, ms(10_000));
        timeline.advance(16_000);
        timeline
    }

    #[test]
    fn samples_and_time_convert_exactly() {
        assert_eq!(duration_of(1).nseconds(), 62_500);
        assert_eq!(samples_in(duration_of(123_456_789)), 123_456_789);
    }

    #[test]
    fn words_are_timed_from_the_segment_start() {
        let timeline = heard_one_second();
        assert_eq!(timeline.at(8_000), ms(10_500));
        assert_eq!(timeline.end(), ms(11_000));
    }

    #[test]
    fn jitter_below_40_ms_changes_nothing() {
        let mut timeline = heard_one_second();
        assert_eq!(timeline.join(Some(ms(11_040))), Join::Follows);
        assert_eq!(timeline.join(Some(ms(10_960))), Join::Follows);
        assert_eq!(timeline.end(), ms(11_000));
    }

    #[test]
    fn audio_without_timestamps_follows() {
        let mut timeline = heard_one_second();
        assert_eq!(timeline.join(None), Join::Follows);
        assert_eq!(timeline.end(), ms(11_000));
    }

    #[test]
    fn lost_packets_add_up_until_they_are_filled() {
        let mut timeline = heard_one_second();
        assert_eq!(timeline.join(Some(ms(11_020))), Join::Follows);
        timeline.advance(320);
        assert_eq!(timeline.join(Some(ms(11_080))), Join::Fill(960));
    }

    #[test]
    fn a_small_hole_is_filled_and_a_large_one_jumped() {
        let mut timeline = heard_one_second();
        assert_eq!(timeline.join(Some(ms(12_000))), Join::Fill(16_000));
        assert_eq!(timeline.join(Some(ms(12_001))), Join::Jump(ms(12_001)));
        timeline.jump(ms(12_001));
        timeline.advance(16_000);
        assert_eq!(timeline.at(16_000), ms(12_001));
        assert_eq!(timeline.at_end_of(16_000), ms(11_000));
        assert_eq!(timeline.at(15_999), ms(11_000) - duration_of(1));
    }

    #[test]
    fn a_gap_event_is_a_hole_of_its_length() {
        let mut timeline = heard_one_second();
        assert_eq!(timeline.hole(ms(11_000), Some(ms(20))), Join::Fill(320));
        timeline.advance(320);
        assert_eq!(timeline.hole(ms(11_000), Some(ms(20))), Join::Follows);
        assert_eq!(
            timeline.hole(ms(11_020), Some(ms(5_000))),
            Join::Jump(ms(16_020))
        );
        assert_eq!(timeline.hole(ms(11_020), None), Join::Follows);
    }

    #[test]
    fn a_hole_before_the_first_sample_is_only_time() {
        let mut timeline = Timeline::default();
        timeline.start(0, ms(0));
        assert_eq!(timeline.hole(ms(0), Some(ms(300))), Join::Jump(ms(300)));
        assert_eq!(timeline.join(Some(ms(500))), Join::Jump(ms(500)));
    }

    #[test]
    fn a_hole_that_was_announced_too_long_or_wrongly_turns_no_time_back() {
        let announced = || {
            let mut timeline = heard_one_second();
            assert_eq!(
                timeline.hole(ms(11_000), Some(ms(9_000))),
                Join::Jump(ms(20_000))
            );
            timeline.jump(ms(20_000));
            timeline
        };
        // Within what was announced: it is where its timestamp says.
        assert_eq!(announced().join(Some(ms(11_010))), Join::Jump(ms(11_010)));
        assert_eq!(announced().join(Some(ms(15_000))), Join::Jump(ms(15_000)));
        // Another hole within it changes nothing.
        assert_eq!(announced().hole(ms(12_000), Some(ms(1_000))), Join::Follows);
        // Before what was heard: it goes on behind the hole.
        assert_eq!(announced().join(Some(ms(5_000))), Join::Back(ms(15_000)));
    }

    #[test]
    fn a_small_step_back_moves_the_words_that_follow() {
        let mut timeline = heard_one_second();
        assert_eq!(timeline.join(Some(ms(10_900))), Join::Follows);
        timeline.advance(16_000);
        assert_eq!(timeline.at(16_000), ms(10_900));
        assert_eq!(timeline.end(), ms(11_900));
    }

    #[test]
    fn time_that_runs_backwards_goes_on_where_it_was() {
        let mut timeline = heard_one_second();
        assert_eq!(timeline.join(Some(ms(0))), Join::Back(ms(11_000)));
        timeline.turn_back(ms(11_000));
        timeline.advance(16_000);
        assert_eq!(timeline.end(), ms(12_000));
        assert_eq!(timeline.join(Some(ms(1_000))), Join::Follows);
        assert_eq!(timeline.join(Some(ms(1_500))), Join::Fill(8_000));
    }

    #[test]
    fn one_wrong_timestamp_does_not_shift_the_rest() {
        let mut timeline = heard_one_second();
        timeline.turn_back(ms(11_000));
        timeline.advance(320);
        assert_eq!(timeline.join(Some(ms(11_020))), Join::Follows);
        timeline.advance(320);
        assert_eq!(timeline.join(Some(ms(11_040))), Join::Follows);
        assert_eq!(timeline.end(), ms(11_040));
    }

    #[test]
    fn a_new_start_forgets_the_time_before() {
        let mut timeline = heard_one_second();
        timeline.start(16_000, ms(0));
        assert_eq!(timeline.at_end_of(16_000), ms(0));
        assert_eq!(timeline.at(16_000), ms(0));
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        let mut timeline = heard_one_second();
        let last = ClockTime::MAX;
        assert_eq!(timeline.join(Some(last)), Join::Jump(last));
        timeline.jump(last);
        timeline.advance(u64::MAX);
        assert_eq!(timeline.end(), last);
        assert_eq!(timeline.hole(last, Some(last)), Join::Follows);
    }

    #[test]
    fn anchors_do_not_pile_up() {
        let mut timeline = heard_one_second();
        for second in 0..10_000 {
            timeline.jump(ms(20_000 + second * 1_000));
            timeline.advance(320);
        }
        assert!(timeline.anchors.len() <= KEPT);
    }
}
