//! What holds of the timeline whatever mixture of holes, jumps, steps back, restarts and segments comes.

use gst::ClockTime;

use super::*;

/// The streams that are tried; each is another mixture.
const STREAMS: u64 = 2_000;
const STEPS: usize = 200;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 24) % end
    }

    /// Mostly what networks do, sometimes what nobody should.
    fn time(&mut self) -> ClockTime {
        let ns = match self.below(8) {
            0 => self.below(3),
            1 => self.below(60_000_000),
            2..5 => self.below(1_100_000_000),
            5 => self.below(40_000_000_000_000),
            6 => u64::MAX / 2 + self.below(1 << 40),
            _ => ClockTime::MAX.nseconds() - self.below(100_000_000),
        };
        ClockTime::from_nseconds(ns)
    }
}

/// A timeline that is driven as the element drives it, and what was true before.
struct Driven {
    timeline: Timeline,
    /// Where the segment began: time and position.
    start: (ClockTime, Samples),
}

impl Driven {
    fn new() -> Driven {
        Driven {
            timeline: Timeline::default(),
            start: (ClockTime::ZERO, 0),
        }
    }

    fn begin(&mut self, start: ClockTime) {
        let position = self.timeline.position();
        self.timeline.start(position, start);
        self.start = (start, position);
    }

    /// As `WhisperStream::join` does it.
    fn obey(&mut self, join: Join) {
        match join {
            Join::Follows => {}
            Join::Fill(samples) => {
                assert!(duration_of(samples) <= FILL, "{samples} of silence");
                self.timeline.advance(samples);
            }
            Join::Jump(pts) => self.timeline.jump(pts),
            Join::Back(by) => self.timeline.turn_back(by),
        }
    }

    /// Audio stamped `pts`, from the segment's start on: what lies before it is clipped.
    fn audio(&mut self, pts: Option<ClockTime>, samples: Samples) {
        let (ended, before) = (self.timeline.end(), self.timeline.next());
        let join = self.timeline.join(pts);
        self.obey(join);
        let (at, shift) = (self.timeline.next(), self.timeline.shift);
        match join {
            // What ran backwards goes on where it was.
            Join::Back(_) => assert_eq!(at, before),
            _ => {
                let back = ended.saturating_sub(at);
                assert!(back <= FILL, "the end went back by {back}");
                let stamped = pts.map(|pts| pts.saturating_add(shift));
                assert!(
                    stamped.is_none_or(|pts| near(pts, at)),
                    "{stamped:?} is at {at}"
                );
            }
        }
        self.timeline.advance(samples);
    }

    fn hole(&mut self, pts: ClockTime, duration: Option<ClockTime>) {
        let before = self.timeline.next();
        let join = self.timeline.hole(pts, duration);
        self.obey(join);
        let at = self.timeline.next();
        assert!(at >= before, "a hole led back from {before} to {at}");
        let end = duration.map(|duration| {
            pts.saturating_add(self.timeline.shift)
                .saturating_add(duration)
        });
        // To the sample.
        let lacks = end.map_or(ClockTime::ZERO, |end| end.saturating_sub(at));
        assert!(lacks < duration_of(1), "the hole to {end:?} ends at {at}");
    }

    /// What holds at any time, of all positions since the segment began.
    fn check(&self) {
        let timeline = &self.timeline;
        assert!(timeline.anchors.len() <= KEPT);
        let (start, first) = self.start;
        let anchors = timeline.anchors.iter().map(|anchor| anchor.position);
        let mut positions: Vec<Samples> = anchors
            .flat_map(|at| [at.saturating_sub(1), at, at.saturating_add(1)])
            .chain([first, timeline.position()])
            .filter(|at| (first..=timeline.position()).contains(at))
            .collect();
        positions.sort_unstable();
        let mut last = start;
        for at in positions {
            let (begins, ended) = (timeline.at(at), timeline.at_end_of(at));
            assert!(
                begins >= start && ended >= start,
                "{at} is before the segment, at {begins}"
            );
            // Steps back of a second at most are followed, so that words keep their places; the output is held together by
            // `Output` alone.
            assert!(
                begins.saturating_add(FILL) >= last,
                "{at} is at {begins}, behind {last}"
            );
            last = begins;
        }
        assert_eq!(timeline.at_end_of(timeline.position()), timeline.end());
    }
}

