//! The CPU kernels: each written once over lanes ([`simd::Simd`]), compiled for every tier of processors. Which tier
//! computes in which format is measured once ([`probe`]).
//!
//! Work is split over threads by rows and heads only: a sum is always taken by one thread in one order, so
//! that results do not depend on how many threads there are.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attend;
mod cache;
mod choice;
mod format;
mod linear;
mod math;
mod pool;
mod probe;
mod rows;
mod scratch;
mod simd;
#[cfg(test)]
mod tests;
mod tile;
mod view;

pub use attend::{BASE_2, Query, attend};
pub use cache::KeyValues;
pub use choice::complaint;
pub use format::Format;
pub use linear::{Finish, Packed};
pub use pool::on_pool;
pub use probe::fastest;
pub use rows::Rows;
pub use simd::Tier;

use rayon::prelude::*;

use math::LayerNorm;
use simd::{dispatch, dispatch_on};
use tile::Dots;

/// Values that are worth a thread's waking.
const PARALLEL: usize = 1 << 15;

/// Layer norm of each row of `rows` `[n, weight.len()]`, to `to`.
pub fn layer_norm(rows: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, to: &mut Vec<f32>) {
    let d = weight.len();
    to.resize(rows.len(), 0.0);
    let chunk = rows_per_task(rows.len(), d) * d;
    let norm = |(to, rows): (&mut [f32], &[f32])| {
        dispatch(LayerNorm {
            rows,
            to,
            weight,
            bias,
            epsilon,
        });
    };
    if rows.len() <= chunk {
        return norm((to, rows));
    }
    let chunks = to.par_chunks_mut(chunk).zip(rows.par_chunks(chunk));
    chunks.for_each(norm);
}

/// `x wᵀ` for few rows and weights as they lie in the file: `x` `[rows, k]`, `w` `[n, k]`; returns `[rows, n]`.
pub fn linear(x: &[f32], w: &[f32], k: usize) -> Vec<f32> {
    linear_on(Tier::best(), x, w, k)
}

fn linear_on(tier: Tier, x: &[f32], w: &[f32], k: usize) -> Vec<f32> {
    let (rows, n) = (x.len() / k, w.len() / k);
    let mut columns = vec![0f32; rows * n];
    // Four rows of weights go together.
    let chunk = rows_per_task(w.len(), k).next_multiple_of(4);
    let tasks = columns
        .par_chunks_mut(chunk * rows)
        .zip(w.par_chunks(chunk * k));
    tasks.for_each(|(to, w)| {
        dispatch_on(tier, Dots { x, w, k, to });
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
