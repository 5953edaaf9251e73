//! The shared, immutable model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::alignment::AlignmentSource;
use super::decoder::TextDecoder;
use super::decoding::{Decoder, Step, Turn, Watched};
use super::encoder::Encoder;
use super::encoding::{Encoded, Encoding, Window};
use super::graph::Graph;
use super::kernels::on_pool;
use super::load::{self, Loaded, Loading, Target};
use super::weights::hub::HubId;
use super::{
    AlignmentHead, Cancel, MelFilters, Tokenizer, WINDOW_MEL_FRAMES, WhisperConfig, WhisperError,
};

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelSource {
    /// whisper-nano, bundled into the plugin (feature `demo-model`).
    Demo,
    /// A Hugging Face Whisper directory, or one file of weights: safetensors, `.pt`, ggml or GGUF.
    Path(PathBuf),
    /// A repository on the Hugging Face hub; fetched unless the cache has it.
    Hub { id: String, revision: String },
}

impl ModelSource {
    /// What a user's `text` names: a path that exists, before all; else a repository on the hub, `org/name` or
    /// `org/name@revision`; else a path, which loading then says is not there.
    pub fn named(text: &str) -> ModelSource {
        match HubId::parse(text) {
            Some(HubId { id, revision }) if !Path::new(text).exists() => {
                ModelSource::Hub { id, revision }
            }
            _ => ModelSource::Path(text.into()),
        }
    }
}

/// Where the network runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    #[default]
    Cpu,
    /// A CUDA device by its number (feature `cuda`).
    Cuda(usize),
}

/// The arithmetic that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// What gives up nothing: f32 on a CPU, f16 on a GPU.
    #[default]
    Auto,
    F32,
    /// Products of bf16 values, summed in f32.
    Bf16,
    /// Products of eight-bit values: weights scaled by output, inputs by row; attention in bf16.
    Int8,
}

/// What runs the network, and how exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Backend {
    pub device: Device,
    pub precision: Precision,
}

/// The arithmetic that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    F32,
    /// On a GPU only.
    F16,
    Bf16,
    Int8,
}

impl std::fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Arithmetic::F32 => "f32",
            Arithmetic::F16 => "f16",
            Arithmetic::Bf16 => "bf16",
            Arithmetic::Int8 => "int8",
        })
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Backend {
    /// The arithmetic that runs on this device.
    ///
    /// # Errors
    /// A device that this build cannot use, or a precision that the device does not have.
    pub fn arithmetic(&self) -> Result<Arithmetic, WhisperError> {
        let Backend { device, precision } = *self;
        match (device, precision) {
            (Device::Cpu, Precision::Auto | Precision::F32) => Ok(Arithmetic::F32),
            (Device::Cpu, Precision::Bf16) => Ok(Arithmetic::Bf16),
            (Device::Cpu, Precision::Int8) => Ok(Arithmetic::Int8),
            (Device::Cuda(_), _) if !cfg!(feature = "cuda") => Err(WhisperError::NoCuda(device)),
            (Device::Cuda(_), Precision::Auto) => Ok(Arithmetic::F16),
            (Device::Cuda(_), Precision::F32) => Ok(Arithmetic::F32),
            (Device::Cuda(_), Precision::Bf16) => Ok(Arithmetic::Bf16),
            (Device::Cuda(_), Precision::Int8) => Err(WhisperError::NoInt8(device)),
        }
    }

    /// The same for every way to ask for the same arithmetic, so that they share a model.
    pub fn canonical(self) -> Backend {
        match self {
            Backend {
                device: Device::Cpu,
                precision: Precision::F32,
            } => Backend::default(),
            other => other,
        }
    }
}

/// A loaded Whisper model: weights, tokenizer, filterbank. Immutable; share it behind an `Arc`.
pub struct Whisper {
    config: WhisperConfig,
    alignment_source: AlignmentSource,
    tokenizer: Arc<Tokenizer>,
    mel_filters: Arc<MelFilters>,
    arithmetic: Arithmetic,
    pub(super) network: Network,
}

/// The weights, and what computes with them.
pub(super) enum Network {
    /// Our kernels, on the CPU.
    Kernels(Box<Kernels>),
    /// candle's, on a GPU.
    Graph(Box<Graph>),
}

pub(super) struct Kernels {
    pub encoder: Encoder,
    pub decoder: TextDecoder,
}

