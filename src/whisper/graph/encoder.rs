//! The audio encoder: two convolutions, positions, pre-norm transformer blocks.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Conv1d, Conv1dConfig, LayerNorm, Module};

use super::layers::{Attention, Loader, Mlp};
use crate::whisper::config::ModelConfig;
use crate::whisper::{WINDOW_FRAMES, WINDOW_MEL_FRAMES, WhisperError};

/// Most windows of one batch: the attention scores of all stand side by side in the device's memory.
const MOST_WINDOWS: usize = 16;

pub struct Encoder {
    conv1: Conv1d,
    conv2: Conv1d,
    /// `[1500, d]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    mel_bins: usize,
    device: Device,
    dtype: DType,
}

struct Layer {
    attention: Attention,
    mlp: Mlp,
}

/// A window that waits for the encoder.
pub struct Waiting {
    /// `[1, bins, mel frames]`, in memory.
    mel: Tensor,
    frames: usize,
}

/// The places of windows that can go together: those of one length, a bounded number.
pub fn batches(windows: &[&Waiting]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for (at, window) in windows.iter().enumerate() {
        let fits = |batch: &&mut Vec<usize>| {
            let first = batch.first().and_then(|&first| windows.get(first));
            batch.len() < MOST_WINDOWS && first.is_some_and(|first| first.frames == window.frames)
        };
        match batches.iter_mut().find(fits) {
            Some(batch) => batch.push(at),
            None => batches.push(vec![at]),
        }
    }
    batches
}

impl Encoder {
    pub fn load(loader: &mut Loader, config: &ModelConfig) -> Result<Encoder, WhisperError> {
        let shape = &config.shape;
        let (bins, d) = (shape.mel_bins, shape.d_model);
        let positions = "encoder.embed_positions.weight";
        let layers = (0..shape.encoder_layers).map(|i| {
            let name = format!("encoder.layers.{i}");
            Ok(Layer {
                attention: loader.attention(
                    &format!("{name}.self_attn"),
                    d,
                    shape.encoder_heads,
                )?,
                mlp: loader.mlp(&name, d, config.encoder_ffn)?,
            })
        });
        let layers = layers.collect::<Result<_, WhisperError>>()?;
        Ok(Encoder {
            conv1: conv(loader, "encoder.conv1", (bins, d), 1)?,
            conv2: conv(loader, "encoder.conv2", (d, d), 2)?,
            positions: loader.tensor(positions, &[WINDOW_FRAMES, d], 1.0)?,
            layers,
            norm: loader.norm("encoder.layer_norm", d)?,
            mel_bins: bins,
            device: loader.device.clone(),
            dtype: loader.dtype,
        })
    }

    pub fn begin(&self, mel: &[f32], frames: usize) -> Result<Waiting, WhisperError> {
        let bins = self.mel_bins;
        if mel.len() != bins * WINDOW_MEL_FRAMES {
            return Err(WhisperError::BadInput {
                what: format!("a log-mel window of {} values", mel.len()),
                reason: format!("this model takes {bins} bins x {WINDOW_MEL_FRAMES}"),
            });
        }
        let mel = Tensor::from_slice(mel, (1, bins, WINDOW_MEL_FRAMES), &Device::Cpu)?;
        // The last frame sees one log-mel frame behind it.
        let seen = (2 * frames + 1).min(WINDOW_MEL_FRAMES);
        let mel = mel.narrow(2, 0, seen)?.contiguous()?;
        Ok(Waiting { mel, frames })
    }

    /// The states of windows of one length, `[windows, frames, d]`.
    pub fn forward(&self, windows: &[&Waiting]) -> Result<Tensor, WhisperError> {
        let frames = windows.first().map_or(0, |window| window.frames);
        let mels: Vec<&Tensor> = windows.iter().map(|window| &window.mel).collect();
        let mel = Tensor::cat(&mels, 0)?;
        let mel = mel.to_dtype(self.dtype)?.to_device(&self.device)?;
        let x = self.conv1.forward(&mel)?.gelu_erf()?;
        let x = x.narrow(2, 0, 2 * frames)?.contiguous()?;
        let x = self.conv2.forward(&x)?.gelu_erf()?;
        let x = x.transpose(1, 2)?.contiguous()?;
        let mut x = x.broadcast_add(&self.positions.narrow(0, 0, frames)?)?;
        for Layer { attention, mlp } in &self.layers {
            let h = attention.norm(&x)?;
            let kv = attention.keys_and_values(&h)?;
            let weights = attention.weights(&attention.queries(&h)?, &kv, None, self.dtype)?;
            x = mlp.forward(&attention.gather(&weights, &kv, &x)?)?;
        }
        Ok(self.norm.forward(&x)?)
    }
}

/// A convolution of width 3, padded with one zero frame at either end.
fn conv(
    loader: &mut Loader,
    name: &str,
    (input, output): (usize, usize),
    stride: usize,
) -> Result<Conv1d, WhisperError> {
    let config = Conv1dConfig {
        padding: 1,
        stride,
        ..Conv1dConfig::default()
    };
    let weight = loader.tensor(&format!("{name}.weight"), &[output, input, 3], 1.0)?;
    let bias = loader.tensor(&format!("{name}.bias"), &[output], 1.0)?;
    Ok(Conv1d::new(weight, Some(bias), config))
}
