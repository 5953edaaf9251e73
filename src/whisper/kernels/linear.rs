//! Linear layers: weights packed once at load, products by register tiles, bias and what follows it while a block of
//! the product is still in the first-level cache.

use std::ops::Range;

use rayon::prelude::*;

use super::format::{Format, signed, step, word};
use super::math::{self, Steps, ToBytes, ToHalves};
use super::pool::on_pool;
use super::rows::Rows;
use super::scratch;
use super::simd::{Kernel, Simd, Tier, dispatch_words};
use super::tile::{self, Bytes, Halves, Single};
use super::view::View;

/// Outputs of one panel.
const PANEL: usize = 64;
/// Words of an input row taken at a time: a panel's part (64 KiB) stays in the second-level cache while rows go by.
const DEPTH: usize = 256;
/// Up to so many rows the work is split by outputs: it is bound by reading the weights.
const FEW_ROWS: usize = 48;
/// Words of weights that are worth a thread's waking.
const PARALLEL: usize = 1 << 15;

/// The weights of `x Wᵀ + b`.
pub struct Packed {
    format: Format,
    /// `[outputs / 64, words, 64]` words of the weights, zeros behind the last output and the last input.
    panels: Vec<u32>,
    /// Words of one row.
    words: usize,
    inputs: usize,
    outputs: usize,
    /// One for each output, zeros behind them up to whole panels.
    bias: Vec<f32>,
    /// Bytes only, as `bias`: what one step of the output's weights is worth, and that times their sum.
    scales: Vec<f32>,
    sums: Vec<f32>,
}

/// What is done to `x Wᵀ`.
#[derive(Clone, Copy)]
pub enum Finish<'a> {
    /// `+ b`
    Bias,
    /// `gelu(… + b)`, with the exact (erf) GELU.
    Gelu,
    /// `+ b + residual`, `[rows, outputs]`.
    Add(&'a [f32]),
}

impl Packed {
    /// `w` is `[outputs, inputs]`; `bias` one for each output, or empty for none.
    pub fn new(format: Format, w: &[f32], inputs: usize, bias: Vec<f32>) -> Packed {
        on_pool(|| Packed::pack(format, w, inputs, bias))
    }

