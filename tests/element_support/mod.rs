//! What the element's tests share: recordings, a harness around the element, what came out of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

use gst::ClockTime;
use gst::prelude::*;

pub const CAPS: &str = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstwhisperstream::plugin_register_static().unwrap();
    });
}

/// A recording of `tests/audio`.
pub fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/audio")
        .join(name)
        .with_extension("wav")
}

/// Its samples.
pub fn samples(name: &str) -> Vec<i16> {
    let mut wav = hound::WavReader::open(recording(name)).unwrap();
    assert_eq!(wav.spec().sample_rate, 16_000);
    wav.samples::<i16>().map(|sample| sample.unwrap()).collect()
}

/// The words that are spoken in it, with their times in seconds.
pub fn spoken(name: &str) -> Vec<(String, f64, f64)> {
    let path = recording(name).with_extension("json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    json["words"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| {
            let text = word["word"].as_str().or(word["text"].as_str()).unwrap();
            let time = |name: &str| word[name].as_f64().unwrap();
            (text.to_string(), time("start"), time("end"))
        })
        .collect()
}

/// Who is not let go by then is held for ever. How soon it is depends on what else the machine does.
pub const LET_GO: Duration = Duration::from_secs(30);

pub fn ms(ms: u64) -> ClockTime {
    ClockTime::from_mseconds(ms)
}

/// `samples` as one buffer, stamped `pts`.
pub fn buffer(samples: &[i16], pts: Option<ClockTime>) -> gst::Buffer {
    let bytes: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let duration = ClockTime::from_nseconds(samples.len() as u64 * 62_500);
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let inside = buffer.get_mut().unwrap();
    inside.set_pts(pts);
    inside.set_duration(pts.map(|_| duration));
    buffer
}

/// What left the element: a buffer or a GAP.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    Text(String, ClockTime, ClockTime),
    Gap(ClockTime, ClockTime),
}

impl Out {
    pub fn start(&self) -> ClockTime {
        match self {
            Out::Text(_, start, _) | Out::Gap(start, _) => *start,
        }
    }

    pub fn end(&self) -> ClockTime {
        match self {
            Out::Text(_, _, end) | Out::Gap(_, end) => *end,
        }
    }
}

/// Everything that reaches a sink pad behind the element, in order.
#[derive(Clone, Default)]
pub struct Record(std::sync::Arc<std::sync::Mutex<Vec<Item>>>);

#[derive(Clone, Debug)]
pub enum Item {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

impl Record {
    /// Watches what passes `pad`.
    pub fn of(pad: &gst::Pad) -> Record {
        let record = Record::default();
        let items = record.0.clone();
        let mask = gst::PadProbeType::BUFFER
            | gst::PadProbeType::EVENT_DOWNSTREAM
            | gst::PadProbeType::EVENT_FLUSH;
        pad.add_probe(mask, move |_, info| {
            let item = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => Item::Buffer(buffer.clone()),
                Some(gst::PadProbeData::Event(event)) => Item::Event(event.clone()),
                _ => return gst::PadProbeReturn::Ok,
            };
            items.lock().unwrap().push(item);
            gst::PadProbeReturn::Ok
        });
        record
    }

    pub fn items(&self) -> Vec<Item> {
        self.0.lock().unwrap().clone()
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub fn buffers(&self) -> Vec<gst::Buffer> {
        let buffer = |item| match item {
            Item::Buffer(buffer) => Some(buffer),
            Item::Event(_) => None,
        };
        self.items().into_iter().filter_map(buffer).collect()
    }

    pub fn events(&self) -> Vec<gst::Event> {
        let event = |item| match item {
            Item::Event(event) => Some(event),
            Item::Buffer(_) => None,
        };
        self.items().into_iter().filter_map(event).collect()
    }

    /// Buffers and GAPs.
    pub fn outs(&self) -> Vec<Out> {
        self.items()
            .into_iter()
            .filter_map(|item| match item {
                Item::Buffer(buffer) => {
                    let start = buffer.pts().expect("a buffer without PTS");
                    let duration = buffer.duration().expect("a buffer without DURATION");
                    Some(Out::Text(text_of(&buffer), start, start + duration))
                }
                Item::Event(event) => match event.view() {
                    gst::EventView::Gap(gap) => {
                        let (start, duration) = gap.get();
                        Some(Out::Gap(start, start + duration.unwrap()))
                    }
                    _ => None,
                },
            })
            .collect()
    }

    /// All text, joined by spaces.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.buffers().iter().map(text_of).collect();
        texts.join(" ")
    }

