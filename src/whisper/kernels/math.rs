//! exp, GELU, softmax, layer norm over rows, a few lanes at a time.

use super::scratch;
use super::simd::{Kernel, Simd};

/// e^x for x in -87..88 (clamped to it), within 2 ulp: Cody-Waite reduction, then a polynomial
/// of degree 6 (coefficients of Cephes' `expf`).
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S) -> S {
    // SAFETY: arithmetic on lanes only.
    unsafe {
        let splat = |x| S::splat(x);
        let x = x.max(splat(-87.0)).min(splat(88.0));
        let n = x.mul(splat(std::f32::consts::LOG2_E)).round();
        let r = n.mul_add(splat(-0.693_359_4), x);
        let r = n.mul_add(splat(2.121_944_4e-4), r);
        let p = splat(1.987_569_1e-4);
        let p = p.mul_add(r, splat(1.398_199_9e-3));
        let p = p.mul_add(r, splat(8.333_452e-3));
        let p = p.mul_add(r, splat(4.166_579_6e-2));
        let p = p.mul_add(r, splat(1.666_666_5e-1));
        let p = p.mul_add(r, splat(0.5));
        let y = p.mul_add(r.mul(r), r.add(splat(1.0)));
        y.scale(n)
    }
}

/// x Φ(x), with erf by Abramowitz and Stegun 7.1.26 (within 2e-7).
#[inline(always)]
pub unsafe fn gelu<S: Simd>(x: S) -> S {
    // SAFETY: arithmetic on lanes only.
    unsafe {
        let splat = |x| S::splat(x);
        let zero = splat(0.0);
        let z = x
            .max(zero.sub(x))
            .mul(splat(std::f32::consts::FRAC_1_SQRT_2));
        let one = splat(1.0);
        let t = one.div(z.mul_add(splat(0.327_591_1), one));
        let p = splat(1.061_405_4);
        let p = p.mul_add(t, splat(-1.453_152));
        let p = p.mul_add(t, splat(1.421_413_7));
        let p = p.mul_add(t, splat(-0.284_496_74));
        let p = p.mul_add(t, splat(0.254_829_6));
        // q = 1 - erf(|x|/√2); x Φ(x) = max(x, 0) - |x| q / 2 for either sign of x.
        let q = p.mul(t).mul(exp(zero.sub(z.mul(z))));
        let half = x.max(zero.sub(x)).mul(splat(0.5));
        x.max(zero).sub(half.mul(q))
    }
}

/// `to[i] = (rows[i] - mean) / √(variance + ε) * weight + bias`, row by row.
pub struct LayerNorm<'a> {
    pub rows: &'a [f32],
    pub to: &'a mut [f32],
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub epsilon: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let d = self.weight.len();
        let count = d as f32;
        let affine = || self.weight.iter().zip(self.bias);
        for (row, to) in self.rows.chunks_exact(d).zip(self.to.chunks_exact_mut(d)) {
            let (chunks, tail) = (row.chunks_exact(S::LANES), row.len() % S::LANES);
            let done = d - tail;
            // SAFETY: every chunk holds LANES values.
            unsafe {
                let mut sum = S::splat(0.0);
                for x in chunks.clone() {
                    sum = sum.add(S::load(x.as_ptr()));
                }
                let mut mean = sum.sum();
                for x in row.iter().skip(done) {
                    mean += x;
                }
                mean /= count;
                let centre = S::splat(mean);
                let mut squares = S::splat(0.0);
                for x in chunks.clone() {
                    let x = S::load(x.as_ptr()).sub(centre);
                    squares = x.mul_add(x, squares);
                }
                let mut variance = squares.sum();
                for x in row.iter().skip(done) {
                    variance += (x - mean) * (x - mean);
                }
                let scale = 1.0 / (variance / count + self.epsilon).sqrt();
                let factor = S::splat(scale);
                let weights = self.weight.chunks_exact(S::LANES);
                let biases = self.bias.chunks_exact(S::LANES);
                let (body, _) = split_mut::<S>(to);
                for (((to, x), w), b) in body.zip(chunks).zip(weights).zip(biases) {
                    let y = S::load(x.as_ptr()).sub(centre).mul(factor);
                    let y = y.mul_add(S::load(w.as_ptr()), S::load(b.as_ptr()));
                    y.store(to.as_mut_ptr());
                }
                let rest = to.iter_mut().zip(row).zip(affine()).skip(done);
                for ((to, x), (w, b)) in rest {
                    *to = (x - mean) * scale * w + b;
                }
            }
        }
    }
}

