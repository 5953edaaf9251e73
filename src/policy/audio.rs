//! The window: the chunks still held, their log-mel, and where in the stream they lie.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Samples;
use super::saved::NotResumed;
use crate::whisper::{LogMel, MelFilters};

/// Audio of one stream, a queue of chunks; what does not fit leaves by whole chunks, oldest first.
#[derive(Clone)]
pub struct Audio {
    mel: LogMel,
    chunks: VecDeque<usize>,
    /// Stream position of the first sample held.
    start: Samples,
    /// Stream position behind the last sample received.
    end: Samples,
}

/// The samples held, and how they came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedAudio {
    /// Stream position of the first one.
    pub start: Samples,
    pub chunks: Vec<usize>,
    /// As they were before they became numbers in -1..1, which loses nothing.
    pub samples: Vec<i16>,
}

impl Audio {
    pub fn new(filters: Arc<MelFilters>) -> Audio {
        Audio {
            mel: LogMel::new(filters),
            chunks: VecDeque::new(),
            start: 0,
            end: 0,
        }
    }

    pub fn push(&mut self, chunk: &[f32]) {
        if chunk.is_empty() {
            return;
        }
        self.mel.push(chunk);
        self.chunks.push_back(chunk.len());
        self.end += chunk.len() as Samples;
    }

    /// Drops the oldest chunk when more than one is held and together they exceed `most` samples; returns its length.
    pub fn pop_beyond(&mut self, most: usize) -> Option<usize> {
        if self.mel.len() <= most {
            return None;
        }
        self.pop()
    }

    /// Drops the oldest chunk, unless it is the only one; returns its length.
    pub fn pop(&mut self) -> Option<usize> {
        if self.chunks.len() < 2 {
            return None;
        }
        let dropped = self.chunks.pop_front()?;
        self.mel.trim(dropped);
        self.start += dropped as Samples;
        Some(dropped)
    }

    /// Keeps at most the newest `keep` samples, as one chunk.
    pub fn keep_newest(&mut self, keep: usize) {
        let held = self.mel.len();
        let drop = held.saturating_sub(keep);
        self.mel.trim(drop);
        self.start += drop as Samples;
        self.chunks.clear();
        if held > drop {
            self.chunks.push_back(held - drop);
        }
    }

    /// Forgets all audio; the next sample lies at `position`.
    pub fn reset(&mut self, position: Samples) {
        self.mel.clear();
        self.chunks.clear();
        self.start = position;
        self.end = position;
    }

    pub fn save(&self) -> SavedAudio {
        let whole = |&x: &f32| (x * 32_768.0).round() as i16;
        SavedAudio {
            start: self.start,
            chunks: self.chunks.iter().copied().collect(),
            samples: self.mel.samples().iter().map(whole).collect(),
        }
    }

    /// Holds what another held. The log-mel is a function of the samples held: it is computed anew.
    pub fn resume(&mut self, saved: SavedAudio) -> Result<(), NotResumed> {
        let (held, chunks) = (saved.samples.len(), saved.chunks);
        let wanted = chunks.iter().copied().fold(0, usize::saturating_add);
        if held != wanted {
            return Err(NotResumed::Audio { held, wanted });
        }
        self.reset(saved.start);
        let samples: Vec<f32> = saved.samples.into_iter().map(fraction).collect();
        self.push(&samples);
        self.chunks = chunks.into();
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.mel.len()
    }

    /// Stream position of the first sample held.
    pub fn start(&self) -> Samples {
        self.start
    }

    /// Stream position behind the last sample received.
    pub fn end(&self) -> Samples {
        self.end
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.mel.bytes()
    }

    /// Encoder frames that hold audio.
    pub fn content_frames(&self) -> usize {
        self.mel.content_frames()
    }

    /// The network's input, `[bins, 3000]`.
    pub fn window(&mut self) -> Vec<f32> {
        self.mel.window()
    }
}

/// A sample of 16 bits in -1..1.
fn fraction(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}