fn drive(seed: u64) -> Driven {
    let mut random = Random(seed);
    let mut driven = Driven::new();
    driven.begin(random.time());
    for _ in 0..STEPS {
        let samples = random.below(4_000) * random.below(2);
        let next = driven.timeline.end();
        let start = driven.start.0;
        let pts = match random.below(8) {
            0 => None,
            1 => Some(random.time()),
            2 => Some(next.saturating_add(random.time())),
            3 => Some(next.saturating_sub(random.time())),
            _ => Some(next.saturating_add(ClockTime::from_nseconds(random.below(45_000_000)))),
        };
        let pts = pts.map(|pts| pts.max(start));
        match random.below(16) {
            0 => driven.begin(random.time()),
            1 | 2 => {
                let duration = random.below(4).checked_sub(1).map(|_| random.time());
                driven.hole(pts.unwrap_or(next), duration);
            }
            _ => driven.audio(pts, samples),
        }
        driven.check();
    }
    driven
}

#[test]
fn any_mixture_keeps_audio_where_it_is_stamped_and_inside_the_segment() {
    for seed in 0..STREAMS {
        if let Err(fault) = std::panic::catch_unwind(|| drive(seed)) {
            panic!("stream {seed}: {fault:?}");
        }
    }
}

#[test]
fn audio_that_only_goes_forward_is_timed_forward() {
    for seed in 0..STREAMS {
        let mut random = Random(seed);
        let mut driven = Driven::new();
        driven.begin(ClockTime::from_nseconds(random.below(1 << 40)));
        let mut last = driven.timeline.end();
        for _ in 0..STEPS {
            let most = 1 << random.below(42);
            let hole = ClockTime::from_nseconds(random.below(most));
            let pts = driven.timeline.end().saturating_add(hole);
            driven.audio(Some(pts), 1 + random.below(4_000));
            let position = driven.timeline.position();
            for at in [driven.timeline.at(position - 1), driven.timeline.end()] {
                assert!(at >= last, "stream {seed}: {at} behind {last}");
                last = at;
            }
        }
    }
}

#[test]
fn of_any_audio_just_what_lies_in_the_segment_is_inside() {
    gst::init().unwrap();
    let mut random = Random(7);
    let (mut wholes, mut parts) = (0, 0);
    for _ in 0..100_000 {
        let (start, pts, count) = (random.time(), random.time(), random.below(48_000));
        // In half of them the two lie near each other.
        let start = match random.below(2) {
            0 => pts.saturating_add(random.time() / 1_000),
            _ => start,
        };
        let stop = (random.below(2) == 0).then(|| start.saturating_add(random.time()));
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        segment.set_start(start);
        segment.set_stop(stop);
        let end = pts.saturating_add(duration_of(count));
        let is_whole = pts >= start && stop.is_none_or(|stop| end <= stop && pts < stop);
        let Some((samples, at)) = inside(&segment, pts, count) else {
            assert!(!is_whole, "{count} from {pts} are not in {segment:?}");
            continue;
        };
        assert!(samples.start <= samples.end && samples.end <= count);
        assert!(at >= start && stop.is_none_or(|stop| at <= stop));
        // What is left out before and behind lies outside, to the sample.
        let first = pts.saturating_add(duration_of(samples.start));
        assert!(at.saturating_sub(first) < duration_of(1));
        let behind = pts.saturating_add(duration_of(samples.end));
        let reached = stop.map_or(end, |stop| end.min(stop));
        assert!(samples.is_empty() || behind.nseconds().abs_diff(reached.nseconds()) < SAMPLE_NS);
        match is_whole {
            true => assert_eq!((samples, at), (0..count, pts)),
            false => parts += 1,
        }
        wholes += usize::from(is_whole);
    }
    assert!(wholes > 1_000 && parts > 1_000, "{wholes}, {parts}");
}
