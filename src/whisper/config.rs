//! Shapes and token facts of a Whisper model, read from its JSON files.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::alignment::{self, AlignmentSource};
use super::weights::Dims;
use super::{HOP, SAMPLE_RATE, WINDOW_FRAMES, WhisperError};

/// Vocabulary of the English-only models, all others are multilingual.
const ENGLISH_VOCAB: usize = 51864;

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
    /// How many of them, from the first, the training has reached: behind that a longer text only confuses the network.
    pub trained_positions: usize,
    /// The model's own heads (`generation_config.json`), else a table by shape, else the last half of the layers.
    pub alignment_heads: Vec<AlignmentHead>,
    /// Non-speech tokens (`generation_config.json: suppress_tokens`), openai/whisper's for weights that come without a
    /// configuration; empty when the model's names none.
    pub suppress_tokens: Vec<u32>,
    pub multilingual: bool,
}

impl WhisperConfig {
    /// Whether the model has the shape of large-v3-turbo, which was trained on transcription alone.
    pub fn is_turbo(&self) -> bool {
        (self.encoder_layers, self.decoder_layers, self.d_model) == (32, 4, 1280)
            && self.multilingual
    }
}

/// Everything that is read of a model's configuration files.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    pub shape: WhisperConfig,
    pub encoder_ffn: usize,
    pub decoder_ffn: usize,
    pub alignment_source: AlignmentSource,
    /// `decoder_start_token_id`, to be compared with the tokenizer's.
    pub start_token: Option<u32>,
}

/// The part of `config.json` that counts here.
#[derive(Default, Deserialize)]
struct ConfigFile {
    model_type: Option<String>,
    activation_function: Option<String>,
    scale_embedding: Option<bool>,
    num_mel_bins: Option<usize>,
    d_model: Option<usize>,
    encoder_layers: Option<usize>,
    encoder_attention_heads: Option<usize>,
    encoder_ffn_dim: Option<usize>,
    decoder_layers: Option<usize>,
    decoder_attention_heads: Option<usize>,
    decoder_ffn_dim: Option<usize>,
    max_source_positions: Option<usize>,
    max_target_positions: Option<usize>,
    vocab_size: Option<usize>,
    decoder_start_token_id: Option<u32>,
    /// Some models write -1 here for "none".
    suppress_tokens: Option<Vec<i64>>,
}

/// The part of `generation_config.json` that counts here; the file may be absent.
#[derive(Default, Deserialize)]
struct GenerationFile {
    alignment_heads: Option<Vec<(usize, usize)>>,
    suppress_tokens: Option<Vec<i64>>,
    is_multilingual: Option<bool>,
}

/// The part of `preprocessor_config.json` that counts here; the file may be absent.
#[derive(Default, Deserialize)]
struct PreprocessorFile {
    feature_size: Option<usize>,
    hop_length: Option<usize>,
    n_fft: Option<usize>,
    sampling_rate: Option<usize>,
}

/// A configuration file: its bytes, and its path for errors.
pub struct File {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

impl File {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, WhisperError> {
        serde_json::from_slice(&self.bytes).map_err(|e| WhisperError::BadJson {
            path: self.path.clone(),
            reason: e.to_string(),
        })
    }
}

impl ModelConfig {
    /// Reads and checks; nothing is allocated by what these files say before they are found sane.
    pub fn read(
        config: &File,
        generation: Option<&File>,
        preprocessor: Option<&File>,
    ) -> Result<ModelConfig, WhisperError> {
        let file: ConfigFile = config.parse()?;
        if let Some(found) = file.model_type.clone().filter(|found| found != "whisper") {
            let path = config.path.clone();
            return Err(WhisperError::NotWhisper { path, found });
        }
        let generation: GenerationFile = generation.map_or(Ok(Default::default()), File::parse)?;
        let preprocessor: PreprocessorFile =
            preprocessor.map_or(Ok(Default::default()), File::parse)?;
        file.check(generation, preprocessor)
            .map_err(|reason| WhisperError::BadConfig {
                path: config.path.clone(),
                reason,
            })
    }

