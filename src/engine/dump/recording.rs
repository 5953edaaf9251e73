//! A dump read back. What a killed process left behind is read as far as it goes.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::{FORMAT, Header, Line, Passed, Span};
use super::{AUDIO, HEADER, PASSES, wav};

/// Why a dump cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error(
        "{path} cannot be read ({reason}); give the directory of one stream, as dump-dir made it: it holds header.json, audio.wav and passes.jsonl"
    )]
    Unreadable { path: PathBuf, reason: io::Error },
    #[error("{path} is no dump's header ({reason}); was it changed by hand?")]
    Header {
        path: PathBuf,
        reason: serde_json::Error,
    },
    #[error(
        "{path} has format {found}, but this program reads formats up to {FORMAT}; read it with the program that wrote it, or a newer one"
    )]
    Newer { path: PathBuf, found: u32 },
    #[error("line {line} of {path} cannot be understood ({reason}); was it changed by hand?")]
    Line {
        path: PathBuf,
        line: u64,
        reason: serde_json::Error,
    },
    #[error("the dump has {passes} passes, but pass {number} was asked for; count from 1")]
    NoPass { number: u64, passes: u64 },
}

/// A stream's dump.
#[derive(Clone, Debug)]
pub struct Recording {
    dir: PathBuf,
    pub header: Header,
}

/// Only what tells whether the rest can be read.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

impl Recording {
    /// The dump in a directory.
    pub fn open(dir: &Path) -> Result<Recording, RecordingError> {
        let path = dir.join(HEADER);
        let text = fs::read(&path).map_err(|reason| unreadable(&path, reason))?;
        let broken = |reason| RecordingError::Header {
            path: path.clone(),
            reason,
        };
        let Format { format } = serde_json::from_slice(&text).map_err(broken)?;
        if format > FORMAT {
            let found = format;
            return Err(RecordingError::Newer { path, found });
        }
        let header = serde_json::from_slice(&text).map_err(broken)?;
        let dir = dir.to_owned();
        Ok(Recording { dir, header })
    }

    /// The calls that the policy got, in order.
    pub fn lines(&self) -> Result<Lines, RecordingError> {
        let path = self.dir.join(PASSES);
        let file = File::open(&path).map_err(|reason| unreadable(&path, reason))?;
        Ok(Lines {
            path,
            file: BufReader::new(file),
            number: 0,
        })
    }

    /// The pass of this number.
    pub fn pass(&self, number: u64) -> Result<Passed, RecordingError> {
        let mut passes = 0;
        for line in self.lines()? {
            if let Line::Pass(pass) = line? {
                passes = pass.number;
                if passes == number {
                    return Ok(*pass);
                }
            }
        }
        Err(RecordingError::NoPass { number, passes })
    }

    /// The sound of a stretch, as a WAV file. Shorter if the dump breaks off in it.
    pub fn wav(&self, span: &Span) -> Result<Vec<u8>, RecordingError> {
        let mut audio = self.audio()?;
        audio.seek(span.wav)?;
        let samples = audio.read(span.end.saturating_sub(span.start))?;
        let mut file = wav::header(2 * samples.len() as u64).to_vec();
        file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        Ok(file)
    }

    /// All samples, in order.
    pub(super) fn audio(&self) -> Result<Audio, RecordingError> {
        let path = self.dir.join(AUDIO);
        let file = File::open(&path).map_err(|reason| unreadable(&path, reason))?;
        let file = BufReader::new(file);
        let mut audio = Audio { path, file };
        audio.seek(0)?;
        Ok(audio)
    }
}

fn unreadable(path: &Path, reason: io::Error) -> RecordingError {
    RecordingError::Unreadable {
        path: path.to_owned(),
        reason,
    }
}

/// The lines of `passes.jsonl`. A last line without its end was being written when the process died: it is left out.
pub struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    number: u64,
}

impl Iterator for Lines {
    type Item = Result<Line, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        if let Err(reason) = self.file.read_until(b'\n', &mut line) {
            return Some(Err(unreadable(&self.path, reason)));
        }
        if line.pop() != Some(b'\n') {
            return None;
        }
        self.number += 1;
        let read = serde_json::from_slice(&line).map_err(|reason| RecordingError::Line {
            path: self.path.clone(),
            line: self.number,
            reason,
        });
        Some(read)
    }
}

/// The samples of `audio.wav`, whatever length its header tells of.
pub(super) struct Audio {
    path: PathBuf,
    file: BufReader<File>,
}

impl Audio {
    pub fn seek(&mut self, sample: u64) -> Result<(), RecordingError> {
        let at = SeekFrom::Start(wav::HEADER_BYTES + 2 * sample);
        let sought = self.file.seek(at);
        sought
            .map(|_| ())
            .map_err(|reason| unreadable(&self.path, reason))
    }

    /// The next samples; fewer at the end of the file.
    pub fn read(&mut self, samples: u64) -> Result<Vec<i16>, RecordingError> {
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(2 * samples).read_to_end(&mut bytes);
        read.map_err(|reason| unreadable(&self.path, reason))?;
        let (pairs, _) = bytes.as_chunks::<2>();
        Ok(pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect())
    }
}
