//! The inner products: blocks of a matrix product in registers, and rows of weights against few inputs.
//!
//! A block multiplies *words* of 32 bits, whatever they hold ([`Arithmetic`]): the same loads, broadcasts and
//! accumulators serve f32, bf16 and bytes.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::simd::{Kernel, Simd};
use super::view::View;

/// Rows of a register tile. With 4 vectors a row: 24 accumulators of AVX-512's 32 registers; with 2, 12 of 16.
const ROWS: usize = 6;

/// What words hold, and how two of them are multiplied and added to a sum of 32 bits. All zeros is zero in each.
pub trait Arithmetic {
    /// # Safety
    /// As [`Simd`]'s.
    unsafe fn add<S: Simd>(x: S, w: S, sum: S) -> S;

    /// A step on the tile unit ([`amx`]), where it knows this arithmetic.
    #[cfg(target_arch = "x86_64")]
    const STEP: Option<Step> = None;
}

/// See [`amx::bytes`].
#[cfg(target_arch = "x86_64")]
type Step = unsafe fn(usize, View<*const f32>, View<*const f32>, View<*mut f32>, bool);

/// A word is a f32, and so is the sum.
pub struct Single;
/// A word is two bf16, the sum a f32.
pub struct Halves;
/// A word is four bytes, unsigned against signed, the sum an i32.
pub struct Bytes;

impl Arithmetic for Single {
    #[inline(always)]
    unsafe fn add<S: Simd>(x: S, w: S, sum: S) -> S {
        // SAFETY: the caller's.
        unsafe { x.mul_add(w, sum) }
    }
}

impl Arithmetic for Halves {
    #[inline(always)]
    unsafe fn add<S: Simd>(x: S, w: S, sum: S) -> S {
        // SAFETY: the caller's.
        unsafe { x.dot_halves(w, sum) }
    }

    #[cfg(target_arch = "x86_64")]
    const STEP: Option<Step> = Some(amx::halves);
}

impl Arithmetic for Bytes {
    #[inline(always)]
    unsafe fn add<S: Simd>(x: S, w: S, sum: S) -> S {
        // SAFETY: the caller's.
        unsafe { x.dot_bytes(w, sum) }
    }

    #[cfg(target_arch = "x86_64")]
    const STEP: Option<Step> = Some(amx::bytes);
}

/// `c (+)= a b` for `a` `[rows, k]`, `b` `[k, columns]`, `c` `[rows, columns]`; `columns` is a multiple of 16.
///
/// # Safety
/// As [`Simd`]'s; the views must be good for those shapes.
#[inline(always)]
pub unsafe fn product<S: Simd, A: Arithmetic>(
    shape: (usize, usize, usize),
    a: View<*const f32>,
    b: View<*const f32>,
    c: View<*mut f32>,
    accumulate: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if S::TILES
            && let Some(step) = A::STEP
        {
            return on_tiles::<S, A>(step, shape, a, b, c, accumulate);
        }
        in_registers::<S, A>(shape, a, b, c, accumulate);
    }
}

/// [`product`] by the tile unit as far as whole tiles go, the edges by registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn on_tiles<S: Simd, A: Arithmetic>(
    step: Step,
    (rows, k, columns): (usize, usize, usize),
    a: View<*const f32>,
    b: View<*const f32>,
    c: View<*mut f32>,
    accumulate: bool,
) {
    let whole = |x: usize, of: usize| x / of * of;
    let (deep, high, wide) = (
        whole(k, amx::DEPTH),
        whole(rows, amx::SIDE),
        whole(columns, amx::SIDE),
    );
    // SAFETY: every part lies inside the shapes.
    unsafe {
        if deep == 0 || high == 0 || wide == 0 {
            return in_registers::<S, A>((rows, k, columns), a, b, c, accumulate);
        }
        for column in (0..wide).step_by(amx::SIDE) {
            for row in (0..high).step_by(amx::SIDE) {
                step(
                    deep,
                    a.from(row, 0),
                    b.from(0, column),
                    c.from(row, column),
                    accumulate,
                );
            }
        }
        if deep < k {
            let shape = (high, k - deep, wide);
            in_registers::<S, A>(shape, a.from(0, deep), b.from(deep, 0), c, true);
        }
        if wide < columns {
            let shape = (high, k, columns - wide);
            in_registers::<S, A>(shape, a, b.from(0, wide), c.from(0, wide), accumulate);
        }
        if high < rows {
            let shape = (rows - high, k, columns);
            in_registers::<S, A>(shape, a.from(high, 0), b, c.from(high, 0), accumulate);
        }
    }
}