/// A score low enough to vanish, high enough to subtract from.
const NOTHING: f32 = -1e30;

/// The greatest of the first `seen` values, in every lane; those behind become [`NOTHING`].
#[inline(always)]
unsafe fn greatest<S: Simd>(row: &mut [f32], seen: usize) -> S {
    if let Some(unseen) = row.get_mut(seen..) {
        unseen.fill(NOTHING);
    }
    // SAFETY: every chunk holds LANES values.
    unsafe {
        let mut max = S::splat(NOTHING);
        for x in row.chunks_exact(S::LANES) {
            max = max.max(S::load(x.as_ptr()));
        }
        S::splat(max.max_lane())
    }
}

/// Turns a row of scores, padded to a multiple of 16, into e^(score - max): zeros behind the first
/// `seen` values. Returns 1 / sum.
///
/// # Safety
/// As [`Simd`]'s.
#[inline(always)]
pub unsafe fn softmax<S: Simd>(row: &mut [f32], seen: usize) -> f32 {
    let seen = seen.min(row.len());
    // SAFETY: the caller's; every chunk holds LANES values.
    unsafe {
        let max = greatest::<S>(row, seen);
        let mut sum = S::splat(0.0);
        for x in row.chunks_exact_mut(S::LANES) {
            let y = exp(S::load(x.as_ptr()).sub(max));
            y.store(x.as_mut_ptr());
            sum = sum.add(y);
        }
        // What the unseen added is e^-87 each: nothing beside the greatest one's 1.
        if let Some(unseen) = row.get_mut(seen..) {
            unseen.fill(0.0);
        }
        1.0 / sum.sum()
    }
}

/// Turns a row of scores to base 2 into 2^(score - max), rounded to bf16: zeros behind the first `seen` values.
/// Returns 1 / sum. If asked to `keep`, the row holds the values before rounding.
///
/// # Safety
/// As [`Simd`]'s; `halves` has room for the row.
#[inline(always)]
pub unsafe fn softmax_halves<S: Simd>(
    row: &mut [f32],
    halves: *mut u16,
    seen: usize,
    keep: bool,
) -> f32 {
    let seen = seen.min(row.len());
    // SAFETY: the caller's; every chunk holds LANES values.
    unsafe {
        let max = greatest::<S>(row, seen);
        let mut sum = S::splat(0.0);
        for (i, x) in row.chunks_exact_mut(S::LANES).enumerate() {
            let y = exp2(S::load(x.as_ptr()).sub(max));
            if keep {
                y.store(x.as_mut_ptr());
            }
            y.store_halves(halves.add(i * S::LANES));
            sum = sum.add(y);
        }
        // What the unseen added is 2^-126 each, and as much to the values.
        1.0 / sum.sum()
    }
}

/// 2^x for x <= 0 (clamped at -126), within 3e-6: far below what bf16 keeps.
#[inline(always)]
unsafe fn exp2<S: Simd>(x: S) -> S {
    // SAFETY: arithmetic on lanes only.
    unsafe {
        let splat = |x| S::splat(x);
        let x = x.max(splat(-126.0));
        let n = x.round();
        let f = x.sub(n);
        // Least greatest relative error on -0.5..=0.5.
        let p = splat(9.570_102e-3);
        let p = p.mul_add(f, splat(5.591_786e-2));
        let p = p.mul_add(f, splat(2.402_474_5e-1));
        let p = p.mul_add(f, splat(6.931_218e-1));
        let p = p.mul_add(f, splat(9.999_993e-1));
        p.scale(n)
    }
}

