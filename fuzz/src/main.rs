//! Feeds mutated bytes to every parser of what strangers send, with a stable compiler and nothing else.
//!
//!     whisperstream-fuzz all 20000                  # each parser, of the slow ones fewer
//!     whisperstream-fuzz sdp 1000000 --seed 7
//!     whisperstream-fuzz sdp 1000000 --corpus       # keeps the few inputs that reach all that was reached
//!     whisperstream-fuzz sdp FILE                   # what the parser says of one file
//!     whisperstream-fuzz seeds                      # writes those seeds anew that are made by a program
//!
//! A panic on any thread, an allocation beyond all proportion, an execution of a second and a complaint of GLib's end the run; the
//! input is kept in `artifacts/`.

mod bytes;
mod calls;
mod cap;
mod corpus;
mod coverage;
mod element;
mod faults;
mod mutate;
mod run;
mod seeds;
mod server;
mod sip;
mod targets;

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    doors::init()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let targets = targets::all();
    let names: Vec<_> = targets.iter().map(|target| target.name).collect();
    let usage = format!(
        "usage: whisperstream-fuzz seeds | (all | TARGET) COUNT [--seed N] [--corpus] | TARGET FILE\ntargets: {}",
        names.join(", ")
    );
    let (first, rest) = arguments.split_first().ok_or(usage.as_str())?;
    if first == "seeds" {
        return seeds::write(&folder("seeds"));
    }
    let (what, flags) = rest.split_first().ok_or(usage.as_str())?;
    let mut options = run::Options::default();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "--seed" => options.seed = flags.next().ok_or(usage.as_str())?.parse()?,
            "--corpus" => options.keeps_corpus = true,
            _ => return Err(usage.into()),
        }
    }
    let chosen = targets
        .iter()
        .filter(|target| first == "all" || first == target.name);
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        return Err(usage.into());
    }
    faults::listen();
    cap::watch();
    println!("target, executions, seconds, outcomes, edges, slowest ms, largest allocation kB");
    for target in chosen {
        match what.parse::<u64>() {
            Ok(count) => run::run(target, target.share(count), &options)?,
            Err(_) => println!("{}", (target.parse)(&std::fs::read(what)?)),
        }
    }
    Ok(())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
