//! The layers that encoder and decoder are made of.

use candle_core::{Storage, Tensor};

use super::WhisperError;
use super::kernels::{self, Finish, Format, Packed, Rows};
use super::weights::Weights;

/// One of the projections that [`joined`] puts side by side.
pub struct Projection<'a> {
    pub name: &'a str,
    pub bias: bool,
    /// What its outputs are multiplied with.
    pub scale: f32,
}

impl<'a> Projection<'a> {
    pub fn new(name: &'a str, bias: bool) -> Projection<'a> {
        let scale = 1.0;
        Projection { name, bias, scale }
    }

    /// The queries of an attention with heads of this width; its scale is folded in (exact for heads of 64 over f32).
    pub fn queries(name: &'a str, format: Format, width: usize) -> Projection<'a> {
        let scale = (width as f32).powf(-0.5);
        Projection {
            name,
            bias: true,
            scale: match format {
                Format::Single => scale,
                Format::Halves | Format::Bytes => scale * kernels::BASE_2,
            },
        }
    }
}

/// Linear layers over the same `d` inputs, as one: the outputs of each behind those of the one before, `d` each.
pub fn joined(
    weights: &mut Weights,
    block: &str,
    projections: &[Projection<'_>],
    d: usize,
) -> Result<Packed, WhisperError> {
    let (mut w, mut b) = (Vec::new(), Vec::new());
    for Projection { name, bias, scale } in projections {
        let from = weights.values(&format!("{block}.{name}.weight"), &[d, d])?;
        w.extend(from.iter().map(|x| x * scale));
        if *bias {
            let from = weights.values(&format!("{block}.{name}.bias"), &[d])?;
            b.extend(from.iter().map(|x| x * scale));
        }
        b.resize(w.len() / d, 0.0);
    }
    Ok(Packed::new(weights.format(), &w, d, b))
}

/// A linear layer with a bias.
pub fn linear(
    weights: &mut Weights,
    name: &str,
    (input, output): (usize, usize),
) -> Result<Packed, WhisperError> {
    let w = weights.values(&format!("{name}.weight"), &[output, input])?;
    let b = weights.values(&format!("{name}.bias"), &[output])?;
    Ok(Packed::new(weights.format(), &w, input, b))
}

/// Layer normalisation of rows.
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

    pub fn apply(&self, x: &[f32], to: &mut Vec<f32>) {
        kernels::layer_norm(x, &self.w, &self.b, Self::EPSILON, to);
    }
}

/// `x + fc2(gelu(fc1(norm(x))))`.
pub struct Mlp {
    norm: Norm,
    fc1: Packed,
    fc2: Packed,
    d: usize,
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
            fc1: linear(weights, &format!("{layer}.fc1"), (d, hidden))?,
            fc2: linear(weights, &format!("{layer}.fc2"), (hidden, d))?,
            d,
        })
    }

    /// `normed` and `hidden` are scratch.
    pub fn apply(
        &self,
        x: &[f32],
        normed: &mut Vec<f32>,
        hidden: &mut Vec<f32>,
        to: &mut Vec<f32>,
    ) {
        self.norm.apply(x, normed);
        self.fc1
            .apply(Rows::new(normed, self.d), Finish::Gelu, hidden);
        let rows = Rows::new(hidden, self.fc1.outputs());
        self.fc2.apply(rows, Finish::Add(x), to);
    }
}

/// A convolution of width 3 over time, with GELU.
pub struct Conv {
    /// `[out, 3 * in]`, tap by tap: time-major, the three frames that one output sees lie behind one another.
    taps: Packed,
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
        // Eight bits are too few for what comes from outside the network.
        let format = match weights.format() {
            Format::Single => Format::Single,
            Format::Halves | Format::Bytes => Format::Halves,
        };
        Ok(Conv {
            taps: Packed::new(format, &w, taps * input, b),
            input,
            stride,
        })
    }

    /// `frames` of `gelu(conv(x))`; `x` is `[.., in]`, time-major, with the frame before the first one in front.
    pub fn apply(&self, x: &[f32], frames: usize, to: &mut Vec<f32>) {
        let rows = Rows {
            values: x,
            stride: self.stride * self.input,
            count: frames,
        };
        self.taps.apply(rows, Finish::Gelu, to);
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
