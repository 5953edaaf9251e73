//! Feeds mutated files to the readers of weights, with a stable compiler and nothing else.
//!
//!     cargo run --release -- pt 1000000 [--seed 7]     # one reader, a million executions
//!     cargo run --release -- all 200000
//!     cargo run --release -- seeds                     # writes the seeds anew
//!     cargo run --release -- pt FILE                   # what the reader says of one file
//!
//! A panic, an allocation beyond all proportion or an execution of a second ends the run; the input is kept in `artifacts/`.

mod cap;
mod mutate;
mod seeds;

use std::collections::HashSet;
use std::error::Error;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gstwhisperstream::whisper::fuzzing::{TARGETS, Target};

use mutate::Mutator;

/// Longer than any execution may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest input.
const LONGEST: usize = 1 << 16;
/// Most inputs that are mutated further.
const POOL: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = TARGETS.map(|(name, _)| name).join(", ");
    let usage = format!(
        "usage: whisperstream-fuzz seeds | (all | TARGET) COUNT [--seed N] | TARGET FILE\ntargets: {names}"
    );
    let (first, rest) = arguments.split_first().ok_or(usage.as_str())?;
    if first == "seeds" {
        return seeds::write(&folder("seeds"));
    }
    let seed = match rest {
        [_, flag, seed] if flag == "--seed" => seed.parse()?,
        _ => 1,
    };
    let what = rest.first().ok_or(usage.as_str())?;
    let chosen = TARGETS
        .iter()
        .filter(|(name, _)| first == "all" || first == name);
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        return Err(usage.into());
    }
    std::panic::set_hook(Box::new(|_| {}));
    for (name, target) in chosen {
        match what.parse() {
            Ok(count) => run(name, *target, count, seed)?,
            Err(_) => println!("{}", target(&std::fs::read(what)?)),
        }
    }
    Ok(())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// `count` executions of one reader. An input that makes it say something new is mutated further.
fn run(name: &str, target: Target, count: u64, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut pool = Vec::new();
    for file in std::fs::read_dir(folder("seeds").join(name))? {
        pool.push(std::fs::read(file?.path())?);
    }
    pool.sort();
    let seeds = pool.clone();
    let mut said = HashSet::new();
    let mut mutator = Mutator::new(seed);
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    for i in 0..count {
        // The seeds first, as they are.
        let input = match seeds.get(i as usize) {
            Some(seed) => seed.clone(),
            None => mutator.mutate(&pool, LONGEST),
        };
        cap::expect(&input);
        let begun = Instant::now();
        let outcome = catch_unwind(|| target(&input));
        let took = begun.elapsed();
        slowest = slowest.max(took);
        let Ok(outcome) = outcome else {
            return Err(kept(name, &input, "it panicked"));
        };
        if took > PATIENCE {
            return Err(kept(name, &input, "it took more than a second"));
        }
        // Numbers and names differ from input to input, the sentence around them tells where it was refused.
        let kind: String = outcome
            .chars()
            .filter(|c| c.is_ascii_alphabetic() || *c == '|')
            .take(160)
            .collect();
        if pool.len() < POOL && said.insert(kind) {
            pool.push(input);
        }
    }
    let (took, largest) = (start.elapsed(), cap::largest());
    println!(
        "{name}: {count} executions in {:.0} s ({:.0}/s), {} outcomes, slowest {:.1} ms, largest allocation {} kB",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
        said.len(),
        slowest.as_secs_f64() * 1e3,
        largest / 1024,
    );
    Ok(())
}

fn kept(name: &str, input: &[u8], what: &str) -> Box<dyn Error> {
    let path = folder("artifacts").join(format!("{name}-{}", std::process::id()));
    let written =
        std::fs::create_dir_all(folder("artifacts")).and_then(|()| std::fs::write(&path, input));
    match written {
        Ok(()) => format!("{name}: {what}; the input is kept in {}", path.display()).into(),
        Err(e) => format!("{name}: {what}; the input could not be kept: {e}").into(),
    }
}
