//! From a model source to a checked, warm model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::config::{File, ModelConfig};
use super::decoder::TextDecoder;
use super::demo;
use super::encoder::Encoder;
use super::graph::Graph;
use super::kernels::Format;
use super::memory;
use super::model::{Kernels, Network};
use super::weights::hub::{self, Fetched, HubId};
use super::weights::{self, Checkpoint, Container, Shard, Weights};
use super::{
    Arithmetic, Backend, Cancel, DEMO_MODEL_NAME, Device, ModelSource, Tokenizer, WhisperError,
};

/// Percent of the load that the small files, and the weights, take.
const SMALL_FILES: f32 = 10.0;
const WEIGHTS: f32 = 80.0;

/// Percent of the load that fetching takes, where something is fetched.
const DOWNLOAD: f32 = 80.0;

/// What a model is made of.
struct Parts {
    /// As it was given.
    path: PathBuf,
    /// Without one it is derived from the weights.
    config: Option<File>,
    generation: Option<File>,
    preprocessor: Option<File>,
    /// Without one it is the bundled one of the vocabulary's size.
    tokenizer: Option<File>,
    checkpoint: Checkpoint,
}

pub struct Loaded {
    pub config: ModelConfig,
    pub tokenizer: Arc<Tokenizer>,
    pub network: Network,
}

/// What a network is loaded for.
pub struct Target {
    pub arithmetic: Arithmetic,
    pub runner: Runner,
}

/// What computes.
pub enum Runner {
    Kernels(Format),
    Graph(candle_core::Device, DType),
}

impl Target {
    /// Finds the device.
    pub fn of(backend: Backend) -> Result<Target, WhisperError> {
        let arithmetic = backend.arithmetic()?;
        let runner = match backend.device {
            Device::Cpu => Runner::Kernels(match arithmetic {
                Arithmetic::F32 | Arithmetic::F16 => Format::Single,
                Arithmetic::Bf16 => Format::Halves,
                Arithmetic::Int8 => Format::Bytes,
            }),
            Device::Cuda(number) => {
                let found = candle_core::Device::new_cuda(number);
                let device = found.map_err(|error| WhisperError::NoGpu {
                    device: backend.device,
                    reason: error.to_string(),
                })?;
                let dtype = match arithmetic {
                    Arithmetic::F16 => DType::F16,
                    Arithmetic::Bf16 => DType::BF16,
                    Arithmetic::F32 | Arithmetic::Int8 => DType::F32,
                };
                Runner::Graph(device, dtype)
            }
        };
        Ok(Target { arithmetic, runner })
    }
}

/// How far the load of a model has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loading {
    /// Of all there is to do: 0 to 100.
    pub percent: u8,
    /// While the weights come from the hub.
    pub fetched: Option<Fetched>,
}

impl From<u8> for Loading {
    fn from(percent: u8) -> Self {
        Loading {
            percent,
            fetched: None,
        }
    }
}

/// Reads, checks and converts; `progress` goes from 0 to 90 percent.
pub fn load(
    source: &ModelSource,
    target: Target,
    cancel: &Cancel,
    progress: &mut dyn FnMut(Loading),
) -> Result<Loaded, WhisperError> {
    progress(0.into());
    cancel.check()?;
    let mut begun = 0.0;
    let parts = match source {
        ModelSource::Demo => bundled()?,
        ModelSource::Path(path) => local(path)?,
        ModelSource::Hub { id, revision } => {
            let settings = hub::Settings::from_env()?;
            let (id, revision) = (id.clone(), revision.clone());
            let hub = HubId { id, revision };
            let dir = hub::fetch(&settings, &hub, cancel, &mut |fetched| {
                begun = DOWNLOAD * f32::from(fetched.percent()) / 100.0;
                progress(Loading {
                    percent: begun as u8,
                    fetched: Some(fetched),
                });
            })?;
            directory(&dir)?
        }
    };
    let progress = &mut |percent: u8| {
        let rest = (100.0 - begun) * f32::from(percent) / 100.0;
        progress(((begun + rest) as u8).into());
    };
    cancel.check()?;
    let mut config = parts.config()?;
    let tokenizer = parts.tokenizer(&config)?;
    if parts.config.is_none() {
        config.shape.suppress_tokens = tokenizer.non_speech();
    }
    progress(SMALL_FILES as u8);

    let mut on_weights = |part: f32| progress((SMALL_FILES + WEIGHTS * part) as u8);
    let format = match target.runner {
        Runner::Kernels(format) => format,
        Runner::Graph(..) => Format::Single,
    };
    let needed = parts.checkpoint.memory(format);
    memory::fits(needed).map_err(|free| WhisperError::NoMemory {
        path: parts.path.clone(),
        needed,
        free,
    })?;
    let mut weights = Weights::new(&parts.checkpoint, format, cancel, &mut on_weights);
    let network = match target.runner {
        Runner::Kernels(_) => Network::Kernels(Box::new(Kernels {
            encoder: Encoder::load(&mut weights, &config)?,
            decoder: TextDecoder::load(&mut weights, &config)?,
        })),
        Runner::Graph(device, dtype) => {
            let graph = Graph::load(&mut weights, &config, device, dtype)?;
            Network::Graph(Box::new(graph))
        }
    };
    parts.checkpoint.unchanged()?;
    config.shape.trained_positions = match &network {
        Network::Kernels(kernels) => trained_positions(kernels.decoder.positions())?,
        Network::Graph(graph) => trained_positions(graph.positions())?,
    };
    progress((SMALL_FILES + WEIGHTS) as u8);
    Ok(Loaded {
        config,
        tokenizer: Arc::new(tokenizer),
        network,
    })
}

