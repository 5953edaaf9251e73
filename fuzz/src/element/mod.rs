//! The element's input: buffers of any size, with any times and flags, events in any order. What leaves it is judged: all of it
//! has a time, inside its segment, and never goes back.

mod judge;

use std::cell::RefCell;

use gst::ClockTime;
use gst::prelude::*;

use crate::bytes::Bytes;
use crate::targets::quick;
use judge::Judge;

/// Audio of one input at most: what is longer only takes longer.
const MOST_AUDIO: usize = 3 * 32_000;
const CAPS: &str = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";

thread_local! {
    /// Holds the model, so that no element loads it anew.
    static KEPT: RefCell<Option<gst::Element>> = const { RefCell::new(None) };
}

fn element() -> gst::Element {
    let element = gst::ElementFactory::make("whisperstream").build();
    let element = element.expect("the element is registered");
    for setting in quick() {
        setting.apply(&element).expect("it has such a property");
    }
    element
}

/// A stream of anything.
pub fn parse(bytes: &[u8]) -> String {
    KEPT.with_borrow_mut(|kept| {
        kept.get_or_insert_with(|| {
            doors::init().expect("GStreamer starts");
            let element = element();
            _ = element.set_state(gst::State::Paused);
            element
        });
    });
    let mut from = Bytes::new(bytes);
    let mut stream = Stream::open(&mut from);
    if from.bool() {
        stream.usual_start();
    }
    for _ in 0..64 {
        if from.is_empty() {
            break;
        }
        stream.step(&mut from);
    }
    stream.close(from.bool())
}

struct Stream {
    element: gst::Element,
    src: gst::Pad,
    sink: gst::Pad,
    judge: Judge,
    /// Where audio without a hole would go on.
    next: ClockTime,
    pushed: usize,
    said: Vec<String>,
}

impl Stream {
    fn open(from: &mut Bytes) -> Stream {
        let element = element();
        let judge = Judge::default();
        let latency = (from.bool(), from.u8());
        let src = gst::Pad::builder(gst::PadDirection::Src)
            .query_function(move |pad, parent, query| {
                if let gst::QueryViewMut::Latency(query) = query.view_mut() {
                    let min = ClockTime::from_mseconds(u64::from(latency.1));
                    query.set(latency.0, min, None::<ClockTime>);
                    return true;
                }
                gst::Pad::query_default(pad, parent, query)
            })
            .build();
        let sink = judge.pad(from.bool());
        let into = element.static_pad("sink").expect("it has a sink pad");
        let out = element.static_pad("src").expect("it has a src pad");
        src.link(&into).expect("pads fit");
        out.link(&sink).expect("pads fit");
        for pad in [&src, &sink] {
            pad.set_active(true).expect("a pad starts");
        }
        let unit = from.one_of(&["word", "chunk", "utterance"]);
        element.set_property_from_str("unit", unit);
        element.set_property_from_str("policy", from.one_of(&["alignatt", "local-agreement"]));
        element.set_property_from_str("vad", from.one_of(&["none", "auto"]));
        element.set_property("interim", from.bool());
        // Most have few passes: those are what takes time.
        element.set_property(
            "min-chunk-size",
            from.one_of(&[500u32, 3_000, 3_000, 3_000]),
        );
        _ = element.set_state(from.one_of(&[gst::State::Playing, gst::State::Paused]));
        Stream {
            element,
            src,
            sink,
            judge,
            next: ClockTime::ZERO,
            pushed: 0,
            said: Vec::new(),
        }
    }

    /// What a well-behaved source begins with.
    fn usual_start(&mut self) {
        self.src.push_event(gst::event::StreamStart::new("fuzz"));
        self.src.push_event(caps(CAPS));
        let segment = gst::FormattedSegment::<ClockTime>::new();
        self.src.push_event(gst::event::Segment::new(&segment));
    }

