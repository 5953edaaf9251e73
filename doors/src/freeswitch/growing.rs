//! A file that somebody else writes, read while it grows.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};

use super::recording::Unheard;

/// How long the file may take to appear.
pub const APPEARS: Duration = Duration::from_secs(10);
/// Most that one look reads.
pub const MOST: usize = 64 * 1024;

pub struct Growing {
    /// Here.
    path: PathBuf,
    /// On FreeSWITCH's machine.
    theirs: String,
    began: Instant,
    file: Option<File>,
    offset: u64,
    /// Where reading was when the file was cut off.
    cut: Option<u64>,
}

impl Growing {
    /// It may not be there yet.
    pub fn new(path: PathBuf, theirs: String) -> Growing {
        Growing {
            path,
            theirs,
            began: Instant::now(),
            file: None,
            offset: 0,
            cut: None,
        }
    }

    /// As FreeSWITCH names it.
    pub fn theirs(&self) -> &str {
        &self.theirs
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    /// Its length by now; 0 while it is not there.
    pub async fn length(&mut self) -> Result<u64, Unheard> {
        if self.file.is_none() {
            match File::open(&self.path).await {
                Ok(file) => self.file = Some(file),
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    return match self.began.elapsed() < APPEARS {
                        true => Ok(0),
                        false => Err(Unheard::NoFile {
                            theirs: self.theirs.clone(),
                            ours: self.path.display().to_string(),
                        }),
                    };
                }
                Err(err) => return Err(self.unreadable(err)),
            }
        }
        // Of the file that is open: that it was renamed or deleted meanwhile changes nothing.
        match &self.file {
            Some(file) => match file.metadata().await {
                Ok(metadata) => Ok(metadata.len()),
                Err(err) => Err(self.unreadable(err)),
            },
            None => Ok(0),
        }
    }

    /// Appends what is new, [`MOST`] bytes at most; tells how much it was.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> Result<usize, Unheard> {
        let length = self.length().await?;
        if length < self.offset {
            tracing::warn!("somebody cut off the recording {}", self.path.display());
            self.cut = Some(self.offset);
            self.offset = length;
        }
        // A writer that knows its place goes on there, and leaves a hole.
        if let Some(cut) = self.cut.filter(|cut| length >= *cut) {
            (self.offset, self.cut) = (cut, None);
        }
        let new = length.saturating_sub(self.offset).min(MOST as u64);
        if new == 0 {
            return Ok(0);
        }
        let read = match &mut self.file {
            Some(file) => read_at(file, self.offset, new, into).await,
            None => Ok(0),
        };
        let read = read.map_err(|err| self.unreadable(err))?;
        self.offset += read as u64;
        Ok(read)
    }

    /// Deletes it.
    pub fn remove(self) {
        match std::fs::remove_file(&self.path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => tracing::warn!(
                "the recording {} stays: {err}; run this program as FreeSWITCH's user, or choose a --record-dir in which it may delete",
                self.path.display()
            ),
            _ => {}
        }
    }

    fn unreadable(&self, err: io::Error) -> Unheard {
        Unheard::Read {
            path: self.path.display().to_string(),
            err,
        }
    }
}

async fn read_at(file: &mut File, at: u64, most: u64, into: &mut Vec<u8>) -> io::Result<usize> {
    file.seek(SeekFrom::Start(at)).await?;
    file.take(most).read_to_end(into).await
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    async fn all(growing: &mut Growing) -> Vec<u8> {
        let mut bytes = Vec::new();
        while growing.read(&mut bytes).await.unwrap() > 0 {}
        bytes
    }

    #[tokio::test]
    async fn what_is_appended_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        let mut growing = Growing::new(path.clone(), String::new());
        assert!(all(&mut growing).await.is_empty());
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&[1; 100_000]).unwrap();
        assert_eq!(all(&mut growing).await.len(), 100_000);
        file.write_all(&[2; 3]).unwrap();
        assert_eq!(all(&mut growing).await, [2; 3]);
        // Deleted: the writer has it still, and so have we.
        std::fs::remove_file(&path).unwrap();
        file.write_all(&[3; 5]).unwrap();
        assert_eq!(all(&mut growing).await, [3; 5]);
    }

    #[tokio::test]
    async fn a_file_that_is_cut_off_is_followed_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        let mut growing = Growing::new(path.clone(), String::new());
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&[1; 1_000]).unwrap();
        assert_eq!(all(&mut growing).await.len(), 1_000);
        // A writer that keeps its place.
        file.set_len(0).unwrap();
        assert!(all(&mut growing).await.is_empty());
        file.write_all(&[2; 10]).unwrap();
        assert_eq!(all(&mut growing).await, [2; 10]);
        // One that begins anew.
        file.set_len(0).unwrap();
        assert!(all(&mut growing).await.is_empty());
        file.rewind().unwrap();
        file.write_all(&[3; 10]).unwrap();
        assert_eq!(all(&mut growing).await, [3; 10]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_said_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let mut growing = Growing::new(dir.path().join("a.raw/b"), String::new());
        std::fs::File::create(dir.path().join("a.raw")).unwrap();
        let err = growing.length().await.unwrap_err().to_string();
        assert!(err.contains("FreeSWITCH's user"), "{err}");
    }
}
