//! Linear layers: weights packed once at load, products by register tiles.

use std::ops::Range;

use rayon::prelude::*;

use super::simd::{Kernel, Simd, Tier, dispatch_on};
use super::tile;

/// Outputs of one panel.
const PANEL: usize = 64;
/// Inputs taken at a time: a panel's part (64 KiB) stays in the second-level cache while rows go by.
const DEPTH: usize = 256;
/// Up to so many rows the work is split by outputs: it is bound by reading the weights.
const FEW_ROWS: usize = 48;
/// Weights that are worth a thread's waking.
const PARALLEL: usize = 1 << 15;

/// The weights of `x Wᵀ + b`.
pub struct Packed {
    /// `[outputs / 64, inputs, 64]`, zeros behind the last output.
    panels: Vec<f32>,
    inputs: usize,
    outputs: usize,
    /// Empty, or one for each output.
    pub bias: Vec<f32>,
}

impl Packed {
    /// `w` is `[outputs, inputs]`; `bias` one for each output, or empty.
    pub fn new(w: &[f32], inputs: usize, bias: Vec<f32>) -> Packed {
        let outputs = w.len() / inputs;
        let mut panels = vec![0f32; outputs.div_ceil(PANEL) * PANEL * inputs];
        let parts = panels
            .par_chunks_mut(PANEL * inputs)
            .zip(w.par_chunks(PANEL * inputs));
        parts.for_each(|(panel, w)| {
            for (lane, row) in w.chunks_exact(inputs).enumerate() {
                for (to, from) in panel.chunks_exact_mut(PANEL).zip(row) {
                    if let Some(to) = to.get_mut(lane) {
                        *to = *from;
                    }
                }
            }
        });
        Packed {
            panels,
            inputs,
            outputs,
            bias,
        }
    }

    /// `x Wᵀ` without the bias: `[rows, inputs]` to `[rows, outputs]`. Each sum is taken in one order, however
    /// the work is split.
    pub fn product(&self, x: &[f32]) -> Vec<f32> {
        self.product_on(Tier::best(), x)
    }

    pub(super) fn product_on(&self, tier: Tier, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let panels = self.outputs.div_ceil(PANEL);
        // Tiles write sixteen columns at a time.
        let stride = self.outputs.next_multiple_of(16);
        if rows > FEW_ROWS {
            let mut to = vec![0f32; rows * stride];
            let height = rows_per_task(rows);
            let parts = to
                .par_chunks_mut(height * stride)
                .zip(x.par_chunks(height * self.inputs));
            parts.for_each(|(to, x)| {
                let kernel = Part {
                    x,
                    w: self,
                    panels: 0..panels,
                    to,
                    stride,
                };
                dispatch_on(tier, kernel);
            });
            return compact(to, stride, self.outputs);
        }
        let group = PARALLEL
            .div_ceil(PANEL * self.inputs)
            .max(panels.div_ceil(32));
        let part = |first: usize| {
            let panels = first..panels.min(first + group);
            let stride = stride.min(panels.end * PANEL) - panels.start * PANEL;
            let mut to = vec![0f32; rows * stride];
            let kernel = Part {
                x,
                w: self,
                panels,
                to: &mut to,
                stride,
            };
            dispatch_on(tier, kernel);
            (first * PANEL, stride, to)
        };
        let firsts = (0..panels.div_ceil(group)).into_par_iter();
        let parts: Vec<_> = match panels > group {
            true => firsts.map(|i| part(i * group)).collect(),
            false => vec![part(0)],
        };
        let mut to = vec![0f32; rows * self.outputs];
        for (column, stride, part) in &parts {
            let rows = to.chunks_exact_mut(self.outputs);
            for (to, from) in rows.zip(part.chunks_exact(*stride)) {
                for (to, from) in to.iter_mut().skip(*column).zip(from) {
                    *to = *from;
                }
            }
        }
        to
    }
}

/// Rows of one task: a few tasks for each thread, high enough that the weights are not read too often.
fn rows_per_task(rows: usize) -> usize {
    let even = rows.div_ceil(4 * rayon::current_num_threads());
    even.clamp(48, 192).next_multiple_of(6)
}

/// Takes the padding out of the rows.
fn compact(mut rows: Vec<f32>, stride: usize, width: usize) -> Vec<f32> {
    if stride != width {
        let count = rows.len() / stride;
        for row in 1..count {
            rows.copy_within(row * stride..row * stride + width, row * width);
        }
        rows.truncate(count * width);
    }
    rows
}

/// Some rows against some panels.
struct Part<'a> {
    x: &'a [f32],
    w: &'a Packed,
    panels: Range<usize>,
    /// `[rows, stride]`: the columns of these panels.
    to: &'a mut [f32],
    stride: usize,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (inputs, first) = (self.w.inputs, self.panels.start);
        let rows = self.x.len() / inputs;
        assert!(self.to.len() >= rows * self.stride);
        assert!(self.w.panels.len() >= self.panels.end * PANEL * inputs);
        for panel in self.panels {
            let column = (panel - first) * PANEL;
            let columns = PANEL.min(self.stride - column);
            for start in (0..inputs).step_by(DEPTH) {
                let depth = DEPTH.min(inputs - start);
                // SAFETY: the rows of `x`, the panel and the columns of `to` lie inside, as asserted above.
                unsafe {
                    let x = tile::View {
                        start: self.x.as_ptr().add(start),
                        stride: inputs,
                    };
                    let w = tile::View {
                        start: self.w.panels.as_ptr().add((panel * inputs + start) * PANEL),
                        stride: PANEL,
                    };
                    let to = tile::View {
                        start: self.to.as_mut_ptr().add(column),
                        stride: self.stride,
                    };
                    tile::product::<S>((rows, depth, columns), x, w, to, start > 0);
                }
            }
        }
    }
}
