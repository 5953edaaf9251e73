//! Voice detectors side by side: ours, the bare network it stands on, RNNoise's, and a gate of energy.
//!
//!     cargo bench --bench vad [-- [--also DIR]... [--minutes N]]
//!
//! Speech is `tests/audio`, in every condition of a call; `--also` adds a folder of WAV files (mono S16, 8 or 16 kHz).
//! What is no speech is generated; files whose name starts with `noise-` count as such, too.

#[allow(dead_code)]
#[path = "../common/median.rs"]
mod median;
#[path = "../../tests/common/music.rs"]
mod music;
#[path = "../../tests/common/sounds.rs"]
mod sounds;

mod corpus;
mod detectors;
mod score;

use std::path::PathBuf;

use clap::Parser;

use corpus::{Noise, Recording};
use detectors::{DETECTORS, Make};
use score::{Curve, Heard, Spoken};

#[derive(Parser)]
struct Options {
    /// Another folder of recordings; may be repeated.
    #[arg(long)]
    also: Vec<PathBuf>,
    /// Minutes of each kind of what is no speech.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Only detectors whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let mut recordings = corpus::bundled();
    let mut noises = corpus::noises(options.minutes * 60.0);
    for folder in &options.also {
        corpus::read(folder, &mut recordings, &mut noises);
    }
    println!(
        "{} recordings, {} utterances; {} kinds of no speech",
        recordings.len(),
        recordings
            .iter()
            .map(|r| r.utterances().len())
            .sum::<usize>(),
        noises.len()
    );
    let compared: Vec<Compared> = DETECTORS
        .iter()
        .filter(|(name, _)| name.contains(&options.only))
        .map(|(name, make)| Compared {
            name,
            make: *make,
            curve: Curve::default(),
        })
        .collect();
    let mut table = Table(compared);
    table.costs(&recordings);
    table.speech(&recordings);
    table.no_speech(&noises);
    table.thresholds();
}

struct Compared {
    name: &'static str,
    make: Make,
    /// Of all conditions and all that is no speech.
    curve: Curve,
}

/// A column a detector.
struct Table(Vec<Compared>);

impl Table {
    fn heading(&self, title: &str) {
        println!("\n{title}");
        print!("{:24}", "");
        for compared in &self.0 {
            print!(" | {:>28}", compared.name);
        }
        println!();
    }

    fn row(&mut self, name: &str, cell: impl Fn(&mut Compared) -> String) {
        print!("{name:24}");
        for compared in &mut self.0 {
            print!(" | {:>28}", cell(compared));
        }
        println!();
    }

    fn costs(&mut self, recordings: &[Recording]) {
        self.heading("milliseconds of processor for a second of audio");
        self.row("", |compared| {
            let audio = recordings.iter().map(|r| r.samples.as_slice());
            format!("{:.2}", score::cost(compared.make, audio))
        });
    }

    fn speech(&mut self, recordings: &[Recording]) {
        self.heading(
            "speech: frames heard %, false in pauses %; utterances missed; start known after ms, median and p95",
        );
        for (condition, change) in corpus::CONDITIONS {
            let changed: Vec<Recording> = recordings.iter().map(|r| r.changed(*change)).collect();
            self.row(condition, |compared| {
                let spoken = Spoken::of(compared.make, &changed);
                let (hits, false_alarms) = spoken.curve.at(score::THRESHOLD);
                compared.curve.speech.extend(&spoken.curve.speech);
                format!(
                    "{hits:5.1} {false_alarms:4.1} {:3}/{} {:4.0} {:4.0}",
                    spoken.missed, spoken.utterances, spoken.start_ms, spoken.start_p95_ms
                )
            });
        }
    }

    fn no_speech(&mut self, noises: &[Noise]) {
        self.heading(
            "no speech: false starts in 10 minutes, and the share of the time taken for speech in %",
        );
        for noise in noises {
            self.row(&noise.kind, |compared| {
                let heard = Heard::of(compared.make, &noise.samples);
                compared.curve.no_speech.extend(&heard.probabilities);
                format!(
                    "{:6.1} {:5.1}",
                    heard.starts_in_10_min(),
                    heard.speech_share()
                )
            });
        }
    }

    fn thresholds(&mut self) {
        self.heading(
            "thresholds: frames of speech heard %, frames of no speech taken for it % (all conditions, all kinds)",
        );
        for threshold in [0.2, 0.35, 0.5, 0.65, 0.8] {
            self.row(&threshold.to_string(), |compared| {
                let (hits, false_alarms) = compared.curve.at(threshold);
                format!("{hits:5.1} {false_alarms:5.1}")
            });
        }
    }
}
