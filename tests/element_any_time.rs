//! Whatever mixture of gaps, discontinuities, jumps and new segments comes in, what goes out covers each segment from its start,
//! without a hole, never goes back and never passes the segment's stop.

mod element_support;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

/// The same numbers for the same stream.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn segment(random: &mut Random, start: ClockTime) -> gst::Event {
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(start);
    segment.set_time(start);
    if random.below(2) == 0 {
        segment.set_stop(start + ms(500 + random.below(4_000)));
    }
    gst::event::Segment::new(&segment)
}

/// A stream of a few seconds.
fn drive(bench: &Bench, number: u64) {
    let mut random = Random(number);
    let audio = samples("fr-court");
    let mut next = ClockTime::ZERO;
    for _ in 0..10 {
        match random.below(8) {
            0 => {
                next = ms(random.below(100_000));
                bench.event(segment(&mut random, next));
            }
            1 => {
                let gap = gst::event::Gap::builder(next + ms(random.below(200)));
                let length = ms(random.below(3_000));
                bench.event(gap.duration(length).build());
                // It may have been announced too long, or not long enough.
                next += ms(random.below(3_000));
            }
            // A jump, or a step back.
            2 => next += ms(random.below(90_000)),
            3 => next = next.saturating_sub(ms(random.below(1_500))),
            _ => {}
        }
        let from = random.below(4) as usize * audio.len() / 8;
        let size = 100 + random.below(4_000) as usize;
        let is_stamped = random.below(6) > 0;
        for piece in audio[from..].chunks(size) {
            let jitter = ms(random.below(45));
            let mut buffer = buffer(piece, is_stamped.then_some(next + jitter));
            if random.below(8) == 0 {
                let flags = gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC;
                buffer.make_mut().set_flags(flags);
            }
            bench.src.push(buffer).unwrap();
            next += ClockTime::from_nseconds(piece.len() as u64 * 62_500);
            // A packet is lost.
            if random.below(10) == 0 {
                next += ms(20);
            }
        }
    }
    bench.eos();
}

/// How many texts there are; panics where one of them, or a GAP, may not be.
fn judge(record: &Record) -> usize {
    let mut covered = None;
    let mut stop = None;
    let mut texts = 0;
    for item in record.items() {
        let (what, start, length) = match &item {
            Item::Buffer(buffer) => {
                texts += 1;
                (text_of(buffer), buffer.pts().unwrap(), buffer.duration())
            }
            Item::Event(event) => match event.view() {
                gst::EventView::Segment(segment) => {
                    let segment = segment.segment().downcast_ref::<ClockTime>().unwrap();
                    (covered, stop) = (segment.start(), segment.stop());
                    continue;
                }
                gst::EventView::Gap(gap) => {
                    let (start, length) = gap.get();
                    ("GAP".into(), start, length)
                }
                _ => continue,
            },
        };
        assert_eq!(Some(start), covered, "a hole or an overlap before {what:?}");
        let end = start + length.expect("it has a length");
        assert!(
            stop.is_none_or(|stop| end <= stop),
            "{what:?} ends at {end}, behind {stop:?}"
        );
        covered = Some(end);
    }
    texts
}

#[test]
fn any_mixture_comes_out_in_order_and_inside_the_segment() {
    let mut texts = 0;
    for number in 0..12 {
        let unit = ["word", "chunk", "utterance"][number as usize % 3];
        let bench = Bench::new()
            .set("language", "fr")
            .set_str("unit", unit)
            .play();
        drive(&bench, number);
        texts += judge(&bench.record);
    }
    assert!(texts > 12, "only {texts} texts came: nothing was tried");
}

#[test]
fn what_lies_behind_the_segments_stop_is_not_told_of() {
    let bench = Bench::new().set("language", "fr").play();
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_stop(ms(2_000));
    bench.event(gst::event::Segment::new(&segment));
    // A GAP behind the stop, and audio that only its count leads there.
    let gap = gst::event::Gap::builder(ms(60_000)).duration(ms(20));
    assert!(bench.event(gap.build()));
    for piece in samples("fr-court").repeat(3).chunks(1_600) {
        bench.src.push(buffer(piece, None)).unwrap();
    }
    bench.eos();
    assert!(judge(&bench.record) > 0);
    assert_eq!(bench.record.outs().last().map(Out::end), Some(ms(2_000)));
}
