//! A call once more, with the words as written in the place of those recognised: the same clock, speech and tones, words
//! half a second after they were said, with the end of their speech or with a flush.

use std::sync::{Arc, Mutex};

use gst::ClockTime;
use gst::prelude::*;
use gstwhisperstream::element::META_NAME;

use super::Options;
use super::play::{self, Played};

/// In seconds of the call.
pub struct Word {
    pub text: String,
    pub start: f64,
    pub end: f64,
}

/// A word is recognised so many seconds after it was said.
const LAG: f64 = 0.5;

pub fn replay(played: &Played, words: &[Word], language: &str, options: &Options) -> Played {
    let element = play::detector(options, Some(language));
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let asked: Arc<Mutex<Option<String>>> = Arc::default();
    let ask = asked.clone();
    let src = gst::Pad::builder(gst::PadDirection::Src)
        .event_function(move |_, _, event| {
            let marker = event.structure().and_then(|s| s.get("marker").ok());
            *ask.lock().expect("a marker") = marker;
            true
        })
        .build();
    let sink = gst::Pad::builder(gst::PadDirection::Sink)
        .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
        .event_function(|_, _, _| true)
        .build();
    let pad = |name| element.static_pad(name).expect("a pad");
    src.link(&pad("sink")).expect("a link");
    pad("src").link(&sink).expect("a link");
    for pad in [&src, &sink] {
        pad.set_active(true).expect("active");
    }
    element.set_state(gst::State::Playing).expect("PLAYING");
    src.push_event(gst::event::StreamStart::new("written"));
    let caps = gst::Caps::builder("text/x-raw").field("format", "utf8");
    src.push_event(gst::event::Caps::new(&caps.build()));
    src.push_event(gst::event::Segment::new(
        &gst::FormattedSegment::<ClockTime>::new(),
    ));

    let mut left = words.iter().peekable();
    let mut say_until = |until: f64| {
        while let Some(word) = left.next_if(|word| word.end <= until) {
            src.push(buffer(word)).expect("text passes");
        }
    };
    for event in &played.events {
        let Some(structure) = event.structure() else {
            continue;
        };
        let seconds = |name: &str| structure.get::<u64>(name).unwrap_or_default() as f64 / 1e9;
        let end = seconds("running-time") + seconds("duration");
        match structure.name().as_str() {
            "whisperstream/heard" => {
                say_until(end - LAG);
                src.push_event(event.clone());
                let marker = asked.lock().expect("a marker").take();
                if let Some(marker) = marker {
                    say_until(end);
                    let flushed = gst::Structure::builder("whisperstream/flushed");
                    let flushed = flushed.field("marker", marker).build();
                    src.push_event(gst::event::CustomDownstream::new(flushed));
                }
            }
            "whisperstream/speech-end" => {
                say_until(end + LAG);
                src.push_event(event.clone());
            }
            "whisperstream/speech-start" | "beepdetect/tone" => {
                src.push_event(event.clone());
            }
            _ => {}
        }
    }
    src.push_event(gst::event::Eos::new());
    element.set_state(gst::State::Null).expect("NULL");
    let mut replayed = Played::default();
    for message in std::iter::from_fn(|| bus.pop()) {
        if let Some(structure) = message.structure() {
            replayed.take(structure);
        }
    }
    element.set_bus(None);
    replayed
}

fn buffer(word: &Word) -> gst::Buffer {
    let time = |seconds: f64| ClockTime::from_nseconds((seconds.max(0.0) * 1e9) as u64);
    let mut buffer = gst::Buffer::from_slice(word.text.clone().into_bytes());
    let inside = buffer.get_mut().expect("a buffer of our own");
    inside.set_pts(time(word.start));
    inside.set_duration(time(word.end) - time(word.start));
    let one = gst::Structure::builder("word")
        .field("text", &word.text)
        .field("start", time(word.start).nseconds())
        .field("end", time(word.end).nseconds())
        .field("confidence", 1.0)
        .build();
    let mut meta = gst::meta::CustomMeta::add(inside, META_NAME).expect("the meta is registered");
    let words = gst::Array::new([one.to_send_value()]);
    meta.mut_structure().set("words", words);
    buffer
}
