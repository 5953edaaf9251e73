//! The layers that encoder and decoder are made of.

use candle_core::{D, Device, Tensor};

use super::WhisperError;
use super::weights::Weights;

/// `x Wᵀ + b`; `w` is `[out, in]`.
pub struct Linear {
    w: Tensor,
    b: Option<Tensor>,
}

impl Linear {
    pub fn load(
        weights: &mut Weights,
        name: &str,
        (input, output): (usize, usize),
        bias: bool,
    ) -> Result<Linear, WhisperError> {
        let w = weights.tensor(&format!("{name}.weight"), &[output, input])?;
        let b = match bias {
            true => Some(weights.tensor(&format!("{name}.bias"), &[output])?),
            false => None,
        };
        Ok(Linear { w, b })
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
        Ok(Linear {
            w: Tensor::from_vec(w, (output, input), &Device::Cpu)?,
            b: Some(Tensor::from_vec(b, output, &Device::Cpu)?),
        })
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        let y = x.matmul(&self.w.t()?)?;
        Ok(match &self.b {
            Some(b) => y.broadcast_add(b)?,
            None => y,
        })
    }

    /// `[rows, in]` to `[out, rows]`, for a layer without bias.
    pub fn forward_transposed(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        Ok(self.w.matmul(&x.t()?)?)
    }

    /// `gelu(x Wᵀ + b)`, with the exact (erf) GELU.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        Ok(self.forward(x)?.gelu_erf()?)
    }
}

/// Layer normalisation over the last dimension.
pub struct Norm {
    w: Tensor,
    b: Tensor,
}

impl Norm {
    const EPSILON: f32 = 1e-5;

    pub fn load(weights: &mut Weights, name: &str, d: usize) -> Result<Norm, WhisperError> {
        Ok(Norm {
            w: weights.tensor(&format!("{name}.weight"), &[d])?,
            b: weights.tensor(&format!("{name}.bias"), &[d])?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        Ok(candle_nn::ops::layer_norm(
            x,
            &self.w,
            &self.b,
            Self::EPSILON,
        )?)
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
        Ok((x + self.fc2.forward(&hidden)?)?)
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
        let w = weights.tensor(&format!("{name}.weight"), &[output, input, Self::TAPS])?;
        let w = w.transpose(1, 2)?.contiguous()?;
        let b = weights.tensor(&format!("{name}.bias"), &[output])?;
        let linear = Linear {
            w: w.reshape((output, Self::TAPS * input))?,
            b: Some(b),
        };
        Ok(Conv {
            linear,
            input,
            stride,
        })
    }

    /// `[frames, in]`, row-major, to `gelu(conv(x))`, `[frames / stride, out]`.
    pub fn forward_gelu(&self, x: &[f32]) -> Result<Tensor, WhisperError> {
        let c = self.input;
        let mut padded = vec![0f32; c];
        padded.extend_from_slice(x);
        padded.resize(padded.len() + c, 0.0);
        // Time-major, the three frames that one output sees lie behind one another.
        let windows = padded.windows(Self::TAPS * c).step_by(self.stride * c);
        let columns: Vec<f32> = windows.flatten().copied().collect();
        let frames = columns.len() / (Self::TAPS * c);
        let columns = Tensor::from_vec(columns, (frames, Self::TAPS * c), &Device::Cpu)?;
        self.linear.forward_gelu(&columns)
    }
}

/// What attention returns: the values, `[rows, d]`, and the rows of the heads asked for.
pub struct Attended {
    pub values: Tensor,
    /// softmax(q·k), `[want, rows, keys]`, row-major.
    pub weights: Vec<f32>,
}

/// Attention of `q` `[rows, d]` (scaled already) over keys `kt` `[d, keys]` and values `v` `[keys, d]`,
/// in `heads` heads. `causal`: row i sees only the first `keys - rows + i + 1` keys.
/// `want`: the heads whose weights are returned too.
pub fn attention(
    q: &Tensor,
    kt: &Tensor,
    v: &Tensor,
    heads: usize,
    causal: bool,
    want: &[usize],
) -> Result<Attended, WhisperError> {
    let (rows, d) = q.dims2()?;
    let keys = kt.dim(D::Minus1)?;
    let width = d / heads;
    let q = q
        .reshape((rows, heads, width))?
        .transpose(0, 1)?
        .contiguous()?;
    let kt = kt.reshape((heads, width, keys))?;
    let v = v
        .reshape((keys, heads, width))?
        .transpose(0, 1)?
        .contiguous()?;
    let mut scores = q.matmul(&kt)?;
    if causal && rows > 1 {
        let mask: Vec<f32> = (0..rows)
            .flat_map(|row| {
                let seen = keys - rows + row + 1;
                (0..keys).map(move |key| if key < seen { 0.0 } else { f32::NEG_INFINITY })
            })
            .collect();
        let mask = Tensor::from_vec(mask, (1, rows, keys), &Device::Cpu)?;
        scores = scores.broadcast_add(&mask)?;
    }
    let scores = candle_nn::ops::softmax_last_dim(&scores)?;
    let mut weights = Vec::with_capacity(want.len() * rows * keys);
    for &head in want {
        weights.extend(scores.get(head)?.flatten_all()?.to_vec1::<f32>()?);
    }
    let values = scores.matmul(&v)?.transpose(0, 1)?.contiguous()?;
    Ok(Attended {
        values: values.reshape((rows, d))?,
        weights,
    })
}
