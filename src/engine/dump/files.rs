//! A dump on disk: a directory for each stream, made when its first audio comes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::{Header, Line};
use super::recorder::Keeper;
use super::{AUDIO, HEADER, PASSES, wav};

/// Most directories tried for a free name.
const TRIES: u64 = 10_000;

/// Dumps begun in this process.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// A stream's directory, once there is something to put into it.
pub struct Files {
    parent: PathBuf,
    header: Header,
    open: Option<Open>,
}

struct Open {
    dir: PathBuf,
    audio: BufWriter<File>,
    /// Bytes of sound in it, and as many as its header told of last.
    bytes: u64,
    told: u64,
    passes: BufWriter<File>,
}

impl Files {
    /// Nothing is written yet: a stream that never hears anything leaves nothing behind.
    pub fn new(parent: PathBuf, header: Header) -> Files {
        Files {
            parent,
            header,
            open: None,
        }
    }

    fn open(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            self.open = Some(Open::create(&self.parent, &self.header)?);
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Keeper for Files {
    fn audio(&mut self, chunk: &[f32]) -> io::Result<()> {
        let open = self.open()?;
        for sample in chunk {
            open.audio.write_all(&wav::pcm(*sample).to_le_bytes())?;
        }
        open.bytes += 2 * chunk.len() as u64;
        Ok(())
    }

    fn line(&mut self, line: Line) -> io::Result<()> {
        let open = self.open()?;
        serde_json::to_writer(&mut open.passes, &line)?;
        open.passes.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open()?.flush()
    }

    fn place(&self) -> PathBuf {
        self.open
            .as_ref()
            .map_or_else(|| self.parent.clone(), |open| open.dir.clone())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            // Nobody is left to tell.
            let _ = open.flush();
        }
    }
}

impl Open {
    fn create(parent: &Path, header: &Header) -> io::Result<Open> {
        fs::create_dir_all(parent)?;
        let dir = fresh(parent, header)?;
        let text = serde_json::to_string_pretty(header)?;
        fs::write(dir.join(HEADER), text + "\n")?;
        let mut audio = BufWriter::new(File::create_new(dir.join(AUDIO))?);
        audio.write_all(&wav::header(0))?;
        let passes = BufWriter::new(File::create_new(dir.join(PASSES))?);
        let mut open = Open {
            dir,
            audio,
            bytes: 0,
            told: 0,
            passes,
        };
        open.flush()?;
        Ok(open)
    }

    /// The audio first, so that no line tells of audio that is not there; its length in the header behind it, so that
    /// the file is whole at any instant.
    fn flush(&mut self) -> io::Result<()> {
        self.audio.flush()?;
        if self.told != self.bytes {
            let file = self.audio.get_mut();
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&wav::header(self.bytes))?;
            file.seek(SeekFrom::End(0))?;
            self.told = self.bytes;
        }
        self.passes.flush()
    }
}

/// Makes a directory of a name that no other stream has, in this process or another, now or before.
fn fresh(parent: &Path, header: &Header) -> io::Result<PathBuf> {
    let leg = header.leg.as_deref().unwrap_or("stream");
    let leg: String = leg
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let started = header.started.replace(':', "");
    let process = std::process::id();
    for _ in 0..TRIES {
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("{started}-{leg}-{process}-{number}"));
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(dir),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Now, UTC, ISO 8601, to the second.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    date(since.unwrap_or_default().as_secs())
}

/// Seconds since 1970 as a date of the Gregorian calendar.
fn date(seconds: u64) -> String {
    // Counted from 1 March 2000 a leap day is the last day of its year, of its four years, of its 400.
    let days = (seconds / 86_400) as i64 - 11_017;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = 2_000 + 400 * era + year + next;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
