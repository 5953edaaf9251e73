//! The GStreamer element `answerdetect`: on the text side of `whisperstream` it tells what is at the other end of a call.
//!
//! `whisperstream ! answerdetect ! ...`: text, events and queries pass through unchanged. It listens to the words (the
//! buffers' meta), to `whisperstream/heard` (the clock of the audio), `whisperstream/speech-start`, `whisperstream/speech-end`
//! and `beepdetect/tone`, and posts one message `answerdetect/verdict` a call; then `answerdetect/greeting-end` and
//! `answerdetect/beep`. All three also go downstream as serialized custom events of the same name and fields.
//!
//! A call begins with the first audio heard, with a custom event `answerdetect/answered` (from either side, or sent to the
//! element), with a new stream, and behind FLUSH_STOP.
//!
//! The clock comes out of band, on the thread that brings the audio, while text comes on another. What is found by the clock is on the
//! bus at once; its event waits for the next buffer, gap or event of the text, so that no thread waits for the other.
//!
//! `docs/answerdetect.md` tells how it decides, the properties and the fields.

use gst::prelude::*;

mod hear;
mod imp;
mod properties;
mod tell;

glib::wrapper! {
    /// What is at the other end of the line: see the module's documentation.
    pub struct AnswerDetect(ObjectSubclass<imp::AnswerDetect>)
        @extends gst::Element, gst::Object;
}

/// Registers the element with `plugin`.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "answerdetect",
        gst::Rank::NONE,
        AnswerDetect::static_type(),
    )
}
