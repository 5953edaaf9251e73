//! The CPU kernels: each written once over lanes ([`simd::Simd`]), compiled for AVX-512, AVX2 and portably.
//!
//! Work is split over threads by rows and heads only: a sum is always taken by one thread in one order, so
//! that results do not depend on how many threads there are.

mod attend;
mod linear;
mod math;
mod simd;
#[cfg(test)]
mod tests;
mod tile;

pub use attend::{KeyValues, attend};
pub use linear::Packed;
pub use simd::Tier;

use rayon::prelude::*;

use math::{BiasGelu, LayerNorm};
use simd::{dispatch, dispatch_on};
use tile::Dots;

/// Values that are worth a thread's waking.
const PARALLEL: usize = 1 << 15;

/// `rows = gelu(rows + bias)` in place; `rows` is `[n, bias.len()]`.
pub fn bias_gelu(rows: &mut [f32], bias: &[f32]) {
    let chunk = rows_per_task(rows.len(), bias.len()) * bias.len();
    rows.par_chunks_mut(chunk)
        .for_each(|rows| dispatch(BiasGelu { rows, bias }));
}

/// Layer norm of each row of `rows` `[n, weight.len()]`.
pub fn layer_norm(rows: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let d = weight.len();
    let mut to = vec![0f32; rows.len()];
    let chunk = rows_per_task(rows.len(), d) * d;
    let chunks = to.par_chunks_mut(chunk).zip(rows.par_chunks(chunk));
    chunks.for_each(|(to, rows)| {
        dispatch(LayerNorm {
            rows,
            to,
            weight,
            bias,
            epsilon,
        });
    });
    to
}

/// `rows += bias` in place.
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    let chunk = rows_per_task(rows.len(), bias.len()) * bias.len();
    rows.par_chunks_mut(chunk).for_each(|rows| {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    });
}

/// `rows += bias + residual` in place.
pub fn add_bias_and(rows: &mut [f32], bias: &[f32], residual: &[f32]) {
    let chunk = rows_per_task(rows.len(), bias.len()) * bias.len();
    let chunks = rows.par_chunks_mut(chunk).zip(residual.par_chunks(chunk));
    chunks.for_each(|(rows, residual)| {
        let pairs = rows
            .chunks_exact_mut(bias.len())
            .zip(residual.chunks_exact(bias.len()));
        for (row, residual) in pairs {
            for ((x, b), r) in row.iter_mut().zip(bias).zip(residual) {
                *x += b + r;
            }
        }
    });
}

/// `x wᵀ + bias` for few rows: `x` `[rows, k]`, `w` `[n, k]`, `bias` `[n]` or empty; returns `[rows, n]`.
pub fn linear(x: &[f32], w: &[f32], k: usize, bias: &[f32]) -> Vec<f32> {
    linear_on(Tier::best(), x, w, k, bias)
}

fn linear_on(tier: Tier, x: &[f32], w: &[f32], k: usize, bias: &[f32]) -> Vec<f32> {
    let (rows, n) = (x.len() / k, w.len() / k);
    let mut columns = vec![0f32; rows * n];
    // Four rows of weights go together.
    let chunk = rows_per_task(w.len(), k).next_multiple_of(4);
    let tasks = columns
        .par_chunks_mut(chunk * rows)
        .zip(w.par_chunks(chunk * k));
    tasks.enumerate().for_each(|(i, (to, w))| {
        let bias = bias.get(i * chunk..).unwrap_or_default();
        dispatch_on(tier, Dots { x, w, k, bias, to });
    });
    if rows == 1 {
        return columns;
    }
    let mut to = vec![0f32; rows * n];
    for (m, row) in to.chunks_exact_mut(n).enumerate() {
        for (to, from) in row.iter_mut().zip(columns.iter().skip(m).step_by(rows)) {
            *to = *from;
        }
    }
    to
}

/// Rows of `d` values that one task takes of `len` values in all.
fn rows_per_task(len: usize, d: usize) -> usize {
    let rows = len / d.max(1);
    // Enough tasks to even out, each large enough to be worth it.
    rows.div_ceil(16).max(PARALLEL.div_ceil(d.max(1))).max(1)
}