/// How many text positions, from the first, look trained: a row that training never reached is still as small as it
/// was drawn, so the last one at least half as long as the usual (the median of the first 64) ends them. Models
/// trained on short texts know far fewer positions than they have; in OpenAI's all 448 were seen.
fn trained_positions(positions: &Tensor) -> Result<usize, WhisperError> {
    let positions = positions.to_dtype(DType::F32)?;
    let norms = positions.sqr()?.sum(1)?.sqrt()?.to_vec1::<f32>()?;
    let mut first = norms
        .get(..norms.len().min(64))
        .unwrap_or_default()
        .to_vec();
    first.sort_by(f32::total_cmp);
    let usual = first.get(first.len() / 2).copied().unwrap_or_default();
    Ok(norms
        .iter()
        .rposition(|&norm| norm >= usual / 2.0)
        .map_or(0, |last| last + 1))
}

impl Parts {
    fn config(&self) -> Result<ModelConfig, WhisperError> {
        match &self.config {
            Some(file) => {
                ModelConfig::read(file, self.generation.as_ref(), self.preprocessor.as_ref())
            }
            None => ModelConfig::derived(&self.checkpoint.dims()?, &self.checkpoint.path()),
        }
    }

    fn tokenizer(&self, config: &ModelConfig) -> Result<Tokenizer, WhisperError> {
        if let Some(file) = &self.tokenizer {
            return read_tokenizer(file, config);
        }
        let vocab_size = config.shape.vocab_size;
        let bundled = Tokenizer::bundled(vocab_size)?;
        bundled.ok_or_else(|| WhisperError::NoTokenizer {
            path: self.path.clone(),
            vocab_size,
        })
    }
}

/// A directory, or a file of any format.
fn local(path: &Path) -> Result<Parts, WhisperError> {
    if !path.exists() {
        return Err(WhisperError::NoSuchPath(path.to_owned()));
    }
    if path.is_dir() {
        directory(path)
    } else {
        single(path)
    }
}

fn directory(dir: &Path) -> Result<Parts, WhisperError> {
    Ok(Parts {
        path: dir.to_owned(),
        config: Some(required(dir, "config.json")?),
        generation: optional(dir, "generation_config.json")?,
        preprocessor: optional(dir, "preprocessor_config.json")?,
        tokenizer: optional(dir, "tokenizer.json")?,
        checkpoint: Checkpoint::open(weights::directory(dir)?)?,
    })
}

/// One file. Formats that carry tensors alone may have Hugging Face's small files beside them; the others say all of
/// themselves, and what lies beside them is some other model's.
fn single(path: &Path) -> Result<Parts, WhisperError> {
    let shard = Shard::open(path.to_owned())?;
    let container = Container::of(&shard)?;
    let beside = match container {
        Container::Safetensors | Container::Gguf => path.parent(),
        Container::Torch | Container::Ggml => None,
    };
    let beside = |name: &str| match beside {
        Some(dir) => optional(dir, name),
        None => Ok(None),
    };
    let config = beside("config.json")?;
    let (generation, preprocessor) = match config {
        Some(_) => (
            beside("generation_config.json")?,
            beside("preprocessor_config.json")?,
        ),
        None => (None, None),
    };
    Ok(Parts {
        path: path.to_owned(),
        config,
        generation,
        preprocessor,
        tokenizer: beside("tokenizer.json")?,
        checkpoint: Checkpoint::open(vec![shard])?,
    })
}

fn required(dir: &Path, name: &str) -> Result<File, WhisperError> {
    optional(dir, name)?.ok_or_else(|| WhisperError::MissingFile {
        dir: dir.to_owned(),
        file: name.to_owned(),
    })
}

fn optional(dir: &Path, name: &str) -> Result<Option<File>, WhisperError> {
    let path: PathBuf = dir.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = weights::read(&path)?;
    Ok(Some(File { path, bytes }))
}

fn bundled() -> Result<Parts, WhisperError> {
    let dir = Path::new(DEMO_MODEL_NAME);
    let file = |name: &str, bytes: &[u8]| File {
        path: dir.join(name),
        bytes: bytes.to_vec(),
    };
    let weights = Shard::in_memory(dir.join("model.safetensors"), demo::weights()?);
    Ok(Parts {
        path: dir.to_owned(),
        config: Some(file("config.json", demo::CONFIG)),
        generation: Some(file("generation_config.json", demo::GENERATION_CONFIG)),
        preprocessor: None,
        tokenizer: None,
        checkpoint: Checkpoint::open(vec![weights])?,
    })
}

/// The tokenizer, which must name just the tokens the network knows.
fn read_tokenizer(file: &File, config: &ModelConfig) -> Result<Tokenizer, WhisperError> {
    let tokenizer = Tokenizer::from_json(&file.bytes, &file.path)?;
    let vocab_size = config.shape.vocab_size;
    let mismatch = || WhisperError::TokenizerMismatch {
        path: file.path.clone(),
        tokens: tokenizer.len(),
        vocab_size,
    };
    // Embeddings padded to a round size belong to no token.
    let padded = vocab_size.is_multiple_of(64) && vocab_size.abs_diff(tokenizer.len()) < 64;
    if tokenizer.len() > vocab_size || (tokenizer.len() < vocab_size && !padded) {
        return Err(mismatch());
    }
    let start = tokenizer.specials().sot;
    if let Some(expected) = config.start_token.filter(|&expected| expected != start) {
        return Err(WhisperError::BadTokenizer {
            path: file.path.clone(),
            reason: format!(
                "its <|startoftranscript|> is token {start}, config.json says {expected}"
            ),
        });
    }
    Ok(tokenizer)
}
