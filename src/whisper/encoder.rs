//! The audio encoder: two convolutions, positions, pre-norm transformer blocks. Each stage is one candle operation.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};

use super::config::ModelConfig;
use super::kernels::{Finish, Format, KeyValues, Packed, Query, Rows, attend};
use super::ops::{Conv, Mlp, Norm, Projection, joined, linear};
use super::weights::Weights;
use super::{WINDOW_FRAMES, WINDOW_MEL_FRAMES, WhisperError};

pub struct Encoder {
    conv1: Conv,
    conv2: Conv,
    /// `[1500, d]`
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
    mel_bins: usize,
    d: usize,
    /// What stages that run now do not need.
    idle: Mutex<Vec<Scratch>>,
}

struct Layer {
    norm: Norm,
    qkv: Packed,
    o: Packed,
    mlp: Mlp,
    heads: usize,
    format: Format,
}

/// Memory of one stage, kept for the next.
#[derive(Default)]
struct Scratch {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    added: Vec<f32>,
    hidden: Vec<f32>,
    kv: Option<KeyValues>,
    none: Vec<f32>,
}

impl Encoder {
    pub fn load(weights: &mut Weights, config: &ModelConfig) -> Result<Encoder, WhisperError> {
        let shape = &config.shape;
        let (bins, d) = (shape.mel_bins, shape.d_model);
        let layers = (0..shape.encoder_layers)
            .map(|i| Layer::load(weights, &format!("encoder.layers.{i}"), config));
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Encoder {
            conv1: Conv::load(weights, "encoder.conv1", (bins, d), 1)?,
            conv2: Conv::load(weights, "encoder.conv2", (d, d), 2)?,
            positions: weights.values("encoder.embed_positions.weight", &[WINDOW_FRAMES, d])?,
            layers,
            norm: Norm::load(weights, "encoder.layer_norm", d)?,
            mel_bins: bins,
            d,
            idle: Mutex::default(),
        })
    }

    /// Begins a window: `mel` is `[bins, 3000]`; the first `frames` frames will be computed.
    pub fn begin(&self, mel: &[f32], frames: usize) -> Result<Running, WhisperError> {
        let bins = self.mel_bins;
        if mel.len() != bins * WINDOW_MEL_FRAMES {
            return Err(WhisperError::BadInput {
                what: format!("a log-mel window of {} values", mel.len()),
                reason: format!("this model takes {bins} bins x {WINDOW_MEL_FRAMES}"),
            });
        }
        // Time-major, with a frame of zeros in front, and behind the last one the next (zeros behind the window).
        let mut padded = vec![0f32; (2 * frames + 2) * bins];
        for (bin, row) in mel.chunks_exact(WINDOW_MEL_FRAMES).enumerate() {
            let column = padded.iter_mut().skip(bins + bin).step_by(bins);
            for (to, &from) in column.zip(row) {
                *to = from;
            }
        }
        let mel = Tensor::from_vec(padded, (2 * frames + 2, bins), &Device::Cpu)?;
        Ok(Running { stage: 0, x: mel })
    }

    /// Goes one stage on; the states `[frames, d]` when the last is through.
    pub fn advance(&self, running: &mut Running) -> Result<Option<Tensor>, WhisperError> {
        let last = self.layers.len() + 1;
        let stage = Stage {
            encoder: self,
            at: running.stage,
        };
        running.x = running.x.apply_op1_no_bwd(&stage)?;
        running.stage += 1;
        Ok((running.stage > last).then(|| running.x.clone()))
    }

    fn convolutions(&self, mel: &[f32], s: &mut Scratch) -> Vec<f32> {
        let (bins, d) = (self.mel_bins, self.d);
        let frames = mel.len() / bins - 2;
        self.conv1.apply(mel, frames, &mut s.hidden);
        // Zeros in front of the first frame; the last output ends with the last frame.
        s.qkv.clear();
        s.qkv.resize(d, 0.0);
        s.qkv.extend_from_slice(&s.hidden);
        let mut x = Vec::new();
        self.conv2.apply(&s.qkv, frames / 2, &mut x);
        for (x, position) in x.iter_mut().zip(&self.positions) {
            *x += position;
        }
        x
    }
}

/// A window between two stages.
pub struct Running {
    stage: usize,
    x: Tensor,
}

/// One stage of the encoder as an operation: the convolutions (mel `[2 * frames + 2, bins]` to `[frames, d]`), a layer, or
/// the last norm (both `[frames, d]` to the same).
struct Stage<'a> {
    encoder: &'a Encoder,
    at: usize,
}

impl CustomOp1 for Stage<'_> {
    fn name(&self) -> &'static str {
        "whisper-encoder-stage"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let values = storage.as_slice::<f32>()?;
        let range = layout.contiguous_offsets();
        let Some(x) = range.and_then(|(start, end)| values.get(start..end)) else {
            candle_core::bail!("the encoder's input does not lie in one piece");
        };
        let encoder = self.encoder;
        let idle = || encoder.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = idle().pop().unwrap_or_default();
        let to = match self.at.checked_sub(1) {
            None => encoder.convolutions(x, &mut scratch),
            Some(layer) => match encoder.layers.get(layer) {
                Some(layer) => layer.forward(x, encoder.d, &mut scratch),
                None => {
                    let mut to = Vec::new();
                    encoder.norm.apply(x, &mut to);
                    to
                }
            },
        };
        idle().push(scratch);
        let shape = Shape::from((to.len() / encoder.d, encoder.d));
        Ok((CpuStorage::F32(to), shape))
    }
}

impl Layer {
    fn load(
        weights: &mut Weights,
        name: &str,
        config: &ModelConfig,
    ) -> Result<Layer, WhisperError> {
        let (d, heads) = (config.shape.d_model, config.shape.encoder_heads);
        let format = weights.format();
        let attention = format!("{name}.self_attn");
        let projections = [
            Projection::queries("q_proj", format, d / heads),
            Projection::new("k_proj", false),
            Projection::new("v_proj", true),
        ];
        Ok(Layer {
            norm: Norm::load(weights, &format!("{attention}_layer_norm"), d)?,
            qkv: joined(weights, &attention, &projections, d)?,
            o: linear(weights, &format!("{attention}.out_proj"), (d, d))?,
            mlp: Mlp::load(weights, name, d, config.encoder_ffn)?,
            heads,
            format,
        })
    }

    fn forward(&self, x: &[f32], d: usize, s: &mut Scratch) -> Vec<f32> {
        self.norm.apply(x, &mut s.normed);
        self.qkv
            .apply(Rows::new(&s.normed, d), Finish::Bias, &mut s.qkv);
        let qkv = Rows::new(&s.qkv, 3 * d);
        let new = || KeyValues::new(self.format, WINDOW_FRAMES, self.heads, d / self.heads);
        let kv = s.kv.get_or_insert_with(new);
        kv.clear();
        kv.push(qkv.columns(d), qkv.columns(2 * d));
        s.attended.resize(x.len(), 0.0);
        attend(&mut [Query {
            q: qkv,
            kv,
            causal: false,
            want: &[],
            to: &mut s.attended,
            weights: &mut s.none,
        }]);
        let attended = Rows::new(&s.attended, d);
        self.o.apply(attended, Finish::Add(x), &mut s.added);
        let mut to = Vec::new();
        self.mlp
            .apply(&s.added, &mut s.normed, &mut s.hidden, &mut to);
        to
    }
}
