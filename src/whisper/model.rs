//! The shared, immutable model and the state of one running pass.

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Tensor;

use super::alignment::AlignmentSource;
use super::decoder::{LayerCache, TextDecoder};
use super::encoder::Encoder;
use super::load::{self, Loaded};
use super::{
    AlignmentHead, Cancel, MelFilters, Tokenizer, WINDOW_FRAMES, WINDOW_MEL_FRAMES, WhisperConfig,
    WhisperError,
};

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
pub struct Whisper {
    config: WhisperConfig,
    alignment_source: AlignmentSource,
    tokenizer: Arc<Tokenizer>,
    mel_filters: Arc<MelFilters>,
    network: Network,
}

/// The weights.
pub(super) struct Network {
    pub encoder: Encoder,
    pub decoder: TextDecoder,
}

impl Whisper {
    /// Loads and checks a model, then runs one silent warm-up pass. `progress` is told percent (0 to 100) as it goes.
    ///
    /// # Errors
    /// A sentence for whatever is wrong with the path, its files or what they say ([`WhisperError`]).
    pub fn load(
        source: &ModelSource,
        Device::Cpu: Device,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u8),
    ) -> Result<Whisper, WhisperError> {
        let Loaded {
            config,
            tokenizer,
            network,
        } = load::load(source, cancel, progress)?;
        let whisper = Whisper {
            alignment_source: config.alignment_source,
            mel_filters: Arc::new(MelFilters::new(config.shape.mel_bins)),
            config: config.shape,
            tokenizer,
            network,
        };
        whisper.warm_up(cancel)?;
        progress(100);
        Ok(whisper)
    }

    /// One pass over silence: pages, thread pools and code are in place when the first real pass comes.
    fn warm_up(&self, cancel: &Cancel) -> Result<(), WhisperError> {
        let silence = vec![0f32; self.config.mel_bins * WINDOW_MEL_FRAMES];
        let encoded = self.encode(&silence, cancel)?;
        let mut pass = Pass::start(self, &encoded, &self.config.alignment_heads, cancel)?;
        pass.step(self, &[self.tokenizer.specials().sot], None, cancel)?;
        pass.step(self, &[self.tokenizer.specials().eot], None, cancel)?;
        Ok(())
    }

    pub fn config(&self) -> &WhisperConfig {
        &self.config
    }

    /// How [`WhisperConfig::alignment_heads`] were found.
    pub fn alignment_source(&self) -> AlignmentSource {
        self.alignment_source
    }

    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    pub fn mel_filters(&self) -> &Arc<MelFilters> {
        &self.mel_filters
    }

    /// Runs the encoder on one window (`mel`: `[bins, 3000]`, see [`super::LogMel::window`]).
    pub fn encode(&self, mel: &[f32], cancel: &Cancel) -> Result<Encoded, WhisperError> {
        let states = self.network.encoder.forward(mel, cancel)?;
        Ok(Encoded { states })
    }

    /// Starts a pass over `encoded`: computes cross K/V once, with an empty self-attention cache.
    /// `heads` are the cross-attention heads whose rows [`Decoder::step`] reports, in this order.
    pub fn decoder(
        self: &Arc<Self>,
        encoded: &Encoded,
        heads: &[AlignmentHead],
        cancel: &Cancel,
    ) -> Result<Decoder, WhisperError> {
        Ok(Decoder {
            pass: Pass::start(self, encoded, heads, cancel)?,
            whisper: Arc::clone(self),
        })
    }
}

/// Encoder output of one window, `[1500, d_model]`.
pub struct Encoded {
    states: Tensor,
}

impl Encoded {
    /// Row-major copy, for tests.
    pub fn to_vec(&self) -> Result<Vec<f32>, WhisperError> {
        Ok(self.states.flatten_all()?.to_vec1()?)
    }
}

/// State of one running pass: cross K/V of its window and the self-attention cache.
pub struct Decoder {
    whisper: Arc<Whisper>,
    pass: Pass,
}