/// Rounds values to bf16, two in a word; what is over in the last word is zero.
pub struct ToHalves<'a> {
    pub from: &'a [f32],
    pub to: &'a mut [u32],
}

impl Kernel for ToHalves<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let chunks = self.from.chunks_exact(S::LANES);
        let rest = chunks.remainder();
        let done = self.from.len() - rest.len();
        let to = scratch::halves(scratch::clear_last(self.to));
        for (from, to) in chunks.zip(to.chunks_exact_mut(S::LANES)) {
            // SAFETY: both chunks hold LANES values.
            unsafe { S::load(from.as_ptr()).store_halves(to.as_mut_ptr()) };
        }
        for (from, to) in rest.iter().zip(to.iter_mut().skip(done)) {
            let mut lanes = [0u16; 16];
            // SAFETY: no tier has more than 16 lanes.
            unsafe { S::splat(*from).store_halves(lanes.as_mut_ptr()) };
            *to = lanes[0];
        }
    }
}

/// `x ≈ low + step * q` for the bytes `q` of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps {
    pub low: f32,
    pub step: f32,
}

/// Rounds one row to bytes between its least and its greatest value, four in a word; what is over in the last is zero.
pub struct ToBytes<'a> {
    pub from: &'a [f32],
    pub to: &'a mut [u32],
}

impl Kernel for ToBytes<'_> {
    type Output = Steps;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Steps {
        let chunks = self.from.chunks_exact(S::LANES);
        let rest = chunks.remainder();
        let done = self.from.len() - rest.len();
        let to = scratch::bytes(scratch::clear_last(self.to));
        // SAFETY: every chunk holds LANES values; no tier has more than 16 lanes.
        unsafe {
            let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
            if done > 0 {
                let (mut least, mut most) = (S::splat(low), S::splat(high));
                for x in chunks.clone() {
                    let x = S::load(x.as_ptr());
                    least = least.min(x);
                    most = most.max(x);
                }
                let none = S::splat(0.0);
                low = -none.sub(least).max_lane();
                high = most.max_lane();
            }
            for x in rest {
                low = low.min(*x);
                high = high.max(*x);
            }
            let range = high - low;
            // A row of one value (or of none that can be told apart) has no steps.
            if !(range > 0.0 && range.is_finite()) {
                to.fill(0);
                let low = if low.is_finite() { low } else { 0.0 };
                return Steps { low, step: 0.0 };
            }
            let factor = S::splat(255.0 / range);
            let offset = S::splat(low);
            for (x, to) in chunks.zip(to.chunks_exact_mut(S::LANES)) {
                let q = S::load(x.as_ptr()).sub(offset).mul(factor);
                q.min(S::splat(255.0)).store_bytes(to.as_mut_ptr());
            }
            for (x, to) in rest.iter().zip(to.iter_mut().skip(done)) {
                let q = S::splat(*x).sub(offset).mul(factor);
                let mut lanes = [0u8; 16];
                q.min(S::splat(255.0)).store_bytes(lanes.as_mut_ptr());
                *to = lanes[0];
            }
            let step = range / 255.0;
            Steps { low, step }
        }
    }
}

/// Whole vectors of a row, and the rest.
#[inline(always)]
fn split_mut<S: Simd>(row: &mut [f32]) -> (std::slice::ChunksExactMut<'_, f32>, &mut [f32]) {
    let done = row.len() / S::LANES * S::LANES;
    let (body, tail) = row.split_at_mut(done);
    (body.chunks_exact_mut(S::LANES), tail)
}
