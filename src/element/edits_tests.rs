//! Words that the demo model does not know, put in where the engine's come in.

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{Arc, Mutex};

use super::imp::lock;
use super::{Fillers, Redact, WhisperStream};
use crate::engine::Event;
use crate::policy::{PartialWord, Release, Word};

/// Silence that is decided before anything is said, in samples.
const SILENCE: u64 = 8_000;

/// What left the element, in order: text, and names of custom events.
type Left = Arc<Mutex<Vec<String>>>;

struct Rig {
    element: WhisperStream,
    bus: gst::Bus,
    /// Linked pads do not keep each other.
    _sink: gst::Pad,
    left: Left,
    said: u64,
}

impl Rig {
    fn new(fillers: Fillers, redact: Redact, caps: &str) -> Rig {
        gst::init().unwrap();
        super::meta::register();
        let element: WhisperStream = glib::Object::builder()
            .property("language", "fr")
            .property("fillers", fillers)
            .property("redact", redact)
            .property("interim", true)
            .build();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let left = Left::default();
        let (texts, events) = (left.clone(), left.clone());
        let template = gst::PadTemplate::new(
            "sink",
            gst::PadDirection::Sink,
            gst::PadPresence::Always,
            &caps.parse().unwrap(),
        )
        .unwrap();
        let sink = gst::Pad::builder_from_template(&template)
            .chain_function(move |_, _, buffer| {
                let text = buffer.map_readable().unwrap().to_vec();
                lock(&texts).push(String::from_utf8(text).unwrap());
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(move |_, _, event| {
                if event.type_() == gst::EventType::CustomDownstream {
                    lock(&events).push(event.structure().unwrap().name().to_string());
                }
                true
            })
            .build();
        element.static_pad("src").unwrap().link(&sink).unwrap();
        sink.set_active(true).unwrap();
        element.set_state(gst::State::Playing).unwrap();
        let pad = element.static_pad("sink").unwrap();
        pad.send_event(gst::event::StreamStart::new("test"));
        let audio = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";
        pad.send_event(gst::event::Caps::new(&audio.parse().unwrap()));
        let segment = gst::FormattedSegment::<ClockTime>::new();
        pad.send_event(gst::event::Segment::new(&segment));
        let mut buffer = gst::Buffer::with_size(2 * SILENCE as usize).unwrap();
        buffer.get_mut().unwrap().set_pts(ClockTime::ZERO);
        pad.chain(buffer).unwrap();
        Rig {
            element,
            bus,
            _sink: sink,
            left,
            said: SILENCE,
        }
    }

    fn hear(&self, event: Event) {
        let number = lock(&self.element.imp().held).number;
        self.element.imp().hear(number, event);
    }

    /// A release of words, one every 0.3 s.
    fn says(&mut self, text: &str, utterance: u64, is_final: bool) {
        let words: Vec<Word> = text
            .split_whitespace()
            .map(|text| {
                self.said += 4_800;
                Word {
                    text: format!(" {text}"),
                    tokens: vec![7],
                    start: self.said,
                    end: self.said + 4_000,
                    confidence: 1.0,
                }
            })
            .collect();
        let release = Release {
            text: words.iter().map(|word| word.text.as_str()).collect(),
            start: words[0].start,
            end: words[words.len() - 1].end,
            words,
        };
        self.hear(Event::Words {
            heard: release.end,
            release,
            utterance,
            is_final,
        });
    }

    fn left(&self) -> Vec<String> {
        let ours = |name: &&String| !name.starts_with("rstranscribe/");
        lock(&self.left).iter().filter(ours).cloned().collect()
    }

    /// Texts of the messages of a name.
    fn told(&self, name: &str) -> Vec<gst::Structure> {
        std::iter::from_fn(|| self.bus.pop())
            .filter_map(|message| message.structure().map(ToOwned::to_owned))
            .filter(|structure| structure.name() == name)
            .collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.element.set_state(gst::State::Null);
        self.element.set_bus(None);
    }
}

const TEXT: &str = "text/x-raw,format=utf8";

#[test]
fn fillers_leave_neither_text_nor_word() {
    let mut rig = Rig::new(Fillers::Remove, Redact::None, "application/x-json");
    rig.says("Euh, bonjour, heu je", 0, false);
    rig.says("hum.", 0, true);
    let left = rig.left();
    assert_eq!(left.len(), 1, "{left:?}");
    let line: serde_json::Value = serde_json::from_str(&left[0]).unwrap();
    assert_eq!(line["text"], "bonjour, je");
    assert_eq!(line["words"].as_array().unwrap().len(), 2);
    // Where it was said.
    assert_eq!(
        line["words"][0]["start"],
        (8_000.0 + 2.0 * 4_800.0) / 16_000.0
    );
    let last = rig.told("whisperstream/final");
    assert_eq!(last[0].get::<String>("text").unwrap(), "bonjour, je");
}

#[test]
fn fillers_stay_unless_they_are_to_go() {
    let mut rig = Rig::new(Fillers::Keep, Redact::None, TEXT);
    rig.says("Euh, bonjour", 0, true);
    assert_eq!(rig.left(), ["Euh, bonjour"]);
}

#[test]
fn a_run_over_several_releases_is_masked_from_its_first_digit() {
    let mut rig = Rig::new(Fillers::Keep, Redact::Digits, TEXT);
    rig.says("le zéro six", 0, false);
    assert_eq!(rig.left(), ["le"], "two digits wait");
    rig.says("douze merci", 0, true);
    assert_eq!(rig.left(), ["le", "whisperstream/redact", "# # # merci"]);
    let messages: Vec<gst::Structure> = std::iter::from_fn(|| rig.bus.pop())
        .filter_map(|message| message.structure().map(ToOwned::to_owned))
        .collect();
    let names: Vec<&str> = messages.iter().map(|told| told.name().as_str()).collect();
    let expected =
        ["words", "redact", "words", "final"].map(|name| format!("whisperstream/{name}"));
    let ours: Vec<&str> = names
        .into_iter()
        .filter(|name| expected.iter().any(|e| e == name))
        .collect();
    assert_eq!(ours, expected);
    let span = messages
        .iter()
        .find(|told| told.name() == "whisperstream/redact")
        .unwrap();
    // From the second word to the end of the fourth, with 0.2 s on either side.
    let sample = 62_500;
    let start = (SILENCE + 2 * 4_800) * sample - 200_000_000;
    let end = (SILENCE + 4 * 4_800 + 4_000) * sample + 200_000_000;
    assert_eq!(span.get::<u64>("stream-time"), Ok(start));
    assert_eq!(span.get::<u64>("duration"), Ok(end - start));
    assert_eq!(span.get::<u64>("utterance"), Ok(0));
    let is_final = |told: &&gst::Structure| told.name() == "whisperstream/final";
    let last = messages.iter().find(is_final).unwrap();
    assert_eq!(last.get::<String>("text").unwrap(), "le # # # merci");
}

#[test]
fn what_is_held_leaves_with_its_utterance() {
    let mut rig = Rig::new(Fillers::Keep, Redact::Digits, TEXT);
    rig.says("j'en veux deux", 0, false);
    rig.hear(Event::UtteranceEnd {
        utterance: 0,
        heard: 0,
    });
    assert_eq!(rig.left(), ["j'en veux", "deux"]);
    let words = rig.told("whisperstream/words");
    assert_eq!(words.len(), 2);
    assert_eq!(words[1].get::<String>("text").unwrap(), "deux");
    // A pair may be the first of many.
    rig.says("zéro six", 1, true);
    rig.says("douze", 2, true);
    let left = rig.left();
    assert_eq!(
        left[2..],
        ["whisperstream/redact", "# #", "whisperstream/redact", "#"]
    );
}

#[test]
fn what_is_held_does_not_hold_up_more_than_latency() {
    let mut rig = Rig::new(Fillers::Keep, Redact::Digits, TEXT);
    rig.says("il est six", 0, false);
    assert_eq!(rig.left(), ["il est"]);
    let heard = rig.said + 4 * 16_000;
    rig.hear(Event::Progress {
        quiet_until: heard,
        heard,
    });
    assert_eq!(rig.left(), ["il est", "six"]);
    assert_eq!(rig.told("whisperstream/words").len(), 2);
}

#[test]
fn partials_show_no_digits_either() {
    let mut rig = Rig::new(Fillers::Remove, Redact::Digits, TEXT);
    let word = Word {
        text: " douze".into(),
        tokens: vec![7],
        start: 16_000,
        end: 18_000,
        confidence: 1.0,
    };
    rig.said = 0;
    rig.hear(Event::Partial {
        utterance: 0,
        committed: " euh le zéro six".into(),
        words: vec![PartialWord { word, stability: 1 }],
        heard: 20_000,
    });
    let partial = &rig.told("whisperstream/partial")[0];
    let text = |field| partial.get::<String>(field).unwrap();
    assert_eq!(
        (text("text"), text("committed"), text("tail")),
        ("le # # #".into(), "le # #".into(), "#".into())
    );
    let words = partial.get::<gst::Array>("words").unwrap();
    let word = words[0].get::<gst::Structure>().unwrap();
    assert_eq!(word.get::<String>("text").unwrap(), "#");
}
