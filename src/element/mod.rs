//! The GStreamer element `whisperstream`: pads, caps, properties, events, messages, time. No model, no policy.
//!
//! `audio/x-raw` (S16LE, 16 kHz, mono) in; `text/x-raw, format=utf8` or `application/x-json` out, committed words only,
//! with GAP events where nothing is said. What happens on which thread:
//!
//! - The *streaming thread* (`input`, `pads`) turns buffers, holes and segments into samples for the engine's session and
//!   keeps the `timeline`. Before it forwards EOS, SEGMENT or a caps change it drains the session.
//! - The session's *worker* (`listener`) hands decided words to the `output`, which pushes them at once, so that text never
//!   waits for the next audio buffer.
//! - FLUSH_START and PAUSED→READY release both first and take no lock that a push can hold.
//!
//! Lock order: output → timeline → settings. Only the output's lock is ever held over a push; none over a drain.

use gst::prelude::*;

mod cues;
mod edits;
#[cfg(test)]
mod edits_tests;
mod far_end;
mod imp;
mod input;
mod json;
mod listener;
mod messages;
mod meta;
mod output;
mod pads;
mod properties;
mod saved;
mod session;
mod settings;
mod speaker;
mod speech;
mod timeline;

pub(crate) use pads::src_caps as text_caps;

pub use meta::{META_NAME, MetaWord, words_of};

glib::wrapper! {
    /// Live transcription: see the module's documentation.
    pub struct WhisperStream(ObjectSubclass<imp::WhisperStream>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// What one buffer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamUnit")]
pub enum Unit {
    #[enum_value(name = "Word: a buffer for each word", nick = "word")]
    Word,
    #[default]
    #[enum_value(
        name = "Chunk: a buffer for the words that one pass released",
        nick = "chunk"
    )]
    Chunk,
    #[enum_value(
        name = "Utterance: a buffer for each readable caption (two lines of 42 characters, 7 seconds at most)",
        nick = "utterance"
    )]
    Utterance,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamTask")]
pub enum Task {
    #[default]
    #[enum_value(
        name = "Transcribe: the words in the language spoken",
        nick = "transcribe"
    )]
    Transcribe,
    #[enum_value(name = "Translate: into English", nick = "translate")]
    Translate,
}

/// How it is decided what may be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamPolicy")]
pub enum Policy {
    #[default]
    #[enum_value(
        name = "AlignAtt: a word is told when its attention lies well before the end of the audio",
        nick = "alignatt"
    )]
    AlignAtt,
    #[enum_value(
        name = "LocalAgreement: a word is told when two passes in a row have it; slower, later, needs no alignment heads that are true",
        nick = "local-agreement"
    )]
    LocalAgreement,
}

/// Where LocalAgreement cuts a buffer that has grown too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamBufferTrimming")]
pub enum BufferTrimming {
    #[default]
    #[enum_value(
        name = "Segment: at the end of a sentence or where the speaker pauses",
        nick = "segment"
    )]
    Segment,
    #[enum_value(
        name = "Sentence: at the end of a sentence, if there is one",
        nick = "sentence"
    )]
    Sentence,
}

/// Whose decisions are reproduced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamCompat")]
pub enum Compat {
    #[default]
    #[enum_value(name = "None: whisperstream's own, with its guards", nick = "none")]
    None,
    #[enum_value(
        name = "SimulStreaming: the reference's, token for token",
        nick = "simulstreaming"
    )]
    SimulStreaming,
}

/// The arithmetic of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamPrecision")]
pub enum Precision {
    #[default]
    #[enum_value(
        name = "Auto: what gives up nothing, f32 on a CPU and f16 on a GPU",
        nick = "auto"
    )]
    Auto,
    #[enum_value(name = "F32: 32-bit floating point", nick = "f32")]
    F32,
    #[enum_value(name = "BF16: products of bf16 values, summed in f32", nick = "bf16")]
    Bf16,
    #[enum_value(
        name = "INT8: products of eight-bit values; attention in bf16 (CPU only)",
        nick = "int8"
    )]
    Int8,
}

/// How much of a pass's window the encoder computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamAudioCtx")]
pub enum AudioCtx {
    #[default]
    #[enum_value(
        name = "Exact: all 30 seconds, as the model was trained",
        nick = "exact"
    )]
    Exact,
    #[enum_value(
        name = "Auto: the audio held and a margin; sooner done, less exact",
        nick = "auto"
    )]
    Auto,
    #[enum_value(
        name = "Overload: exact; auto while the machine cannot keep up with longer chunks either",
        nick = "overload"
    )]
    Overload,
}

/// What tells speech from everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamVad")]
pub enum Vad {
    #[enum_value(
        name = "None: energy over its own floor; nobody is told who speaks",
        nick = "none"
    )]
    None,
    #[default]
    #[enum_value(
        name = "Auto: a neural voice detector; none under compat=simulstreaming",
        nick = "auto"
    )]
    Auto,
}

/// Whether hesitations are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamFillers")]
pub enum Fillers {
    #[default]
    #[enum_value(name = "Keep: as they are heard", nick = "keep")]
    Keep,
    #[enum_value(
        name = "Remove: no euh, um, äh, by the language spoken",
        nick = "remove"
    )]
    Remove,
}

/// What is masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamRedact")]
pub enum Redact {
    #[default]
    #[enum_value(name = "None: nothing", nick = "none")]
    None,
    #[enum_value(
        name = "Digits: runs of three or more, spoken or in numerals",
        nick = "digits"
    )]
    Digits,
}

/// When passes over the audio run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWhisperStreamPace")]
pub enum Pace {
    #[default]
    #[enum_value(
        name = "Auto: live if the LATENCY query says that upstream is, else exact",
        nick = "auto"
    )]
    Auto,
    #[enum_value(
        name = "Exact: a pass at every multiple of min-chunk-size, back-pressured, nothing dropped",
        nick = "exact"
    )]
    Exact,
    #[enum_value(
        name = "Live: a pass as soon as a chunk is there and the engine is free",
        nick = "live"
    )]
    Live,
}

/// Registers the element, its types and its meta with `plugin`.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    meta::register();
    gst::Element::register(
        Some(plugin),
        "whisperstream",
        gst::Rank::NONE,
        WhisperStream::static_type(),
    )
}
