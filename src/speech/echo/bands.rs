//! Short-time band energies of a stream, frame by frame at fixed positions.

use std::f32::consts::TAU;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::speech::Samples;

/// Samples between two frames (10 ms).
pub const STEP: usize = 160;
/// Samples of a window (32 ms).
const WINDOW: usize = 512;
/// Bands of a frame.
pub const BANDS: usize = 16;
/// Edges of the bands in FFT bins (31.25 Hz): 190 to 3600 Hz, what a telephone carries, wider towards the top.
const EDGES: [usize; BANDS + 1] = [
    6, 8, 10, 12, 15, 18, 21, 25, 29, 34, 40, 47, 55, 65, 77, 92, 115,
];
/// The lowest level that is told, in dB of full scale.
pub const SILENCE_DB: f32 = -80.0;

/// Levels of the bands, in dB of full scale.
pub type Levels = [f32; BANDS];

/// Cuts a stream into frames. Frame `n` starts at sample `n * STEP`.
pub struct Bands {
    fft: Arc<dyn RealToComplex<f32>>,
    hann: Vec<f32>,
    /// Samples from the start of the next frame on.
    rest: Vec<f32>,
    next: Samples,
}

impl Bands {
    pub fn new() -> Bands {
        let hann: Vec<f32> = (0..WINDOW)
            .map(|i| 0.5 - 0.5 * (TAU * i as f32 / WINDOW as f32).cos())
            .collect();
        Bands {
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
            hann,
            rest: Vec::with_capacity(2 * WINDOW),
            next: 0,
        }
    }

    /// Takes in the samples from `position` on; calls `frame` with the number and the levels of each frame that is whole
    /// now. After a hole or a step back it begins anew, at the first frame behind `position`.
    pub fn push(
        &mut self,
        position: Samples,
        samples: &[i16],
        mut frame: impl FnMut(Samples, Levels),
    ) {
        let step = STEP as Samples;
        let mut samples = samples;
        if position != self.next * step + self.rest.len() as Samples {
            self.rest.clear();
            self.next = position.div_ceil(step);
            let skip = (self.next * step - position) as usize;
            samples = samples.get(skip..).unwrap_or_default();
            if samples.is_empty() {
                // So short that not even a frame's start is in it.
                return;
            }
        }
        let scaled = samples.iter().map(|s| f32::from(*s) / 32_768.0);
        self.rest.extend(scaled);
        let mut done = 0;
        while let Some(window) = self.rest.get(done..done + WINDOW) {
            frame(self.next, self.levels(window));
            self.next += 1;
            done += STEP;
        }
        self.rest.drain(..done);
    }

    fn levels(&self, window: &[f32]) -> Levels {
        let mut input: Vec<f32> = window.iter().zip(&self.hann).map(|(x, w)| x * w).collect();
        let mut spectrum = self.fft.make_output_vec();
        let mut levels = [SILENCE_DB; BANDS];
        if self.fft.process(&mut input, &mut spectrum).is_err() {
            return levels;
        }
        // A sine of full scale has 0 dB.
        let scale = (4.0 / WINDOW as f32).powi(2);
        for (level, edges) in levels.iter_mut().zip(EDGES.windows(2)) {
            let &[low, high] = edges else { continue };
            let bins = spectrum.get(low..high).unwrap_or_default();
            let power: f32 = bins.iter().map(|bin| bin.norm_sqr()).sum();
            *level = (10.0 * (power * scale).max(1e-12).log10()).max(SILENCE_DB);
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pieces: &[(Samples, &[i16])]) -> Vec<(Samples, Levels)> {
        let mut bands = Bands::new();
        let mut found = Vec::new();
        for (position, samples) in pieces {
            bands.push(*position, samples, |n, levels| found.push((n, levels)));
        }
        found
    }

    fn sound() -> Vec<i16> {
        (0..8_000i32)
            .map(|i| ((i * i * 7) % 9_001 - 4_500) as i16)
            .collect()
    }

    #[test]
    fn frames_do_not_depend_on_the_cut() {
        let sound = sound();
        let whole = frames(&[(0, &sound)]);
        assert_eq!(whole.len(), (8_000 - WINDOW) / STEP + 1);
        let (a, b) = sound.split_at(777);
        assert_eq!(frames(&[(0, a), (777, b)]), whole);
    }

    #[test]
    fn frames_lie_where_the_audio_does() {
        let sound = sound();
        let whole = frames(&[(0, &sound)]);
        let late = frames(&[(1_601, &sound[1_601..])]);
        assert_eq!(late.first().map(|f| f.0), Some(11));
        assert_eq!(late, whole[11..]);
        // A hole in the middle.
        let holed = frames(&[(0, &sound[..3_000]), (5_000, &sound[5_000..])]);
        assert!(holed.iter().all(|frame| whole.contains(frame)));
        assert!(holed.len() > 20 && holed.len() < whole.len());
        assert!(frames(&[(1_601, &sound[..3])]).is_empty());
    }

    #[test]
    fn a_tone_is_in_its_band() {
        let tone: Vec<i16> = (0..2_000)
            .map(|i| (32_767.0 * (TAU * 1_000.0 * i as f32 / 16_000.0).sin()) as i16)
            .collect();
        for (_, levels) in frames(&[(0, &tone)]) {
            let (band, level) = levels
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1))
                .unwrap();
            // 1000 Hz is bin 32.
            assert_eq!((EDGES[band], EDGES[band + 1]), (29, 34));
            assert!((-1.0..3.0).contains(level), "{level}");
        }
    }
}
