//! Encoder, prefill and step time of the network in the released shapes (random weights), beside what the
//! machine could do and, when `benches/peers.sh` was run, beside openai-whisper on PyTorch in the same run.
//!
//!     cargo bench --bench encoder -- [nano] [tiny] [base] [small] [--rounds N] [--best] [--no-peer]

mod machine;
mod peer;
#[path = "../../tests/common/synthetic.rs"]
mod synthetic;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gstwhisperstream::whisper::{Cancel, Device, Encoded, ModelSource, WINDOW_MEL_FRAMES, Whisper};
use peer::Peer;
use synthetic::{Shape, Stored};

/// Tokens of the prompt: what a stream in its stride has.
const PROMPT: usize = 40;
/// Steps of one measured run.
const STEPS: usize = 16;

struct Times {
    encoder: Vec<f64>,
    prefill: Vec<f64>,
    step: Vec<f64>,
}

fn main() {
    let mut rounds = 7;
    let mut with_peer = true;
    // On a machine that others load too, the best round says more than the median.
    let mut typical: fn(Vec<f64>) -> f64 = median;
    let mut which = "medians";
    let mut names = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(rounds),
            "--no-peer" => with_peer = false,
            "--best" => (typical, which) = (best, "bests"),
            // Cargo's own.
            "--bench" => {}
            _ => names.push(arg),
        }
    }
    let all = [
        ("nano", Shape::NANO),
        ("tiny", Shape::TINY),
        ("base", Shape::BASE),
        ("small", Shape::SMALL),
    ];
    let chosen = |name: &str| names.is_empty() || names.iter().any(|n| n == name);

    let threads = rayon::current_num_threads();
    let peak = machine::fma_peak(threads);
    let bandwidth = machine::read_bandwidth(threads);
    println!(
        "machine: {threads} threads, f32 FMA peak {peak:.0} GFLOP/s, memory reads {bandwidth:.1} GB/s"
    );
    let mut peer = with_peer.then(|| Peer::start(threads)).flatten();
    match &peer {
        Some(peer) => println!("peer: {}", peer.name),
        None => println!("peer: none (run benches/peers.sh to have openai-whisper beside)"),
    }
    println!(
        "{which} of {rounds} rounds, ours and the peer's in turn; prefill = cross keys and values + {PROMPT} tokens"
    );
    println!(
        "{:6} {:8} {:>10} {:>10} {:>7} {:>22}",
        "model", "what", "ours ms", "peer ms", "ratio", "of the machine's limit"
    );
    for (name, shape) in all.iter().filter(|(name, _)| chosen(name)) {
        let ours = load(shape);
        if let Some(peer) = &mut peer {
            peer.load(shape);
        }
        let mut times = [Times::new(), Times::new()];
        // The first round warms up.
        for round in 0..=rounds {
            let (encoder, prefill, step) = run(&ours);
            if round > 0 {
                times[0].push(encoder, prefill, step);
            }
            if let Some((encoder, prefill, step)) = peer.as_mut().and_then(|p| p.run(PROMPT, STEPS))
                && round > 0
            {
                times[1].push(encoder, prefill, step);
            }
        }
        let [ours, theirs] = times;
        let limit = |ms: f64, found: f64| format!("{:.0} %", 100.0 * ms / found);
        let (encoder, prefill, step) = (
            typical(ours.encoder),
            typical(ours.prefill),
            typical(ours.step),
        );
        let ideal = machine::encoder_flops(shape) / peak / 1e6;
        line(
            name,
            "encoder",
            encoder,
            typical(theirs.encoder),
            &limit(ideal, encoder),
        );
        line(name, "prefill", prefill, typical(theirs.prefill), "");
        let ideal = machine::step_bytes(shape) / bandwidth / 1e6;
        line(
            name,
            "step",
            step,
            typical(theirs.step),
            &limit(ideal, step),
        );
    }
}

impl Times {
    fn new() -> Times {
        Times {
            encoder: Vec::new(),
            prefill: Vec::new(),
            step: Vec::new(),
        }
    }

    fn push(&mut self, encoder: f64, prefill: f64, step: f64) {
        self.encoder.push(encoder);
        self.prefill.push(prefill);
        self.step.push(step);
    }
}

fn line(model: &str, what: &str, ours: f64, theirs: f64, limit: &str) {
    let (theirs, ratio) = match theirs.is_nan() {
        true => ("-".into(), "-".into()),
        false => (format!("{theirs:.2}"), format!("{:.2}", ours / theirs)),
    };
    println!("{model:6} {what:8} {ours:>10.2} {theirs:>10} {ratio:>7} {limit:>22}");
}

fn load(shape: &Shape) -> Arc<Whisper> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the model");
    synthetic::write(dir.path(), shape, Stored::F16, 1);
    let source = ModelSource::Path(Path::to_owned(dir.path()));
    let whisper = Whisper::load(&source, Device::Cpu, &Cancel::default(), &mut |_| {});
    Arc::new(whisper.expect("the model that was just written"))
}

/// One window: milliseconds of encoder, prefill and one step.
fn run(whisper: &Arc<Whisper>) -> (f64, f64, f64) {
    let cancel = Cancel::default();
    let bins = whisper.config().mel_bins;
    let mel: Vec<f32> = (0..bins * WINDOW_MEL_FRAMES)
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    let start = Instant::now();
    let encoded: Encoded = whisper.encode(&mel, &cancel).expect("encode");
    let encoder = ms(start);

    let heads = &whisper.config().alignment_heads;
    let prompt: Vec<u32> = (100..).take(PROMPT).collect();
    let start = Instant::now();
    let mut decoder = whisper.decoder(&encoded, heads, &cancel).expect("start");
    decoder.step(&prompt, None, &cancel).expect("prefill");
    let prefill = ms(start);

    let start = Instant::now();
    for token in (200..).take(STEPS) {
        decoder.step(&[token], None, &cancel).expect("step");
    }
    (encoder, prefill, ms(start) / STEPS as f64)
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn best(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::NAN, f64::min)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
