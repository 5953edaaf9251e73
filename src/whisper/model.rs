//! The shared, immutable model and the state of one running pass.

use std::path::PathBuf;
use std::sync::Arc;

use super::{AlignmentHead, Cancel, MelFilters, Tokenizer, WhisperConfig, WhisperError};

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelSource {
    /// whisper-nano, bundled into the plugin (feature `demo-model`).
    Demo,
    /// A Hugging Face Whisper directory.
    Path(PathBuf),
}

/// Where the network runs. Further devices come with their issue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    #[default]
    Cpu,
}

/// A loaded Whisper model: weights, tokenizer, filterbank. Immutable; share it behind an `Arc`.
pub struct Whisper {}

impl Whisper {
    /// Loads and checks a model, then runs one silent warm-up pass. `progress` is told percent (0 to 100) as it goes.
    pub fn load(
        _source: &ModelSource,
        _device: Device,
        _cancel: &Cancel,
        _progress: &mut dyn FnMut(u8),
    ) -> Result<Whisper, WhisperError> {
        todo!()
    }

    pub fn config(&self) -> &WhisperConfig {
        todo!()
    }

    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        todo!()
    }

    pub fn mel_filters(&self) -> &Arc<MelFilters> {
        todo!()
    }

    /// Runs the encoder on one window (`mel`: `[bins, 3000]`, see [`super::LogMel::window`]).
    pub fn encode(&self, _mel: &[f32], _cancel: &Cancel) -> Result<Encoded, WhisperError> {
        todo!()
    }

    /// Starts a pass over `encoded`: computes cross K/V once, with an empty self-attention cache.
    /// `heads` are the cross-attention heads whose rows [`Decoder::step`] reports, in this order.
    pub fn decoder(
        self: &Arc<Self>,
        _encoded: &Encoded,
        _heads: &[AlignmentHead],
        _cancel: &Cancel,
    ) -> Result<Decoder, WhisperError> {
        todo!()
    }
}

/// Encoder output of one window, `[1500, d_model]`.
pub struct Encoded {}

impl Encoded {
    /// Row-major copy, for tests.
    pub fn to_vec(&self) -> Result<Vec<f32>, WhisperError> {
        todo!()
    }
}

/// State of one running pass: cross K/V of its window and the self-attention cache.
pub struct Decoder {}

impl Decoder {
    /// Feeds `tokens` (the whole prompt first, then usually one) behind those already fed.
    /// `probe_row`: also return the logits of this row of `tokens` (the no-speech probability is read there).
    pub fn step(
        &mut self,
        _tokens: &[u32],
        _probe_row: Option<usize>,
        _cancel: &Cancel,
    ) -> Result<Step, WhisperError> {
        todo!()
    }

    /// Tokens fed so far.
    pub fn position(&self) -> usize {
        todo!()
    }
}

/// What one [`Decoder::step`] returns.
pub struct Step {
    /// Logits of the last row, `[vocab]`.
    pub logits: Vec<f32>,
    /// Logits of the row asked for by `probe_row`.
    pub probe_logits: Option<Vec<f32>>,
    /// softmax(QKᵀ/√d) of the alignment heads for every row of this step.
    pub alignment: AlignmentRows,
}

/// Attention rows `[heads, rows, frames]`, row-major; frames is always 1500.
pub struct AlignmentRows {
    pub heads: usize,
    pub rows: usize,
    pub frames: usize,
    pub data: Vec<f32>,
}

impl AlignmentRows {
    /// Row `row` of head `head`, `frames` long; empty when out of range.
    pub fn row(&self, head: usize, row: usize) -> &[f32] {
        let start = (head * self.rows + row) * self.frames;
        self.data.get(start..start + self.frames).unwrap_or(&[])
    }
}
