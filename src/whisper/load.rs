//! From a model source to a checked, warm model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{File, ModelConfig};
use super::decoder::TextDecoder;
use super::demo;
use super::encoder::Encoder;
use super::model::Network;
use super::weights::{self, Shard, Weights};
use super::{Arithmetic, Cancel, DEMO_MODEL_NAME, ModelSource, Tokenizer, WhisperError};

/// Percent of the load that the small files, and the weights, take.
const SMALL_FILES: f32 = 10.0;
const WEIGHTS: f32 = 80.0;

/// The files of one model.
struct Files {
    config: File,
    generation: Option<File>,
    preprocessor: Option<File>,
    tokenizer: File,
    shards: Vec<Shard>,
}

pub struct Loaded {
    pub config: ModelConfig,
    pub tokenizer: Arc<Tokenizer>,
    pub network: Network,
}

/// Reads, checks and converts; `progress` goes from 0 to 90 percent.
pub fn load(
    source: &ModelSource,
    arithmetic: Arithmetic,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u8),
) -> Result<Loaded, WhisperError> {
    progress(0);
    cancel.check()?;
    let files = match source {
        ModelSource::Demo => bundled()?,
        ModelSource::Path(path) => directory(path)?,
    };
    cancel.check()?;
    let (generation, preprocessor) = (files.generation.as_ref(), files.preprocessor.as_ref());
    let mut config = ModelConfig::read(&files.config, generation, preprocessor)?;
    let tokenizer = read_tokenizer(&files.tokenizer, &config)?;
    progress(SMALL_FILES as u8);

    let mut on_weights = |part: f32| progress((SMALL_FILES + WEIGHTS * part) as u8);
    let mut weights = Weights::new(&files.shards, arithmetic, cancel, &mut on_weights)?;
    let network = Network {
        encoder: Encoder::load(&mut weights, &config)?,
        decoder: TextDecoder::load(&mut weights, &config)?,
    };
    config.shape.trained_positions = network.decoder.trained_positions()?;
    progress((SMALL_FILES + WEIGHTS) as u8);
    Ok(Loaded {
        config,
        tokenizer: Arc::new(tokenizer),
        network,
    })
}

fn directory(dir: &Path) -> Result<Files, WhisperError> {
    if !dir.exists() {
        return Err(WhisperError::NoSuchPath(dir.to_owned()));
    }
    if !dir.is_dir() {
        return Err(WhisperError::NotADirectory(dir.to_owned()));
    }
    let config = required(dir, "config.json")?;
    let tokenizer = required(dir, "tokenizer.json")?;
    Ok(Files {
        config,
        generation: optional(dir, "generation_config.json")?,
        preprocessor: optional(dir, "preprocessor_config.json")?,
        tokenizer,
        shards: weights::open(dir)?,
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
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(File { path, bytes })),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(WhisperError::Unreadable {
            path,
            reason: e.to_string(),
        }),
    }
}

fn bundled() -> Result<Files, WhisperError> {
    let dir = Path::new(DEMO_MODEL_NAME);
    let file = |name: &str, bytes: Vec<u8>| File {
        path: dir.join(name),
        bytes,
    };
    let weights = Shard::in_memory(dir.join("model.safetensors"), demo::weights()?);
    Ok(Files {
        config: file("config.json", demo::CONFIG.to_vec()),
        generation: Some(file(
            "generation_config.json",
            demo::GENERATION_CONFIG.to_vec(),
        )),
        preprocessor: None,
        tokenizer: file("tokenizer.json", demo::tokenizer()?),
        shards: vec![weights],
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
