//! Is anything there that could be speech? Energy over its own floor: rejects silence, steady noise and tones.
//!
//! Speech rises and falls by 10 dB and more within a second; noise and tones do not. A frame counts as voiced when
//! it stands out of the quietest tenth of the last seconds. That is no voice detector (see
//! `vad`): it only tells when no pass can be worth its cost, when an utterance is over, and where a word's sound stops.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Samples;

/// Samples of one energy frame (10 ms).
const STEP: usize = 160;
/// Frames that the floor is read from (3 s).
const MEMORY: usize = 300;
/// How far above the floor a frame must stand.
const MARGIN_DB: f32 = 6.0;
/// Below this, in dB of full scale, nothing is speech: a telephone's quietest caller lies 15 dB higher.
const QUIETEST_DB: f32 = -62.0;

/// Frames that [`Loudness::sound_end`] remembers (35 s: a window and the chunk behind it).
const REMEMBERED: usize = 3500;
/// A word does not end in a gap this short, in frames: a stop consonant closes the mouth for some 80 ms.
const CLOSURE: u64 = 9;
/// A word's last sound goes on no longer than this, in frames.
const LONGEST_END: u64 = 60;

/// Voiced frames of a piece of audio.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Voiced {
    /// Samples that are voiced.
    pub samples: Samples,
    /// Position of the first voiced sample.
    pub first: Option<Samples>,
    /// Position behind the last voiced sample.
    pub last: Option<Samples>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loudness {
    energies: VecDeque<f32>,
    rest: Vec<f32>,
    position: Samples,
    /// Whether each of the last frames was voiced, the newest last.
    voiced: VecDeque<bool>,
    /// Powers of the two frames before, for smoothing over 30 ms.
    before: [f32; 2],
}

impl Loudness {
    pub fn new(position: Samples) -> Loudness {
        Loudness {
            energies: VecDeque::with_capacity(MEMORY),
            rest: Vec::new(),
            position,
            voiced: VecDeque::with_capacity(REMEMBERED),
            before: [0.0; 2],
        }
    }

    /// Listens to the next samples; the answer covers all whole frames so far not told of.
    pub fn push(&mut self, samples: &[f32]) -> Voiced {
        self.rest.extend_from_slice(samples);
        let whole = self.rest.len() / STEP;
        let mut fresh = Vec::with_capacity(whole);
        for frame in self.rest.chunks_exact(STEP) {
            let power = frame.iter().map(|x| x * x).sum::<f32>() / STEP as f32;
            let smooth = (power + self.before[0] + self.before[1]) / 3.0;
            self.before = [power, self.before[0]];
            fresh.push(10.0 * smooth.max(1e-12).log10());
        }
        self.rest.drain(..whole * STEP);
        let mut voiced = Voiced::default();
        // In pieces no longer than the memory, each judged with its own neighbourhood as the background.
        for piece in fresh.chunks(MEMORY) {
            self.energies.extend(piece);
            while self.energies.len() > MEMORY {
                self.energies.pop_front();
            }
            let threshold = (self.floor() + MARGIN_DB).max(QUIETEST_DB);
            for &energy in piece {
                if self.voiced.len() == REMEMBERED {
                    self.voiced.pop_front();
                }
                self.voiced.push_back(energy > threshold);
                if energy > threshold {
                    voiced.samples += STEP as Samples;
                    voiced.first.get_or_insert(self.position);
                    voiced.last = Some(self.position + STEP as Samples);
                }
                self.position += STEP as Samples;
            }
        }
        voiced
    }

    /// Where the sound that runs at `from` stops, but not behind `limit`; `from` itself where nothing sounds.
    pub fn sound_end(&self, from: Samples, limit: Samples) -> Samples {
        let oldest = (self.position / STEP as Samples).saturating_sub(self.voiced.len() as u64);
        let first = from / STEP as Samples;
        let mut end = from;
        for frame in first..first + LONGEST_END {
            let at = frame
                .checked_sub(oldest)
                .and_then(|at| usize::try_from(at).ok());
            match at.and_then(|at| self.voiced.get(at)) {
                Some(true) => end = (frame + 1) * STEP as Samples,
                Some(false) if frame * STEP as Samples <= end + CLOSURE * STEP as Samples => {}
                _ => break,
            }
        }
        end.min(limit).max(from)
    }

    /// The level that a tenth of the memory lies below, in dB of full scale.
    fn floor(&self) -> f32 {
        let mut sorted: Vec<f32> = self.energies.iter().copied().collect();
        let tenth = sorted.len() / 10;
        if tenth >= sorted.len() {
            return 0.0;
        }
        *sorted.select_nth_unstable_by(tenth, f32::total_cmp).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voiced(samples: &[f32]) -> Samples {
        let mut loudness = Loudness::new(0);
        samples.chunks(8000).map(|c| loudness.push(c).samples).sum()
    }

    fn tone(seconds: usize, amplitude: f32) -> Vec<f32> {
        (0..seconds * 16_000)
            .map(|i| amplitude * (i as f32 * 0.1728).sin())
            .collect()
    }

    fn noise(seconds: usize, amplitude: f32) -> Vec<f32> {
        let mut state = 1u64;
        (0..seconds * 16_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                amplitude * ((state >> 40) as f32 / 8_388_608.0 - 1.0)
            })
            .collect()
    }

    #[test]
    fn silence_noise_and_tones_are_not_voiced() {
        assert_eq!(voiced(&vec![0.0; 60 * 16_000]), 0);
        assert_eq!(voiced(&noise(60, 0.3)), 0);
        assert!(voiced(&tone(60, 0.5)) < 1600);
    }

    #[test]
    fn bursts_over_noise_are_voiced() {
        let mut audio = noise(4, 0.02);
        for burst in 0..4 {
            for (i, x) in tone(1, 0.2)[..4800].iter().enumerate() {
                audio[burst * 16_000 + 4000 + i] += x;
            }
        }
        let got = voiced(&audio);
        assert!((4 * 4800..4 * 6000).contains(&got), "{got}");
    }
}
