//! Lag, processor time and memory from one live call to many, as a table, a CSV and a plot; and what one stream of tiny
//! takes.
//!
//!     cargo bench --bench scale -- [--seconds S] [--most CALLS] [--plot FILE.png] [--memory-only]

#[path = "../common/mod.rs"]
mod common;
mod memory;
mod trial;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use common::live;
use common::peer::{python, root};
use common::precision::Precision;
use trial::Point;

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
    /// Play one curve at one number of calls (for the bench itself).
    #[arg(long, num_args = 2, hide = true)]
    trial: Vec<usize>,
    /// Only what a stream of tiny takes.
    #[arg(long)]
    memory_only: bool,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One line of the plot.
#[derive(Clone, Copy)]
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
    live::init();
    if let [curve, calls] = options.trial[..] {
        let point = trial::play(CURVES[curve % CURVES.len()], calls, options.seconds);
        println!("{}", serde_json::to_string(&point).expect("numbers"));
        return;
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
    for (number, curve) in CURVES.into_iter().enumerate() {
        let name = format!("{}, audio-ctx {}", curve.precision, curve.audio_ctx);
        let doubled = std::iter::successors(Some(1), |calls| Some(calls * 2));
        for calls in doubled.take_while(|calls| *calls <= options.most) {
            let Some(point) = Point::of_a_process(number, calls, options.seconds) else {
                println!("{name:20} {calls:>5} not to be had");
                break;
            };
            point.print(&name);
            let _ = writeln!(csv, "\"{name}\",{}", point.csv());
        }
    }
    csv
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
