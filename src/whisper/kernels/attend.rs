//! softmax(Q Kᵀ) V for a block of queries at a time: the scores of a block stay in the second-level cache,
//! and those of all queries never exist at once.

use rayon::prelude::*;

use super::simd::{Kernel, Simd, Tier, dispatch_on};
use super::{math, tile};

/// Keys of one panel.
const PANEL: usize = 64;
/// Queries of one task: six tiles high.
const BLOCK: usize = 36;
/// Multiply-adds that are worth waking threads for.
const PARALLEL: usize = 1 << 18;

/// Keys and values of some positions, packed head by head for [`attend`]; zero where nothing was pushed.
pub struct KeyValues {
    /// `[heads, panels, width, 64]`: of 64 keys, all first components, all second ones...
    keys: Vec<f32>,
    /// `[heads, panels * 64, padded width]`
    values: Vec<f32>,
    len: usize,
    panels: usize,
    heads: usize,
    width: usize,
}

impl KeyValues {
    /// Room for `capacity` positions.
    pub fn new(capacity: usize, heads: usize, width: usize) -> KeyValues {
        let panels = capacity.div_ceil(PANEL);
        let positions = heads * panels * PANEL;
        KeyValues {
            keys: vec![0f32; positions * width],
            values: vec![0f32; positions * padded(width)],
            len: 0,
            panels,
            heads,
            width,
        }
    }

    /// Appends positions: `k` and `v` are `[positions, heads * width]`. What goes beyond the room is left out.
    pub fn push(&mut self, k: &[f32], v: &[f32]) {
        let (width, heads, panels) = (self.width, self.heads, self.panels);
        let d = heads * width;
        let first = self.len;
        let count = (k.len() / d).min(panels * PANEL - first);
        let parallel = count * d >= PARALLEL / PANEL;
        let keys = self.keys.chunks_exact_mut(panels * PANEL * width);
        let values = self.values.chunks_exact_mut(panels * PANEL * padded(width));
        let heads: Vec<_> = keys.zip(values).enumerate().collect();
        let pack = |(head, (keys, values)): (usize, (&mut [f32], &mut [f32]))| {
            let of_head = |x: &'_ [f32], position: usize| {
                let start = position * d + head * width;
                start..(start + width).min(x.len())
            };
            for i in 0..count {
                let to = first + i;
                let (panel, lane) = (to / PANEL, to % PANEL);
                let column = keys.iter_mut().skip(panel * PANEL * width + lane);
                let from = k.get(of_head(k, i)).unwrap_or_default();
                for (to, from) in column.step_by(PANEL).zip(from) {
                    *to = *from;
                }
                let row = values.iter_mut().skip(to * padded(width));
                let from = v.get(of_head(v, i)).unwrap_or_default();
                for (to, from) in row.zip(from) {
                    *to = *from;
                }
            }
        };
        if parallel {
            heads.into_par_iter().for_each(pack);
        } else {
            heads.into_iter().for_each(pack);
        }
        self.len += count;
    }
}

/// Width of a head's values in memory.
fn padded(width: usize) -> usize {
    width.next_multiple_of(16)
}

/// What [`attend`] returns.
pub struct Attended {
    /// `[rows, heads * width]`
    pub values: Vec<f32>,
    /// softmax(q·k) of the heads asked for, `[want, rows, keys]`.
    pub weights: Vec<f32>,
}

/// Attention of `q` `[rows, heads * width]`, already scaled by 1/√width, over `kv`.
/// `causal`: the queries are the last positions of `kv`, and none sees a later one.
/// `want`: the heads whose weights are returned too, in this order.
pub fn attend(q: &[f32], kv: &KeyValues, causal: bool, want: &[usize]) -> Attended {
    attend_on(Tier::best(), q, kv, causal, want)
}

