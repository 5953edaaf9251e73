//! The element between two pads of the test's: what it asks of upstream, what it lets through, what it posts.

use std::sync::{Arc, Mutex, Once};

use gst::ClockTime;
use gst::prelude::*;
use gstwhisperstream::element::META_NAME;

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstwhisperstream::plugin_register_static().unwrap();
    });
}

/// What came out of the src pad.
#[derive(Clone, Debug)]
pub enum Item {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

pub struct Rig {
    pub element: gst::Element,
    pub src: gst::Pad,
    sink: gst::Pad,
    bus: gst::Bus,
    items: Arc<Mutex<Vec<Item>>>,
    asked: Arc<Mutex<Vec<gst::Event>>>,
    /// Audio heard so far, ms.
    pub now: Mutex<u64>,
}

pub fn ms(ms: u64) -> ClockTime {
    ClockTime::from_mseconds(ms)
}

impl Rig {
    pub fn new() -> Rig {
        init();
        let element = gst::ElementFactory::make("answerdetect").build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let asked: Arc<Mutex<Vec<gst::Event>>> = Arc::default();
        let upstream = asked.clone();
        let src = gst::Pad::builder(gst::PadDirection::Src)
            .event_function(move |_, _, event| {
                upstream.lock().unwrap().push(event);
                true
            })
            .query_function(|pad, parent, query| {
                if let gst::QueryViewMut::Latency(query) = query.view_mut() {
                    query.set(true, ms(120), None);
                    return true;
                }
                gst::Pad::query_default(pad, parent, query)
            })
            .build();
        let items: Arc<Mutex<Vec<Item>>> = Arc::default();
        let (buffers, events) = (items.clone(), items.clone());
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                buffers.lock().unwrap().push(Item::Buffer(buffer));
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(move |_, _, event| {
                events.lock().unwrap().push(Item::Event(event));
                true
            })
            .build();
        src.link(&element.static_pad("sink").unwrap()).unwrap();
        element.static_pad("src").unwrap().link(&sink).unwrap();
        src.set_active(true).unwrap();
        sink.set_active(true).unwrap();
        Rig {
            element,
            src,
            sink,
            bus,
            items,
            asked,
            now: Mutex::new(0),
        }
    }

    /// PLAYING, with stream-start, caps, a segment from `start` and French in the tags.
    pub fn play_from(self, start: ClockTime) -> Rig {
        self.element.set_state(gst::State::Playing).unwrap();
        self.stream("call", start);
        self
    }

    pub fn play(self) -> Rig {
        self.play_from(ClockTime::ZERO)
    }

    pub fn stream(&self, name: &str, start: ClockTime) {
        self.event(gst::event::StreamStart::new(name));
        let caps = gst::Caps::builder("text/x-raw").field("format", "utf8");
        self.event(gst::event::Caps::new(&caps.build()));
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        segment.set_start(start);
        segment.set_time(start);
        self.event(gst::event::Segment::new(&segment));
        let mut tags = gst::TagList::new();
        let merge = gst::TagMergeMode::Replace;
        tags.get_mut()
            .unwrap()
            .add::<gst::tags::LanguageCode>(&"fr", merge);
        self.event(gst::event::Tag::new(tags));
    }

    pub fn event(&self, event: gst::Event) -> bool {
        self.src.push_event(event)
    }

    pub fn custom(&self, structure: gst::structure::Builder) -> bool {
        self.event(gst::event::CustomDownstream::new(structure.build()))
    }

    /// The clock goes on to `until` (ms of running time), in stretches of 100 ms.
    pub fn hear(&self, until: u64, speaking: bool) {
        let mut now = self.now.lock().unwrap();
        while *now < until {
            let heard = gst::Structure::builder("whisperstream/heard")
                .field("timestamp", ms(*now).nseconds())
                .field("stream-time", ms(*now).nseconds())
                .field("running-time", ms(*now).nseconds())
                .field("duration", ms(100).nseconds())
                .field("speaking", speaking)
                .field("speech", if speaking { ms(100).nseconds() } else { 0 });
            self.event(gst::event::CustomDownstreamOob::new(heard.build()));
            *now += 100;
        }
    }

    pub fn speech_start(&self, at: u64) -> bool {
        let start = gst::Structure::builder("whisperstream/speech-start");
        self.custom(start.field("running-time", ms(at).nseconds()))
    }

    pub fn speech_end(&self, start: u64, end: u64) -> bool {
        let structure = gst::Structure::builder("whisperstream/speech-end");
        self.custom(
            structure
                .field("running-time", ms(start).nseconds())
                .field("duration", ms(end - start).nseconds()),
        )
    }

