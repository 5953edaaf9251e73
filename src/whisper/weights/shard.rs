//! One file of weights, in memory or mapped.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::whisper::WhisperError;

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

    /// Maps a file.
    ///
    /// # Errors
    /// What is no file, or cannot be opened or mapped.
    pub fn map(path: PathBuf) -> Result<Shard, WhisperError> {
        regular(&path)?;
        let file = File::open(&path).map_err(|e| unreadable(&path, e))?;
        let length = file.metadata().map_err(|e| unreadable(&path, e))?.len();
        if length == 0 {
            return Ok(Shard::in_memory(path, Vec::new()));
        }
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

/// Reads a small file.
///
/// # Errors
/// What is no file, or cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, WhisperError> {
    regular(path)?;
    std::fs::read(path).map_err(|e| unreadable(path, e))
}

/// Refuses pipes, which nobody may ever write to, and devices, which may never end, before they are opened.
fn regular(path: &Path) -> Result<(), WhisperError> {
    let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
    if metadata.is_file() {
        return Ok(());
    }
    let path = path.to_owned();
    Err(WhisperError::NotAFile { path })
}

fn unreadable(path: &Path, error: std::io::Error) -> WhisperError {
    WhisperError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
