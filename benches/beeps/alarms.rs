//! What is told where there is nothing to tell.

use std::path::Path;

use gstwhisperstream::speech::tones::Kind;

use super::Options;
use super::listen;
use super::music::{self, Instrument, Style};
use super::sounds::*;
use super::talk;
use super::voices::{self, Voice};

#[derive(Default)]
struct Count {
    samples: usize,
    beeps: usize,
    others: usize,
}

impl Count {
    /// Listens to a sound as it is and by telephone.
    fn add(&mut self, what: &str, sound: &[i16]) {
        for (line, sound) in [("", sound), (" by telephone", &telephone(sound))] {
            self.samples += sound.len();
            let mut last = None;
            for told in listen(sound, RATE) {
                // Twice of the same.
                if last == Some((told.tone.kind, told.tone.start)) {
                    continue;
                }
                last = Some((told.tone.kind, told.tone.start));
                let tone = told.tone;
                println!(
                    "    {what}{line}: {} of {:.1} Hz at {:.2} s",
                    tone.kind.name(),
                    tone.frequency,
                    tone.start as f64 / f64::from(RATE)
                );
                match tone.kind {
                    Kind::Beep => self.beeps += 1,
                    _ => self.others += 1,
                }
            }
        }
    }

    fn row(&self, what: &str) {
        let hours = self.samples as f64 / f64::from(RATE) / 3_600.0;
        println!(
            "| {what} | {hours:.2} | {} | {:.2} | {} | {:.2} |",
            self.beeps,
            self.beeps as f64 / hours,
            self.others,
            self.others as f64 / hours
        );
    }
}

pub fn run(options: &Options) {
    println!(
        "| sound, half of it by telephone (mu-law, 8 kHz) | hours | beeps | an hour | other kinds | an hour |"
    );
    println!("|---|---|---|---|---|---|");
    let samples = |hours: f64| (hours / 2.0 * 3_600.0 * f64::from(RATE)) as usize;

    let mut count = Count::default();
    let mut random = Random::new(options.seed);
    let voices: Vec<Voice> = voices::ENGLISH.into_iter().chain(voices::FRENCH).collect();
    let mut said = 0;
    for (i, voice) in voices.iter().enumerate().cycle() {
        if said >= samples(options.speech) {
            break;
        }
        let french = i >= voices::ENGLISH.len();
        let voice = Voice {
            pitch: random.below(100) as u32,
            speed: 110 + random.below(110) as u32,
            ..*voice
        };
        let sound = voices::say(&talk::text(french, &mut random), &voice);
        said += sound.len();
        count.add(&format!("{voice:?}"), &sound);
    }
    count.row("speech, 28 voices at any pitch and speed");

    let pieces = Instrument::ALL.len() as f64;
    for (name, style) in [
        (
            "one instrument alone",
            Style::Solo as fn(Instrument) -> Style,
        ),
        ("one with guitar", Style::Accompanied),
        ("chords", Style::Chords),
        ("bands", Style::Band),
    ] {
        let mut count = Count::default();
        let seconds = 60.0;
        let seeds = (options.music / 4.0 / 2.0 * 3_600.0 / seconds / pieces).ceil() as u64;
        for instrument in Instrument::ALL {
            for seed in 0..seeds {
                let style = style(instrument);
                // Not the pieces of the tests.
                let seed = 1_000 * options.seed + seed;
                let sound = music::play(style, seed, seconds);
                count.add(&format!("{style:?} {seed}"), &sound);
            }
        }
        count.row(&format!("music, {name}"));
    }

    let mut count = Count::default();
    let seconds = options.noise / 2.0 * 3_600.0;
    let seed = options.seed;
    for (what, sound) in [
        ("white noise", white(-20.0, seconds, RATE, seed)),
        ("pink noise", pink(-20.0, seconds, RATE, seed)),
        ("a line", line_noise(-30.0, seconds, RATE, seed)),
        ("breath", breath(-12.0, seconds, RATE, seed)),
        ("a keyboard", keyboard(-6.0, seconds, RATE, seed)),
    ] {
        count.add(what, &sound);
    }
    count.row("noises: white, pink, line, breath, keyboard");

    for folder in &options.also {
        let mut count = Count::default();
        recordings(folder, &mut count);
        let name = folder.file_name().unwrap_or_default();
        count.row(&format!("recordings in `{}`", name.to_string_lossy()));
    }
    println!();
}

/// All WAV files below `folder`: S16, the first channel.
fn recordings(folder: &Path, count: &mut Count) {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("the folder {} cannot be read: {error}", folder.display()));
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            recordings(&path, count);
        } else if path.extension().is_some_and(|ending| ending == "wav") {
            let mut wav = hound::WavReader::open(&path)
                .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
            let spec = wav.spec();
            let channels = usize::from(spec.channels);
            let samples: Vec<i16> = wav
                .samples::<i16>()
                .map_while(Result::ok)
                .step_by(channels)
                .collect();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            count.add(&name, &resample(&samples, spec.sample_rate, RATE));
        }
    }
}
