//! A Hugging Face model directory: one `model.safetensors` or the shards its index names.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use serde::Deserialize;

use crate::whisper::WhisperError;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// One file of weights; its path is for errors.
pub struct Shard {
    pub path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Shard {
    /// Weights that are in memory already.
    pub fn in_memory(path: PathBuf, bytes: Vec<u8>) -> Shard {
        let bytes = Bytes::Owned(bytes);
        Shard { path, bytes }
    }

    fn map(path: PathBuf) -> Result<Shard, WhisperError> {
        let file = File::open(&path).map_err(|e| unreadable(&path, e))?;
        // SAFETY: the map is read once, right now, and dropped when the weights are converted. Whoever
        // truncates the file in that moment ends the process, as with every mapped file; no other way of
        // reading gigabytes costs no second copy.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| unreadable(&path, e))?;
        let bytes = Bytes::Mapped(map);
        Ok(Shard { path, bytes })
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> WhisperError {
    WhisperError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Maps the weights of the model in `dir`.
pub fn open(dir: &Path) -> Result<Vec<Shard>, WhisperError> {
    if dir.join(SINGLE).exists() {
        return Ok(vec![Shard::map(dir.join(SINGLE))?]);
    }
    let index = dir.join(INDEX);
    if !index.exists() {
        return Err(WhisperError::MissingFile {
            dir: dir.to_owned(),
            file: format!("{SINGLE} (nor {INDEX})"),
        });
    }
    let json = std::fs::read(&index).map_err(|e| unreadable(&index, e))?;
    let bad = |reason: String| WhisperError::BadJson {
        path: index.clone(),
        reason,
    };
    let parsed: IndexFile = serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    let shards = names.into_iter().map(|name| {
        // The index comes from a stranger: it names files of its own directory, nothing else.
        let mut parts = Path::new(&name).components();
        if !matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        ) {
            return Err(bad(format!("{name:?} is no file name")));
        }
        let path = dir.join(&name);
        if !path.exists() {
            let dir = dir.to_owned();
            return Err(WhisperError::MissingFile { dir, file: name });
        }
        Shard::map(path)
    });
    shards.collect()
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: std::collections::HashMap<String, String>,
}
