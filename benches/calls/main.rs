//! How many live calls one machine bears, beside the reference's way on the same calls.
//!
//!     cargo bench --bench calls -- [--precision f32,int8] [--seconds S] [--only NAME] [--no-reference]
//!
//! A call has two legs, each a stream. The largest number of legs is searched at which the 95th percentile of word lag
//! stays within a second of what it is with one call on an idle machine.

#[path = "../common/mod.rs"]
mod common;
mod ours;
mod reference;
mod search;

use clap::Parser;
use common::precision::Precision;
use common::trial::{Plan, Trial};
use reference::Reference;
use search::Found;

#[derive(Parser)]
struct Options {
    /// Precisions, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "f32,int8", value_parser = |s: &str| Precision::named(s).ok_or("f32, bf16 or int8"))]
    precision: Vec<Precision>,
    /// Length of a call.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Only the rows whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Leave the reference out.
    #[arg(long)]
    no_reference: bool,
    /// Print every trial.
    #[arg(long)]
    trials: bool,
    /// Audio between two passes, in milliseconds.
    #[arg(long, default_value_t = 500)]
    chunk: u32,
    /// No more legs than this.
    #[arg(long, default_value_t = 256)]
    most: usize,
    /// Play one trial (for the bench itself).
    #[arg(long, hide = true)]
    trial: Option<String>,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A row of the table.
struct Row {
    name: String,
    /// Passes run only where there may be speech.
    gated: bool,
    run: Box<dyn FnMut(usize) -> Option<Trial>>,
}

fn main() {
    let options = Options::parse();
    if let Some(plan) = &options.trial {
        return Plan::play_and_tell(plan);
    }
    println!(
        "{} threads, whisper-nano, calls of {} s, half a leg silent, chunks of {} ms; a call: two legs, each a stream; lag: from a word's \
         true end to its arrival, p50 / p95; at: the most legs whose p95 stays within 1 s of one call alone; x: as many as \
         the reference's that runs a pass at every chunk, and only where ours does",
        rayon::current_num_threads(),
        options.seconds,
        options.chunk
    );
    println!(
        "{:34} {:>6} {:>6} {:>13} {:>13} {:>8} {:>9} {:>7} {:>8} {:>13} {:>7}",
        "",
        "legs",
        "calls",
        "lag alone",
        "lag at",
        "errors",
        "at",
        "cpu",
        "memory",
        "x every chunk",
        "x gated"
    );
    let mut rows: Vec<Row> = Vec::new();
    if !options.no_reference {
        rows.extend(Reference::rows(options.seconds, options.chunk));
    }
    rows.extend(ours::rows(
        &options.precision,
        options.seconds,
        options.chunk,
    ));
    // The reference's most legs, ungated and gated: its rows come first.
    let mut reference = [None, None];
    for mut row in rows {
        if !row.name.contains(&options.only) {
            continue;
        }
        let Some(found) = search::most(&mut row.run, options.most, options.trials) else {
            println!("{:34} not to be had", row.name);
            continue;
        };
        let is_reference = row.name.starts_with("reference");
        if is_reference {
            reference[usize::from(row.gated)] = Some(found.legs);
        }
        let times = reference.map(|legs| match legs {
            Some(legs) if !is_reference => format!("{:.1}", found.legs as f64 / legs as f64),
            _ => String::new(),
        });
        report(&row.name, &found, times);
    }
}

/// `times`: as many legs as the reference with a pass at every chunk, and gated.
fn report(name: &str, found: &Found, [every, gated]: [String; 2]) {
    let lag = |(p50, p95): (f64, f64)| format!("{p50:.2} / {p95:.2} s");
    println!(
        "{name:34} {:>6} {:>6.1} {:>13} {:>13} {:>6.1} % {:>7.1} % {:>5.0} % {:>5.0} MB {every:>13} {gated:>7}",
        found.legs,
        found.legs as f64 / 2.0,
        lag(found.alone.lag),
        lag(found.at.lag),
        found.alone.errors,
        found.at.errors,
        100.0 * found.at.cores / rayon::current_num_threads() as f64,
        found.at.memory,
    );
}