    pub fn tone(&self, kind: &str, start: u64, end: u64, ended: bool) -> bool {
        let structure = gst::Structure::builder("beepdetect/tone");
        self.custom(
            structure
                .field("kind", kind)
                .field("frequency", 1000.0)
                .field("level", -20.0)
                .field("running-time", ms(start).nseconds())
                .field("duration", ms(end - start).nseconds())
                .field("final", ended),
        )
    }

    /// A buffer of words from `start` to `end`, ms on the buffers' timeline.
    pub fn words(&self, text: &str, start: u64, end: u64) {
        self.src.push(words(text, start, end)).unwrap();
    }

    /// Answers the last flush that was asked for.
    pub fn flushed(&self) {
        let marker = self.flushes().pop().expect("no flush was asked for");
        let flushed = gst::Structure::builder("whisperstream/flushed");
        self.custom(flushed.field("marker", marker));
    }

    /// Markers of the flushes asked for.
    pub fn flushes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let marker = |event: &gst::Event| {
            let structure = event.structure()?;
            (structure.name() == "whisperstream/flush").then(|| structure.get("marker").unwrap())
        };
        asked.iter().filter_map(marker).collect()
    }

    pub fn items(&self) -> Vec<Item> {
        self.items.lock().unwrap().clone()
    }

    /// What came out, in words: buffers as their text, events by their name.
    pub fn came_out(&self) -> Vec<String> {
        let name = |item: &Item| match item {
            Item::Buffer(buffer) => {
                String::from_utf8(buffer.map_readable().unwrap().to_vec()).unwrap()
            }
            Item::Event(event) => match event.structure() {
                Some(structure) if event.type_() == gst::EventType::CustomDownstream => {
                    structure.name().to_string()
                }
                _ => event.type_().name().to_string(),
            },
        };
        let items = self.items();
        let names = items.iter().map(name);
        names
            .filter(|name| name != "custom-downstream-oob")
            .collect()
    }

    /// Structures of the events called `name` that came out.
    pub fn events(&self, name: &str) -> Vec<gst::Structure> {
        let structure = |item| match item {
            Item::Event(event) => event.structure().map(ToOwned::to_owned),
            Item::Buffer(_) => None,
        };
        let all = self.items().into_iter().filter_map(structure);
        all.filter(|structure| structure.name() == name).collect()
    }

    /// Structures of the messages called `name` since the last look at any.
    pub fn messages(&self, name: &str) -> Vec<gst::Structure> {
        let messages = std::iter::from_fn(|| self.bus.pop());
        let structures = messages.filter_map(|m| m.structure().map(ToOwned::to_owned));
        structures.filter(|s| s.name() == name).collect()
    }

    pub fn all_messages(&self) -> Vec<gst::Message> {
        std::iter::from_fn(|| self.bus.pop()).collect()
    }

    pub fn verdict(&self) -> gst::Structure {
        let mut verdicts = self.messages("answerdetect/verdict");
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        verdicts.remove(0)
    }

    /// The sentence with which it refuses to start.
    pub fn refusal(&self) -> String {
        assert!(self.element.set_state(gst::State::Paused).is_err());
        let error = self.bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        match error.view() {
            gst::MessageView::Error(error) => error.error().to_string(),
            _ => unreachable!(),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.element.set_state(gst::State::Null);
        let _ = self.sink.set_active(false);
        self.element.set_bus(None);
    }
}

/// A buffer as whisperstream makes it, its words spread evenly.
pub fn words(text: &str, start: u64, end: u64) -> gst::Buffer {
    let mut buffer = plain(text, start, end);
    let texts: Vec<&str> = text.split_whitespace().collect();
    let at = |n: usize| ms(start + (end - start) * n as u64 / texts.len() as u64).nseconds();
    let word = |(n, text): (usize, &&str)| {
        gst::Structure::builder("word")
            .field("text", *text)
            .field("start", at(n))
            .field("end", at(n + 1))
            .field("confidence", 0.9)
            .build()
            .to_send_value()
    };
    let array = gst::Array::new(texts.iter().enumerate().map(word));
    let inside = buffer.get_mut().unwrap();
    let mut meta = gst::meta::CustomMeta::add(inside, META_NAME).unwrap();
    meta.mut_structure().set("words", array);
    buffer
}

/// A buffer of text without words.
pub fn plain(text: &str, start: u64, end: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(text.to_string().into_bytes());
    let inside = buffer.get_mut().unwrap();
    inside.set_pts(ms(start));
    inside.set_duration(ms(end - start));
    buffer
}
