//! Where a token attends: running normalisation of the alignment heads' rows, and the frame they point at.
//!
//! AlignAtt normalises each head's attention over all rows of the pass (prompt included), filters it along the
//! frames and averages the heads. Only the last row is ever read, so per head and frame a running mean and sum of
//! squared deviations (Welford, f64: columns near 1e-8 would cancel in f32) serve: O(frames) a step.

use std::ops::Range;

use crate::whisper::{AlignmentRows, WINDOW_FRAMES};

/// Width of the median filter along frames (openai/whisper's).
const MEDIAN_WIDTH: usize = 7;

/// Running statistics of one pass.
#[derive(Clone, Debug, Default)]
pub struct Alignment {
    rows: f64,
    mean: Vec<f64>,
    m2: Vec<f64>,
    heads: usize,
    last: Vec<f32>,
}

/// Where the last row's attention mass lies, in frames of the window. The argmax of a sharp row is a plateau and says
/// little of when a word sounded; its mass says more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mass {
    /// Behind 15 % of the mass: where the token starts to sound.
    pub start: f32,
    pub middle: f32,
    /// Behind 75 % of the mass: by then the token has sounded, though it may not be over.
    pub end: f32,
}

impl Alignment {
    /// Takes in every row of a step.
    pub fn push(&mut self, rows: &AlignmentRows) {
        self.push_rows(rows, 0..rows.rows);
    }

    /// Takes in these rows of a step.
    pub fn push_rows(&mut self, rows: &AlignmentRows, range: Range<usize>) {
        if self.mean.is_empty() {
            self.heads = rows.heads;
            self.mean = vec![0.0; rows.heads * WINDOW_FRAMES];
            self.m2 = vec![0.0; rows.heads * WINDOW_FRAMES];
            self.last = vec![0.0; rows.heads * WINDOW_FRAMES];
        }
        let newest = range.clone().next_back();
        for row in range {
            self.rows += 1.0;
            let stats = self
                .mean
                .chunks_exact_mut(WINDOW_FRAMES)
                .zip(self.m2.chunks_exact_mut(WINDOW_FRAMES));
            for (head, (mean, m2)) in stats.enumerate() {
                for ((mean, m2), &x) in mean.iter_mut().zip(m2).zip(rows.row(head, row)) {
                    let delta = f64::from(x) - *mean;
                    *mean += delta / self.rows;
                    *m2 += delta * (f64::from(x) - *mean);
                }
            }
        }
        if let Some(row) = newest {
            for (head, last) in self.last.chunks_exact_mut(WINDOW_FRAMES).enumerate() {
                for (to, &from) in last.iter_mut().zip(rows.row(head, row)) {
                    *to = from;
                }
            }
        }
    }

    /// The last row, normalised, filtered and averaged over the heads; its first `content` frames.
    /// `epsilon` is added to the deviation (0 in compat mode; a constant column is 0, never NaN).
    pub fn filtered(&self, content: usize, epsilon: f64) -> Vec<f64> {
        let mut sum = vec![0.0; content.min(WINDOW_FRAMES)];
        let mut normalised = vec![0.0; WINDOW_FRAMES];
        let per_head = self
            .last
            .chunks_exact(WINDOW_FRAMES)
            .zip(self.mean.chunks_exact(WINDOW_FRAMES))
            .zip(self.m2.chunks_exact(WINDOW_FRAMES));
        for ((last, mean), m2) in per_head {
            for (((to, &x), &mean), &m2) in normalised.iter_mut().zip(last).zip(mean).zip(m2) {
                let deviation = (m2 / self.rows.max(1.0)).max(0.0).sqrt() + epsilon;
                *to = if deviation > 0.0 {
                    (f64::from(x) - mean) / deviation
                } else {
                    0.0
                };
            }
            for (frame, to) in sum.iter_mut().enumerate() {
                *to += median(&normalised, frame);
            }
        }
        let heads = self.heads.max(1) as f64;
        sum.iter_mut().for_each(|x| *x /= heads);
        sum
    }

