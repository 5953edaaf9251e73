//! softmax(Q Kᵀ) V for a block of queries at a time: the scores of a block stay in the second-level cache,
//! and those of all queries never exist at once.

use rayon::prelude::*;

use super::cache::{KeyValues, PANEL};
use super::format::Format;
use super::math::{self, ToHalves};
use super::rows::Rows;
use super::scratch;
use super::simd::{Kernel, Simd, Tier, dispatch_words};
use super::tile::{self, Halves, Single};
use super::view::View;

/// Most queries of one task.
const BLOCK: usize = 64;

/// Queries of one task: two tiles high on the tile unit, six where tiles are registers.
fn block(tier: Tier) -> usize {
    match tier {
        Tier::Amx => BLOCK,
        _ => 36,
    }
}
/// Multiply-adds that are worth waking threads for.
const PARALLEL: usize = 1 << 18;

/// Some queries over some keys and values.
pub struct Query<'a> {
    /// Rows of `heads * width`, already scaled by 1/√width; over bf16 keys also by [`BASE_2`].
    pub q: Rows<'a>,
    pub kv: &'a KeyValues,
    /// The queries are the last positions of `kv`, and none sees a later one.
    pub causal: bool,
    /// The heads whose weights are wanted too, in this order.
    pub want: &'a [usize],
    /// `[rows, heads * width]`
    pub to: &'a mut [f32],
    /// softmax(q·k) of the wanted heads, `[want, rows, keys]`.
    pub weights: &'a mut Vec<f32>,
}

/// Over bf16 keys scores are powers of 2, not of e.
pub const BASE_2: f32 = std::f32::consts::LOG2_E;

/// Attends, all queries together.
pub fn attend(queries: &mut [Query<'_>]) {
    let best = |query: &Query<'_>| super::fastest(query.kv.format());
    let tier = queries.first().map_or(Tier::Portable, best);
    attend_on(tier, queries);
}

pub(super) fn attend_on(tier: Tier, queries: &mut [Query<'_>]) {
    let mut blocks = Vec::new();
    let mut work = 0;
    for query in queries.iter_mut() {
        let (rows, kv) = (query.q.count, query.kv);
        let d = kv.heads() * kv.width();
        assert!(query.to.len() >= rows * d);
        assert!(rows == 0 || query.q.values.len() >= (rows - 1) * query.q.stride + d);
        query.weights.clear();
        query
            .weights
            .resize(query.want.len() * rows * kv.len(), 0.0);
        work += rows * kv.len() * d;
        if kv.len() == 0 {
            query.to.fill(0.0);
            continue;
        }
        let to = query.to.as_mut_ptr();
        let weights = query.weights.as_mut_ptr();
        for head in 0..kv.heads() {
            for first in (0..rows).step_by(block(tier)) {
                blocks.push(Block {
                    q: query.q,
                    kv,
                    causal: query.causal,
                    want: query.want,
                    head,
                    first,
                    count: block(tier).min(rows - first),
                    to,
                    weights,
                });
            }
        }
    }
    if work < PARALLEL {
        blocks.into_iter().for_each(|block| block.run_on(tier));
    } else {
        blocks.into_par_iter().for_each(|block| block.run_on(tier));
    }
}

/// Some queries of one head.
struct Block<'a> {
    q: Rows<'a>,
    kv: &'a KeyValues,
    causal: bool,
    want: &'a [usize],
    head: usize,
    first: usize,
    count: usize,
    /// All rows of the query's output, of which this block writes its own rows and its head's columns.
    to: *mut f32,
    /// All wanted weights, of which this block writes its own rows of its head.
    weights: *mut f32,
}

// SAFETY: no two blocks write the same values, and `attend_on` holds the outputs until all are done.
unsafe impl Send for Block<'_> {}

impl Block<'_> {
    fn run_on(self, tier: Tier) {
        let (kv, count) = (self.kv, self.count);
        let stride = kv.len().next_multiple_of(PANEL);
        let sizes = [
            count * kv.key_words(),
            count * stride,
            count * stride / 2,
            count * kv.padded(),
        ];
        scratch::words(sizes.iter().sum(), |words| {
            let (queries, words) = words.split_at_mut(sizes[0]);
            let (scores, words) = words.split_at_mut(sizes[1]);
            let (halves, words) = words.split_at_mut(sizes[2]);
            dispatch_words(
                tier,
                Work {
                    block: self,
                    queries,
                    scores: scratch::singles(scores),
                    halves,
                    values: scratch::singles(words.get_mut(..sizes[3]).unwrap_or_default()),
                },
            );
        });
    }
}