impl Whisper {
    /// Loads and checks a model, then runs one silent warm-up pass. `progress` is told how far it has come.
    ///
    /// # Errors
    /// A sentence for whatever is wrong with the backend, the path, its files or what they say ([`WhisperError`]).
    pub fn load(
        source: &ModelSource,
        backend: Backend,
        cancel: &Cancel,
        progress: &mut dyn FnMut(Loading),
    ) -> Result<Whisper, WhisperError> {
        Self::load_for(source, Target::of(backend)?, cancel, progress)
    }

    pub(super) fn load_for(
        source: &ModelSource,
        target: Target,
        cancel: &Cancel,
        progress: &mut dyn FnMut(Loading),
    ) -> Result<Whisper, WhisperError> {
        let arithmetic = target.arithmetic;
        let Loaded {
            config,
            tokenizer,
            network,
        } = load::load(source, target, cancel, progress)?;
        let whisper = Whisper {
            alignment_source: config.alignment_source,
            mel_filters: Arc::new(MelFilters::new(config.shape.mel_bins)),
            config: config.shape,
            tokenizer,
            arithmetic,
            network,
        };
        whisper.warm_up(cancel)?;
        progress(100.into());
        Ok(whisper)
    }

    /// One pass over silence: pages, thread pools and code are in place when the first real pass comes.
    fn warm_up(&self, cancel: &Cancel) -> Result<(), WhisperError> {
        let silence = vec![0f32; self.config.mel_bins * WINDOW_MEL_FRAMES];
        let encoded = self.encode(Window::whole(&silence), cancel)?;
        let mut decoder = self.decoder(&encoded, &self.config.alignment_heads)?;
        for token in [self.tokenizer.specials().sot, self.tokenizer.specials().eot] {
            cancel.check()?;
            decoder.step(self, &[token], None)?;
        }
        Ok(())
    }

    pub fn config(&self) -> &WhisperConfig {
        &self.config
    }

    /// The arithmetic in force.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
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

    /// Runs the encoder on one window to the end.
    pub fn encode(&self, window: Window<'_>, cancel: &Cancel) -> Result<Encoded, WhisperError> {
        let mut encoding = self.encoding(window)?;
        loop {
            cancel.check()?;
            self.advance(&mut [&mut encoding])?;
            if let Some(encoded) = encoding.take() {
                return Ok(encoded);
            }
        }
    }

    /// Begins to encode a window. Cheap; [`advance`](Self::advance) does the work.
    ///
    /// # Errors
    /// A window of another shape than the model takes.
    pub fn encoding(&self, window: Window<'_>) -> Result<Encoding, WhisperError> {
        Encoding::begin(self, window)
    }

    /// Takes each window one stage further: on a CPU about one layer, so that something more urgent can come in between;
    /// on a GPU all the way, those of one length together.
    pub fn advance(&self, batch: &mut [&mut Encoding]) -> Result<(), WhisperError> {
        match &self.network {
            Network::Kernels(kernels) => on_pool(|| {
                batch
                    .par_iter_mut()
                    .try_for_each(|encoding| encoding.advance(kernels))
            }),
            Network::Graph(graph) => super::encoding::advance_together(graph, batch),
        }
    }

    /// Starts to decode `encoded`, with an empty self-attention cache. Cheap. `heads` are the cross-attention heads
    /// whose rows a [`Step`] reports, in this order.
    ///
    /// # Errors
    /// A head that the model does not have.
    pub fn decoder(
        &self,
        encoded: &Encoded,
        heads: &[AlignmentHead],
    ) -> Result<Decoder, WhisperError> {
        Decoder::start(self, encoded, heads)
    }

    /// As [`decoder`](Self::decoder), for all that is watched.
    pub fn decoder_of(
        &self,
        encoded: &Encoded,
        watched: &Watched,
    ) -> Result<Decoder, WhisperError> {
        let mut decoder = self.decoder(encoded, &watched.heads)?;
        if let Some(ends) = &watched.word_ends {
            decoder.report(ends, encoded)?;
        }
        Ok(decoder)
    }

    /// One step of several decoders of this model, reading the weights once. Each gets the bits it would get alone,
    /// and its own error.
    pub fn step(&self, turns: &mut [Turn<'_>]) -> Vec<Result<Step, WhisperError>> {
        match &self.network {
            Network::Kernels(_) => on_pool(|| super::decoding::step(self, turns)),
            Network::Graph(_) => super::decoding::step(self, turns),
        }
    }

    /// As [`step`](Self::step), of one decoder.
    pub fn step_one(&self, turn: Turn<'_>) -> Result<Step, WhisperError> {
        let missing = || Err(candle_core::Error::Msg("a step gave no answer".into()).into());
        self.step(&mut [turn]).pop().unwrap_or_else(missing)
    }
}
