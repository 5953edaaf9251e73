//! How well tones are told: false alarms an hour in speech, music, noise and recordings of one's own, then how many tones
//! are told and how soon, by kind and by what the line does to them.
//!
//!     cargo bench --bench beeps
//!     cargo bench --bench beeps -- --speech 2 --music 4 --also recordings/

#[path = "../../tests/common/music.rs"]
mod music;
#[path = "../../tests/common/sounds.rs"]
mod sounds;
#[path = "../../tests/common/voices.rs"]
mod voices;

mod alarms;
mod hits;
mod talk;

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use gstwhisperstream::speech::tones::{Detector, Settings, Tone};

#[derive(Parser)]
#[command(about = "False alarms, detection rates and delays of beepdetect")]
struct Options {
    /// Hours of speech (28 voices, English and French)
    #[arg(long, default_value_t = 1.5)]
    speech: f64,
    /// Hours of music (22 instruments, alone, accompanied, in chords and bands)
    #[arg(long, default_value_t = 3.0)]
    music: f64,
    /// Hours of each noise
    #[arg(long, default_value_t = 0.2)]
    noise: f64,
    /// A folder of WAV recordings without tones; may be repeated
    #[arg(long)]
    also: Vec<PathBuf>,
    /// Tones of each kind on each line
    #[arg(long, default_value_t = 40)]
    trials: u64,
    /// Of texts, pieces and noises
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Cargo's own
    #[arg(long, hide = true)]
    bench: bool,
}

/// A tone, and by which sample it was told.
struct Told {
    tone: Tone,
    by: usize,
}

/// All that is told of `samples`, which come in packets of 20 ms.
fn listen(samples: &[i16], rate: u32) -> Vec<Told> {
    let settings = Settings {
        rate,
        ..Settings::default()
    };
    let mut detector = Detector::new(settings).expect("settings");
    let mut told = Vec::new();
    let mut by = 0;
    for packet in samples.chunks(rate as usize / 50) {
        by += packet.len();
        detector.push(packet, |tone| told.push(Told { tone, by }));
    }
    detector.finish(|tone| told.push(Told { tone, by }));
    told
}

fn main() {
    let options = Options::parse();
    let start = Instant::now();
    alarms::run(&options);
    hits::run(&options);
    eprintln!("took {:.0} s", start.elapsed().as_secs_f64());
}