#[inline(always)]
unsafe fn in_registers<S: Simd, A: Arithmetic>(
    (rows, k, columns): (usize, usize, usize),
    a: View<*const f32>,
    b: View<*const f32>,
    c: View<*mut f32>,
    accumulate: bool,
) {
    // SAFETY: every tile lies inside the shapes.
    unsafe {
        let mut column = 0;
        while column < columns {
            // Four vectors of 16 lanes where they fit; two of 8, or one of 16, always do.
            let wide = S::LANES == 16 && columns - column >= 64;
            let b = View {
                start: b.start.add(column),
                ..b
            };
            let mut row = 0;
            while row < rows {
                let a = View {
                    start: a.start.add(row * a.stride),
                    ..a
                };
                let c = View {
                    start: c.start.add(row * c.stride + column),
                    ..c
                };
                let height = ROWS.min(rows - row);
                match (wide, S::LANES) {
                    (true, _) => tiles::<S, A, 4>(height, k, a, b, c, accumulate),
                    (_, 16) => tiles::<S, A, 1>(height, k, a, b, c, accumulate),
                    _ => tiles::<S, A, 2>(height, k, a, b, c, accumulate),
                }
                row += height;
            }
            column += if wide { 64 } else { 16 };
        }
    }
}

#[inline(always)]
unsafe fn tiles<S: Simd, A: Arithmetic, const C: usize>(
    height: usize,
    k: usize,
    a: View<*const f32>,
    b: View<*const f32>,
    c: View<*mut f32>,
    accumulate: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        match height {
            1 => tile::<S, A, 1, C>(k, a, b, c, accumulate),
            2 => tile::<S, A, 2, C>(k, a, b, c, accumulate),
            3 => tile::<S, A, 3, C>(k, a, b, c, accumulate),
            4 => tile::<S, A, 4, C>(k, a, b, c, accumulate),
            5 => tile::<S, A, 5, C>(k, a, b, c, accumulate),
            _ => tile::<S, A, ROWS, C>(k, a, b, c, accumulate),
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, A: Arithmetic, const R: usize, const C: usize>(
    k: usize,
    a: View<*const f32>,
    b: View<*const f32>,
    c: View<*mut f32>,
    accumulate: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[S::splat(0.0); C]; R];
        if accumulate {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(c.start.wrapping_add(r * c.stride + i * S::LANES));
                }
            }
        }
        for k in 0..k {
            let mut columns = [S::splat(0.0); C];
            for (i, column) in columns.iter_mut().enumerate() {
                *column = S::load(b.start.wrapping_add(k * b.stride + i * S::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = S::splat(*a.start.wrapping_add(r * a.stride + k));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = A::add(x, column, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                sum.store(c.start.wrapping_add(r * c.stride + i * S::LANES));
            }
        }
    }
}

/// `to[m][n] = x[m] · w[n]` for some consecutive rows `w` of a weight matrix, and few rows `x`:
/// bound by reading `w`, which is read once.
pub struct Dots<'a> {
    /// `[rows, k]`
    pub x: &'a [f32],
    /// `[n, k]`
    pub w: &'a [f32],
    pub k: usize,
    /// `[n, rows]`: one row of `w` after the other.
    pub to: &'a mut [f32],
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Dots { x, w, k, to } = self;
        let rows = x.len() / k;
        let quads = w.chunks_exact(4 * k);
        let rest = quads.remainder();
        for (i, quad) in quads.enumerate() {
            for (m, x) in x.chunks_exact(k).enumerate() {
                // SAFETY: `quad` is four rows of k values, `x` one.
                let sums = unsafe { dots::<S, 4>(x, quad, k) };
                for (j, sum) in sums.into_iter().enumerate() {
                    put(to, 4 * i + j, (m, rows), sum);
                }
            }
        }
        let done = w.len() / k / 4 * 4;
        for (i, w) in rest.chunks_exact(k).enumerate() {
            for (m, x) in x.chunks_exact(k).enumerate() {
                // SAFETY: both are one row of k values.
                let [sum] = unsafe { dots::<S, 1>(x, w, k) };
                put(to, done + i, (m, rows), sum);
            }
        }
    }
}

#[inline(always)]
fn put(to: &mut [f32], n: usize, (m, rows): (usize, usize), sum: f32) {
    if let Some(to) = to.get_mut(n * rows + m) {
        *to = sum;
    }
}

/// Dot products of `x` with `R` consecutive rows of `w`. Each sum is taken in the same order whatever `R`.
#[inline(always)]
unsafe fn dots<S: Simd, const R: usize>(x: &[f32], w: &[f32], k: usize) -> [f32; R] {
    debug_assert!(x.len() == k && w.len() == R * k);
    let whole = k / S::LANES * S::LANES;
    // SAFETY: `x` has k values, `w` R rows of k.
    unsafe {
        let mut sums = [S::splat(0.0); R];
        let mut at = 0;
        while at < whole {
            let x = S::load(x.as_ptr().wrapping_add(at));
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(w.as_ptr().wrapping_add(r * k + at)).mul_add(x, *sum);
            }
            at += S::LANES;
        }
        let mut totals = [0f32; R];
        for (r, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
            *total = sum.sum();
            for at in whole..k {
                *total += *x.as_ptr().add(at) * *w.as_ptr().add(r * k + at);
            }
        }
        totals
    }
}
