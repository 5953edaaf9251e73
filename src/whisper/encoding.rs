//! A window on its way through the encoder.

use std::sync::Arc;

use candle_core::Tensor;

use super::encoder;
use super::kernels::KeyValues;
use super::{WINDOW_FRAMES, Whisper, WhisperError};

/// What the encoder is given.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    /// Log-mel, `[bins, 3000]`, see [`super::LogMel::window`].
    pub mel: &'a [f32],
    /// Encoder frames that are computed, from the first: 1500 is exact; fewer leave the end of the window unheard.
    pub frames: usize,
}

impl<'a> Window<'a> {
    /// All of it.
    pub fn whole(mel: &'a [f32]) -> Window<'a> {
        Window {
            mel,
            frames: WINDOW_FRAMES,
        }
    }
}

/// A window between two stages of the encoder. What it needs of the window it has copied.
pub struct Encoding {
    frames: usize,
    stage: Stage,
}

enum Stage {
    Encoder(encoder::Running),
    /// The encoder is through; cross keys and values of so many decoder layers are there.
    Cross(Tensor, Vec<KeyValues>),
    Done(Encoded),
    /// Taken, or given up after an error.
    Over,
}

impl Encoding {
    pub(super) fn begin(whisper: &Whisper, window: Window<'_>) -> Result<Encoding, WhisperError> {
        let frames = window.frames.clamp(1, WINDOW_FRAMES);
        let running = whisper.network.encoder.begin(window.mel, frames)?;
        Ok(Encoding {
            frames,
            stage: Stage::Encoder(running),
        })
    }

    pub(super) fn advance(&mut self, whisper: &Whisper) -> Result<(), WhisperError> {
        let (encoder, decoder) = (&whisper.network.encoder, &whisper.network.decoder);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Encoder(mut running) => match encoder.advance(&mut running)? {
                Some(states) => Stage::Cross(states, Vec::new()),
                None => Stage::Encoder(running),
            },
            Stage::Cross(states, mut cross) => {
                cross.push(decoder.cross(cross.len(), &states)?);
                if cross.len() < whisper.config().decoder_layers {
                    Stage::Cross(states, cross)
                } else {
                    Stage::Done(Encoded {
                        frames: self.frames,
                        cross: Arc::new(cross),
                        states,
                    })
                }
            }
            over => over,
        };
        Ok(())
    }

    /// The result, once, when the last stage is through.
    pub fn take(&mut self) -> Option<Encoded> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Done(encoded) => Some(encoded),
            other => {
                self.stage = other;
                None
            }
        }
    }
}

/// Encoder output of one window: states `[frames, d_model]`, and each decoder layer's cross keys and values.
/// Cheap to clone.
#[derive(Clone)]
pub struct Encoded {
    pub(super) frames: usize,
    pub(super) cross: Arc<Vec<KeyValues>>,
    states: Tensor,
}

impl Encoded {
    /// Frames that were computed: 1500, or what the [`Window`] asked for.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Row-major copy of the states, for tests.
    pub fn to_vec(&self) -> Result<Vec<f32>, WhisperError> {
        Ok(self.states.flatten_all()?.to_vec1()?)
    }
}
