// SPDX-License-Identifier: MPL-2.0

//! What a cluster costs and bears, on the real programs and a real nats-server of the bench's own:
//!
//! - `detour`: how much later lines come by a gateway, NATS and a worker than from one process, line by line.
//! - `failover`: how long a call waits for its next line when its worker is killed or stopped, and how much is heard again.
//! - `throughput`: how many calls at the pace of speech one gateway and one nats-server bear, with nobody who recognises.
//! - `simulation`: 10,000 calls on 200 workers that are restarted one after the other, from the figures of the other three.
//!
//!     cargo bench -p whisperstream-doors --bench cluster -- [PART]... [--rounds N] [--most CALLS] [--csv FILE] [--plot FILE.png]

mod chance;
mod client;
mod course;
mod deaf;
mod detour;
mod failover;
mod figures;
mod fleet;
mod lags;
mod plot;
mod programs;
mod simulation;
mod throughput;
mod traffic;

#[allow(dead_code)]
#[path = "../common/median.rs"]
mod median;
#[allow(dead_code)]
#[path = "../common/usage.rs"]
mod usage;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// What went wrong, in a sentence.
type Failure = Box<dyn Error + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Detour,
    Failover,
    Throughput,
    Simulation,
}

#[derive(Parser)]
struct Options {
    /// Parts to run; none named: all.
    parts: Vec<Part>,
    /// Times that detour and failover repeat what they do.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Calls of throughput at most; as many are doubled from 50.
    #[arg(long, default_value_t = 3_200)]
    most: usize,
    /// Where the simulation's figures go.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Where its plot goes; needs `benches/peers.sh`, and --csv or puts the figures beside it.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Failure> {
    let wants = |part| options.parts.is_empty() || options.parts.contains(&part);
    doors::room::raise();
    // What is not measured now was measured before.
    let mut figures = figures::Figures::default();
    if wants(Part::Detour) {
        detour::run(options.rounds, &mut figures).await?;
    }
    if wants(Part::Failover) {
        failover::run(options.rounds).await?;
    }
    if wants(Part::Throughput) {
        throughput::run(options.most, &mut figures).await?;
    }
    if wants(Part::Simulation) {
        let csv = simulation::run(&figures);
        plot::write(&csv, options.csv.as_deref(), options.plot.as_deref())?;
    }
    Ok(())
}