pub(super) fn attend_on(
    tier: Tier,
    q: &[f32],
    kv: &KeyValues,
    causal: bool,
    want: &[usize],
) -> Attended {
    let d = kv.heads * kv.width;
    let rows = q.len() / d;
    let tasks: Vec<(usize, usize)> = (0..kv.heads)
        .flat_map(|head| (0..rows).step_by(BLOCK).map(move |row| (head, row)))
        .collect();
    let run = |scores: &mut Vec<f32>, (head, first): (usize, usize)| {
        let count = BLOCK.min(rows - first);
        let kernel = Block {
            q,
            kv,
            causal,
            head,
            first,
            count,
            rows,
            scores,
            want: want.contains(&head),
        };
        dispatch_on(tier, kernel)
    };
    let blocks: Vec<Done> = if rows * kv.len * d < PARALLEL {
        let mut scores = Vec::new();
        let tasks = tasks.into_iter();
        tasks.map(|task| run(&mut scores, task)).collect()
    } else {
        // A thread keeps its scores from task to task.
        let tasks = tasks.into_par_iter();
        tasks.map_init(Vec::new, run).collect()
    };

    let mut values = vec![0f32; rows * d];
    let mut weights = vec![0f32; want.len() * rows * kv.len];
    for block in &blocks {
        let rows_of_block = values.chunks_exact_mut(d).skip(block.first);
        for (to, from) in rows_of_block.zip(block.values.chunks_exact(padded(kv.width))) {
            let to = to.iter_mut().skip(block.head * kv.width).take(kv.width);
            for (to, from) in to.zip(from) {
                *to = *from;
            }
        }
        for (place, _) in want.iter().enumerate().filter(|(_, h)| **h == block.head) {
            let start = (place * rows + block.first) * kv.len;
            if let Some(to) = weights.get_mut(start..start + block.weights.len()) {
                to.copy_from_slice(&block.weights);
            }
        }
    }
    Attended { values, weights }
}

/// Some queries of one head.
struct Block<'a> {
    q: &'a [f32],
    kv: &'a KeyValues,
    causal: bool,
    head: usize,
    first: usize,
    count: usize,
    /// Of all queries.
    rows: usize,
    scores: &'a mut Vec<f32>,
    want: bool,
}

struct Done {
    head: usize,
    first: usize,
    /// `[count, padded width]`
    values: Vec<f32>,
    /// `[count, keys]`, if wanted.
    weights: Vec<f32>,
}

impl Kernel for Block<'_> {
    type Output = Done;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Done {
        let Block { q, kv, scores, .. } = self;
        let (width, wide, keys) = (kv.width, padded(kv.width), kv.len);
        let d = kv.heads * width;
        let panels = keys.div_ceil(PANEL);
        let stride = panels * PANEL;
        let mut values = vec![0f32; self.count * wide];
        let mut weights = Vec::new();
        if scores.len() < self.count * stride {
            scores.resize(self.count * stride, 0.0);
        }
        let query = self.first * d + self.head * width;
        let key = self.head * kv.panels * PANEL * width;
        let value = self.head * kv.panels * PANEL * wide;
        assert!(query + (self.count - 1) * d + width <= q.len());
        assert!(key + stride * width <= kv.keys.len());
        assert!(value + stride * wide <= kv.values.len());
        let mut factors = [0f32; BLOCK];
        // SAFETY: the views lie inside their slices, as asserted and resized above.
        unsafe {
            let q = tile::View {
                start: q.as_ptr().add(query),
                stride: d,
            };
            for panel in 0..panels {
                let k = tile::View {
                    start: kv.keys.as_ptr().add(key + panel * PANEL * width),
                    stride: PANEL,
                };
                let to = tile::View {
                    start: scores.as_mut_ptr().add(panel * PANEL),
                    stride,
                };
                tile::product::<S>((self.count, width, PANEL), q, k, to, false);
            }
            let rows = scores.chunks_exact_mut(stride).zip(&mut factors);
            for (i, (row, factor)) in rows.take(self.count).enumerate() {
                let later = if self.causal {
                    self.rows - (self.first + i) - 1
                } else {
                    0
                };
                *factor = math::softmax::<S>(row, keys.saturating_sub(later));
            }
            for panel in 0..panels {
                let weights = tile::View {
                    start: scores.as_ptr().add(panel * PANEL),
                    stride,
                };
                let v = tile::View {
                    start: kv.values.as_ptr().add(value + panel * PANEL * wide),
                    stride: wide,
                };
                let to = tile::View {
                    start: values.as_mut_ptr(),
                    stride: wide,
                };
                let shape = (self.count, PANEL.min(keys - panel * PANEL), wide);
                tile::product::<S>(shape, weights, v, to, panel > 0);
            }
        }
        for (row, factor) in values.chunks_exact_mut(wide).zip(factors) {
            row.iter_mut().for_each(|x| *x *= factor);
        }
        if self.want {
            weights.reserve_exact(self.count * keys);
            let rows = scores.chunks_exact(stride).zip(factors);
            for (row, factor) in rows.take(self.count) {
                weights.extend(row.iter().take(keys).map(|x| x * factor));
            }
        }
        Done {
            head: self.head,
            first: self.first,
            values,
            weights,
        }
    }
}
