// SPDX-License-Identifier: MPL-2.0
//! What is not the same.

use std::fmt;
use std::time::Duration;

use crate::align::align;
use crate::hear::{Heard, Word};

/// Sums over recordings. `ours` is heard in f32, `theirs` in the precision that is compared.
#[derive(Default)]
pub struct Report {
    words: usize,
    same: usize,
    /// Milliseconds by which starts and ends of the same words moved.
    starts: Vec<f64>,
    ends: Vec<f64>,
    audio: Duration,
    ours: Duration,
    theirs: Duration,
}

impl Report {
    /// Adds a recording; prints where its words differ.
    pub fn add(&mut self, name: &str, ours: &Heard, theirs: &Heard) {
        let texts = |heard: &Heard| -> Vec<String> {
            heard.words.iter().map(|word| word.text.clone()).collect()
        };
        let (_, mut pairs) = align(&texts(ours), &texts(theirs));
        pairs.sort_unstable();
        self.words += ours.words.len().max(theirs.words.len());
        self.same += pairs.len();
        for &(i, j) in &pairs {
            if let (Some(a), Some(b)) = (ours.words.get(i), theirs.words.get(j)) {
                self.starts.push(1000.0 * (a.start - b.start).abs());
                self.ends.push(1000.0 * (a.end - b.end).abs());
            }
        }
        self.audio += ours.audio;
        self.ours += ours.took;
        self.theirs += theirs.took;
        let gaps = gaps(&pairs, ours.words.len(), theirs.words.len());
        if !gaps.is_empty() {
            println!("  {name}");
        }
        for (i, j) in gaps {
            print_gap(
                ours.words.get(i).unwrap_or_default(),
                theirs.words.get(j).unwrap_or_default(),
            );
        }
    }
}

type Gap = (std::ops::Range<usize>, std::ops::Range<usize>);

/// The stretches between the pairs.
fn gaps(pairs: &[(usize, usize)], ours: usize, theirs: usize) -> Vec<Gap> {
    let ends = pairs.iter().copied().chain([(ours, theirs)]);
    let (mut i, mut j) = (0, 0);
    let gaps = ends.map(|(pair_i, pair_j)| {
        let gap = (i..pair_i, j..pair_j);
        (i, j) = (pair_i + 1, pair_j + 1);
        gap
    });
    gaps.filter(|(ours, theirs)| !ours.is_empty() || !theirs.is_empty())
        .collect()
}

fn print_gap(ours: &[Word], theirs: &[Word]) {
    let at = ours
        .first()
        .or(theirs.first())
        .map_or(0.0, |word| word.start);
    let text = |words: &[Word]| {
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        match texts.is_empty() {
            true => "(nothing)".to_owned(),
            false => texts.join(" "),
        }
    };
    println!("    {at:8.2} s  {}  ->  {}", text(ours), text(theirs));
}

/// Median, 95th percentile and largest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    };
    (rank(50), rank(95), rank(100))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100.0 * self.same as f64 / self.words.max(1) as f64;
        let (same, words) = (self.same, self.words);
        writeln!(f, "  same words: {same} of {words} ({share:.2} %)")?;
        for (what, moved) in [("starts", &self.starts), ("ends", &self.ends)] {
            let (p50, p95, most) = spread(moved);
            writeln!(
                f,
                "  {what} moved: p50 {p50:.0} ms, p95 {p95:.0} ms, at most {most:.0} ms"
            )?;
        }
        let cost = |took: Duration| took.as_secs_f64() / self.audio.as_secs_f64().max(1e-9);
        let (ours, theirs) = (cost(self.ours), cost(self.theirs));
        write!(
            f,
            "  speed: {:.2} x ({theirs:.3} s a second of audio, f32 {ours:.3} s)",
            ours / theirs.max(1e-9)
        )
    }
}
