//! Log-mel spectrogram, computed once per frame of a growing and scrolling buffer.

use std::sync::Arc;

/// Slaney mel filterbank for one number of bins, with the FFT plan; shared by every stream of a model.
#[derive(Debug)]
pub struct MelFilters {
    // owner: whisper room
}

impl MelFilters {
    pub fn new(_bins: usize) -> MelFilters {
        todo!()
    }
}

/// The log-mel of one stream's current audio. Keeps unclamped log10 power per frame and recomputes only
/// the frames at the edges (shared/docs/alignatt.md §4.2).
#[derive(Clone)]
pub struct LogMel {
    _filters: Arc<MelFilters>,
}

impl LogMel {
    pub fn new(filters: Arc<MelFilters>) -> LogMel {
        LogMel { _filters: filters }
    }

    /// Appends samples in -1..1 (int16 / 32768).
    pub fn push(&mut self, _samples: &[f32]) {
        todo!()
    }

    /// Forgets `samples` from the front.
    pub fn trim(&mut self, _samples: usize) {
        todo!()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        todo!()
    }

    /// Samples held.
    pub fn len(&self) -> usize {
        todo!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples held, oldest first.
    pub fn samples(&self) -> &[f32] {
        todo!()
    }

    /// Encoder frames that hold audio: `len / 320`, at most 1500.
    pub fn content_frames(&self) -> usize {
        todo!()
    }

    /// The network's input: `[bins, 3000]`, row-major, normalised as Whisper does
    /// (max over the whole padded buffer - 8, + 4, / 4), zero-audio frames behind the content.
    pub fn window(&mut self) -> Vec<f32> {
        todo!()
    }
}
