//! The most legs at which words still come in time.

use crate::common::trial::Trial;

/// Seconds of lag that many legs may add.
const MARGIN: f64 = 1.0;

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
            let (p50, p95) = trial.lag;
            println!(
                "    {legs} legs: lag {p50:.2} / {p95:.2} s, {:.1} % errors of {} words, {:.2} cores, {:.0} MB, {} times degraded{}",
                trial.errors,
                trial.words,
                trial.cores,
                trial.memory,
                trial.degradations,
                if trial.whole { "" } else { ", audio lost" }
            );
        }
        Some(trial)
    };
    let alone = run(CALL)?;
    let limit = alone.lag.1 + MARGIN;
    let is_well = |trial: &Trial| trial.whole && trial.lag.1 <= limit;
    let (mut good, mut bad): (Option<Trial>, Option<usize>) = (None, None);
    // Most of what a machine bears shows in what one call takes of it.
    let cores = rayon::current_num_threads() as f64;
    let mut legs = ((0.7 * CALL as f64 * cores / alone.cores.max(0.01)) as usize).clamp(1, most);
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
