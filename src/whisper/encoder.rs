//! The audio encoder: two convolutions, positions, pre-norm transformer blocks.

use candle_core::Tensor;

use super::config::ModelConfig;
use super::kernels::KeyValues;
use super::ops::{Conv, Linear, Mlp, Norm, attention, remember, values};
use super::weights::Weights;
use super::{Cancel, WINDOW_FRAMES, WINDOW_MEL_FRAMES, WhisperError};

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

    /// `mel`: `[bins, 3000]`; returns `[1500, d]`.
    pub fn forward(&self, mel: &[f32], cancel: &Cancel) -> Result<Tensor, WhisperError> {
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
        cancel.check()?;
        let mut time_major = vec![0f32; expected];
        for (bin, row) in mel.chunks_exact(WINDOW_MEL_FRAMES).enumerate() {
            let column = time_major.iter_mut().skip(bin).step_by(self.mel_bins);
            for (to, &from) in column.zip(row) {
                *to = from;
            }
        }
        let x = self.conv1.forward_gelu(&time_major)?;
        cancel.check()?;
        let x = values(&x, |x| self.conv2.forward_gelu(x))??;
        let mut x = (x + &self.positions)?;
        for layer in &self.layers {
            x = layer.forward(&x, cancel)?;
        }
        self.norm.forward(&x)
    }
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

    fn forward(&self, x: &Tensor, cancel: &Cancel) -> Result<Tensor, WhisperError> {
        cancel.check()?;
        let h = self.norm.forward(x)?;
        let q = self.q.forward(&h)?;
        let mut kv = KeyValues::new(WINDOW_FRAMES, self.heads, x.dim(1)? / self.heads);
        remember(&mut kv, &self.k.forward(&h)?, &self.v.forward(&h)?)?;
        cancel.check()?;
        let (attended, _) = attention(&q, &kv, false, &[])?;
        let x = self.o.forward_and_add(&attended, x)?;
        cancel.check()?;
        self.mlp.forward(&x)
    }
}
