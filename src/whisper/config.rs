//! Shapes and token facts of a Whisper model.

/// One cross-attention head that follows the audio (layer and head, from 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlignmentHead {
    pub layer: usize,
    pub head: usize,
}

/// What the policy and the engine need to know of a model's shape.
#[derive(Clone, Debug)]
pub struct WhisperConfig {
    pub mel_bins: usize,
    pub d_model: usize,
    pub encoder_layers: usize,
    pub encoder_heads: usize,
    pub decoder_layers: usize,
    pub decoder_heads: usize,
    pub vocab_size: usize,
    /// Text positions (448 in every released model).
    pub text_positions: usize,
    /// The model's own heads (`generation_config.json`), else a table by shape, else the last half of the layers.
    pub alignment_heads: Vec<AlignmentHead>,
    /// Non-speech tokens (`generation_config.json: suppress_tokens`); empty when the model names none.
    pub suppress_tokens: Vec<u32>,
    pub multilingual: bool,
}
