//! What loading weights takes, by format: files of released shapes with random values, each loaded in a process of its own.
//!
//!     cargo bench --bench weights -- [tiny] [small] [large-v3] [--large] [--rounds N]
//!
//! Without names: tiny and small, and with `--large` large-v3 (14 GB of files; the largest needs 10 GB of memory).

#[path = "../common/mod.rs"]
mod common;
mod files;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use clap::Parser;
use common::median::median;
use common::synthetic::Shape;
use common::usage;
use files::Format;
use gstwhisperstream::whisper::{Backend, Cancel, ModelSource, Whisper};

#[derive(Parser)]
struct Options {
    /// Shapes: tiny, small, large-v3.
    shapes: Vec<String>,
    /// large-v3, too.
    #[arg(long)]
    large: bool,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Loads this file, prints seconds and bytes, and ends: what each row's process does.
    #[arg(long, hide = true)]
    load: Option<std::path::PathBuf>,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Seconds, and the most memory in MB, of a process that loads a file.
#[derive(Clone, Copy)]
struct Load {
    seconds: f64,
    peak: f64,
    after: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    if let Some(path) = &options.load {
        return load(path);
    }
    let large = Shape {
        mel_bins: 128,
        d_model: 1280,
        heads: 20,
        encoder_layers: 32,
        decoder_layers: 32,
        vocab: 51866,
    };
    let shapes = [
        ("tiny", Shape::TINY),
        ("small", Shape::SMALL),
        ("large-v3", large),
    ];
    println!(
        "{:9} {:18} {:>8} {:>9} {:>9} {:>7} {:>9} {:>9}",
        "shape", "format", "file", "load", "read once", "ratio", "peak", "after"
    );
    for (name, shape) in shapes {
        let wanted = match options.shapes.as_slice() {
            [] => name != "large-v3" || options.large,
            names => names.iter().any(|wanted| wanted == name),
        };
        if !wanted {
            continue;
        }
        for format in Format::ALL {
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            let path = folder.path().join("weights");
            files::write(&path, &shape, format)?;
            let mut loads = Vec::new();
            let mut reads = Vec::new();
            for _ in 0..options.rounds.max(1) {
                reads.push(read(&path)?);
                loads.push(in_a_process(&path)?);
            }
            let of = |get: fn(&Load) -> f64| median(loads.iter().map(get));
            let (seconds, limit) = (of(|l| l.seconds), median(reads));
            let size = std::fs::metadata(&path)?.len() as f64 / 1e6;
            println!(
                "{name:9} {format:18} {size:5.0} MB {:6.0} ms {:6.0} ms {:7.1} {:6.0} MB {:6.0} MB",
                seconds * 1e3,
                limit * 1e3,
                seconds / limit,
                of(|l| l.peak),
                of(|l| l.after),
                format = format.name(),
            );
        }
    }
    println!(
        "\nload: from the file to a model that has run its first, silent pass (f32). read once: the file's bytes by one thread, from the page cache.\n\
         peak: the network and the largest tensor on its way there; after: what stays."
    );
    Ok(())
}

/// Seconds to take every byte of a file.
fn read(path: &Path) -> std::io::Result<f64> {
    use std::io::Read;
    let mut room = vec![0u8; 1 << 20];
    let mut file = std::fs::File::open(path)?;
    let start = Instant::now();
    while file.read(&mut room)? > 0 {}
    Ok(start.elapsed().as_secs_f64())
}

fn in_a_process(path: &Path) -> Result<Load, Box<dyn std::error::Error>> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--load")
        .arg(path)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = said
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    match numbers.as_slice() {
        &[seconds, peak, after] if output.status.success() => Ok(Load {
            seconds,
            peak,
            after,
        }),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

fn load(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let source = ModelSource::Path(path.to_owned());
    let start = Instant::now();
    let whisper = Whisper::load(&source, Backend::default(), &Cancel::default(), &mut |_| {})?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seconds} {} {}",
        usage::memory("self", "VmHWM"),
        usage::own_memory()
    );
    drop(whisper);
    Ok(())
}
