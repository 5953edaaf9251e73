//! One file from the hub into the cache: resumed where it broke off, checked against its sum.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest::{self, Digest};

use super::cache::{Shelf, check, create_parent, unwritable};
use super::client::{Answer, Client};
use super::{HubError, HubId};
use crate::whisper::Cancel;

/// Attempts in a row that brought less than [`NEWS`].
const ATTEMPTS: u32 = 5;
/// Bytes after which a connection was worth its while.
const NEWS: u64 = 1 << 20;
const NAP: Duration = Duration::from_millis(50);
/// Read at a time, of what is there from before.
const PIECE: usize = 1 << 20;

/// A file of a repository.
pub struct Wanted<'a> {
    pub name: &'a str,
    /// What the hub names its bytes by: their SHA-256, or the SHA-1 that git gives them.
    pub etag: String,
    pub size: Option<u64>,
}

/// Whether this may name a file in the cache: it comes from a stranger.
pub fn is_etag(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

pub struct Transfer<'a> {
    pub hub: &'a HubId,
    pub client: &'a Client,
    pub shelf: &'a Shelf,
    pub commit: &'a str,
    pub url: String,
    pub wanted: &'a Wanted<'a>,
    pub cancel: &'a Cancel,
}

impl Transfer<'_> {
    /// Brings the file. `done` is told its bytes that are there.
    pub fn run(&self, done: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let etag = &self.wanted.etag;
        let (blob, part) = (self.shelf.blob(etag), self.shelf.part(etag));
        let lock = self.shelf.lock(etag, self.cancel, &mut || {
            done(fs::metadata(&part).map_or(0, |part| part.len()));
        })?;
        if !blob.exists() {
            create_parent(&part)?;
            self.bring(&part, done)?;
            fs::rename(&part, &blob).map_err(|error| unwritable(&blob, error))?;
        }
        done(self.wanted.size.unwrap_or_default());
        drop(lock);
        self.shelf.link(etag, self.commit, self.wanted.name)
    }

    /// Leaves all of the file at `path`, or what came of it.
    fn bring(&self, path: &Path, done: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let mut part = Part::open(path, self.wanted, self.cancel)?;
        let mut resumed = part.length > 0;
        loop {
            self.complete(&mut part, done)?;
            let Err((expected, found)) = part.check() else {
                return part.sync();
            };
            part.restart()?;
            // What lay there from before may have been of another making.
            if !std::mem::take(&mut resumed) {
                fs::remove_file(path).map_err(|error| unwritable(path, error))?;
                return Err(HubError::Checksum {
                    url: self.url.clone(),
                    expected,
                    found,
                });
            }
        }
    }

    /// Attempts until all bytes are there.
    fn complete(&self, part: &mut Part<'_>, done: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let (mut failures, mut pause) = (0, self.client.pause);
        while !part.is_complete() {
            let before = part.length;
            let Err(error) = self.attempt(part, done) else {
                return Ok(());
            };
            if part.length >= before + NEWS {
                (failures, pause) = (0, self.client.pause);
            }
            failures += 1;
            if !error.is_passing() || failures == ATTEMPTS {
                return Err(error);
            }
            nap(pause, self.cancel)?;
            pause *= 2;
        }
        Ok(())
    }

    /// One connection.
    fn attempt(&self, part: &mut Part<'_>, done: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let answer = self
            .client
            .get(self.hub, &self.url, part.length, self.cancel);
        let mut answer = match answer {
            // Nothing lies behind what is there, so that cannot be a part of the file.
            Err(error @ HubError::Status { status: 416, .. }) => {
                part.restart()?;
                return Err(error);
            }
            answer => answer?,
        };
        let continues = answer.status == 206;
        if continues && begins(&answer) != Some(part.length) {
            return Err(answer.bad("not the part of the file that was asked for".to_owned()));
        }
        if !continues && part.length > 0 {
            part.restart()?;
        }
        loop {
            let bytes = answer.next(self.cancel).map_err(|error| match error {
                HubError::Cut { url, reason, .. } => HubError::Cut {
                    url,
                    reason,
                    at: part.length,
                },
                other => other,
            })?;
            let Some(bytes) = bytes else {
                break;
            };
            part.append(&bytes)?;
            if part.size.is_some_and(|size| part.length > size) {
                part.restart()?;
                return Err(answer.bad("more bytes than the file has".to_owned()));
            }
            done(part.length);
        }
        // Without a size the end of the connection is the end of the file.
        if part.size.is_none() || part.is_complete() {
            part.size = Some(part.length);
            return Ok(());
        }
        Err(HubError::Cut {
            url: self.url.clone(),
            at: part.length,
            reason: "it ended too early".to_owned(),
        })
    }
}