    /// The configuration of weights that come without one: what their shapes say, and Whisper's constants.
    /// `suppress_tokens` stays empty.
    ///
    /// # Errors
    /// Shapes that no Whisper model has.
    pub fn derived(dims: &Dims, path: &Path) -> Result<ModelConfig, WhisperError> {
        let file = ConfigFile {
            num_mel_bins: Some(dims.mel_bins),
            d_model: Some(dims.d_model),
            encoder_layers: Some(dims.encoder_layers),
            encoder_attention_heads: Some(dims.encoder_heads),
            encoder_ffn_dim: Some(dims.encoder_ffn),
            decoder_layers: Some(dims.decoder_layers),
            decoder_attention_heads: Some(dims.decoder_heads),
            decoder_ffn_dim: Some(dims.decoder_ffn),
            max_source_positions: Some(dims.audio_positions),
            max_target_positions: Some(dims.text_positions),
            vocab_size: Some(dims.vocab_size),
            ..Default::default()
        };
        let checked = file.check(Default::default(), Default::default());
        checked.map_err(|reason| WhisperError::NoWhisperShape {
            path: path.to_owned(),
            reason,
        })
    }
}

impl ConfigFile {
    fn check(
        self,
        generation: GenerationFile,
        preprocessor: PreprocessorFile,
    ) -> Result<ModelConfig, String> {
        let ranged = |name: &str, value: Option<usize>, most: usize| match value {
            None => Err(format!("{name} is missing")),
            Some(value) if (1..=most).contains(&value) => Ok(value),
            Some(value) => Err(format!(
                "{name} is {value}, it must lie between 1 and {most}"
            )),
        };
        // Far above every released model (large: 1280 wide, 32 layers, 20 heads), far below what would
        // exhaust a machine before the weights are compared with it.
        let d_model = ranged("d_model", self.d_model, 8192)?;
        let encoder_layers = ranged("encoder_layers", self.encoder_layers, 128)?;
        let decoder_layers = ranged("decoder_layers", self.decoder_layers, 128)?;
        let vocab_size = ranged("vocab_size", self.vocab_size, 1 << 20)?;
        let text_positions = ranged("max_target_positions", self.max_target_positions, 1 << 15)?;
        let mel_bins = ranged("num_mel_bins", self.num_mel_bins, 201)?;
        let ffn =
            |name: &str, value: Option<usize>| ranged(name, value.or(Some(4 * d_model)), 1 << 16);
        let heads = |name: &str, value: Option<usize>| {
            let heads = ranged(name, value, d_model)?;
            if d_model.is_multiple_of(heads) {
                Ok(heads)
            } else {
                Err(format!(
                    "d_model is {d_model}, which {name} = {heads} does not divide"
                ))
            }
        };
        let encoder_heads = heads("encoder_attention_heads", self.encoder_attention_heads)?;
        let decoder_heads = heads("decoder_attention_heads", self.decoder_attention_heads)?;
        let same = |name: &str, value: Option<usize>, needed: usize| match value {
            Some(value) if value != needed => {
                Err(format!("{name} is {value}, but only {needed} is supported"))
            }
            _ => Ok(()),
        };
        same(
            "max_source_positions",
            self.max_source_positions,
            WINDOW_FRAMES,
        )?;
        if let Some(found) = preprocessor.feature_size.filter(|&found| found != mel_bins) {
            return Err(format!(
                "num_mel_bins is {mel_bins}, but preprocessor_config.json says feature_size {found}"
            ));
        }
        same(
            "hop_length of preprocessor_config.json",
            preprocessor.hop_length,
            HOP,
        )?;
        same("n_fft of preprocessor_config.json", preprocessor.n_fft, 400)?;
        same(
            "sampling_rate of preprocessor_config.json",
            preprocessor.sampling_rate,
            SAMPLE_RATE,
        )?;
        if let Some(name) = self.activation_function.filter(|name| name != "gelu") {
            return Err(format!(
                "activation_function is {name:?}, but only \"gelu\" is supported"
            ));
        }
        if self.scale_embedding == Some(true) {
            return Err("scale_embedding is true, which no Whisper model uses".to_owned());
        }
        let suppress = generation.suppress_tokens.or(self.suppress_tokens);
        let suppress_tokens = suppress
            .unwrap_or_default()
            .into_iter()
            .filter_map(|id| u32::try_from(id).ok())
            .filter(|&id| (id as usize) < vocab_size)
            .collect();
        let multilingual = generation
            .is_multilingual
            .unwrap_or(vocab_size != ENGLISH_VOCAB);
        let mut shape = WhisperConfig {
            mel_bins,
            d_model,
            encoder_layers,
            encoder_heads,
            decoder_layers,
            decoder_heads,
            vocab_size,
            text_positions,
            trained_positions: text_positions,
            alignment_heads: Vec::new(),
            suppress_tokens,
            multilingual,
        };
        let own: Option<Vec<_>> = generation.alignment_heads.map(|heads| {
            let heads = heads.into_iter();
            heads
                .map(|(layer, head)| AlignmentHead { layer, head })
                .collect()
        });
        let (alignment_heads, alignment_source) = alignment::choose(own.as_deref(), &shape);
        shape.alignment_heads = alignment_heads;
        Ok(ModelConfig {
            encoder_ffn: ffn("encoder_ffn_dim", self.encoder_ffn_dim)?,
            decoder_ffn: ffn("decoder_ffn_dim", self.decoder_ffn_dim)?,
            start_token: self.decoder_start_token_id,
            shape,
            alignment_source,
        })
    }
}
