//! What the element says: its messages and events, and the flush it asks for.
//!
//! | name | when | fields |
//! |---|---|---|
//! | `answerdetect/verdict` | once a call | `result`, `cause`, `confidence`, `text`, `words`, `phrases`, `took` (guint64, ns) |
//! | `answerdetect/greeting-end` | a machine has finished its greeting | `cause` (`silence` or `beep`) |
//! | `answerdetect/beep` | a beep has ended, after the verdict | `frequency` (Hz), `level` (dBFS), `duration` |
//!
//! Common: `timestamp`, `stream-time`, `running-time` (guint64, ns), and `leg` if the stream has one. Of a verdict they are the audio heard when
//! it was given, of the others when the greeting ended, when the beep began.

use std::time::Duration;

use gst::prelude::*;

use super::hear::{Timeline, nanoseconds};
use crate::speech::answer::{GreetingEnd, Tone, Verdict, Word};

/// Markers of our flushes begin so, then the element's name and a number.
const MARKER: &str = "answerdetect/";

/// The marker of an element's flush.
pub fn marker(element: &impl IsA<gst::Object>, number: u64) -> String {
    format!("{MARKER}{}/{number}", element.name())
}

/// The number in a marker of ours.
pub fn number(marker: &str) -> Option<u64> {
    let ours = marker.strip_prefix(MARKER)?;
    ours.rsplit('/').next()?.parse().ok()
}

/// The event that asks `whisperstream` to decide all that was said so far.
pub fn flush(marker: &str) -> gst::Event {
    let structure = gst::Structure::builder("whisperstream/flush").field("marker", marker);
    gst::event::CustomUpstream::new(structure.build())
}

fn at(name: &str, time: Duration, timeline: &Timeline) -> gst::structure::Builder {
    gst::Structure::builder(name)
        .field("timestamp", timeline.timestamp(time).nseconds())
        .field("stream-time", timeline.stream_time(time).nseconds())
        .field("running-time", timeline.running_time(time).nseconds())
        .field_if_some("leg", timeline.leg.as_deref())
}

pub fn verdict(verdict: &Verdict, timeline: &Timeline) -> gst::Structure {
    let words = verdict.words.iter().map(|word| self::word(word, timeline));
    let phrases = verdict.phrases.iter().map(|phrase| phrase.to_send_value());
    at("answerdetect/verdict", verdict.at, timeline)
        .field("result", verdict.outcome.name())
        .field("cause", verdict.cause.name())
        .field("confidence", f64::from(verdict.confidence))
        .field("text", verdict.text())
        .field("words", gst::Array::new(words))
        .field("phrases", gst::Array::new(phrases))
        .field("took", nanoseconds(verdict.took))
        .build()
}

fn word(word: &Word, timeline: &Timeline) -> glib::SendValue {
    gst::Structure::builder("word")
        .field("text", word.text.as_str())
        .field("start", timeline.timestamp(word.start).nseconds())
        .field("end", timeline.timestamp(word.end).nseconds())
        .field("confidence", f64::from(word.confidence))
        .build()
        .to_send_value()
}

pub fn greeting_end(end: &GreetingEnd, timeline: &Timeline) -> gst::Structure {
    at("answerdetect/greeting-end", end.at, timeline)
        .field("cause", if end.beep { "beep" } else { "silence" })
        .build()
}

pub fn beep(beep: &Tone, timeline: &Timeline) -> gst::Structure {
    at("answerdetect/beep", beep.start, timeline)
        .field("duration", nanoseconds(beep.duration))
        .field("frequency", beep.frequency)
        .field("level", beep.level)
        .build()
}
