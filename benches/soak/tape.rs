//! The audio of a soak: rounds that are equal to the sample, so that their words can be compared.

use super::audio;
use super::music::{self, Instrument, Style};
use super::sounds::{self, RATE};

/// All French of `tests/audio`, the shortest first.
pub fn recordings() -> Vec<Vec<i16>> {
    const NAMES: [&str; 8] = [
        "fr-court",
        "fr-bruit",
        "fr-numero",
        "fr-accueil",
        "fr-messagerie",
        "fr-dense",
        "fr-pauses",
        "fr-long",
    ];
    NAMES
        .map(|name| audio::samples(&format!("{name}.wav")))
        .to_vec()
}

/// What a round is made of.
pub struct Round {
    pub samples: Vec<i16>,
    /// Seconds of speech in it.
    pub speech: f64,
}

impl Round {
    /// `seconds` of speech, silence, noise, music, tones and keys; `recordings` are said in turn.
    pub fn new(seconds: f64, recordings: &[Vec<i16>]) -> Round {
        let length = (seconds * f64::from(RATE)) as usize;
        let mut samples = Vec::with_capacity(length);
        let (mut spoken, mut number) = (0, 0u64);
        // Some silence at the end, so that a round's last word is its own.
        let rest = 3 * RATE as usize;
        for recording in recordings.iter().cycle() {
            let between = between(number);
            let room = length.saturating_sub(samples.len() + rest);
            if recording.len() + between.len() > room {
                break;
            }
            samples.extend(recording);
            samples.extend(between);
            spoken += recording.len();
            number += 1;
        }
        samples.resize(length, 0);
        Round {
            samples,
            speech: spoken as f64 / f64::from(RATE),
        }
    }
}

/// What comes between two recordings: up to half a minute of what is no speech, with silence around it.
fn between(number: u64) -> Vec<i16> {
    let long = 4.0 + (number * 7 % 11) as f64 * 2.0;
    let sound = match number % 8 {
        0 => sounds::silence(long, RATE),
        1 => sounds::line_noise(-45.0, long, RATE, number),
        2 => music::play(style(number), number % 24, long),
        3 => sounds::white(-40.0, long, RATE, number),
        4 => sounds::keyboard(-30.0, long, RATE, number),
        5 => sounds::pink(-35.0, long, RATE, number),
        6 => sounds::dtmf("0123456789", 0.1, 0.1, -15.0, RATE),
        _ => sounds::tone(&[440.0], -20.0, 1.5, RATE),
    };
    let pause = sounds::silence(1.5, RATE);
    sounds::join(&[&pause, &sound, &pause])
}

fn style(number: u64) -> Style {
    match number / 8 % 3 {
        0 => Style::Accompanied(Instrument::Piano),
        1 => Style::Chords(Instrument::Strings),
        _ => Style::Band(Instrument::Guitar),
    }
}
