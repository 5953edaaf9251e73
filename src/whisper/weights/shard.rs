//! One file of weights, in memory or on a disk.
//!
//! Files are read, not mapped: whoever truncates a file that is mapped ends the process that looks at it (SIGBUS), and so does a disk
//! that fails. Read, both are an error. Only what is asked for is read, so that a load takes no copy of the file.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::flaw::Flaw;
use crate::whisper::WhisperError;

/// One file of weights; its path is for errors.
pub struct Shard {
    pub path: PathBuf,
    length: usize,
    bytes: Bytes,
}

enum Bytes {
    File { file: File, written: Stamp },
    Memory(Vec<u8>),
}

/// What changes when a file is written to.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            length: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

impl Shard {
    /// Weights that are in memory already.
    pub fn in_memory(path: PathBuf, bytes: Vec<u8>) -> Shard {
        Shard {
            path,
            length: bytes.len(),
            bytes: Bytes::Memory(bytes),
        }
    }

    /// Opens a file. Renamed or removed from now on, it is read to its end as it was.
    ///
    /// # Errors
    /// What is no file, or cannot be opened.
    pub fn open(path: PathBuf) -> Result<Shard, WhisperError> {
        regular(&path)?;
        let file = File::open(&path).map_err(|e| unreadable(&path, e))?;
        let metadata = file.metadata().map_err(|e| unreadable(&path, e))?;
        let written = Stamp::of(&metadata);
        let length = usize::try_from(written.length).unwrap_or(usize::MAX);
        Ok(Shard {
            path,
            length,
            bytes: Bytes::File { file, written },
        })
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Fills `to` with what begins at `at`.
    ///
    /// # Errors
    /// A range that the file does not have (any more), or a disk that fails.
    pub fn fill(&self, at: usize, to: &mut [u8]) -> Result<(), Flaw> {
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let end = at.checked_add(to.len());
                let from = end.and_then(|end| bytes.get(at..end));
                to.copy_from_slice(from.ok_or("it ends early")?);
                Ok(())
            }
            Bytes::File { file, .. } => {
                let mut file = file;
                let start = SeekFrom::Start(at as u64);
                let filled = file.seek(start).and_then(|_| file.read_exact(to));
                filled.map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof if at.saturating_add(to.len()) <= self.length => {
                        Flaw::Changed
                    }
                    ErrorKind::UnexpectedEof => "it ends early".into(),
                    _ => Flaw::Unreadable(error.to_string()),
                })
            }
        }
    }

    /// The bytes of a range, which is checked before anything is taken for it.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Flaw> {
        if range.end > self.length {
            return Err("it ends early".into());
        }
        let mut bytes = room(range.len())?;
        bytes.resize(range.len(), 0);
        self.fill(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Its first bytes, `most` at most.
    pub fn beginning(&self, most: usize) -> Result<Vec<u8>, Flaw> {
        self.read(0..most.min(self.length))
    }

    /// As a stream.
    pub fn reader(&self) -> Reader<'_> {
        Reader { shard: self, at: 0 }
    }

    /// That nobody has written to the file since it was opened: what was read would be half of one model and half of another.
    pub fn unchanged(&self) -> Result<(), Flaw> {
        let Bytes::File { file, written } = &self.bytes else {
            return Ok(());
        };
        match file.metadata() {
            Ok(now) if Stamp::of(&now) == *written => Ok(()),
            Ok(_) => Err(Flaw::Changed),
            Err(error) => Err(Flaw::Unreadable(error.to_string())),
        }
    }
}

/// An empty list with room for so many values.
///
/// # Errors
/// [`Flaw::NoRoom`] where the process cannot have as much memory.
pub fn room<T>(count: usize) -> Result<Vec<T>, Flaw> {
    let mut values = Vec::new();
    let reserved = values.try_reserve_exact(count);
    reserved.map_err(|_| Flaw::NoRoom(count.saturating_mul(size_of::<T>())))?;
    Ok(values)
}

/// A file of weights from one place on.
pub struct Reader<'a> {
    shard: &'a Shard,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX);
        let count = to.len().min(self.shard.length.saturating_sub(at));
        let filled = self.shard.fill(at, to.get_mut(..count).unwrap_or_default());
        filled.map_err(|flaw| std::io::Error::other(flaw.reason()))?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => (self.shard.length as u64).checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
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
