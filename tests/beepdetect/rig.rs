//! What the tests share: a detector that is listened to, and what a line does to sounds.

use gstwhisperstream::speech::tones::{Detector, Kind, Settings, Tone};

use super::sounds::*;

/// A tone, and by which sample it was told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    pub tone: Tone,
    pub by: usize,
}

pub fn detector(rate: u32) -> Detector {
    let settings = Settings {
        rate,
        ..Settings::default()
    };
    Detector::new(settings).unwrap()
}

/// All that is told of `samples`, which come in packets of 10 ms.
pub fn listen(samples: &[i16], rate: u32) -> Vec<Told> {
    let mut detector = detector(rate);
    let mut told = Vec::new();
    let mut by = 0;
    for packet in samples.chunks(rate as usize / 100) {
        by += packet.len();
        detector.push(packet, |tone| told.push(Told { tone, by }));
    }
    detector.finish(|tone| told.push(Told { tone, by }));
    told
}

/// The kinds told, each tone once, in order.
pub fn kinds(told: &[Told]) -> Vec<Kind> {
    let mut kinds: Vec<_> = told
        .iter()
        .map(|told| (told.tone.start, told.tone.kind))
        .collect();
    kinds.dedup();
    kinds.into_iter().map(|(_, kind)| kind).collect()
}

/// With a second of quiet before, and as much as it takes behind to know that a cadence has ended.
pub fn framed(sound: &[i16], rate: u32) -> Vec<i16> {
    join(&[&silence(1.0, rate), sound, &silence(6.0, rate)])
}

/// What a line does to what it carries.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    Clear,
    /// White noise 10 dB below, then mu-law.
    Noisy(u64),
    /// 30 dB too loud.
    Clipped,
    /// At -40 dBFS on a DC of a tenth of full scale.
    Soft,
}

pub const LINES: [Line; 4] = [Line::Clear, Line::Noisy(1), Line::Clipped, Line::Soft];

impl Line {
    /// `sound` is at -20 dBFS.
    pub fn carry(self, sound: &[i16], rate: u32) -> Vec<i16> {
        match self {
            Line::Clear => sound.to_vec(),
            Line::Noisy(seed) => mulaw(&mix_at_snr(sound, &white(-10.0, 3.0, rate, seed), 10.0)),
            Line::Clipped => gain(sound, 30.0),
            Line::Soft => offset(&gain(sound, -20.0), 3_277),
        }
    }
}

pub fn seconds(samples: u64, rate: u32) -> f64 {
    samples as f64 / f64::from(rate)
}