impl Decoder {
    /// Feeds `tokens` (the whole prompt first, then usually one) behind those already fed.
    /// `probe_row`: also return the logits of this row of `tokens` (the no-speech probability is read there).
    ///
    /// # Errors
    /// No tokens, tokens beyond the vocabulary or more than the text positions hold; cancelled (the pass is
    /// of no further use then).
    pub fn step(
        &mut self,
        tokens: &[u32],
        probe_row: Option<usize>,
        cancel: &Cancel,
    ) -> Result<Step, WhisperError> {
        self.pass.step(&self.whisper, tokens, probe_row, cancel)
    }

    /// Tokens fed so far.
    pub fn position(&self) -> usize {
        self.pass.position
    }
}

/// [`Decoder`] without its model.
struct Pass {
    caches: Vec<LayerCache>,
    heads: Vec<AlignmentHead>,
    position: usize,
}

impl Pass {
    fn start(
        whisper: &Whisper,
        encoded: &Encoded,
        heads: &[AlignmentHead],
        cancel: &Cancel,
    ) -> Result<Pass, WhisperError> {
        let config = &whisper.config;
        let missing =
            |h: &&AlignmentHead| h.layer >= config.decoder_layers || h.head >= config.decoder_heads;
        if let Some(AlignmentHead { layer, head }) = heads.iter().find(missing) {
            return Err(WhisperError::BadInput {
                what: format!("the alignment head {layer}:{head}"),
                reason: "this model has no such head".to_owned(),
            });
        }
        Ok(Pass {
            caches: whisper.network.decoder.start(&encoded.states, cancel)?,
            heads: heads.to_vec(),
            position: 0,
        })
    }

    fn step(
        &mut self,
        whisper: &Whisper,
        tokens: &[u32],
        probe_row: Option<usize>,
        cancel: &Cancel,
    ) -> Result<Step, WhisperError> {
        self.check(&whisper.config, tokens, probe_row)?;
        let decoder = &whisper.network.decoder;
        let rows = tokens.len();
        let mut alignment = AlignmentRows {
            heads: self.heads.len(),
            rows,
            frames: WINDOW_FRAMES,
            data: vec![0f32; self.heads.len() * rows * WINDOW_FRAMES],
        };
        // The heads of each layer, and where in the answer their rows go.
        let mut want = vec![Vec::new(); whisper.config.decoder_layers];
        let mut places = want.clone();
        for (place, head) in self.heads.iter().enumerate() {
            if let (Some(want), Some(places)) =
                (want.get_mut(head.layer), places.get_mut(head.layer))
            {
                want.push(head.head);
                places.push(place);
            }
        }
        let size = rows * WINDOW_FRAMES;
        let place = |layer: usize, weights: &[f32]| {
            let places = places.get(layer).into_iter().flatten();
            for (&place, weights) in places.zip(weights.chunks_exact(size)) {
                if let Some(to) = alignment.data.get_mut(place * size..(place + 1) * size) {
                    to.copy_from_slice(weights);
                }
            }
        };
        let states = decoder.forward(
            tokens,
            self.position,
            &mut self.caches,
            &want,
            place,
            cancel,
        )?;
        cancel.check()?;
        self.position += rows;
        let probe_logits = match probe_row {
            Some(row) => Some(decoder.logits(&states, row)?),
            None => None,
        };
        Ok(Step {
            logits: decoder.logits(&states, rows - 1)?,
            probe_logits,
            alignment,
        })
    }

    fn check(
        &self,
        config: &WhisperConfig,
        tokens: &[u32],
        probe_row: Option<usize>,
    ) -> Result<(), WhisperError> {
        let bad = |what: String, reason: String| Err(WhisperError::BadInput { what, reason });
        let rows = tokens.len();
        if rows == 0 {
            return bad("no tokens".into(), "a step needs at least one".into());
        }
        if self.position + rows > config.text_positions {
            let what = format!("{rows} tokens behind {}", self.position);
            return bad(what, format!("it has {} positions", config.text_positions));
        }
        if let Some(token) = tokens.iter().find(|&&t| t as usize >= config.vocab_size) {
            let what = format!("the token {token}");
            return bad(what, format!("its vocabulary has {}", config.vocab_size));
        }
        match probe_row {
            Some(row) if row >= rows => bad(
                format!("the probe row {row}"),
                format!("the step has {rows} rows"),
            ),
            _ => Ok(()),
        }
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
