//! Lag, processor time and memory from one live call to many, as a table, a CSV and a plot; and what one stream of tiny
//! takes.
//!
//!     cargo bench --bench scale -- [--seconds S] [--most CALLS] [--plot FILE.png] [--memory-only]

#[path = "../common/mod.rs"]
mod common;
mod memory;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use common::peer::{python, root};
use common::precision::Precision;
use common::trial::{Plan, Trial};

#[derive(Parser)]
struct Options {
    /// Length of a call.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Calls at most; as many are doubled from one.
    #[arg(long, default_value_t = 64)]
    most: usize,
    /// Where the plot goes; the figures lie beside it as .csv. Needs `benches/peers.sh`.
    #[arg(long, default_value = "target/scale.png")]
    plot: PathBuf,
    /// Play one trial (for the bench itself).
    #[arg(long, hide = true)]
    trial: Option<String>,
    /// Only what a stream of tiny takes.
    #[arg(long)]
    memory_only: bool,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One line of the plot.
struct Curve {
    precision: Precision,
    audio_ctx: &'static str,
}

/// What gives up nothing, and what costs least.
const CURVES: [Curve; 2] = [
    Curve {
        precision: Precision::F32,
        audio_ctx: "exact",
    },
    Curve {
        precision: Precision::Int8,
        audio_ctx: "auto",
    },
];

fn main() {
    let options = Options::parse();
    if let Some(plan) = &options.trial {
        return Plan::play_and_tell(plan);
    }
    if !options.memory_only {
        let plot = root().join(&options.plot);
        let csv = plot.with_extension("csv");
        std::fs::write(&csv, scale(&options)).expect("the CSV can be written");
        draw(&csv, &plot);
    }
    memory::report();
}

/// Plays more and more calls; returns the figures as CSV.
fn scale(options: &Options) -> String {
    println!(
        "{} threads, whisper-nano, calls of {} s with two legs, half a leg silent; lag: from a word's true end to its arrival; cpu of a \
         call: share of one core; memory of a call: what the process has grown by since the model was loaded, shared out; degraded: times that a stream was told to make do with less",
        rayon::current_num_threads(),
        options.seconds
    );
    println!(
        "{:20} {:>5} {:>9} {:>9} {:>8} {:>8} {:>10} {:>14} {:>8} {:>8}",
        "",
        "calls",
        "lag p50",
        "lag p95",
        "errors",
        "cpu",
        "of a call",
        "memory of it",
        "dropped",
        "degraded"
    );
    let mut csv = String::from(
        "settings,calls,lag_p50_s,lag_p95_s,word_errors_percent,cpu_share,cpu_of_a_call,memory_of_a_call_mb,dropped_s,degradations\n",
    );
    for curve in CURVES {
        let name = format!("{}, audio-ctx {}", curve.precision, curve.audio_ctx);
        let doubled = std::iter::successors(Some(1), |calls| Some(calls * 2));
        for calls in doubled.take_while(|calls| *calls <= options.most) {
            let plan = Plan {
                precision: curve.precision.name().into(),
                settings: vec![
                    ("audio-ctx".into(), curve.audio_ctx.into()),
                    ("unit".into(), "word".into()),
                ],
                legs: 2 * calls,
                seconds: options.seconds,
            };
            let Some(trial) = plan.in_a_process() else {
                println!("{name:20} {calls:>5} not to be had");
                break;
            };
            print(&name, calls, &trial);
            let _ = writeln!(csv, "\"{name}\",{}", row(calls, &trial));
        }
    }
    csv
}

fn print(name: &str, calls: usize, trial: &Trial) {
    let (p50, p95) = trial.lag;
    println!(
        "{name:20} {calls:>5} {p50:>7.2} s {p95:>7.2} s {:>6.1} % {:>6.0} % {:>8.1} % {:>11.1} MB {:>6.1} s {:>8}",
        trial.errors,
        100.0 * trial.cores / rayon::current_num_threads() as f64,
        100.0 * trial.cores / calls as f64,
        trial.grown / calls as f64,
        trial.dropped,
        trial.degradations,
    );
}

/// The same, as a row of the CSV.
fn row(calls: usize, trial: &Trial) -> String {
    let (p50, p95) = trial.lag;
    format!(
        "{calls},{p50:.3},{p95:.3},{:.2},{:.4},{:.4},{:.2},{:.2},{}",
        trial.errors,
        trial.cores / rayon::current_num_threads() as f64,
        trial.cores / calls as f64,
        trial.grown / calls as f64,
        trial.dropped,
        trial.degradations
    )
}

fn draw(csv: &Path, plot: &Path) {
    let Some(python) = python() else {
        println!("no plot: run benches/peers.sh to have what draws it");
        return;
    };
    let script = root().join("benches/peers/plot_scale.py");
    let drawn = Command::new(python).arg(script).arg(csv).arg(plot).status();
    match drawn {
        Ok(status) if status.success() => {
            println!("{} drawn from {}", plot.display(), csv.display())
        }
        other => println!("no plot: {other:?}"),
    }
}
