//! A Hugging Face model directory: one file of weights or the shards its index names.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::shard::{self, Shard};
use crate::whisper::WhisperError;

/// The names of weights, the preferred first: in one file, or the index of several.
pub const NAMES: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// Opens the weights of the model in `dir`.
///
/// # Errors
/// Weights that are not there, or an index that leads astray.
pub fn directory(dir: &Path) -> Result<Vec<Shard>, WhisperError> {
    for (single, index) in NAMES {
        if dir.join(single).exists() {
            return Ok(vec![Shard::open(dir.join(single))?]);
        }
        if dir.join(index).exists() {
            return sharded(dir, dir.join(index));
        }
    }
    let names = NAMES.map(|(single, index)| format!("{single}, {index}"));
    Err(WhisperError::MissingFile {
        dir: dir.to_owned(),
        file: format!("weights ({})", names.join(", ")),
    })
}

fn sharded(dir: &Path, index: PathBuf) -> Result<Vec<Shard>, WhisperError> {
    let json = shard::read(&index)?;
    let bad = |reason: String| WhisperError::BadJson {
        path: index.clone(),
        reason,
    };
    let names = shard_names(&json).map_err(bad)?;
    let shards = names.into_iter().map(|name| {
        let path = dir.join(&name);
        if !path.exists() {
            let dir = dir.to_owned();
            return Err(WhisperError::MissingFile { dir, file: name });
        }
        Shard::open(path)
    });
    shards.collect()
}

/// The files that an index names. It comes from a stranger: it names files of its own directory, nothing else.
pub fn shard_names(json: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::HashMap<String, String>,
    }
    let parsed: Index = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    for name in &names {
        let mut parts = Path::new(name).components();
        let is_name = matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        );
        if !is_name {
            return Err(format!("{name:?} is no file name"));
        }
    }
    Ok(names)
}
