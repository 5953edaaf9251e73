//! Encoder window, prefill, step and whole-pass time of the network in the released shapes (random weights), a table a
//! precision, beside what the machine could do at best and, when `benches/peers.sh` was run, beside CTranslate2 and
//! openai-whisper on PyTorch in the same run.
//!
//!     cargo bench --bench encoder -- [nano] [tiny] [base] [small] [--precision f32,bf16,int8] [--rounds N] [--best] [--no-peers]

#[path = "../common/mod.rs"]
mod common;
mod table;

use std::sync::Arc;

use clap::Parser;
use common::machine::Machine;
use common::median::{best, median};
use common::model::{self, SHAPES};
use common::peer::Peer;
use common::precision::Precision;
use common::synthetic::Shape;
use common::window::{self, Round, Task};
use gstwhisperstream::whisper::{ModelSource, Whisper};
use table::{Line, PASS_STEPS};

#[derive(Parser)]
struct Options {
    /// Shapes to run: nano, tiny, base, small; all when none is named.
    shapes: Vec<String>,
    /// Precisions, comma-separated.
    #[arg(long, value_delimiter = ',', value_parser = |s: &str| Precision::named(s).ok_or("f32, bf16 or int8"))]
    precision: Vec<Precision>,
    /// Measured rounds; one more warms up.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Take the best round: on a machine that others load too it says more than the median.
    #[arg(long)]
    best: bool,
    /// Measure nothing but ours.
    #[arg(long, alias = "no-peer")]
    no_peers: bool,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who can be measured at which precision.
const PEERS: [(&str, &[Precision]); 2] = [
    ("ctranslate2_whisper.py", &[Precision::F32, Precision::Int8]),
    ("openai_whisper.py", &[Precision::F32, Precision::Bf16]),
];

fn main() {
    let options = Options::parse();
    let threads = rayon::current_num_threads();
    let machine = Machine::measure(threads);
    println!("machine: {machine}");
    let mut peers = PEERS.map(|(script, _)| match options.no_peers {
        true => None,
        false => Peer::start(script, threads),
    });
    for (peer, (script, _)) in peers.iter().zip(PEERS) {
        match peer {
            Some(peer) => println!("peer: {}", peer.name),
            None => println!("peer: no {script} (benches/peers.sh installs what it needs)"),
        }
    }
    println!(
        "{} of {} rounds, ours and the peers' in turn, milliseconds; mel: 10 s held, 0.5 s new; prefill: cross keys and values, and 40 \
         tokens; 5 beams: a step of five lanes; pass: all of them with {PASS_STEPS} steps; ratio: ours / theirs",
        if options.best { "bests" } else { "medians" },
        options.rounds
    );
    let chosen = |name: &str| options.shapes.is_empty() || options.shapes.iter().any(|n| n == name);
    for precision in Precision::ALL {
        if !options.precision.is_empty() && !options.precision.contains(&precision) {
            continue;
        }
        let mut head = false;
        for (name, shape) in SHAPES.iter().filter(|(name, _)| chosen(name)) {
            let folder = model::write(shape);
            let source = ModelSource::Path(folder.path().to_owned());
            let ours = match model::load(&source, precision) {
                Ok(ours) => ours,
                Err(error) => {
                    println!("\n{precision}: {error}");
                    break;
                }
            };
            if !std::mem::replace(&mut head, true) {
                table::head(precision);
            }
            // Those that have this precision.
            let mut able: [Option<&mut Peer>; 2] = [None, None];
            for ((place, peer), (_, precisions)) in able.iter_mut().zip(&mut peers).zip(PEERS) {
                *place = peer
                    .as_mut()
                    .filter(|_| precisions.contains(&precision))
                    .and_then(|peer| peer.load(folder.path(), precision).then_some(peer));
            }
            let rounds = measure(&ours, &mut able, options.rounds);
            let typical = |rounds: &[Round], part: fn(&Round) -> f64| {
                let values = rounds.iter().map(part);
                if options.best {
                    best(values)
                } else {
                    median(values)
                }
            };
            report(name, shape, precision, &machine, &rounds, typical);
        }
    }
}

/// Ours, and each peer's.
struct Rounds {
    ours: Vec<Round>,
    theirs: [Vec<Round>; 2],
}

/// In turn, so that all see the same machine. The first round warms up.
fn measure(ours: &Arc<Whisper>, peers: &mut [Option<&mut Peer>; 2], rounds: usize) -> Rounds {
    let task = Task::new(500);
    let mut all = Rounds {
        ours: Vec::new(),
        theirs: [Vec::new(), Vec::new()],
    };
    for round in 0..=rounds {
        let own = window::run(ours, &task);
        let theirs = peers
            .each_mut()
            .map(|peer| peer.as_mut().and_then(|p| p.run(task.prompt, task.steps)));
        if round > 0 {
            all.ours.push(own);
            for (all, one) in all.theirs.iter_mut().zip(theirs) {
                all.extend(one);
            }
        }
    }
    all
}

fn report(
    model: &str,
    shape: &Shape,
    precision: Precision,
    machine: &Machine,
    rounds: &Rounds,
    typical: impl Fn(&[Round], fn(&Round) -> f64) -> f64,
) {
    use common::work::{encoder_limit, step_limit};
    type Part = fn(&Round) -> f64;
    let parts: [(&str, Part, Option<f64>); 6] = [
        ("mel", |r| r.mel, None),
        (
            "encoder",
            |r| r.encoder,
            Some(encoder_limit(shape, precision, machine)),
        ),
        ("prefill", |r| r.prefill, None),
        (
            "step",
            |r| r.step,
            Some(step_limit(shape, precision, machine)),
        ),
        (
            "5 beams",
            |r| r.beam,
            Some(step_limit(shape, precision, machine)),
        ),
        ("pass", |r| r.pass(PASS_STEPS), None),
    ];
    for (what, part, limit) in parts {
        Line {
            model,
            what,
            ours: typical(&rounds.ours, part),
            theirs: rounds.theirs.each_ref().map(|rounds| typical(rounds, part)),
            limit,
        }
        .print();
    }
}
