//! Sound as the network wants it: no direct current, noise not too loud, no empty band.

use std::collections::VecDeque;
use std::f32::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::whisper::SAMPLE_RATE;

/// What is below this is direct current, in Hz.
const HIGH_PASS_HZ: f32 = 40.0;
/// Frames that the noise floor is read from (3 s): a tenth of them lies below it.
const FLOOR_FRAMES: usize = 188;
/// Louder noise is turned down to this, in dB of full scale.
const LOUDEST_FLOOR_DB: f32 = -40.0;
/// How fast the memory of the loudest frame fades, in dB a frame (3 dB/s).
const FADE_DB: f32 = 0.05;
/// White noise fills the empty bands, this far below the loudest frame.
const FILL_DB: f32 = -50.0;
/// Whatever lies below is silence.
pub(super) const SILENCE_DB: f32 = -75.0;
/// Frames over which the level's movement is told (1 s).
const MOVEMENT_FRAMES: usize = 62;
/// A frame so far below the loudest, or below this level, is quiet.
const QUIET_DB: f32 = -40.0;
const QUIETEST_DB: f32 = -65.0;
/// A level this far below the loudest counts as a pause, however deep it is.
const PAUSE_DB: f32 = -45.0;

pub(super) struct Conditioned {
    /// For the network.
    pub samples: Vec<i16>,
    /// Without direct current, full scale at 1.
    pub centred: Vec<f32>,
    /// Standard deviation of the last second's levels, in dB.
    pub movement_db: f32,
    /// Next to nothing is heard, beside what was.
    pub is_quiet: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Conditioner {
    /// The high-pass filter's last input and output.
    last: (f32, f32),
    /// Levels of the last frames, in dB of full scale.
    levels: VecDeque<f32>,
    loudest: f32,
    noise: u64,
}

impl Default for Conditioner {
    fn default() -> Conditioner {
        Conditioner {
            last: (0.0, 0.0),
            levels: VecDeque::with_capacity(FLOOR_FRAMES),
            loudest: SILENCE_DB,
            noise: 1,
        }
    }
}

impl Conditioner {
    pub fn frame(&mut self, frame: &[i16]) -> Conditioned {
        let centred = self.centre(frame);
        let level = level_db(&centred);
        if self.levels.len() == FLOOR_FRAMES {
            self.levels.pop_front();
        }
        self.levels.push_back(level);
        self.loudest = level.max(self.loudest - FADE_DB).max(SILENCE_DB);
        let gain_db = (LOUDEST_FLOOR_DB - self.floor()).min(0.0);
        let gain = amplitude(gain_db);
        // Uniform noise of that level: its peak is the square root of three above it.
        let fill = amplitude(self.loudest + gain_db + FILL_DB) * 3f32.sqrt();
        let samples = centred
            .iter()
            .map(|x| to_i16(x * gain + fill * self.random()))
            .collect();
        Conditioned {
            samples,
            centred,
            movement_db: self.movement(),
            is_quiet: level < (self.loudest + QUIET_DB).max(QUIETEST_DB),
        }
    }

    fn centre(&mut self, frame: &[i16]) -> Vec<f32> {
        let keep = (-TAU * HIGH_PASS_HZ / SAMPLE_RATE as f32).exp();
        let centre = |&sample: &i16| {
            let x = f32::from(sample) / 32_768.0;
            let y = x - self.last.0 + keep * self.last.1;
            self.last = (x, y);
            y
        };
        frame.iter().map(centre).collect()
    }

    fn floor(&self) -> f32 {
        let mut levels: Vec<f32> = self.levels.iter().copied().collect();
        let tenth = levels.len() / 10;
        if tenth >= levels.len() {
            return SILENCE_DB;
        }
        *levels.select_nth_unstable_by(tenth, f32::total_cmp).1
    }

    fn movement(&self) -> f32 {
        let pause = self.loudest + PAUSE_DB;
        let levels = || {
            let newest = self.levels.iter().rev().take(MOVEMENT_FRAMES);
            newest.map(|level| level.max(pause))
        };
        let count = levels().count().max(1) as f32;
        let mean = levels().sum::<f32>() / count;
        (levels().map(|l| (l - mean).powi(2)).sum::<f32>() / count).sqrt()
    }

    /// Between -1 and 1; the same in every run.
    fn random(&mut self) -> f32 {
        self.noise = self
            .noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

fn level_db(frame: &[f32]) -> f32 {
    let power = frame.iter().map(|x| x * x).sum::<f32>() / frame.len().max(1) as f32;
    (10.0 * power.max(1e-12).log10()).max(SILENCE_DB)
}

fn amplitude(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

fn to_i16(x: f32) -> i16 {
    (x * 32_768.0).round() as i16
}
