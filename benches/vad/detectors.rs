//! What is compared, each as the product's detectors are.

use std::f32::consts::PI;

use gstwhisperstream::speech::{Earshot, Loudness, Voice, VoiceDetector};
use nnnoiseless::DenoiseState;

pub type Make = fn() -> Box<dyn VoiceDetector>;

pub const DETECTORS: &[(&str, Make)] = &[
    ("ours", || Box::new(Voice::default())),
    ("earshot, bare", || Box::new(Earshot::default())),
    ("RNNoise", || Box::new(RnNoise::default())),
    ("energy", || Box::new(Energy::default())),
];

/// RNNoise's estimate of voice (the crate `nnnoiseless`). It hears 48 kHz: three times our rate.
struct RnNoise {
    network: Box<DenoiseState<'static>>,
    /// The last samples heard, the newest first.
    last: [f32; TAPS],
    /// A windowed sinc of 7.6 kHz for each of the three samples that come of one.
    filters: [[f32; TAPS]; 3],
}

const TAPS: usize = 16;

impl Default for RnNoise {
    fn default() -> RnNoise {
        let tap = |phase: usize, n: usize| {
            let x = (3 * n + phase) as f32 - (3 * TAPS - 1) as f32 / 2.0;
            let angle = 2.0 * PI * 7_600.0 / 48_000.0 * x;
            let hann = 0.5 + 0.5 * (2.0 * PI * x / (3 * TAPS) as f32).cos();
            angle.sin() / angle * hann * 0.95
        };
        RnNoise {
            network: DenoiseState::new(),
            last: [0.0; TAPS],
            filters: std::array::from_fn(|phase| std::array::from_fn(|n| tap(phase, n))),
        }
    }
}

impl VoiceDetector for RnNoise {
    fn frame(&self) -> usize {
        160
    }

    fn probability(&mut self, frame: &[i16]) -> f32 {
        let mut input = Vec::with_capacity(480);
        for sample in frame {
            self.last.rotate_right(1);
            self.last[0] = f32::from(*sample);
            for filter in &self.filters {
                input.push(
                    filter
                        .iter()
                        .zip(&self.last)
                        .map(|(h, x)| h * x)
                        .sum::<f32>(),
                );
            }
        }
        let mut output = [0.0; 480];
        self.network.process_frame(&mut output, &input)
    }

    fn reset(&mut self) {
        *self = RnNoise::default();
    }
}

/// The gate that the policy uses without a detector: 6 dB above the quietest tenth of the last 3 s.
struct Energy(Loudness);

impl Default for Energy {
    fn default() -> Energy {
        Energy(Loudness::new(0))
    }
}

impl VoiceDetector for Energy {
    fn frame(&self) -> usize {
        160
    }

    fn probability(&mut self, frame: &[i16]) -> f32 {
        let samples: Vec<f32> = frame.iter().map(|s| f32::from(*s) / 32_768.0).collect();
        if self.0.push(&samples).samples > 0 {
            1.0
        } else {
            0.0
        }
    }

    fn reset(&mut self) {
        *self = Energy::default();
    }
}
