//! Word errors, word-time errors and lag against the truth. The rules are those of the published scorer: case and
//! `.,?!;:` do not count, a word cut between passes is one word, times count for the words that are right.

use super::align::align;

/// A word as it was released, in seconds; `heard` is the audio fed when it came.
#[derive(Clone, Debug)]
pub struct Said {
    pub text: String,
    pub start: f64,
    pub end: f64,
    pub heard: f64,
}

/// A true word, in seconds.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct True {
    pub text: String,
    pub start: f64,
    pub end: f64,
}

/// Sums over any number of recordings.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub files: usize,
    pub words: usize,
    pub errors: usize,
    start_errors: Vec<f64>,
    end_errors: Vec<f64>,
    lags: Vec<f64>,
}

impl Score {
    pub fn add(&mut self, truth: &[True], said: &[Said]) {
        let said = join_fragments(said);
        let truth_words: Vec<String> = truth.iter().map(|w| w.text.clone()).collect();
        let said_words: Vec<String> = said.iter().map(|w| w.text.clone()).collect();
        let (errors, pairs) = align(&truth_words, &said_words);
        self.files += 1;
        self.words += truth.len();
        self.errors += errors;
        for (i, j) in pairs {
            self.start_errors
                .push((truth[i].start - said[j].start).abs());
            self.end_errors.push((truth[i].end - said[j].end).abs());
            self.lags.push(said[j].heard - truth[i].end);
        }
    }

    pub fn merge(&mut self, other: &Score) {
        self.files += other.files;
        self.words += other.words;
        self.errors += other.errors;
        self.start_errors.extend(&other.start_errors);
        self.end_errors.extend(&other.end_errors);
        self.lags.extend(&other.lags);
    }

    /// Word errors, percent.
    pub fn word_errors(&self) -> f64 {
        100.0 * self.errors as f64 / self.words.max(1) as f64
    }

    /// Mean error of word starts and ends, milliseconds.
    pub fn times_ms(&self) -> (f64, f64) {
        let mean = |v: &[f64]| 1000.0 * v.iter().sum::<f64>() / v.len().max(1) as f64;
        (mean(&self.start_errors), mean(&self.end_errors))
    }

    /// Audio heard after a word's end when it was released, seconds: median and 95th percentile.
    pub fn lag(&self) -> (f64, f64) {
        let mut sorted = self.lags.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |p: f64| {
            sorted.get(((p * sorted.len() as f64) as usize).min(sorted.len().saturating_sub(1)))
        };
        (
            at(0.5).copied().unwrap_or(f64::NAN),
            at(0.95).copied().unwrap_or(f64::NAN),
        )
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((start, end), (p50, p95)) = (self.times_ms(), self.lag());
        write!(
            f,
            "{:5.1} % of {:4} words  start {start:4.0} ms  end {end:4.0} ms  lag p50 {p50:.2} s  p95 {p95:.2} s",
            self.word_errors(),
            self.words
        )
    }
}

fn normalised(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    lower.trim_matches(|c| ".,?!;:".contains(c)).to_owned()
}

fn join_fragments(said: &[Said]) -> Vec<Said> {
    let mut joined: Vec<Said> = Vec::new();
    for word in said {
        match joined.last_mut() {
            Some(before) if word.text.chars().next().is_some_and(|c| !c.is_whitespace()) => {
                before.text.push_str(&word.text);
                (before.end, before.heard) = (word.end, word.heard);
            }
            _ => joined.push(word.clone()),
        }
    }
    joined.retain_mut(|word| {
        word.text = normalised(&word.text);
        !word.text.is_empty()
    });
    joined
}