/// Where the bytes of a 206 begin.
fn begins(answer: &Answer) -> Option<u64> {
    let range = answer.header("content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

fn nap(pause: Duration, cancel: &Cancel) -> Result<(), HubError> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        check(cancel)?;
        thread::sleep(NAP.min(pause));
    }
    check(cancel)
}

/// The bytes that are there, and their sum so far.
struct Part<'a> {
    file: File,
    path: PathBuf,
    length: u64,
    size: Option<u64>,
    etag: &'a str,
    sum: Option<digest::Context>,
}

impl<'a> Part<'a> {
    /// Takes up what is there from before.
    fn open(path: &Path, wanted: &'a Wanted<'a>, cancel: &Cancel) -> Result<Part<'a>, HubError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options
            .open(path)
            .map_err(|error| unwritable(path, error))?;
        let mut part = Part {
            file,
            path: path.to_owned(),
            length: 0,
            size: wanted.size,
            etag: &wanted.etag,
            sum: sum(wanted),
        };
        let mut buffer = vec![0; PIECE];
        loop {
            check(cancel)?;
            let read = part.file.read(&mut buffer);
            let bytes = match part.written(read)? {
                0 => break,
                read => buffer.get(..read).unwrap_or_default(),
            };
            part.count(bytes);
        }
        if part.size.is_some_and(|size| part.length > size) {
            part.restart()?;
        }
        Ok(part)
    }

    fn is_complete(&self) -> bool {
        self.size == Some(self.length)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let written = self.file.write_all(bytes);
        self.written(written)?;
        self.count(bytes);
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
    }

    /// Forgets what is there.
    fn restart(&mut self) -> Result<(), HubError> {
        let emptied = self.file.set_len(0);
        self.written(emptied)?;
        self.length = 0;
        self.sum = sum(&Wanted {
            name: "",
            etag: self.etag.to_owned(),
            size: self.size,
        });
        Ok(())
    }

    /// What the sum should be and is, if they differ.
    fn check(&self) -> Result<(), (String, String)> {
        let Some(sum) = &self.sum else {
            return Ok(());
        };
        let found = hexadecimal(&sum.clone().finish());
        match found.eq_ignore_ascii_case(self.etag) {
            true => Ok(()),
            false => Err((self.etag.to_owned(), found)),
        }
    }

    /// Onto the disk, before the file gets a name that vouches for its bytes.
    fn sync(&self) -> Result<(), HubError> {
        let synced = self.file.sync_data();
        self.written(synced)
    }

    fn written<T>(&self, result: std::io::Result<T>) -> Result<T, HubError> {
        result.map_err(|error| unwritable(&self.path, error))
    }
}

/// What sums up the bytes as the etag does; `None` if that is of a kind that only its server knows.
fn sum(wanted: &Wanted<'_>) -> Option<digest::Context> {
    let hexadecimal = wanted.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (hexadecimal, wanted.etag.len(), wanted.size) {
        (true, 64, _) => Some(digest::Context::new(&digest::SHA256)),
        (true, 40, Some(size)) => {
            let mut sum = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
            sum.update(format!("blob {size}\0").as_bytes());
            Some(sum)
        }
        _ => None,
    }
}

fn hexadecimal(sum: &Digest) -> String {
    sum.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