    /// Where the raw attention of the last row lies among the first `content` frames (mean over the heads).
    pub fn mass(&self, content: usize) -> Mass {
        let content = content.clamp(1, WINDOW_FRAMES);
        let mut p = vec![0.0f64; content];
        for head in self.last.chunks_exact(WINDOW_FRAMES) {
            for (to, &x) in p.iter_mut().zip(head) {
                *to += f64::from(x);
            }
        }
        let total: f64 = p.iter().sum();
        let at = |share: f64| {
            let mut before = 0.0;
            for (frame, &x) in p.iter().enumerate() {
                if x > 0.0 && before + x >= share * total {
                    return (frame as f64 + (share * total - before) / x) as f32;
                }
                before += x;
            }
            content as f32
        };
        Mass {
            start: at(0.15),
            middle: at(0.50),
            end: at(0.75),
        }
    }
}

/// The frame with the largest value, the first of equals; 0 when there is none.
pub fn argmax(row: &[f64]) -> usize {
    let mut best = 0;
    let mut value = f64::NEG_INFINITY;
    for (frame, &x) in row.iter().enumerate() {
        if x > value {
            (best, value) = (frame, x);
        }
    }
    best
}

/// Median of the seven values around `frame`, the row reflected at its ends (the end itself not repeated).
fn median(row: &[f64], frame: usize) -> f64 {
    const HALF: isize = (MEDIAN_WIDTH / 2) as isize;
    let last = row.len() as isize - 1;
    let mut window = [0.0f64; MEDIAN_WIDTH];
    for (slot, offset) in window.iter_mut().zip(-HALF..=HALF) {
        let at = (frame as isize + offset).abs();
        let at = if at > last { 2 * last - at } else { at };
        *slot = row.get(at.max(0) as usize).copied().unwrap_or(0.0);
    }
    window.sort_unstable_by(f64::total_cmp);
    window[MEDIAN_WIDTH / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[Vec<f32>]) -> AlignmentRows {
        AlignmentRows {
            heads: 1,
            rows: values.len(),
            frames: WINDOW_FRAMES,
            data: values.concat(),
        }
    }

    fn noise(seed: u64) -> Vec<f32> {
        let mut state = seed;
        (0..WINDOW_FRAMES)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                1e-8 + (state >> 40) as f32 * 1e-12
            })
            .collect()
    }

    #[test]
    fn running_sums_equal_the_whole_matrix() {
        let all: Vec<Vec<f32>> = (0..40).map(|row| noise(row + 1)).collect();
        let mut running = Alignment::default();
        running.push(&rows(&all[..5]));
        for row in &all[5..] {
            running.push(&rows(std::slice::from_ref(row)));
        }
        let n = all.len() as f64;
        let whole: Vec<f64> = (0..WINDOW_FRAMES)
            .map(|f| {
                let mean = all.iter().map(|r| f64::from(r[f])).sum::<f64>() / n;
                let var = all
                    .iter()
                    .map(|r| (f64::from(r[f]) - mean).powi(2))
                    .sum::<f64>()
                    / n;
                (f64::from(all[39][f]) - mean) / var.sqrt()
            })
            .collect();
        let filtered = running.filtered(WINDOW_FRAMES, 0.0);
        for (frame, &got) in filtered.iter().enumerate() {
            assert!((got - median(&whole, frame)).abs() < 1e-6, "frame {frame}");
        }
    }

    #[test]
    fn a_constant_column_is_no_nan() {
        let mut running = Alignment::default();
        running.push(&rows(&[
            vec![0.25; WINDOW_FRAMES],
            vec![0.25; WINDOW_FRAMES],
        ]));
        for epsilon in [0.0, 1e-8] {
            assert!(running.filtered(100, epsilon).iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn median_reflects_without_repeating_the_end() {
        let row = [9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        // around 0: 3 2 1 9 1 2 3
        assert_eq!(median(&row, 0), 2.0);
        // around 7: 4 5 6 7 6 5 4
        assert_eq!(median(&row, 7), 5.0);
    }

    #[test]
    fn mass_sits_where_the_attention_is() {
        let mut row = vec![0.0; WINDOW_FRAMES];
        row[100..110].fill(0.1);
        let mut running = Alignment::default();
        running.push(&rows(&[row]));
        let mass = running.mass(200);
        assert!(
            (mass.middle - 105.0).abs() < 0.01 && (mass.start - 101.5).abs() < 0.01,
            "{mass:?}"
        );
    }
}
