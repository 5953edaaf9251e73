//! A window on its way through the encoder.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::encoder;
use super::graph::{self, Graph, Waiting};
use super::kernels::KeyValues;
use super::model::{Kernels, Network};
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
    /// All of it is still to be done, by the graph.
    Waiting(Waiting),
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
        let stage = match &whisper.network {
            Network::Kernels(kernels) => Stage::Encoder(kernels.encoder.begin(window.mel, frames)?),
            Network::Graph(graph) => Stage::Waiting(graph.begin(window.mel, frames)?),
        };
        Ok(Encoding { frames, stage })
    }

    pub(super) fn advance(&mut self, kernels: &Kernels) -> Result<(), WhisperError> {
        let Kernels { encoder, decoder } = kernels;
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Encoder(mut running) => match encoder.advance(&mut running)? {
                Some(states) => Stage::Cross(states, Vec::new()),
                None => Stage::Encoder(running),
            },
            Stage::Cross(states, mut cross) => {
                cross.push(decoder.cross(cross.len(), &states)?);
                if cross.len() < decoder.layers() {
                    Stage::Cross(states, cross)
                } else {
                    Stage::Done(Encoded {
                        frames: self.frames,
                        cross: Cross::Kernels(Arc::new(cross)),
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

/// Takes the windows that wait through the graph, together.
pub(super) fn advance_together(
    graph: &Graph,
    batch: &mut [&mut Encoding],
) -> Result<(), WhisperError> {
    let mut waiting = Vec::new();
    for encoding in batch {
        if let Stage::Waiting(_) = encoding.stage {
            let stage = std::mem::replace(&mut encoding.stage, Stage::Over);
            waiting.push((encoding, stage));
        }
    }
    let windows: Vec<&Waiting> = waiting
        .iter()
        .filter_map(|(_, stage)| match stage {
            Stage::Waiting(window) => Some(window),
            _ => None,
        })
        .collect();
    let heard = graph.encode(&windows)?;
    for ((encoding, _), heard) in waiting.into_iter().zip(heard) {
        encoding.stage = Stage::Done(Encoded {
            frames: encoding.frames,
            cross: Cross::Graph(Arc::new(heard.cross)),
            states: heard.states,
        });
    }
    Ok(())
}

/// Encoder output of one window: states `[frames, d_model]`, and each decoder layer's cross keys and values.
/// Cheap to clone.
#[derive(Clone)]
pub struct Encoded {
    pub(super) frames: usize,
    pub(super) cross: Cross,
    states: Tensor,
}

/// Keys and values of the cross-attention, layer by layer.
#[derive(Clone)]
pub(super) enum Cross {
    Kernels(Arc<Vec<KeyValues>>),
    Graph(Arc<Vec<graph::KeyValues>>),
}

impl Encoded {
    /// Frames that were computed: 1500, or what the [`Window`] asked for.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Row-major copy of the states, for tests.
    pub fn to_vec(&self) -> Result<Vec<f32>, WhisperError> {
        let states = self.states.to_dtype(DType::F32)?;
        Ok(states.flatten_all()?.to_vec1()?)
    }
}
