//! The network as a plain candle graph: on any device that candle drives, in any of its floats. Windows and decoders go
//! through it in batches.
//!
//! It is what runs on a GPU. On a CPU the kernels beside it are much faster; there it serves tests, which compare the
//! two.

mod decoder;
mod encoder;
mod layers;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Tensor};

pub use decoder::{Own, Rows};
pub use encoder::Waiting;
pub use layers::KeyValues;

use super::WhisperError;
use super::config::ModelConfig;
use super::decoder::Logits;
use super::weights::Weights;
use decoder::TextDecoder;
use encoder::Encoder;
use layers::Loader;

/// The weights, on their device.
pub struct Graph {
    encoder: Encoder,
    decoder: TextDecoder,
}

/// What a window came to: states `[frames, d]`, and each decoder layer's cross keys and values.
pub struct Heard {
    pub states: Tensor,
    pub cross: Vec<KeyValues>,
}

impl Graph {
    pub fn load(
        weights: &mut Weights,
        config: &ModelConfig,
        device: Device,
        dtype: DType,
    ) -> Result<Graph, WhisperError> {
        let mut loader = Loader {
            weights,
            device,
            dtype,
        };
        Ok(Graph {
            encoder: Encoder::load(&mut loader, config)?,
            decoder: TextDecoder::load(&mut loader, config)?,
        })
    }

    /// The learned text positions, `[positions, d]`.
    pub fn positions(&self) -> &Tensor {
        self.decoder.positions()
    }

    /// An empty self-attention cache for each layer.
    pub fn own(&self) -> Vec<Own> {
        self.decoder.own()
    }

    /// Takes a window in: `mel` is `[bins, 3000]`; the first `frames` frames will be computed.
    pub fn begin(&self, mel: &[f32], frames: usize) -> Result<Waiting, WhisperError> {
        self.encoder.begin(mel, frames)
    }

    /// Encodes windows, those of one length together; what it returns is in their order.
    pub fn encode(&self, windows: &[&Waiting]) -> Result<Vec<Heard>, WhisperError> {
        let mut heard: Vec<Option<Heard>> = windows.iter().map(|_| None).collect();
        for batch in encoder::batches(windows) {
            let alike: Vec<&Waiting> = batch
                .iter()
                .filter_map(|&at| windows.get(at).copied())
                .collect();
            let states = self.encoder.forward(&alike)?;
            let cross = self.decoder.cross(&states)?;
            for (row, &at) in batch.iter().enumerate() {
                let cross = cross
                    .iter()
                    .map(|kv| kv.of(row))
                    .collect::<Result<_, _>>()?;
                let states = states.get(row)?;
                if let Some(slot) = heard.get_mut(at) {
                    *slot = Some(Heard { states, cross });
                }
            }
        }
        Ok(heard.into_iter().flatten().collect())
    }

    /// Runs the rows of several decoders together; what it returns is in their order. Cross-attention weights of the
    /// wanted heads go to `sink(decoder, layer, weights)`, `[heads, rows, frames]`.
    pub fn step(
        &self,
        batch: &mut [Rows<'_>],
        sink: impl FnMut(usize, usize, &[f32]),
    ) -> Result<Vec<Logits>, WhisperError> {
        self.decoder.forward(batch, sink)
    }
}
