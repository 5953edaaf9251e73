// SPDX-License-Identifier: MPL-2.0

//! Words into subtitles, written as soon as they are cut.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::ClockTime;
use gstwhisperstream::element::words_of;
use gstwhisperstream::text::{Cue, Cues, Subtitles, Word};

use crate::args::{Args, Format};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;

/// Subtitles of one speech, to every file that is asked for.
#[derive(Clone)]
pub struct Captions(Arc<Mutex<Inner>>);

struct Inner {
    cues: Cues<Word>,
    outputs: Vec<(Subtitles, Output)>,
    written: u64,
}

impl Captions {
    /// `output` is where the main format goes.
    pub fn open(args: &Args, output: &Output, progress: &Progress) -> Result<Captions, Failure> {
        let rules = args.cue_rules();
        rules
            .check()
            .map_err(|wrong| Failure::Setup(wrong.to_string()))?;
        let mut outputs = Vec::new();
        match args.format {
            Format::Srt => outputs.push((Subtitles::Srt, output.clone())),
            Format::Vtt => outputs.push((Subtitles::Vtt, output.clone())),
            Format::Txt | Format::Json => {}
        }
        for (kind, file) in [(Subtitles::Srt, &args.srt), (Subtitles::Vtt, &args.vtt)] {
            if let Some(file) = file {
                outputs.push((kind, Output::open(Some(file), progress.clone())?));
            }
        }
        for (kind, output) in &outputs {
            output.write(kind.head().as_bytes());
        }
        let cues = match args.realtime {
            true => Cues::live(rules),
            false => Cues::unhurried(rules),
        };
        Ok(Captions(Arc::new(Mutex::new(Inner {
            cues,
            outputs,
            written: 0,
        }))))
    }

    /// Takes the words of a buffer. False when nobody can be written to any more.
    pub fn add(&self, buffer: &gst::BufferRef) -> bool {
        let time = |time: ClockTime| Duration::from_nanos(time.nseconds());
        let words = words_of(buffer);
        let words = words
            .iter()
            .map(|word| Word::new(&word.text, time(word.start), time(word.end)));
        self.write(|cues| cues.add(words.collect()))
    }

    /// Nothing is said before `until` any more.
    pub fn quiet(&self, until: ClockTime) -> bool {
        self.write(|cues| cues.quiet(until.into()))
    }

    /// The speech ends.
    pub fn finish(&self, end: ClockTime) -> bool {
        self.write(|cues| cues.take(end.into()))
    }

    /// Reports writes that failed.
    pub fn close(&self) -> Result<(), Failure> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .outputs
            .iter()
            .try_for_each(|(_, output)| output.close())
    }

    fn write(&self, cut: impl FnOnce(&mut Cues<Word>) -> Vec<Cue<Word>>) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = true;
        for cue in cut(&mut inner.cues) {
            inner.written += 1;
            for (kind, output) in &inner.outputs {
                written &= output.write(kind.cue(inner.written, &cue).as_bytes());
            }
        }
        written
    }
}
