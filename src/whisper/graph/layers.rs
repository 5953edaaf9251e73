//! The layers that encoder and decoder are made of.

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::{LayerNorm, Linear, Module};

use crate::whisper::WhisperError;
use crate::whisper::weights::Weights;

/// Brings the tensors of a model file to their device.
pub struct Loader<'a, 'w> {
    pub weights: &'a mut Weights<'w>,
    pub device: Device,
    pub dtype: DType,
}

impl Loader<'_, '_> {
    /// The tensor `name` times `scale`; it must have this shape.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        scale: f32,
    ) -> Result<Tensor, WhisperError> {
        let mut values = self.weights.values(name, shape)?;
        if scale != 1.0 {
            values.iter_mut().for_each(|x| *x *= scale);
        }
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok(tensor.to_dtype(self.dtype)?.to_device(&self.device)?)
    }

    pub fn linear(
        &mut self,
        name: &str,
        (input, output): (usize, usize),
        has_bias: bool,
        scale: f32,
    ) -> Result<Linear, WhisperError> {
        let weight = self.tensor(&format!("{name}.weight"), &[output, input], scale)?;
        let bias = has_bias
            .then(|| self.tensor(&format!("{name}.bias"), &[output], scale))
            .transpose()?;
        Ok(Linear::new(weight, bias))
    }

    pub fn norm(&mut self, name: &str, d: usize) -> Result<LayerNorm, WhisperError> {
        const EPSILON: f64 = 1e-5;
        let weight = self.tensor(&format!("{name}.weight"), &[d], 1.0)?;
        let bias = self.tensor(&format!("{name}.bias"), &[d], 1.0)?;
        Ok(LayerNorm::new(weight, bias, EPSILON))
    }

    pub fn attention(
        &mut self,
        name: &str,
        d: usize,
        heads: usize,
    ) -> Result<Attention, WhisperError> {
        let scale = ((d / heads) as f32).powf(-0.5);
        Ok(Attention {
            norm: self.norm(&format!("{name}_layer_norm"), d)?,
            q: self.linear(&format!("{name}.q_proj"), (d, d), true, scale)?,
            k: self.linear(&format!("{name}.k_proj"), (d, d), false, 1.0)?,
            v: self.linear(&format!("{name}.v_proj"), (d, d), true, 1.0)?,
            o: self.linear(&format!("{name}.out_proj"), (d, d), true, 1.0)?,
            heads,
        })
    }

    pub fn mlp(&mut self, layer: &str, d: usize, hidden: usize) -> Result<Mlp, WhisperError> {
        Ok(Mlp {
            norm: self.norm(&format!("{layer}.final_layer_norm"), d)?,
            fc1: self.linear(&format!("{layer}.fc1"), (d, hidden), true, 1.0)?,
            fc2: self.linear(&format!("{layer}.fc2"), (hidden, d), true, 1.0)?,
        })
    }
}

/// The four projections of an attention, and the norm in front of them. The queries come out scaled by 1/√width.
pub struct Attention {
    norm: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    heads: usize,
}

/// Keys and values, `[batch, heads, rows, width]`.
#[derive(Clone)]
pub struct KeyValues {
    pub k: Tensor,
    pub v: Tensor,
}

impl KeyValues {
    pub fn rows(&self) -> usize {
        self.k.dims().get(2).copied().unwrap_or_default()
    }

    /// Of one in the batch.
    pub fn of(&self, at: usize) -> Result<KeyValues, WhisperError> {
        Ok(KeyValues {
            k: self.k.narrow(0, at, 1)?,
            v: self.v.narrow(0, at, 1)?,
        })
    }

    /// The first rows.
    pub fn first(&self, rows: usize) -> Result<KeyValues, WhisperError> {
        Ok(KeyValues {
            k: self.k.narrow(2, 0, rows)?,
            v: self.v.narrow(2, 0, rows)?,
        })
    }

    /// `more` behind these rows.
    pub fn then(&self, more: &KeyValues) -> Result<KeyValues, WhisperError> {
        Ok(KeyValues {
            k: Tensor::cat(&[&self.k, &more.k], 2)?,
            v: Tensor::cat(&[&self.v, &more.v], 2)?,
        })
    }

    /// A batch of all, each padded with zeros to `rows`.
    pub fn stack(all: &[KeyValues], rows: usize) -> Result<KeyValues, WhisperError> {
        if let [one] = all
            && one.rows() == rows
        {
            return Ok(one.clone());
        }
        let padded = |of: fn(&KeyValues) -> &Tensor| {
            let each = all
                .iter()
                .map(|kv| of(kv).pad_with_zeros(2, 0, rows - kv.rows()));
            Tensor::cat(&each.collect::<Result<Vec<_>, _>>()?, 0)
        };
        Ok(KeyValues {
            k: padded(|kv| &kv.k)?,
            v: padded(|kv| &kv.v)?,
        })
    }
}

impl Attention {
    pub fn norm(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        Ok(self.norm.forward(x)?)
    }

    /// `[batch, rows, d]` to queries `[batch, heads, rows, width]`.
    pub fn queries(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        self.by_heads(&self.q.forward(x)?)
    }

    pub fn keys_and_values(&self, x: &Tensor) -> Result<KeyValues, WhisperError> {
        Ok(KeyValues {
            k: self.by_heads(&self.k.forward(x)?)?,
            v: self.by_heads(&self.v.forward(x)?)?,
        })
    }

    fn by_heads(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        let (batch, rows, d) = x.dims3()?;
        let x = x.reshape((batch, rows, self.heads, d / self.heads))?;
        Ok(x.transpose(1, 2)?.contiguous()?)
    }

    /// `softmax(q kᵀ + mask)`, taken in `dtype`: `[batch, heads, rows, keys]`.
    pub fn weights(
        &self,
        q: &Tensor,
        kv: &KeyValues,
        mask: Option<&Tensor>,
        dtype: DType,
    ) -> Result<Tensor, WhisperError> {
        let scores = q.matmul(&kv.k.t()?)?.to_dtype(dtype)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(&mask.to_dtype(dtype)?)?,
            None => scores,
        };
        Ok(softmax_last_dim(&scores)?)
    }

    /// `residual + o(weights · values)`, `[batch, rows, d]`.
    pub fn gather(
        &self,
        weights: &Tensor,
        kv: &KeyValues,
        residual: &Tensor,
    ) -> Result<Tensor, WhisperError> {
        let values = weights.to_dtype(kv.v.dtype())?.matmul(&kv.v)?;
        let values = values.transpose(1, 2)?.contiguous()?.flatten_from(2)?;
        Ok((residual + self.o.forward(&values)?)?)
    }
}

/// `x + fc2(gelu(fc1(norm(x))))`, with the exact (erf) GELU.
pub struct Mlp {
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        let hidden = self.fc1.forward(&self.norm.forward(x)?)?.gelu_erf()?;
        Ok((x + self.fc2.forward(&hidden)?)?)
    }
}
