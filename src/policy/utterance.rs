//! The running utterance: what sounds, since when, and how much of it has been told. Counts samples.

use serde::{Deserialize, Serialize};

use super::Samples;
use super::settings::Gate;
use crate::speech::{Boundary, Loudness};
use crate::whisper::SAMPLE_RATE;

/// Quiet this long ends an utterance (the usual least silence of voice detectors).
const END_SILENCE: Samples = SAMPLE_RATE as Samples / 2;
/// An utterance longer than this ends at the next breath: the longer the window, the more text is forced on the network
/// and the more often it loses its place.
pub(super) const LONG_UTTERANCE: Samples = SAMPLE_RATE as Samples * 5;
/// A breath: quiet longer than the closure of any stop consonant.
const BREATH: Samples = SAMPLE_RATE as Samples / 5;
/// Quiet this short still belongs to the last word: it is not heard again in front of the next utterance.
pub(super) const WORD_TAIL: Samples = SAMPLE_RATE as Samples / 10;

/// What is known of the running utterance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Utterance {
    pub loudness: Loudness,
    /// Somebody speaks, by the voice detector.
    pub speaking: bool,
    /// The voice detector has heard the end of the speech held: the next pass is the utterance's last.
    pub ended: bool,
    /// Speech heard in it, and where it was heard first and last.
    pub speech: Samples,
    pub first: Option<Samples>,
    pub last: Option<Samples>,
    /// Whether it has released words, and where the last word of the stream ended.
    pub told: bool,
    pub told_until: Samples,
    /// Where the first sound begins of which no pass has told all there is to tell.
    pub news: Option<Samples>,
    /// End of the audio of the last pass that told all.
    pub told_all: Samples,
}

impl Utterance {
    pub fn new(position: Samples) -> Utterance {
        Utterance {
            loudness: Loudness::new(position),
            speaking: false,
            ended: false,
            speech: 0,
            first: None,
            last: None,
            told: false,
            told_until: position,
            news: None,
            told_all: position,
        }
    }

    /// The next one begins, or this one anew.
    pub fn refresh(&mut self) {
        self.ended = false;
        self.speech = 0;
        self.first = None;
        self.last = None;
        self.told = false;
        self.news = None;
    }

    /// Notes what sounds in the chunk just inserted. With a voice detector, only while somebody speaks.
    pub fn listen(&mut self, chunk: &[f32], gate: Gate) {
        let voiced = self.loudness.push(chunk);
        if gate == Gate::Voice && !self.speaking {
            return;
        }
        self.speech += voiced.samples;
        self.first = self.first.or(voiced.first);
        self.last = self.last.max(voiced.last);
        self.news = self.news.or(voiced.first);
    }

    /// What the voice detector heard.
    pub fn heed(&mut self, boundary: &Boundary) {
        match *boundary {
            // However soft it is.
            Boundary::Start { onset, .. } => {
                self.speaking = true;
                self.ended = false;
                self.first.get_or_insert(onset);
                self.last = self.last.max(Some(onset));
                self.news.get_or_insert(onset);
            }
            Boundary::End { end, .. } => {
                self.speaking = false;
                self.ended = true;
                // The energy may have shown nothing of what the detector heard since.
                if end > self.told_all + WORD_TAIL {
                    self.first.get_or_insert(self.told_all);
                    self.news.get_or_insert(self.told_all);
                    self.last = self.last.max(Some(end));
                }
            }
        }
    }

    /// Whether it is over, with `held` samples of audio up to `end`.
    pub fn is_over(&self, held: Samples, end: Samples, gate: Gate) -> bool {
        let silence = end.saturating_sub(self.last.unwrap_or(end));
        let pauses = match gate {
            _ if held >= LONG_UTTERANCE => silence >= BREATH,
            Gate::Energy => silence >= END_SILENCE,
            // It tells of the end itself.
            Gate::Voice => false,
        };
        self.ended || pauses
    }

    /// Whether the sound is so long over at `end` that no word was cut.
    pub fn is_quiet_at(&self, end: Samples) -> bool {
        end >= self.last.unwrap_or_default() + BREATH
    }

    /// Words were released, the last of which ends at `end`.
    pub fn tell(&mut self, end: Samples) {
        self.told = true;
        self.told_until = end;
    }

    /// The pass over the audio up to `end` told all there was.
    pub fn tell_all(&mut self, end: Samples) {
        self.news = None;
        self.told_all = end;
    }
}
