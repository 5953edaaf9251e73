//! Who is speaking, since when, and what else is on the line: voice activity, endpoints, tones, answering machines,
//! interruptions. Pure state machines: no threads, no candle, no I/O, no GStreamer. They count samples.

pub mod answer;
mod backchannel;
mod barge_in;
mod ear;
mod echo;
mod endpoint;
mod loudness;
pub(crate) mod octets;
pub mod tones;
mod vad;

pub use barge_in::{Ask, BargeIn, BargeInSettings, Cause, Interruption};
pub use ear::{Detection, Ear, Frame, SavedEar};
pub use echo::Echo;
pub use endpoint::{Boundary, Endpointer, VadError, VadSettings};
pub use loudness::{Loudness, Voiced};
pub use vad::{Earshot, NotResumed, Voice, VoiceDetector};

/// A position in a stream, in samples at 16 kHz since its start.
pub type Samples = u64;
