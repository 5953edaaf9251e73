//! Word errors, word times, lag and invented words of the demo model, beside the reference's figures.
//!
//!     cargo bench --bench quality [-- [--precision P] [--auto-ctx] [--beams N] [--temperature T] [--compat] [--agreement] [--chunk MS] [--folder DIR] [--traces DIR] [--words]]
//!
//! `--folder` scores other recordings: NAME.wav (16 kHz mono S16) beside NAME.json with the true `words`.
//! `--traces` writes what was released, a JSON-lines file a recording. `--words` prints the words of every recording.

#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use common::model;
use common::precision::Precision;
use common::score::{Said, Score, True};
use gstwhisperstream::engine::pass;
use gstwhisperstream::policy::{self, AudioCtx, Compat, Guards, Outcome, PolicySettings, Rule};
use gstwhisperstream::whisper::{Cancel, ModelSource, Whisper};

#[derive(Parser)]
struct Options {
    /// Score the reference's decisions instead of ours.
    #[arg(long)]
    compat: bool,
    /// Decide by LocalAgreement.
    #[arg(long)]
    agreement: bool,
    /// Audio between two passes, in milliseconds.
    #[arg(long, default_value_t = 500)]
    chunk: u32,
    /// Recordings to score; the bundled ones when not given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where to write what was released.
    #[arg(long)]
    traces: Option<PathBuf>,
    /// Print the words.
    #[arg(long)]
    words: bool,
    /// Language for recordings whose name does not start with a language code.
    #[arg(long)]
    language: Option<String>,
    /// Most tokens of context before the window.
    #[arg(long, default_value_t = 448)]
    context: u32,
    /// Only the recordings whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Arithmetic of the network.
    #[arg(long, default_value = "f32", value_parser = |s: &str| Precision::named(s).ok_or("f32, bf16 or int8"))]
    precision: Precision,
    /// Encode no more than the audio and a margin (`audio-ctx=auto`).
    #[arg(long)]
    auto_ctx: bool,
    /// Texts that decoding follows at a time.
    #[arg(long, default_value_t = 1)]
    beams: u32,
    /// Highest temperature of an utterance's last pass.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(serde::Deserialize)]
struct Truth {
    words: Vec<True>,
}

/// The reference's figures (SimulStreaming 077ea37 with the same model at the same chunk).
const REFERENCE: &[(&str, &str)] = &[
    (
        "calls",
        " 16.2 % of  247 words  start   97 ms  end  199 ms  lag p50 0.59 s  p95 0.91 s  (0.5 s chunks)",
    ),
    (
        "long",
        " 41.0 % of  422 words  start  802 ms  end  984 ms  lag p50 1.00 s  p95 2.88 s  (1.2 to 2 s chunks)",
    ),
    (
        "invented",
        "silence 104, white noise 101, tone 318 words in 60 s",
    ),
];

fn main() {
    let options = Options::parse();
    let model = model::load(&ModelSource::Demo, options.precision).expect("the demo model loads");
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/audio");
    let folder = options.folder.clone().unwrap_or(bundled);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(&options.only))
        .filter(|path| {
            path.extension().is_some_and(|e| e == "wav") && path.with_extension("json").exists()
        })
        .collect();
    files.sort();
    let mut work = Work::default();
    let (mut calls, mut long) = (Score::default(), Score::default());
    for file in &files {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let truth: Truth =
            serde_json::from_slice(&std::fs::read(file.with_extension("json")).expect("truth"))
                .expect("truth is JSON");
        let language = options
            .language
            .clone()
            .unwrap_or_else(|| name.chars().take(2).collect());
        let said = transcribe(&model, &options, &language, &samples(file), &mut work);
        let mut score = Score::default();
        score.add(&truth.words, &said);
        println!("{name:16} {score}");
        if options.words {
            let text: Vec<&str> = said.iter().map(|w| w.text.as_str()).collect();
            println!("    said {}", text.concat());
            println!(
                "    true  {}",
                truth
                    .words
                    .iter()
                    .map(|w| w.text.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            );
        }
        if let Some(folder) = &options.traces {
            write_trace(folder, file, &said);
        }
        if name.ends_with("long") {
            long.merge(&score)
        } else {
            calls.merge(&score)
        }
    }
    println!("\n{} calls        {calls}", calls.files);
    println!("  reference     {}", REFERENCE[0].1);
    println!("{} long         {long}", long.files);
    println!("  reference     {}", REFERENCE[1].1);
    println!("{work}");
    if options.folder.is_none() && options.only.is_empty() {
        let mut invented = Vec::new();
        for (name, audio) in quiet_minutes() {
            let words: usize = ["fr", "en", "auto"]
                .iter()
                .map(|l| transcribe(&model, &options, l, &audio, &mut work).len())
                .sum();
            invented.push(format!("{name} {words}"));
        }
        println!(
            "invented in 60 s, French, English and auto together: {}",
            invented.join(", ")
        );
        println!("  reference     {}", REFERENCE[2].1);
    }
}

/// What the passes cost.
#[derive(Default)]
struct Work {
    times: Vec<Duration>,
    quiet: u32,
    repeated: u32,
}

impl Work {
    fn guarded(&mut self, guards: &Guards) {
        self.quiet += guards.quiet;
        self.repeated += guards.repeated;
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut times = self.times.clone();
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let total: Duration = times.iter().sum();
        write!(
            f,
            "{} passes of {:.0} ms (median), {:.1} s in all; {} not run, {} repeated over the whole window",
            times.len(),
            median.as_secs_f64() * 1000.0,
            total.as_secs_f64(),
            self.quiet,
            self.repeated,
        )
    }
}

/// Feeds a recording chunk by chunk; the last one, full or not, is the last pass.
fn transcribe(
    model: &Arc<Whisper>,
    options: &Options,
    language: &str,
    samples: &[f32],
    work: &mut Work,
) -> Vec<Said> {
    let settings = PolicySettings {
        rule: match options.agreement {
            true => Rule::LocalAgreement,
            false => Rule::AlignAtt,
        },
        language: language.into(),
        min_chunk_ms: options.chunk,
        max_context_tokens: options.context,
        compat: if options.compat {
            Compat::SimulStreaming
        } else {
            Compat::None
        },
        beams: options.beams,
        temperature: options.temperature,
        audio_ctx: match options.auto_ctx {
            true => AudioCtx::Auto,
            false => AudioCtx::Exact,
        },
        ..PolicySettings::default()
    };
    let chunk = settings.chunk_samples();
    let (tokenizer, filters) = (
        Arc::clone(model.tokenizer()),
        Arc::clone(model.mel_filters()),
    );
    let mut stream =
        policy::open(settings, model.config(), tokenizer, filters).expect("settings are right");
    let mut said = Vec::new();
    let mut heard = 0;
    let mut chunks = samples.chunks(chunk).peekable();
    while let Some(piece) = chunks.next() {
        heard += piece.len();
        stream.insert(piece);
        let outcome = match stream.begin(chunks.peek().is_none()) {
            Err(outcome) => outcome,
            Ok(mut running) => {
                let begun = Instant::now();
                pass::run(
                    model,
                    &model.config().alignment_heads,
                    &mut running,
                    &Cancel::default(),
                )
                .expect("the pass runs");
                work.times.push(begun.elapsed());
                stream.commit(running)
            }
        };
        work.guarded(&outcome.guards);
        collect(&outcome, heard, &mut said);
    }
    said
}

fn collect(outcome: &Outcome, heard: usize, said: &mut Vec<Said>) {
    let seconds = |samples: u64| samples as f64 / 16_000.0;
    said.extend(
        outcome
            .release
            .iter()
            .flat_map(|r| &r.words)
            .map(|word| Said {
                text: word.text.clone(),
                start: seconds(word.start),
                end: seconds(word.end),
                heard: heard as f64 / 16_000.0,
            }),
    );
}

fn samples(file: &Path) -> Vec<f32> {
    let mut wav = hound::WavReader::open(file).expect("a wav file");
    let spec = wav.spec();
    assert_eq!(
        (spec.sample_rate, spec.channels, spec.bits_per_sample),
        (16_000, 1, 16),
        "{}",
        file.display()
    );
    wav.samples::<i16>()
        .map(|s| f32::from(s.expect("a sample")) / 32768.0)
        .collect()
}

/// A minute each of digital silence, of white noise and of a 440 Hz tone.
fn quiet_minutes() -> [(&'static str, Vec<f32>); 3] {
    let n = 60 * 16_000;
    let mut state = 7u64;
    let noise = (0..n).map(|_| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        0.1 * ((state >> 40) as f32 / 8_388_608.0 - 1.0)
    });
    let tone = (0..n).map(|i| 0.3 * (i as f32 * 440.0 * std::f32::consts::TAU / 16_000.0).sin());
    [
        ("silence", vec![0.0; n]),
        ("white noise", noise.collect()),
        ("tone", tone.collect()),
    ]
}

fn write_trace(folder: &Path, file: &Path, said: &[Said]) {
    std::fs::create_dir_all(folder).expect("the trace folder can be made");
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut lines = vec![serde_json::json!({ "wav": name }).to_string()];
    lines.extend(said.iter().map(|w| {
        serde_json::json!({ "audio_end": w.heard, "words": [[w.start, w.end, w.text]] }).to_string()
    }));
    let path = folder.join(&name).with_extension("jsonl");
    std::fs::write(path, lines.join("\n") + "\n").expect("the trace can be written");
}
