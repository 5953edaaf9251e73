//! Turns the calls that a stream's policy gets into lines, and hands them to whoever keeps them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::record::{Came, Inserted, Line, Networked, Passed, Span};
use crate::policy::{Outcome, PolicySettings, Report, Samples};
use crate::speech::Boundary;
use crate::whisper::{FRAME, Tokenizer};

/// Keeps what is recorded.
pub trait Keeper: Send {
    fn audio(&mut self, chunk: &[f32]) -> io::Result<()>;
    fn line(&mut self, line: Line) -> io::Result<()>;
    /// A pass is over: all that was handed over is to be where others can read it.
    fn flush(&mut self) -> io::Result<()>;
    /// Where it is kept, for a complaint.
    fn place(&self) -> PathBuf;
}

/// Why a stream is not recorded (any more). The stream itself goes on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the stream is not recorded any more: {place} cannot be written ({reason}); the stream itself goes on. Make room there, or set dump-dir to a directory that can be written to"
)]
pub struct DumpError {
    pub place: PathBuf,
    pub reason: io::Error,
}

/// Records one stream. Whatever becomes of the recording, the stream does not notice.
pub struct Recorder {
    /// `None` once it could not be written.
    keeper: Option<Box<dyn Keeper>>,
    trouble: Option<DumpError>,
    tokenizer: Arc<Tokenizer>,
    /// Stream position behind what was inserted.
    position: Samples,
    /// Samples in the keeper's audio.
    wav: u64,
    passes: u64,
}

impl Recorder {
    pub fn new(keeper: Box<dyn Keeper>, tokenizer: Arc<Tokenizer>) -> Recorder {
        Recorder {
            keeper: Some(keeper),
            trouble: None,
            tokenizer,
            position: 0,
            wav: 0,
            passes: 0,
        }
    }

    /// Why recording broke off, told once.
    pub fn trouble(&mut self) -> Option<DumpError> {
        self.trouble.take()
    }

    pub fn insert(&mut self, chunk: &[f32]) {
        let samples = chunk.len() as u64;
        let inserted = Inserted {
            at: self.position,
            samples,
            wav: self.wav,
        };
        self.position += samples;
        self.wav += samples;
        self.keep(|keeper| {
            keeper.audio(chunk)?;
            keeper.line(Line::Insert(inserted))
        });
    }

    pub fn speech(&mut self, boundary: &Boundary) {
        self.line(Line::Speech(boundary.into()));
    }

    pub fn shorten(&mut self, shorten: bool) {
        self.line(Line::Shorten(shorten));
    }

    pub fn reset(&mut self, position: Samples) {
        self.position = position;
        self.line(Line::Reset(position));
    }

    pub fn update(&mut self, settings: &PolicySettings) {
        self.line(Line::Update(Box::new(settings.clone())));
    }

    /// A pass is over. `report`: what the network did, if it was asked; `outcome`: none if the pass was given up.
    pub fn pass(&mut self, is_last: bool, report: Option<Report>, outcome: Option<&Outcome>) {
        self.passes += 1;
        let network = report.map(|report| {
            let audio = self.span(&report);
            Networked::new(report, audio, &self.tokenizer)
        });
        let pass = Passed {
            number: self.passes,
            at: self.position,
            is_last,
            cancelled: outcome.is_none(),
            network,
            outcome: outcome.map(Came::from),
        };
        self.keep(|keeper| {
            keeper.line(Line::Pass(Box::new(pass)))?;
            keeper.flush()
        });
    }

    /// The audio that a pass heard. Its base is the first sample, except that of the reference, which drifts.
    fn span(&self, report: &Report) -> Span {
        let end = self.position;
        let held = end.saturating_sub(report.base);
        let frames = (report.content * FRAME) as Samples;
        let is_exact = held >= frames && held < frames + FRAME as Samples;
        let samples = if is_exact { held } else { frames }.min(self.wav);
        Span {
            start: end.saturating_sub(samples),
            end,
            wav: self.wav - samples,
        }
    }

    fn line(&mut self, line: Line) {
        self.keep(|keeper| keeper.line(line));
    }

    fn keep(&mut self, write: impl FnOnce(&mut dyn Keeper) -> io::Result<()>) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        if let Err(reason) = write(keeper.as_mut()) {
            let place = keeper.place();
            self.trouble = Some(DumpError { place, reason });
            self.keeper = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::lock;

    /// A disk with room for so many lines.
    #[derive(Clone, Default)]
    struct Disk {
        room: usize,
        lines: Arc<Mutex<Vec<Line>>>,
        asked: Arc<AtomicUsize>,
    }

    impl Keeper for Disk {
        fn audio(&mut self, _: &[f32]) -> io::Result<()> {
            Ok(())
        }

        fn line(&mut self, line: Line) -> io::Result<()> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let mut lines = lock(&self.lines);
            if lines.len() == self.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            lines.push(line);
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn place(&self) -> PathBuf {
            "/records/call".into()
        }
    }

    fn recorder(disk: &Disk) -> Recorder {
        let tokenizer = Arc::new(Tokenizer::demo().unwrap());
        Recorder::new(Box::new(disk.clone()), tokenizer)
    }

    #[test]
    fn a_full_disk_is_told_once_and_nothing_more_is_written() {
        let disk = Disk {
            room: 2,
            ..Disk::default()
        };
        let mut recorder = recorder(&disk);
        recorder.insert(&[0.0; 160]);
        recorder.shorten(true);
        assert!(recorder.trouble().is_none());
        recorder.insert(&[0.0; 160]);
        let sentence = recorder.trouble().unwrap().to_string();
        assert!(sentence.contains("/records/call"), "{sentence}");
        assert!(recorder.trouble().is_none());
        recorder.insert(&[0.0; 160]);
        recorder.pass(true, None, None);
        assert!(recorder.trouble().is_none());
        assert_eq!(disk.asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn positions_follow_a_reset_and_the_sound_does_not() {
        let disk = Disk {
            room: 9,
            ..Disk::default()
        };
        let mut recorder = recorder(&disk);
        recorder.insert(&[0.0; 160]);
        recorder.reset(1_000);
        recorder.insert(&[0.0; 80]);
        let inserted = |at, samples, wav| Line::Insert(Inserted { at, samples, wav });
        let expected = [
            inserted(0, 160, 0),
            Line::Reset(1_000),
            inserted(1_000, 80, 160),
        ];
        assert_eq!(*lock(&disk.lines), expected);
    }
}
