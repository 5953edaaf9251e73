//! What a pass costs, part by part, and a second of live speech with it: by shape, precision, `audio-ctx` and chunk.
//!
//!     cargo bench --bench pass -- [nano] [tiny] [base] [small] [--precision f32,bf16,int8] [--rounds N]

#[path = "../common/mod.rs"]
mod common;
mod speech;

use std::sync::Arc;

use clap::Parser;
use common::median::median;
use common::model::{self, SHAPES};
use common::precision::Precision;
use common::window::{self, Round, Task};
use gstwhisperstream::whisper::{ModelSource, WINDOW_FRAMES, Whisper};

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
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much of the window is encoded: all of it, and what `audio-ctx=auto` makes of 10 s.
const CONTEXTS: [(&str, usize); 2] = [("exact", WINDOW_FRAMES), ("auto", 640)];

/// Chunks, and the steps of a pass over one: two or three tokens are decided in half a second of speech, and one more is
/// dropped.
const CHUNKS: [(usize, f64); 2] = [(500, 4.0), (1000, 6.5)];

fn main() {
    let options = Options::parse();
    println!(
        "{} threads; medians of {} rounds, milliseconds; 10 s held, a prompt of 40 tokens (prefill: with cross keys and values), {} steps \
         at 0.5 s chunks and {} at 1.0 s; a second: of speech, live, all passes together",
        rayon::current_num_threads(),
        options.rounds,
        CHUNKS[0].1,
        CHUNKS[1].1,
    );
    println!(
        "{:6} {:5} {:9} {:>7} {:>9} {:>8} {:>7} {:>11} {:>12} {:>12}",
        "model",
        "",
        "audio-ctx",
        "mel",
        "encoder",
        "prefill",
        "step",
        "pass 0.5 s",
        "a second 0.5",
        "a second 1.0"
    );
    let chosen = |name: &str| options.shapes.is_empty() || options.shapes.iter().any(|n| n == name);
    let precisions = Precision::ALL
        .into_iter()
        .filter(|p| options.precision.is_empty() || options.precision.contains(p));
    let precisions: Vec<Precision> = precisions.collect();
    for (name, shape) in SHAPES.iter().filter(|(name, _)| chosen(name)) {
        let folder = model::write(shape);
        let source = ModelSource::Path(folder.path().to_owned());
        for &precision in &precisions {
            match model::load(&source, precision) {
                Ok(whisper) => shape_of(name, precision, &whisper, options.rounds),
                Err(error) => println!("{name:6} {precision:5} {error}"),
            }
        }
    }
    if chosen("nano") {
        speech::report(&precisions);
    }
}

fn shape_of(name: &str, precision: Precision, whisper: &Arc<Whisper>, rounds: usize) {
    for (context, frames) in CONTEXTS {
        let [half, whole] = CHUNKS.map(|(chunk_ms, _)| measure(whisper, frames, chunk_ms, rounds));
        let [half_pass, whole_pass] =
            [(&half, CHUNKS[0].1), (&whole, CHUNKS[1].1)].map(|(round, steps)| round.pass(steps));
        println!(
            "{name:6} {precision:5} {:9} {:>7.2} {:>9.2} {:>8.2} {:>7.2} {:>11.1} {:>12.1} {:>12.1}",
            context,
            half.mel,
            half.encoder,
            half.prefill,
            half.step,
            half_pass,
            half_pass * 2.0,
            whole_pass,
        );
    }
}

fn measure(whisper: &Arc<Whisper>, frames: usize, chunk_ms: usize, rounds: usize) -> Round {
    let mut task = Task::new(chunk_ms);
    task.frames = frames;
    window::run(whisper, &task);
    let rounds: Vec<Round> = (0..rounds).map(|_| window::run(whisper, &task)).collect();
    let of = |part: fn(&Round) -> f64| median(rounds.iter().map(part));
    Round {
        mel: of(|r| r.mel),
        encoder: of(|r| r.encoder),
        prefill: of(|r| r.prefill),
        step: of(|r| r.step),
        beam: of(|r| r.beam),
    }
}