    fn step(&mut self, from: &mut Bytes) {
        let is_taken = match from.u8() % 24 {
            0..8 => self.buffer(from),
            8 | 9 => self.gap(from),
            10 | 11 => self.segment(from),
            12 => self.src.push_event(gst::event::StreamStart::new("again")),
            13 => self.src.push_event(caps(from.one_of(&[
                CAPS,
                "audio/x-raw,format=S16LE,rate=8000,channels=2,layout=interleaved",
                "text/x-raw,format=utf8",
            ]))),
            14 => self.src.push_event(gst::event::Eos::new()),
            15 => {
                self.judge.flush_starts();
                self.src.push_event(gst::event::FlushStart::new())
            }
            16 => self.src.push_event(gst::event::FlushStop::new(from.bool())),
            17 => {
                self.judge.flush_starts();
                self.src.push_event(gst::event::FlushStart::new())
                    & self.src.push_event(gst::event::FlushStop::new(from.bool()))
            }
            18 => self.custom(from),
            19 => self.upstream(from),
            20 => self.query(from),
            21 => self.property(from),
            22 => {
                let state = from.one_of(&[gst::State::Playing, gst::State::Paused]);
                self.element.set_state(state).is_ok()
            }
            _ => {
                let tags = gst::TagList::new();
                self.src.push_event(gst::event::Tag::new(tags))
            }
        };
        self.said.push(if is_taken { "+" } else { "-" }.into());
    }

    fn buffer(&mut self, from: &mut Bytes) -> bool {
        let size = match from.u8() % 8 {
            0 => 0,
            1 => usize::from(from.u8()),
            2 => 32_000,
            _ => usize::from(from.u16() % 9_600),
        };
        let size = size.min(MOST_AUDIO.saturating_sub(self.pushed));
        self.pushed += size;
        let samples = from.samples(size);
        let mut buffer = match from.u8() % 4 {
            // In two blocks, or in none.
            0 if samples.is_empty() => gst::Buffer::new(),
            0 => {
                let (head, tail) = samples.split_at(samples.len() / 2);
                let mut buffer = gst::Buffer::from_slice(head.to_vec());
                buffer.append(gst::Buffer::from_slice(tail.to_vec()));
                buffer
            }
            _ => gst::Buffer::from_slice(samples),
        };
        let length = ClockTime::from_nseconds(size as u64 / 2 * 62_500);
        let inside = buffer.make_mut();
        let pts = match from.u8() % 8 {
            0 => None,
            1 => time(from),
            // A hole, or a step back.
            2 => Some(
                self.next
                    .saturating_add(ClockTime::from_mseconds(from.u16().into())),
            ),
            3 => Some(
                self.next
                    .saturating_sub(ClockTime::from_mseconds(from.u16().into())),
            ),
            4 => Some(self.next + ClockTime::from_useconds(from.u16().into())),
            _ => Some(self.next),
        };
        inside.set_pts(pts);
        inside.set_duration(match from.u8() % 4 {
            0 => None,
            1 => time(from),
            _ => Some(length),
        });
        if from.u8().is_multiple_of(4) {
            inside.set_dts(time(from));
            inside.set_offset(from.number());
            inside.set_offset_end(from.number());
        }
        if from.u8().is_multiple_of(2) {
            let all = gst::BufferFlags::all().bits();
            let some = from.one_of(&[gst::BufferFlags::DISCONT, gst::BufferFlags::GAP]);
            let any = gst::BufferFlags::from_bits_truncate(u32::from(from.u16()) << 4 & all);
            inside.set_flags(if from.bool() { some } else { any });
        }
        // Far ahead it would stay there for good.
        if let Some(pts) = pts.filter(|pts| *pts < ClockTime::from_seconds(100_000)) {
            self.next = pts;
        }
        self.next += length;
        self.src.push(buffer).is_ok()
    }

    fn gap(&mut self, from: &mut Bytes) -> bool {
        let start = match from.bool() {
            true => self.next,
            false => time(from).unwrap_or(self.next),
        };
        let length = match from.u8() % 4 {
            0 => None,
            1 => time(from),
            _ => Some(ClockTime::from_mseconds(from.u16().into())),
        };
        let gap = gst::event::Gap::builder(start);
        let gap = match length {
            Some(length) => gap.duration(length),
            None => gap,
        };
        self.src.push_event(gap.build())
    }

