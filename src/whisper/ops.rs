//! The layers that encoder and decoder are made of.

use candle_core::{Device, Storage, Tensor};

use super::WhisperError;
use super::kernels::{self, KeyValues, Packed};
use super::weights::Weights;

/// `x Wᵀ + b`, packed.
pub struct Linear(Packed);

impl Linear {
    pub fn load(
        weights: &mut Weights,
        name: &str,
        (input, output): (usize, usize),
        bias: bool,
    ) -> Result<Linear, WhisperError> {
        let w = weights.values(&format!("{name}.weight"), &[output, input])?;
        let b = match bias {
            true => weights.values(&format!("{name}.bias"), &[output])?,
            false => Vec::new(),
        };
        Ok(Linear(Packed::new(&w, input, b)))
    }

    /// The query projection with the attention's 1/√d folded in (exact for heads of 64).
    pub fn load_scaled(
        weights: &mut Weights,
        name: &str,
        (input, output): (usize, usize),
        scale: f32,
    ) -> Result<Linear, WhisperError> {
        let mut w = weights.values(&format!("{name}.weight"), &[output, input])?;
        let mut b = weights.values(&format!("{name}.bias"), &[output])?;
        for x in w.iter_mut().chain(&mut b) {
            *x *= scale;
        }
        Ok(Linear(Packed::new(&w, input, b)))
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        self.apply(x, |y, bias| {
            if !bias.is_empty() {
                kernels::add_bias(y, bias);
            }
        })
    }

    /// `residual + x Wᵀ + b`.
    pub fn forward_and_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor, WhisperError> {
        values(residual, |residual| {
            self.apply(x, |y, bias| kernels::add_bias_and(y, bias, residual))
        })?
    }

    /// `gelu(x Wᵀ + b)`, with the exact (erf) GELU.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        self.apply(x, kernels::bias_gelu)
    }

    /// `x Wᵀ`, then `finish(product, bias)` on it in place.
    fn apply(
        &self,
        x: &Tensor,
        finish: impl Fn(&mut [f32], &[f32]),
    ) -> Result<Tensor, WhisperError> {
        let rows = x.dim(0)?;
        let mut y = values(x, |x| self.0.product(x))?;
        finish(&mut y, &self.0.bias);
        let output = y.len() / rows;
        Ok(Tensor::from_vec(y, (rows, output), &Device::Cpu)?)
    }
}

/// Lends the values of a contiguous f32 tensor.
pub fn values<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R, WhisperError> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(candle_core::Error::Msg("the values are not in memory".into()).into());
    };
    let range = layout.contiguous_offsets();
    match range.and_then(|(start, end)| storage.as_slice::<f32>().ok()?.get(start..end)) {
        Some(values) => Ok(f(values)),
        None => Err(candle_core::Error::Msg("the values do not lie in one piece".into()).into()),
    }
}

/// Layer normalisation over the last dimension.
pub struct Norm {
    w: Vec<f32>,
    b: Vec<f32>,
}

impl Norm {
    const EPSILON: f32 = 1e-5;

    pub fn load(weights: &mut Weights, name: &str, d: usize) -> Result<Norm, WhisperError> {
        Ok(Norm {
            w: weights.values(&format!("{name}.weight"), &[d])?,
            b: weights.values(&format!("{name}.bias"), &[d])?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        let norm = |x: &[f32]| kernels::layer_norm(x, &self.w, &self.b, Self::EPSILON);
        Ok(Tensor::from_vec(values(x, norm)?, x.dims(), &Device::Cpu)?)
    }
}

/// `x + fc2(gelu(fc1(norm(x))))`.
pub struct Mlp {
    norm: Norm,
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    pub fn load(
        weights: &mut Weights,
        layer: &str,
        d: usize,
        hidden: usize,
    ) -> Result<Mlp, WhisperError> {
        Ok(Mlp {
            norm: Norm::load(weights, &format!("{layer}.final_layer_norm"), d)?,
            fc1: Linear::load(weights, &format!("{layer}.fc1"), (d, hidden), true)?,
            fc2: Linear::load(weights, &format!("{layer}.fc2"), (hidden, d), true)?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        let hidden = self.fc1.forward_gelu(&self.norm.forward(x)?)?;
        self.fc2.forward_and_add(&hidden, x)
    }
}

/// A convolution of width 3 over time, padded with one zero frame at either end, with GELU.
pub struct Conv {
    /// `[out, 3 * in]`, tap by tap.
    linear: Linear,
    input: usize,
    stride: usize,
}

impl Conv {
    const TAPS: usize = 3;

    pub fn load(
        weights: &mut Weights,
        name: &str,
        (input, output): (usize, usize),
        stride: usize,
    ) -> Result<Conv, WhisperError> {
        let taps = Self::TAPS;
        let from = weights.values(&format!("{name}.weight"), &[output, input, taps])?;
        // From channel by channel to tap by tap.
        let mut w = vec![0f32; from.len()];
        for (to, from) in w
            .chunks_exact_mut(taps * input)
            .zip(from.chunks_exact(taps * input))
        {
            for (tap, to) in to.chunks_exact_mut(input).enumerate() {
                for (to, from) in to.iter_mut().zip(from.iter().skip(tap).step_by(taps)) {
                    *to = *from;
                }
            }
        }
        let b = weights.values(&format!("{name}.bias"), &[output])?;
        let linear = Linear(Packed::new(&w, taps * input, b));
        Ok(Conv {
            linear,
            input,
            stride,
        })
    }

    /// `[frames, in]`, row-major, to `gelu(conv(x))`, `[frames / stride, out]`.
    pub fn forward_gelu(&self, x: &[f32]) -> Result<Tensor, WhisperError> {
        let c = self.input;
        let mut padded = Vec::with_capacity(x.len() + 2 * c);
        padded.resize(c, 0f32);
        padded.extend_from_slice(x);
        padded.resize(x.len() + 2 * c, 0.0);
        // Time-major, the three frames that one output sees lie behind one another.
        let windows = padded.windows(Self::TAPS * c).step_by(self.stride * c);
        let mut columns = Vec::with_capacity(Self::TAPS * x.len() / self.stride);
        windows.for_each(|window| columns.extend_from_slice(window));
        let frames = columns.len() / (Self::TAPS * c);
        let columns = Tensor::from_vec(columns, (frames, Self::TAPS * c), &Device::Cpu)?;
        self.linear.forward_gelu(&columns)
    }
}

/// Attention of `q` `[rows, d]` (scaled already) over `kv`; see [`kernels::attend`].
/// Returns the values, `[rows, d]`, and the weights of the heads in `want`.
pub fn attention(
    q: &Tensor,
    kv: &KeyValues,
    causal: bool,
    want: &[usize],
) -> Result<(Tensor, Vec<f32>), WhisperError> {
    let attended = values(q, |q| kernels::attend(q, kv, causal, want))?;
    let values = Tensor::from_vec(attended.values, q.dims(), &Device::Cpu)?;
    Ok((values, attended.weights))
}

/// Packs keys and values `[rows, d]` behind those of `kv`.
pub fn remember(kv: &mut KeyValues, k: &Tensor, v: &Tensor) -> Result<(), WhisperError> {
    values(k, |k| values(v, |v| kv.push(k, v)))?
}
