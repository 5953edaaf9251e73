//! The audio encoder: two convolutions, positions, pre-norm transformer blocks.

use candle_core::Tensor;

use super::config::ModelConfig;
use super::kernels::KeyValues;
use super::ops::{Conv, Linear, Mlp, Norm, attention, remember, values};
use super::weights::Weights;
use super::{WINDOW_FRAMES, WINDOW_MEL_FRAMES, WhisperError};

pub struct Encoder {
    conv1: Conv,
    conv2: Conv,
    /// `[1500, d]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
    mel_bins: usize,
}

struct Layer {
    norm: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    mlp: Mlp,
    heads: usize,
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
            positions: weights.tensor("encoder.embed_positions.weight", &[WINDOW_FRAMES, d])?,
            layers,
            norm: Norm::load(weights, "encoder.layer_norm", d)?,
            mel_bins: bins,
        })
    }

    /// Begins a window: `mel` is `[bins, 3000]`; the first `frames` frames will be computed.
    pub fn begin(&self, mel: &[f32], frames: usize) -> Result<Running, WhisperError> {
        let expected = self.mel_bins * WINDOW_MEL_FRAMES;
        if mel.len() != expected {
            return Err(WhisperError::BadInput {
                what: format!("a log-mel window of {} values", mel.len()),
                reason: format!(
                    "this model takes {} bins x {WINDOW_MEL_FRAMES}",
                    self.mel_bins
                ),
            });
        }
        let mut time_major = vec![0f32; 2 * frames * self.mel_bins];
        for (bin, row) in mel.chunks_exact(WINDOW_MEL_FRAMES).enumerate() {
            let column = time_major.iter_mut().skip(bin).step_by(self.mel_bins);
            for (to, &from) in column.zip(row) {
                *to = from;
            }
        }
        Ok(Running::Mel(time_major))
    }

    /// Goes one stage on; the states `[frames, d]` when the last is through.
    pub fn advance(&self, running: &mut Running) -> Result<Option<Tensor>, WhisperError> {
        *running = match running {
            Running::Mel(mel) => {
                let x = self.conv1.forward_gelu(mel)?;
                let x = values(&x, |x| self.conv2.forward_gelu(x))??;
                let positions = self.positions.narrow(0, 0, x.dim(0)?)?;
                Running::Layer(0, (x + positions)?)
            }
            Running::Layer(at, x) => match self.layers.get(*at) {
                Some(layer) => Running::Layer(*at + 1, layer.forward(x)?),
                None => return Ok(Some(self.norm.forward(x)?)),
            },
        };
        Ok(None)
    }
}

/// A window between two stages.
pub enum Running {
    /// `[2 * frames, bins]`
    Mel(Vec<f32>),
    /// What goes into this layer, `[frames, d]`.
    Layer(usize, Tensor),
}

impl Layer {
    fn load(
        weights: &mut Weights,
        name: &str,
        config: &ModelConfig,
    ) -> Result<Layer, WhisperError> {
        let (d, heads) = (config.shape.d_model, config.shape.encoder_heads);
        let scale = ((d / heads) as f32).powf(-0.5);
        let attn = format!("{name}.self_attn");
        Ok(Layer {
            norm: Norm::load(weights, &format!("{attn}_layer_norm"), d)?,
            q: Linear::load_scaled(weights, &format!("{attn}.q_proj"), (d, d), scale)?,
            k: Linear::load(weights, &format!("{attn}.k_proj"), (d, d), false)?,
            v: Linear::load(weights, &format!("{attn}.v_proj"), (d, d), true)?,
            o: Linear::load(weights, &format!("{attn}.out_proj"), (d, d), true)?,
            mlp: Mlp::load(weights, name, d, config.encoder_ffn)?,
            heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        let h = self.norm.forward(x)?;
        let q = self.q.forward(&h)?;
        let mut kv = KeyValues::new(x.dim(0)?, self.heads, x.dim(1)? / self.heads);
        remember(&mut kv, &self.k.forward(&h)?, &self.v.forward(&h)?)?;
        let (attended, _) = attention(&q, &kv, false, &[])?;
        let x = self.o.forward_and_add(&attended, x)?;
        self.mlp.forward(&x)
    }
}
