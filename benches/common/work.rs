//! What a model asks of the machine, and how long that must take at best.

use super::machine::Machine;
use super::precision::Precision;
use super::synthetic::Shape;

const FRAMES: f64 = 1500.0;

/// Milliseconds that one encoder window takes at best: linear layers at the precision's own peak; attention in bf16 where
/// that is the faster (f32 at precision f32); convolutions in f32.
pub fn encoder_limit(shape: &Shape, precision: Precision, machine: &Machine) -> f64 {
    let (d, layers) = (shape.d_model as f64, shape.encoder_layers as f64);
    let convolutions = 2.0 * 3.0 * d * (2.0 * FRAMES * shape.mel_bins as f64 + FRAMES * d);
    let linears = 24.0 * d * d * FRAMES * layers;
    let attention = 4.0 * FRAMES * FRAMES * d * layers;
    let attends_in = match precision {
        Precision::F32 => Precision::F32,
        Precision::Bf16 | Precision::Int8 => Precision::Bf16,
    };
    let ms = |operations: f64, precision| operations / machine.peak(precision).rate / 1e6;
    ms(convolutions, Precision::F32) + ms(linears, precision) + ms(attention, attends_in)
}

/// Milliseconds that it takes to read once what one step of the decoder needs: weights, and cross keys and values (f32;
/// else of two bytes a value).
pub fn step_limit(shape: &Shape, precision: Precision, machine: &Machine) -> f64 {
    let (d, layers) = (shape.d_model as f64, shape.decoder_layers as f64);
    // Self-attention 4 d², cross-attention's q and o 2 d², feed-forward 8 d².
    let weights = 14.0 * d * d * layers + shape.vocab as f64 * d;
    let cross = 2.0 * FRAMES * d * layers;
    let bytes = match precision {
        Precision::F32 => 4.0 * (weights + cross),
        Precision::Bf16 => 2.0 * (weights + cross),
        Precision::Int8 => weights + 2.0 * cross,
    };
    bytes / machine.bandwidth / 1e6
}
