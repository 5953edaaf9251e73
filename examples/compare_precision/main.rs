// SPDX-License-Identifier: MPL-2.0
//! What a narrower precision, or `audio-ctx=auto`, changes on a model and recordings of one's own:
//!
//!     cargo run --release --example compare_precision -- --model DIR call.wav talk.ogg --precision bf16 --precision int8
//!
//! Each recording is transcribed in f32 and in each precision named, a pass at every multiple of the chunk. Said are the
//! words that differ, how far the times of the others moved, and how long it took.

#[path = "../../benches/common/align.rs"]
mod align;
mod hear;
mod report;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gstwhisperstream::policy::{AudioCtx, PolicySettings};
use gstwhisperstream::whisper::{Backend, Device, ModelSource, Precision};

use hear::Way;
use report::Report;

#[derive(Parser)]
#[command(about = "What a narrower precision changes on your model and recordings")]
struct Options {
    /// Recordings, of any kind that GStreamer reads.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Directory or file of a Whisper model, or its id on the hub; the bundled demo model when not given.
    #[arg(long)]
    model: Option<String>,
    /// What to compare with f32; may be given several times. bf16 and int8 when not given.
    #[arg(long)]
    precision: Vec<Narrow>,
    /// What they encode of the window; f32 is always heard with all of it.
    #[arg(long, default_value = "exact")]
    audio_ctx: Context,
    /// Language spoken.
    #[arg(long, default_value = "auto")]
    language: String,
    /// Audio between two passes, in milliseconds.
    #[arg(long, default_value_t = 500)]
    min_chunk_size: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Narrow {
    F32,
    Bf16,
    Int8,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Context {
    Exact,
    Auto,
}

impl Options {
    fn way(&self, precision: Precision, audio_ctx: AudioCtx) -> Way {
        Way {
            source: match &self.model {
                Some(named) => ModelSource::named(named),
                None => ModelSource::Demo,
            },
            backend: Backend {
                device: Device::Cpu,
                precision,
            },
            policy: PolicySettings {
                language: self.language.clone(),
                min_chunk_ms: self.min_chunk_size,
                audio_ctx,
                ..PolicySettings::default()
            },
        }
    }
}

fn main() -> ExitCode {
    match compare(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    gst::init()?;
    let recordings = options.files.iter().map(|file| hear::samples(file));
    let recordings = recordings.collect::<Result<Vec<_>, _>>()?;
    let baseline = options
        .way(Precision::F32, AudioCtx::Exact)
        .hear(&recordings)?;
    let audio_ctx = match options.audio_ctx {
        Context::Exact => AudioCtx::Exact,
        Context::Auto => AudioCtx::Auto,
    };
    let asked = match options.precision.as_slice() {
        [] => &[Narrow::Bf16, Narrow::Int8],
        asked => asked,
    };
    for &narrow in asked {
        let precision = match narrow {
            Narrow::F32 => Precision::F32,
            Narrow::Bf16 => Precision::Bf16,
            Narrow::Int8 => Precision::Int8,
        };
        let other = options.way(precision, audio_ctx).hear(&recordings)?;
        let name = narrow.to_possible_value();
        let mut name = name.map_or_else(String::new, |name| name.get_name().to_owned());
        if audio_ctx == AudioCtx::Auto {
            name.push_str(" with audio-ctx=auto");
        }
        println!("{name} beside f32");
        let mut report = Report::default();
        for (file, (ours, theirs)) in options.files.iter().zip(baseline.iter().zip(&other)) {
            report.add(&file.display().to_string(), ours, theirs);
        }
        println!("{report}\n");
    }
    Ok(())
}