    /// Names of the events, custom ones by the name of their structure.
    pub fn event_names(&self) -> Vec<String> {
        self.events()
            .iter()
            .map(|event| match event.structure() {
                Some(structure) if event.type_() == gst::EventType::CustomDownstream => {
                    structure.name().to_string()
                }
                _ => event.type_().name().to_string(),
            })
            .collect()
    }

    /// Waits until `done`; panics after `limit`.
    pub fn wait(&self, limit: Duration, done: impl Fn(&Record) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < limit,
                "waited {limit:?}: {:?}",
                self.outs()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub fn text_of(buffer: &gst::Buffer) -> String {
    String::from_utf8(buffer.map_readable().unwrap().to_vec()).unwrap()
}

/// Asserts that buffers and GAPs follow each other without hole or overlap from `start` to `end`.
pub fn assert_covers(outs: &[Out], start: ClockTime, end: ClockTime) {
    let mut at = start;
    for out in outs {
        assert_eq!(out.start(), at, "hole or overlap at {at}: {outs:#?}");
        assert!(out.end() > at, "an empty stretch: {out:?}");
        at = out.end();
    }
    assert_eq!(at, end, "the segment is not covered: {outs:#?}");
}

/// The element with nothing around it: its pads are driven by the test.
pub struct Bench {
    pub element: gst::Element,
    pub src: gst::Pad,
    pub sink: gst::Pad,
    pub record: Record,
    pub bus: gst::Bus,
    /// What upstream answers to a LATENCY query.
    pub upstream: std::sync::Arc<std::sync::Mutex<(bool, ClockTime, Option<ClockTime>)>>,
    /// Ends with FLUSHING or blocks, as the test likes.
    pub flow: std::sync::Arc<std::sync::Mutex<Result<gst::FlowSuccess, gst::FlowError>>>,
}

impl Bench {
    /// Downstream takes `caps`.
    pub fn with_caps(caps: &str) -> Bench {
        init();
        let element = gst::ElementFactory::make("whisperstream").build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let upstream = std::sync::Arc::new(std::sync::Mutex::new((false, ClockTime::ZERO, None)));
        let answer = upstream.clone();
        let src = gst::Pad::builder(gst::PadDirection::Src)
            .name("src")
            .query_function(move |pad, parent, query| {
                if let gst::QueryViewMut::Latency(query) = query.view_mut() {
                    let (live, min, max) = *answer.lock().unwrap();
                    query.set(live, min, max);
                    return true;
                }
                gst::Pad::query_default(pad, parent, query)
            })
            .build();
        let flow = std::sync::Arc::new(std::sync::Mutex::new(Ok(gst::FlowSuccess::Ok)));
        let outcome = flow.clone();
        let caps = caps.parse::<gst::Caps>().unwrap();
        let template = gst::PadTemplate::new(
            "sink",
            gst::PadDirection::Sink,
            gst::PadPresence::Always,
            &caps,
        )
        .unwrap();
        let sink = gst::Pad::builder_from_template(&template)
            .chain_function(move |_, _, _| *outcome.lock().unwrap())
            .event_function(|_, _, _| true)
            .build();
        let record = Record::of(&sink);
        src.link(&element.static_pad("sink").unwrap()).unwrap();
        // Unchecked, so that caps can be refused while playing.
        let ours = element.static_pad("src").unwrap();
        ours.link_full(&sink, gst::PadLinkCheck::empty()).unwrap();
        src.set_active(true).unwrap();
        sink.set_active(true).unwrap();
        Bench {
            element,
            src,
            sink,
            record,
            bus,
            upstream,
            flow,
        }
    }

    pub fn new() -> Bench {
        Bench::with_caps("text/x-raw,format=utf8")
    }

    /// French, live upstream of 20 ms latency.
    pub fn live() -> Bench {
        let bench = Bench::new();
        *bench.upstream.lock().unwrap() = (true, ms(20), None);
        bench.element.set_property("language", "fr");
        bench
    }

    pub fn set(self, name: &str, value: impl Into<glib::Value>) -> Bench {
        self.element.set_property_from_value(name, &value.into());
        self
    }

    pub fn set_str(self, name: &str, value: &str) -> Bench {
        self.element.set_property_from_str(name, value);
        self
    }

    /// PLAYING, with stream-start, caps and a TIME segment from 0.
    pub fn play(self) -> Bench {
        self.element.set_state(gst::State::Playing).unwrap();
        self.begin();
        self
    }

    pub fn begin(&self) {
        self.event(gst::event::StreamStart::new("test"));
        self.event(gst::event::Caps::new(&CAPS.parse().unwrap()));
        self.segment_from(ClockTime::ZERO);
    }

    pub fn segment_from(&self, start: ClockTime) {
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        segment.set_start(start);
        segment.set_time(start);
        self.event(gst::event::Segment::new(&segment));
    }

    pub fn event(&self, event: gst::Event) -> bool {
        self.src.push_event(event)
    }

    pub fn push(
        &self,
        samples: &[i16],
        pts: ClockTime,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.src.push(buffer(samples, Some(pts)))
    }

    /// Pushes `samples` in buffers of 20 ms stamped from `pts` on; returns the time behind them.
    pub fn speak(&self, samples: &[i16], pts: ClockTime) -> ClockTime {
        let mut at = pts;
        for chunk in samples.chunks(320) {
            self.push(chunk, at).unwrap();
            at += ClockTime::from_nseconds(chunk.len() as u64 * 62_500);
        }
        at
    }

    pub fn eos(&self) -> bool {
        self.event(gst::event::Eos::new())
    }

    pub fn messages(&self) -> Vec<gst::Message> {
        std::iter::from_fn(|| self.bus.pop()).collect()
    }

    /// Structures of the element messages called `name`, of those that came since the last look.
    pub fn element_messages(&self, name: &str) -> Vec<gst::Structure> {
        self.messages()
            .iter()
            .filter(|message| message.type_() == gst::MessageType::Element)
            .filter_map(|message| message.structure())
            .filter(|structure| structure.name() == name)
            .map(|structure| structure.to_owned())
            .collect()
    }

    /// The next message of this type, waited for.
    pub fn wait_for(&self, kind: gst::MessageType) -> gst::Message {
        self.bus
            .timed_pop_filtered(ClockTime::from_seconds(60), &[kind])
            .unwrap_or_else(|| panic!("no {kind:?} message came"))
    }

    pub fn stop(&self) {
        self.element.set_state(gst::State::Null).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.element.set_state(gst::State::Null);
        // Messages hold their element, and the element its bus.
        self.element.set_bus(None);
        self.bus.set_flushing(true);
    }
}

/// Text of an ERROR or WARNING.
pub fn sentence(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => {
            format!("{} {}", error.error(), error.debug().unwrap_or_default())
        }
        gst::MessageView::Warning(warning) => {
            format!(
                "{} {}",
                warning.error(),
                warning.debug().unwrap_or_default()
            )
        }
        _ => String::new(),
    }
}

/// Words of `text` in lower case.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .filter(|word| !word.is_empty())
        .map(Into::into)
        .collect()
}

/// Word errors: insertions, deletions and substitutions.
pub fn errors(said: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, a) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in heard.iter().enumerate() {
            let cost = (diagonal + usize::from(a != b))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[heard.len()]
}
