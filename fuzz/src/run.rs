//! The loop: change an input, have it read, keep it if it led somewhere new.

use std::collections::HashSet;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::mutate::Mutator;
use crate::targets::Target;
use crate::{cap, corpus, faults, folder};

/// Longest input.
const LONGEST: usize = 1 << 16;
/// Most inputs that are mutated further.
const POOL: usize = 4096;

#[derive(Default)]
pub struct Options {
    pub seed: u64,
    /// The inputs that led somewhere new are boiled down and kept.
    pub keeps_corpus: bool,
}

/// `count` executions of one parser. An input that makes it say something new, or reach new code, is mutated further.
pub fn run(target: &Target, count: u64, options: &Options) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder("artifacts"))?;
    let mut pool = corpus::load(target.name)?;
    let known = pool.clone();
    let mut said = HashSet::new();
    let mut coverage = Coverage::new();
    let mut mutator = Mutator::new(options.seed.wrapping_add(1));
    let mut slowest = Duration::ZERO;
    cap::largest();
    let start = Instant::now();
    for i in 0..count.max(known.len() as u64) {
        // What is known first, as it is.
        let input = match known.get(i as usize) {
            Some(known) => known.clone(),
            None => mutator.mutate(&pool, LONGEST),
        };
        if target.is_foreign {
            // What other threads did meanwhile is not this input's.
            coverage.reset();
        }
        let (outcome, took) = execute(target, &input)?;
        slowest = slowest.max(took);
        let is_new = coverage.take();
        // Numbers and names differ from input to input, the sentence around them tells where it was refused.
        let kind: String = outcome
            .chars()
            .filter(|c| c.is_ascii_alphabetic() || *c == '|')
            .take(160)
            .collect();
        let says_new = said.insert(hash(&kind));
        // Sentences that repeat what was sent are new each time: code that is counted tells more.
        let leads = if coverage.is_there() {
            is_new
        } else {
            says_new
        };
        if leads && known.get(i as usize).is_none() {
            match pool.len() < POOL {
                true => pool.push(input),
                false => pool[known.len() + mutator.below(POOL - known.len())] = input,
            }
        }
    }
    let (took, largest) = (start.elapsed(), cap::largest());
    println!(
        "{}, {}, {:.0}, {}, {}, {:.1}, {}",
        target.name,
        count.max(known.len() as u64),
        took.as_secs_f64(),
        said.len(),
        coverage.edges(),
        slowest.as_secs_f64() * 1e3,
        largest / 1024,
    );
    if options.keeps_corpus {
        let kept = boil_down(target, pool)?;
        let count = corpus::store(target.name, &kept)?;
        eprintln!("{}: {count} inputs kept of {}", target.name, kept.len());
    }
    Ok(())
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The inputs that together reach all that the pool reaches, small ones first; without the seeds, which are kept anyway.
fn boil_down(target: &Target, mut pool: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut coverage = Coverage::new();
    if !coverage.is_there() {
        return Err("no code is counted in this program: run scripts/fuzz --full".into());
    }
    let seeds = corpus::seeds(target.name)?;
    pool.sort_by_key(Vec::len);
    let mut kept = Vec::new();
    for (input, is_seed) in seeds
        .into_iter()
        .map(|seed| (seed, true))
        .chain(pool.into_iter().map(|input| (input, false)))
    {
        coverage.reset();
        execute(target, &input)?;
        if coverage.take() && !is_seed {
            kept.push(input);
        }
    }
    Ok(kept)
}

/// What the parser says, and how long it took; an error if it did what none may do.
fn execute(target: &Target, input: &[u8]) -> Result<(String, Duration), Box<dyn Error>> {
    let keep = folder("artifacts").join(format!("{}-{}", target.name, std::process::id()));
    let mut took = Duration::MAX;
    let mut said = String::new();
    if target.is_foreign {
        // What is in C ends the process without a word.
        std::fs::write(&keep, input)?;
    }
    for _ in 0..3 {
        cap::expect(input, target.most, keep.clone());
        let begun = Instant::now();
        let outcome = catch_unwind(|| (target.parse)(input));
        took = took.min(begun.elapsed());
        cap::done();
        let fault = faults::take();
        said = match (outcome, fault) {
            (Ok(said), None) => said,
            (_, fault) => {
                std::fs::write(&keep, input)?;
                let fault = fault.unwrap_or_else(|| "it panicked".into());
                let (name, path) = (target.name, keep.display());
                return Err(format!("{name}: {fault}; the input is kept in {path}").into());
            }
        };
        if took < target.patience {
            break;
        }
    }
    if took >= target.patience {
        std::fs::write(&keep, input)?;
        let (name, path) = (target.name, keep.display());
        return Err(format!("{name}: it took {took:?}; the input is kept in {path}").into());
    }
    if target.is_foreign {
        std::fs::remove_file(&keep)?;
    }
    Ok((said, took))
}
