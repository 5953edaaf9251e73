//! Speech by espeak-ng, in more than twenty voices. Who includes this includes `sounds.rs` beside it, as `sounds`.
#![allow(dead_code)]

use std::process::Command;

use super::sounds;

/// A speaker: an espeak-ng voice, and how it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// As `espeak-ng -v` takes it.
    pub name: &'static str,
    /// 0 to 99; 50 is the voice's own.
    pub pitch: u32,
    /// Words a minute.
    pub speed: u32,
}

const fn voice(name: &'static str, pitch: u32, speed: u32) -> Voice {
    Voice { name, pitch, speed }
}

/// Speakers of English: accents, ages, pitches and speeds.
pub const ENGLISH: [Voice; 14] = [
    voice("en-gb", 50, 160),
    voice("en-us", 45, 170),
    voice("en-gb-scotland+m3", 55, 150),
    voice("en-gb-x-rp+f2", 60, 165),
    voice("en-gb-x-gbclan+m7", 40, 180),
    voice("en-gb-x-gbcwmd+f4", 50, 155),
    voice("en-029+m2", 35, 150),
    voice("en-us+f3", 70, 190),
    voice("en-us+klatt2", 50, 160),
    voice("en-gb+f5", 85, 145),
    voice("en-us+croak", 40, 150),
    voice("en-gb+grandma", 60, 140),
    voice("en-us+Annie", 55, 175),
    voice("en-gb+m5", 20, 200),
];

/// Speakers of French.
pub const FRENCH: [Voice; 14] = [
    voice("fr-fr", 50, 160),
    voice("fr-be", 45, 170),
    voice("fr-ch", 55, 150),
    voice("fr-fr+f2", 60, 165),
    voice("fr-fr+m7", 40, 180),
    voice("fr-be+f4", 50, 155),
    voice("fr-ch+m2", 35, 150),
    voice("fr-fr+f3", 70, 190),
    voice("fr-fr+klatt4", 50, 160),
    voice("fr-be+f5", 85, 145),
    voice("fr-fr+croak", 40, 150),
    voice("fr-ch+grandpa", 40, 140),
    voice("fr-fr+Alicia", 55, 175),
    voice("fr-ch+m5", 20, 200),
];

/// `text` as `voice` says it, 16 kHz mono. `[[...]]` in it are espeak-ng's phonemes.
pub fn say(text: &str, voice: &Voice) -> Vec<i16> {
    let output = Command::new("espeak-ng")
        .args(["-v", voice.name, "--stdout"])
        .args(["-p", &voice.pitch.to_string()])
        .args(["-s", &voice.speed.to_string()])
        .args(["--", text])
        .output()
        .unwrap_or_else(|error| {
            panic!("espeak-ng cannot be run ({error}): run `scripts/setup test`, which installs it")
        });
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "espeak-ng with the voice {voice:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (rate, samples) = wav(&output.stdout);
    let speech = sounds::resample(&samples, rate, sounds::RATE);
    assert!(
        sounds::level(&speech) > -60.0,
        "espeak-ng said nothing for {text:?} with the voice {voice:?}"
    );
    speech
}

/// The rate and samples of a mono WAV whose lengths are not to be trusted: it was written to a pipe.
fn wav(bytes: &[u8]) -> (u32, Vec<i16>) {
    let rate = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
    let data = bytes.windows(4).position(|tag| tag == b"data").unwrap() + 8;
    let samples = bytes[data..]
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    (rate, samples)
}