    fn pack(format: Format, w: &[f32], inputs: usize, mut bias: Vec<f32>) -> Packed {
        let outputs = w.len() / inputs;
        let words = inputs.div_ceil(format.per_word());
        let padded = outputs.next_multiple_of(PANEL);
        bias.resize(padded, 0.0);
        let (mut scales, mut sums) = (Vec::new(), Vec::new());
        if format == Format::Bytes {
            let of_row = |row: &[f32]| {
                let scale = step(row);
                let sum: f32 = row.iter().map(|&x| f32::from(signed(x, scale))).sum();
                (scale, scale * sum)
            };
            (scales, sums) = w.par_chunks(inputs).map(of_row).unzip();
            scales.resize(padded, 0.0);
            sums.resize(padded, 0.0);
        }
        let mut panels = vec![0u32; padded * words];
        let parts = panels
            .par_chunks_mut(PANEL * words)
            .zip(w.par_chunks(PANEL * inputs));
        parts.for_each(|(panel, w)| {
            for (lane, row) in w.chunks_exact(inputs).enumerate() {
                let scale = step(row);
                let column = panel.iter_mut().skip(lane).step_by(PANEL);
                for (to, from) in column.zip(row.chunks(format.per_word())) {
                    *to = word(format, from, scale);
                }
            }
        });
        Packed {
            format,
            panels,
            words,
            inputs,
            outputs,
            bias,
            scales,
            sums,
        }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Rows `[rows, inputs]` to `[rows, outputs]` in `to`. Each sum is taken in one order, whatever rows stand beside
    /// it and however the work is split.
    pub fn apply(&self, x: Rows<'_>, finish: Finish<'_>, to: &mut Vec<f32>) {
        self.apply_on(super::fastest(self.format), x, finish, to);
    }

    pub(super) fn apply_on(&self, tier: Tier, x: Rows<'_>, finish: Finish<'_>, to: &mut Vec<f32>) {
        // Tiles write sixteen columns at a time.
        let stride = self.outputs.next_multiple_of(16);
        to.resize(x.count * stride, 0.0);
        let padded;
        let finish = match finish {
            Finish::Add(residual) if stride != self.outputs => {
                padded = spread(residual, self.outputs, stride);
                Finish::Add(&padded)
            }
            other => other,
        };
        let panels = self.outputs.div_ceil(PANEL);
        if x.count > FEW_ROWS {
            let height = rows_per_task(x.count);
            let parts = to.par_chunks_mut(height * stride).enumerate();
            parts.for_each(|(i, to)| {
                let first = i * height;
                let to = View {
                    start: to.as_mut_ptr(),
                    stride,
                };
                let count = height.min(x.count - first);
                self.part(tier, x, first..first + count, 0..panels, finish, to);
            });
        } else {
            let group = PARALLEL
                .div_ceil(PANEL * self.words)
                .max(panels.div_ceil(32));
            let start = Shared(to.as_mut_ptr());
            let part = |i: usize| {
                let panels = i * group..panels.min((i + 1) * group);
                let to = View {
                    // SAFETY: the panels begin inside every row.
                    start: unsafe { start.at(panels.start * PANEL) },
                    stride,
                };
                self.part(tier, x, 0..x.count, panels, finish, to);
            };
            match panels.div_ceil(group) {
                1 => part(0),
                parts => (0..parts).into_par_iter().for_each(part),
            }
        }
        compact(to, stride, self.outputs);
    }

    /// Rows `rows` of `x` against some panels; `to` begins at the first of both.
    fn part(
        &self,
        tier: Tier,
        x: Rows<'_>,
        rows: Range<usize>,
        panels: Range<usize>,
        finish: Finish<'_>,
        to: View<*mut f32>,
    ) {
        let count = rows.len();
        let held = x.values.len() + x.stride;
        assert!(count == 0 || rows.end * x.stride + self.inputs <= held);
        assert!(self.panels.len() >= panels.end * PANEL * self.words);
        if let Finish::Add(residual) = finish {
            assert!(residual.len() >= rows.end * to.stride);
        }
        let kernel = |x: View<*const f32>, steps: &[Steps]| {
            let kernel = Part {
                x,
                steps,
                rows: rows.clone(),
                w: self,
                panels: panels.clone(),
                finish,
                to,
            };
            dispatch_words(tier, kernel);
        };
        if self.format == Format::Single {
            let start = x.values.get(rows.start * x.stride..).unwrap_or_default();
            let start = start.as_ptr();
            let x = View {
                start,
                stride: x.stride,
            };
            return kernel(x, &[]);
        }
        scratch::words(count * self.words, |words| {
            scratch::steps(count, |steps| {
                let each = words.chunks_exact_mut(self.words).zip(steps.iter_mut());
                for ((words, steps), row) in each.zip(rows.clone()) {
                    *steps = self.round(tier, x.part(row, 0, self.inputs), words);
                }
                let start = words.as_ptr().cast();
                let stride = self.words;
                kernel(View { start, stride }, steps);
            });
        });
    }

    /// An input row in the weights' format.
    fn round(&self, tier: Tier, from: &[f32], to: &mut [u32]) -> Steps {
        match self.format {
            Format::Bytes => dispatch_words(tier, ToBytes { from, to }),
            _ => {
                dispatch_words(tier, ToHalves { from, to });
                Steps::default()
            }
        }
    }
}

/// Rows of one task: a few tasks for each thread, high enough that the weights are not read too often.
fn rows_per_task(rows: usize) -> usize {
    let even = rows.div_ceil(4 * rayon::current_num_threads());
    even.clamp(48, 192).next_multiple_of(6)
}

/// Puts padding behind the rows.
fn spread(rows: &[f32], width: usize, stride: usize) -> Vec<f32> {
    let mut padded = vec![0f32; rows.len() / width * stride];
    for (to, from) in padded.chunks_exact_mut(stride).zip(rows.chunks(width)) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
    padded
}

/// Takes the padding out of the rows.
fn compact(rows: &mut Vec<f32>, stride: usize, width: usize) {
    if stride != width {
        let count = rows.len() / stride;
        for row in 1..count {
            rows.copy_within(row * stride..row * stride + width, row * width);
        }
        rows.truncate(count * width);
    }
}

/// The start of an output that threads write to, each its own columns.
struct Shared(*mut f32);

// SAFETY: tasks write disjoint columns, and the output outlives them.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// The offset must lie inside the output.
    unsafe fn at(&self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's.
        unsafe { self.0.add(offset) }
    }
}

