//! Log-mel, encoder, prefill, step and whole-pass time of the network in the released shapes (random weights), beside what the
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

use gstwhisperstream::whisper::{
    Backend, Cancel, Encoded, LogMel, ModelSource, SAMPLE_RATE, Whisper, Window,
};
use peer::Peer;
use synthetic::{Shape, Stored};

/// Tokens of the prompt: what a stream in its stride has.
const PROMPT: usize = 40;
/// Steps of one measured run.
const STEPS: usize = 16;

/// Steps of a whole pass: two or three tokens are decided in half a second of speech, one more is dropped.
const PASS_STEPS: f64 = 4.0;
/// Audio that a pass holds, and what is new of it: samples.
const HELD: usize = 10 * SAMPLE_RATE;
const NEW: usize = SAMPLE_RATE / 2;

/// Milliseconds of one window.
#[derive(Clone, Copy)]
pub struct Round {
    /// Log-mel of the held audio, when half a second is new.
    pub mel: f64,
    pub encoder: f64,
    pub prefill: f64,
    /// One token.
    pub step: f64,
}

impl Round {
    /// All that a pass costs.
    fn pass(&self) -> f64 {
        self.mel + self.encoder + self.prefill + PASS_STEPS * self.step
    }
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
        "{which} of {rounds} rounds, ours and the peer's in turn; mel = 10 s held, 0.5 s new; prefill = cross keys and \
         values + {PROMPT} tokens; pass = all of them with {PASS_STEPS} steps"
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
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=rounds {
            let ours = run(&ours);
            let peers = peer.as_mut().and_then(|p| p.run(PROMPT, STEPS));
            if round > 0 {
                own.push(ours);
                theirs.extend(peers);
            }
        }
        let of =
            |rounds: &[Round], part: fn(&Round) -> f64| typical(rounds.iter().map(part).collect());
        let limit = |ideal: f64, found: f64| format!("{:.0} %", 100.0 * ideal / found);
        type Part = fn(&Round) -> f64;
        let parts: [(&str, Part); 5] = [
            ("mel", |r| r.mel),
            ("encoder", |r| r.encoder),
            ("prefill", |r| r.prefill),
            ("step", |r| r.step),
            ("pass", Round::pass),
        ];
        for (what, part) in parts {
            let found = of(&own, part);
            let share = match what {
                "encoder" => limit(machine::encoder_flops(shape) / peak / 1e6, found),
                "step" => limit(machine::step_bytes(shape) / bandwidth / 1e6, found),
                _ => String::new(),
            };
            line(name, what, found, of(&theirs, part), &share);
        }
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
    let whisper = Whisper::load(&source, Backend::default(), &Cancel::default(), &mut |_| {});
    Arc::new(whisper.expect("the model that was just written"))
}

/// One window.
fn run(whisper: &Arc<Whisper>) -> Round {
    let cancel = Cancel::default();
    let audio: Vec<f32> = (0..HELD).map(|i| (i as f32 * 0.37).sin()).collect();
    let (held, new) = audio.split_at(HELD - NEW);
    let mut log_mel = LogMel::new(Arc::clone(whisper.mel_filters()));
    log_mel.push(held);
    log_mel.window();
    let start = Instant::now();
    log_mel.push(new);
    let window = log_mel.window();
    let mel = ms(start);

    let start = Instant::now();
    let encoded: Encoded = whisper
        .encode(Window::whole(&window), &cancel)
        .expect("encode");
    let encoder = ms(start);

    let heads = &whisper.config().alignment_heads;
    let prompt: Vec<u32> = (100..).take(PROMPT).collect();
    let start = Instant::now();
    let mut decoder = whisper.decoder(&encoded, heads).expect("start");
    decoder.step(whisper, &prompt, None).expect("prefill");
    let prefill = ms(start);

    let start = Instant::now();
    for token in (200..).take(STEPS) {
        decoder.step(whisper, &[token], None).expect("step");
    }
    let step = ms(start) / STEPS as f64;
    Round {
        mel,
        encoder,
        prefill,
        step,
    }
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
