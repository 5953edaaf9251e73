//! The network: configuration, weights, log-mel, encoder, decoder, tokenizer. Knows nothing of streams.
//!
//! A [`Whisper`] is immutable and shared behind an `Arc`; what a running pass needs
//! (cross-attention keys and values, self-attention cache) lives in a [`Decoder`] and dies with it.

pub mod alignment;
pub mod cancel;
mod cif;
pub mod config;
mod decoder;
mod decoding;
mod demo;
mod encoder;
mod encoding;
pub mod error;
mod graph;
// Instructions that the compiler has no other way to.
#[allow(unsafe_code)]
mod kernels;
pub mod languages;
mod load;
pub mod mel;
mod memory;
pub mod model;
mod ops;
pub mod tokenizer;
mod unpack;
mod weights;

pub use alignment::AlignmentSource;
pub use cancel::Cancel;
pub use cif::WordEnds;
pub use config::{AlignmentHead, WhisperConfig};
pub use decoding::{AlignmentRows, Decoder, Step, Turn, Watched};
pub use demo::DEMO_MODEL_NAME;
pub(crate) use demo::demo_files;
pub use encoding::{Encoded, Encoding, Window};
pub use error::WhisperError;
pub use kernels::complaint as processor_complaint;
pub use languages::Language;
pub use load::Loading;
pub use mel::{LogMel, MelFilters};
pub use model::{Arithmetic, Backend, Device, ModelSource, Precision, Whisper};
pub use tokenizer::{Specials, Tokenizer, WordTokens};
#[doc(hidden)]
pub use weights::fuzzing;
pub use weights::hub::{Fetched, HubError, cached};
pub use weights::{StateTensor, read_state_dict};

use candle_transformers::models::whisper as facts;

/// Samples a second that Whisper hears.
pub const SAMPLE_RATE: usize = facts::SAMPLE_RATE;
/// Samples between two log-mel frames (10 ms).
pub const HOP: usize = facts::HOP_LENGTH;
/// Samples between two encoder frames (20 ms), the unit of every attention row: the second convolution halves the rate.
pub const FRAME: usize = 2 * HOP;
/// Encoder frames of one window (30 s).
pub const WINDOW_FRAMES: usize = WINDOW_MEL_FRAMES / 2;
/// Log-mel frames of one window.
pub const WINDOW_MEL_FRAMES: usize = facts::N_FRAMES;
/// Samples of one window.
pub const WINDOW_SAMPLES: usize = facts::N_SAMPLES;