/// Some rows against some panels.
struct Part<'a> {
    /// Words of the first of the rows.
    x: View<*const f32>,
    /// Bytes only: of each row.
    steps: &'a [Steps],
    /// Which rows, among all.
    rows: Range<usize>,
    w: &'a Packed,
    panels: Range<usize>,
    finish: Finish<'a>,
    /// Of the first row and the first panel.
    to: View<*mut f32>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // Columns that the rows of `to` hold from its start on.
        let (words, first) = (self.w.words, self.panels.start);
        let columns = self.w.outputs.next_multiple_of(16) - first * PANEL;
        for panel in self.panels.clone() {
            let column = (panel - first) * PANEL;
            let columns = PANEL.min(columns - column);
            // SAFETY: the caller has made sure of rows, panels and residual; the columns lie inside `to`.
            unsafe {
                let to = View {
                    start: self.to.start.add(column),
                    ..self.to
                };
                for start in (0..words).step_by(DEPTH) {
                    let shape = (self.rows.len(), DEPTH.min(words - start), columns);
                    let x = View {
                        start: self.x.start.add(start),
                        ..self.x
                    };
                    let at = (panel * words + start) * PANEL;
                    let w = View {
                        start: self.w.panels.as_ptr().add(at).cast::<f32>(),
                        stride: PANEL,
                    };
                    match self.w.format {
                        Format::Single => tile::product::<S, Single>(shape, x, w, to, start > 0),
                        Format::Halves => tile::product::<S, Halves>(shape, x, w, to, start > 0),
                        Format::Bytes => tile::product::<S, Bytes>(shape, x, w, to, start > 0),
                    }
                }
                for row in 0..self.rows.len() {
                    self.finish::<S>(row, panel * PANEL, columns, to.start.add(row * to.stride));
                }
            }
        }
    }
}

impl Part<'_> {
    /// Ends some columns of one row, from the sums at `to` on.
    ///
    /// # Safety
    /// As [`Simd`]'s; `to` must be good for the columns.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, row: usize, first: usize, columns: usize, to: *mut f32) {
        let w = self.w;
        let steps = self.steps.get(row).copied().unwrap_or_default();
        // SAFETY: bias, scales and sums reach to the end of the panel; the residual was checked.
        unsafe {
            let (low, step) = (S::splat(steps.low), S::splat(steps.step));
            for column in (0..columns).step_by(S::LANES) {
                let to = to.add(column);
                let at = first + column;
                let mut y = S::load(to);
                if w.format == Format::Bytes {
                    // x w = (low + step q)(scale v): the sum of q v is there, that of v was known at load.
                    let scaled = y
                        .integers()
                        .mul(step.mul(S::load(w.scales.as_ptr().add(at))));
                    y = low.mul_add(S::load(w.sums.as_ptr().add(at)), scaled);
                }
                let bias = S::load(w.bias.as_ptr().add(at));
                let y = match self.finish {
                    Finish::Bias => y.add(bias),
                    Finish::Gelu => math::gelu(y.add(bias)),
                    Finish::Add(residual) => {
                        let at = (self.rows.start + row) * self.to.stride + at;
                        y.add(bias.add(S::load(residual.as_ptr().add(at))))
                    }
                };
                y.store(to);
            }
        }
    }
}