    fn segment(&mut self, from: &mut Bytes) -> bool {
        let formats = [
            gst::Format::Time,
            gst::Format::Time,
            gst::Format::Time,
            gst::Format::Bytes,
            gst::Format::Default,
        ];
        let format = from.one_of(&formats);
        let mut segment = gst::Segment::new();
        segment.reset_with_format(format);
        let value = |number: u64| gst::GenericFormattedValue::new(format, number.cast_signed());
        let (start, length) = match from.bool() {
            true => (self.next.nseconds(), u64::from(from.u16()) * 1_000_000),
            false => (from.number().min(u64::MAX - 1), from.number()),
        };
        segment.set_start(value(start));
        if from.bool() {
            segment.set_stop(value(start.saturating_add(length).min(u64::MAX - 1)));
        }
        if from.bool() {
            segment.set_time(value(from.number()));
            segment.set_base(value(from.number()));
            segment.set_offset(value(from.number()));
            segment.set_position(value(from.number()));
        }
        segment.set_rate(from.one_of(&[1.0, 1.0, 1.0, 2.0, 0.5, -1.0]));
        self.src.push_event(gst::event::Segment::new(&segment))
    }

    fn custom(&self, from: &mut Bytes) -> bool {
        let name = from.one_of(&["whisperstream/flush", "GstForceKeyUnit", "anything"]);
        let marker = String::from_utf8_lossy(&[b'm', from.u8().max(1)]).into_owned();
        let structure = gst::Structure::builder(name);
        let structure = match from.u8() % 3 {
            0 => structure.field("marker", marker).build(),
            1 => structure.field("marker", from.number()).build(),
            _ => structure.build(),
        };
        match from.u8() % 4 {
            0 => self
                .src
                .push_event(gst::event::CustomDownstreamOob::new(structure)),
            1 => self
                .sink
                .push_event(gst::event::CustomUpstream::new(structure)),
            2 => self
                .src
                .push_event(gst::event::CustomBothOob::new(structure)),
            _ => self
                .src
                .push_event(gst::event::CustomDownstream::new(structure)),
        }
    }

    fn upstream(&self, from: &mut Bytes) -> bool {
        let event = match from.u8() % 4 {
            0 => gst::event::Reconfigure::new(),
            1 => gst::event::Qos::new(
                gst::QOSType::Underflow,
                2.0,
                i64::from(from.u16()),
                time(from),
            ),
            2 => gst::event::Latency::new(ClockTime::from_mseconds(from.u16().into())),
            _ => {
                let flags = gst::SeekFlags::FLUSH;
                let none = ClockTime::NONE;
                let set = gst::SeekType::Set;
                let start = ClockTime::from_mseconds(from.u16().into());
                gst::event::Seek::new(1.0, flags, set, Some(start), gst::SeekType::None, none)
            }
        };
        self.sink.push_event(event)
    }

    fn query(&self, from: &mut Bytes) -> bool {
        let pad = self.element.static_pad(from.one_of(&["sink", "src"]));
        let pad = pad.expect("it has both pads");
        match from.u8() % 6 {
            0 => pad.query(&mut gst::query::Latency::new()),
            1 => pad.query(&mut gst::query::Position::new(gst::Format::Time)),
            2 => pad.query(&mut gst::query::Duration::new(gst::Format::Bytes)),
            3 => self.src.peer_query(&mut gst::query::Drain::new()),
            4 => pad.query(&mut gst::query::Segment::new(gst::Format::Time)),
            _ => pad.query_caps(None).is_any(),
        }
    }

    /// Those that may change while it plays.
    fn property(&self, from: &mut Bytes) -> bool {
        match from.u8() % 6 {
            0 => self.element.set_property("latency", u32::from(from.u16())),
            1 => self.element.set_property("lateness", u32::from(from.u16())),
            2 => {
                let language = from.one_of(&["auto", "fr", "en", "xx", ""]);
                self.element.set_property("language", language);
            }
            3 => self.element.set_property("interim", from.bool()),
            4 => self
                .element
                .emit_by_name::<()>("flush-speech", &[&"marker"]),
            _ => drop(self.element.property::<gst::Structure>("stats")),
        }
        true
    }

    /// Ends it, in order or in the middle.
    fn close(mut self, in_order: bool) -> String {
        if in_order {
            self.src.push_event(gst::event::Eos::new());
        }
        _ = self.src.set_active(false);
        _ = self.element.set_state(gst::State::Null);
        _ = self.sink.set_active(false);
        let judged = self.judge.verdict();
        assert!(judged.faults.is_empty(), "{:?}", judged.faults);
        self.said.dedup();
        format!("{} {}", self.said.concat().len(), judged.told)
    }
}

fn time(from: &mut Bytes) -> Option<ClockTime> {
    ClockTime::try_from(from.number()).ok()
}

fn caps(text: &str) -> gst::Event {
    gst::event::Caps::new(&text.parse::<gst::Caps>().expect("they are caps"))
}