/// A block and its scratch.
struct Work<'a, 'b> {
    block: Block<'a>,
    /// `[count, words of a key]`, for bf16.
    queries: &'b mut [u32],
    /// `[count, keys]`, keys padded to whole panels.
    scores: &'b mut [f32],
    /// The same as bf16.
    halves: &'b mut [u32],
    /// `[count, padded width]`
    values: &'b mut [f32],
}

impl Kernel for Work<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (block, kv) = (&self.block, self.block.kv);
        let (width, wide, keys) = (kv.width(), kv.padded(), kv.len());
        let (count, key_words) = (block.count, kv.key_words());
        let stride = keys.next_multiple_of(PANEL);
        let in_halves = kv.format() != Format::Single;
        let (panels, rows_of_values) = kv.head(block.head);
        assert!(panels.len() >= stride * key_words && self.scores.len() >= count * stride);
        assert!(rows_of_values.len() >= stride / kv.per_word() * wide);
        let mut q = View {
            start: block
                .q
                .part(block.first, block.head * width, width)
                .as_ptr(),
            stride: block.q.stride,
        };
        if in_halves {
            let rows = self.queries.chunks_exact_mut(key_words);
            for (i, to) in rows.enumerate() {
                let from = block.q.part(block.first + i, block.head * width, width);
                // SAFETY: the caller's.
                unsafe { ToHalves { from, to }.run::<S>() };
            }
            q = View {
                start: self.queries.as_ptr().cast(),
                stride: key_words,
            };
        }
        let want = block.want.iter().position(|&head| head == block.head);
        let mut factors = [0f32; BLOCK];
        // SAFETY: the views lie inside their slices, as asserted above and in `attend_on`.
        unsafe {
            let panel_words = PANEL * key_words;
            for (panel, k) in panels
                .chunks_exact(panel_words)
                .take(stride / PANEL)
                .enumerate()
            {
                let k = View {
                    start: k.as_ptr().cast::<f32>(),
                    stride: PANEL,
                };
                let to = View {
                    start: self.scores.as_mut_ptr().add(panel * PANEL),
                    stride,
                };
                let shape = (count, key_words, PANEL);
                match in_halves {
                    false => tile::product::<S, Single>(shape, q, k, to, false),
                    true => tile::product::<S, Halves>(shape, q, k, to, false),
                }
            }
            let rows = self.scores.chunks_exact_mut(stride).zip(&mut factors);
            for (i, (row, factor)) in rows.take(count).enumerate() {
                let later = if block.causal {
                    block.q.count - (block.first + i) - 1
                } else {
                    0
                };
                let seen = keys.saturating_sub(later);
                *factor = if in_halves {
                    let halves = self.halves.as_mut_ptr().cast::<u16>().add(i * stride);
                    math::softmax_halves::<S>(row, halves, seen, want.is_some())
                } else {
                    math::softmax::<S>(row, seen)
                };
            }
            let v = View {
                start: rows_of_values.as_ptr().cast::<f32>(),
                stride: wide,
            };
            let to = View {
                start: self.values.as_mut_ptr(),
                stride: wide,
            };
            // A panel's values (16 KiB) stay in the first-level cache while the queries go by.
            let depth = PANEL / kv.per_word();
            let words = keys.div_ceil(kv.per_word());
            for at in (0..words).step_by(depth) {
                let shape = (count, depth.min(words - at), wide);
                let v = View {
                    start: v.start.add(at * wide),
                    ..v
                };
                if in_halves {
                    let weights = View {
                        start: self.halves.as_ptr().cast::<f32>().add(at),
                        stride: stride / 2,
                    };
                    tile::product::<S, Halves>(shape, weights, v, to, at > 0);
                } else {
                    let weights = View {
                        start: self.scores.as_ptr().add(at),
                        stride,
                    };
                    tile::product::<S, Single>(shape, weights, v, to, at > 0);
                }
            }
            let d = kv.heads() * width;
            for (i, row) in self.values.chunks_exact(wide).enumerate() {
                let to = block.to.add((block.first + i) * d + block.head * width);
                for (at, x) in row.iter().take(width).enumerate() {
                    *to.add(at) = x * factors.get(i).copied().unwrap_or_default();
                }
            }
            if let Some(place) = want {
                let rows = self.scores.chunks_exact(stride).zip(factors);
                for (i, (row, factor)) in rows.take(count).enumerate() {
                    let row_of = place * block.q.count + block.first + i;
                    let to = block.weights.add(row_of * keys);
                    for (at, x) in row.iter().take(keys).enumerate() {
                        *to.add(at) = x * factor;
                    }
                }
            }
        }
    }
}
