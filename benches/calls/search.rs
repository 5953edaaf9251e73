//! The most legs at which words still come in time.

use crate::common::score::Score;

/// Seconds of lag that many legs may add.
const MARGIN: f64 = 1.0;

/// So many legs at once.
pub struct Trial {
    pub legs: usize,
    pub score: Score,
    /// Share of all cores.
    pub cpu: f64,
    /// MB.
    pub memory: f64,
    /// How often a stream was told to make do with less.
    pub degradations: u64,
    /// Nothing was dropped, refused or cut off.
    pub whole: bool,
}

pub struct Found {
    pub legs: usize,
    pub alone: Trial,
    pub at: Trial,
}

/// Legs of one call.
const CALL: usize = 2;

/// By growing by half and bisecting, to one part in sixteen. `None`: not even one call can be run.
pub fn most(
    run: &mut dyn FnMut(usize) -> Option<Trial>,
    most: usize,
    verbose: bool,
) -> Option<Found> {
    let mut run = |legs| {
        let trial = run(legs)?;
        if verbose {
            let (p50, p95) = trial.score.lag();
            println!(
                "    {legs} legs: lag {p50:.2} / {p95:.2} s, {:.1} % errors of {} words, cpu {:.0} %, {:.0} MB, {} times degraded{}",
                trial.score.word_errors(),
                trial.score.words,
                100.0 * trial.cpu,
                trial.memory,
                trial.degradations,
                if trial.whole { "" } else { ", audio lost" }
            );
        }
        Some(trial)
    };
    let alone = run(CALL)?;
    let limit = alone.score.lag().1 + MARGIN;
    let is_well = |trial: &Trial| trial.whole && trial.score.lag().1 <= limit;
    let (mut good, mut bad): (Option<Trial>, Option<usize>) = (None, None);
    // Most of what a machine bears shows in what one call takes of it.
    let mut legs = ((0.7 * CALL as f64 / alone.cpu.max(0.01)) as usize).clamp(1, most);
    loop {
        let trial = run(legs)?;
        if is_well(&trial) {
            good = Some(trial);
        } else {
            bad = Some(legs);
        }
        let low = good.as_ref().map_or(0, |trial| trial.legs);
        legs = match bad {
            None if low >= most => break,
            None => (low + low.div_ceil(2)).min(most),
            Some(high) if high - low <= (low / 16).max(1) => break,
            Some(high) => (low + high) / 2,
        };
    }
    let at = match good {
        Some(at) => at,
        None => run(1)?,
    };
    Some(Found {
        legs: at.legs,
        alone,
        at,
    })
}
