//! Is what is heard the echo of what is played?
//!
//! A bot's prompt comes back over the line (hybrids, loudspeakers), some 20 to 500 ms late, softer and coloured, and must
//! not interrupt itself. Both legs are cut into frames of 10 ms and 16 bands. Echo has the prompt's spectral shapes at a
//! fixed delay, so shapes are correlated for every delay; of the best one the gain of each band is learned from what
//! correlates. What is heard counts as echo while the prompt, delayed and with these gains, explains most of it. When the
//! caller speaks over the prompt, much of what is heard is louder than that, and it is no echo.
//!
//! Shapes, not loudness: a caller who begins to speak just after the prompt did would else look like its echo.

mod bands;

use std::collections::VecDeque;

use bands::{BANDS, Bands, Levels, SILENCE_DB};

use super::Samples;

/// Frames of the prompt that are kept (10 s).
const KEPT: usize = 1_000;
/// Delays that are tried, in frames (0 to 500 ms).
const DELAYS: usize = 51;
/// A frame sounds when one of its bands is louder than this, in dB of full scale...
const SOUND_DB: f32 = -60.0;
/// ...and its bands are looked at this far down from the loudest.
const DEPTH_DB: f32 = 35.0;
/// Frames over which correlations are remembered: 0.25 s to notice a change, 3 s to know the delay.
const QUICK: f32 = 25.0;
const LONG: f32 = 300.0;
/// Frames over which a leg's average spectrum is learned (2 s), and how many frames the first guess is worth.
const AVERAGE: f32 = 200.0;
const GUESS: f32 = 30.0;
/// Frames of evidence (0.2 s) without which nothing is echo.
const LEAST: f32 = 20.0;
/// Correlation that makes a delay known (long), that is believed at once (quick), and that gains are learned from.
const KNOWN: f32 = 0.45;
const AT_ONCE: f32 = 0.7;
const LEARN: f32 = 0.5;
/// By how much a gain moves towards what was heard, in dB a frame: what is softer than expected is the echo alone, what
/// is louder may be the caller as well.
const RISE_DB: f32 = 0.15;
const FALL_DB: f32 = 0.4;
/// An echo may exceed what is expected of it by this.
const MARGIN_DB: f32 = 5.0;
/// Reverberation: how many frames it is followed for, and how much it fades in each.
const TAIL: usize = 12;
const TAIL_DB: f32 = 2.0;
/// Frames that are judged together (0.2 s).
const JUDGED: usize = 20;
/// The share of what is heard that the prompt must explain.
const EXPLAINED: f32 = 0.7;

/// Tells the echo of a prompt from a caller's speech.
pub struct Echo {
    far: Far,
    near_bands: Bands,
    near_average: Average,
    delays: Vec<Delay>,
    /// Gain of each band, in dB, of the delay it was learned for.
    gains: Option<(usize, Levels)>,
    /// The last frames heard, by number; none where it was too soft to tell.
    judged: VecDeque<(Samples, Option<Levels>)>,
    resemblance: f32,
}

/// The prompt's last frames.
struct Far {
    bands: Bands,
    average: Average,
    /// Levels and shape of each frame; none where nothing was played.
    frames: VecDeque<Option<(Levels, Shape)>>,
    /// Number of the frame behind the last.
    end: Samples,
}

/// A frame's levels, without loudness and the leg's colour; zero where it is too soft to tell.
type Shape = [f32; BANDS];

/// The average levels of a leg, in dB about their mean.
struct Average {
    levels: Levels,
    frames: f32,
}

/// How well the legs agree at a delay: sums over both legs' shapes, fading.
#[derive(Clone, Copy, Default)]
struct Delay {
    quick: Correlation,
    long: Correlation,
}

#[derive(Clone, Copy, Default)]
struct Correlation {
    both: f32,
    near: f32,
    far: f32,
    frames: f32,
}

impl Default for Echo {
    fn default() -> Echo {
        Echo::new()
    }
}

impl Echo {
    pub fn new() -> Echo {
        Echo {
            far: Far {
                bands: Bands::new(),
                average: Average::new(),
                frames: VecDeque::with_capacity(KEPT),
                end: 0,
            },
            near_bands: Bands::new(),
            near_average: Average::new(),
            delays: vec![Delay::default(); DELAYS],
            gains: None,
            judged: VecDeque::with_capacity(JUDGED),
            resemblance: 0.0,
        }
    }

    /// The prompt's samples from `position` on, on the timeline of what is heard. Told before the same stretch of what
    /// is heard, or as early as it is known; what comes late is not waited for.
    pub fn hear_far(&mut self, position: Samples, samples: &[i16]) {
        let far = &mut self.far;
        let (average, frames, end) = (&mut far.average, &mut far.frames, &mut far.end);
        far.bands.push(position, samples, |number, levels| {
            let (missing, is_gap) = (number.saturating_sub(*end), !frames.is_empty());
            if number < *end || missing > KEPT as Samples {
                frames.clear();
            } else if is_gap {
                frames.extend((0..missing).map(|_| None));
            }
            frames.push_back(average.shape(&levels).map(|shape| (levels, shape)));
            *end = number + 1;
            while frames.len() > KEPT {
                frames.pop_front();
            }
        });
    }

    /// What is heard next, up to `end`. Returns whether what was heard last is echo.
    pub fn hear_near(&mut self, end: Samples, samples: &[i16]) -> bool {
        let position = end.saturating_sub(samples.len() as Samples);
        let mut frames = Vec::new();
        self.near_bands.push(position, samples, |number, levels| {
            frames.push((number, levels))
        });
        for (number, levels) in frames {
            self.frame(number, &levels);
        }
        self.is_echo()
    }

    /// Forgets both legs.
    pub fn reset(&mut self) {
        *self = Echo::new();
    }

    /// Whether what was heard last is echo.
    pub fn is_echo(&self) -> bool {
        self.resemblance >= EXPLAINED
    }

    /// How much of what was heard in the last 200 ms the prompt explains, 0 to 1; 0 where nothing is played, or no echo
    /// is known.
    pub fn resemblance(&self) -> f32 {
        self.resemblance
    }

    fn frame(&mut self, number: Samples, levels: &Levels) {
        let shape = self.near_average.shape(levels);
        if let Some(shape) = &shape {
            for (delay, sums) in self.delays.iter_mut().enumerate() {
                let played = number.checked_sub(delay as Samples);
                if let Some((_, far)) = played.and_then(|number| self.far.get(number)) {
                    sums.quick.add(shape, far, QUICK);
                    sums.long.add(shape, far, LONG);
                }
            }
        }
        let delay = self.delay();
        if let (Some(delay), Some(_)) = (delay, &shape) {
            self.learn(number, levels, delay);
        }
        if self.judged.len() == JUDGED {
            self.judged.pop_front();
        }
        self.judged.push_back((number, shape.map(|_| *levels)));
        self.resemblance = delay.map_or(0.0, |delay| self.explained(delay));
    }

    /// The share of what was heard last that the prompt explains. All of it is judged anew with each frame, because a
    /// delay once known explains what came before, too.
    fn explained(&self, delay: usize) -> f32 {
        // Amplitudes, so that soft bands count as well.
        let amplitude = |db: f32| 10f32.powf(db / 20.0);
        let (mut all, mut explained) = (0.0, 0.0);
        for (number, levels) in &self.judged {
            let Some(levels) = levels else { continue };
            let expected = self.expected(*number, delay);
            for (heard, expected) in levels.iter().zip(expected) {
                all += amplitude(*heard);
                explained += amplitude(heard.min(expected));
            }
        }
        if all > 0.0 { explained / all } else { 0.0 }
    }

    /// The delay of the echo, in frames, if there is any.
    fn delay(&self) -> Option<usize> {
        let best = |of: fn(&Delay) -> Correlation, least: f32| {
            let all = self.delays.iter().map(of).enumerate();
            let strong = all.filter(|(_, sums)| sums.frames >= LEAST && sums.value() >= least);
            strong
                .max_by(|a, b| a.1.value().total_cmp(&b.1.value()))
                .map(|(delay, _)| delay)
        };
        let known = || best(|delay| delay.long, KNOWN);
        best(|delay| delay.quick, AT_ONCE).or_else(known)
    }

    /// Gains follow what is heard where it agrees with the prompt.
    fn learn(&mut self, number: Samples, levels: &Levels, delay: usize) {
        let agrees = self.delays.get(delay).map(|sums| sums.quick.value());
        let Some((far, _)) = self.far.get(number.saturating_sub(delay as Samples)) else {
            return;
        };
        if agrees.is_none_or(|agrees| agrees < LEARN) {
            return;
        }
        let loudest = far.iter().copied().fold(SILENCE_DB, f32::max);
        let of_delay = |gains: &(usize, Levels)| gains.0.abs_diff(delay) <= 2;
        if !self.gains.as_ref().is_some_and(of_delay) {
            // All bands alike at first, by the loudest.
            let heard = levels.iter().copied().fold(SILENCE_DB, f32::max);
            self.gains = Some((delay, [heard - loudest; BANDS]));
        }
        let Some((_, gains)) = &mut self.gains else {
            return;
        };
        for ((gain, heard), far) in gains.iter_mut().zip(levels).zip(far) {
            if *far > loudest - DEPTH_DB {
                let step = (heard - far - *gain).clamp(-FALL_DB, RISE_DB);
                *gain += step;
            }
        }
    }

    /// The loudest that an echo would be now.
    fn expected(&self, number: Samples, delay: usize) -> Levels {
        let mut expected = [f32::MIN; BANDS];
        let Some((_, gains)) = &self.gains else {
            return expected;
        };
        // One frame early, because the delay is no whole number of frames.
        let newest = number.saturating_sub(delay as Samples) + 1;
        for age in 0..=TAIL {
            let fade = TAIL_DB * age.saturating_sub(2) as f32;
            let Some((far, _)) = newest
                .checked_sub(age as Samples)
                .and_then(|number| self.far.get(number))
            else {
                continue;
            };
            for ((expected, far), gain) in expected.iter_mut().zip(far).zip(gains) {
                *expected = expected.max(far + gain + MARGIN_DB - fade);
            }
        }
        expected
    }
}

impl Far {
    fn get(&self, number: Samples) -> Option<&(Levels, Shape)> {
        let first = self.end.saturating_sub(self.frames.len() as Samples);
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        self.frames.get(at)?.as_ref()
    }
}

impl Average {
    /// Speech on average falls by some 6 dB an octave above 500 Hz.
    fn new() -> Average {
        let mut levels = [0.0; BANDS];
        for (band, level) in levels.iter_mut().enumerate() {
            *level = -1.8 * band.saturating_sub(4) as f32;
        }
        let mean = levels.iter().sum::<f32>() / BANDS as f32;
        Average {
            levels: levels.map(|level| level - mean),
            frames: GUESS,
        }
    }

    /// The shape of a frame, if it sounds; and learns from it.
    fn shape(&mut self, levels: &Levels) -> Option<Shape> {
        let loudest = levels.iter().copied().fold(SILENCE_DB, f32::max);
        if loudest < SOUND_DB {
            return None;
        }
        let levels = levels.map(|level| level.max(loudest - DEPTH_DB));
        let mean = levels.iter().sum::<f32>() / BANDS as f32;
        self.frames = (self.frames + 1.0).min(AVERAGE);
        let mut shape = [0.0; BANDS];
        for ((shape, level), average) in shape.iter_mut().zip(levels).zip(&mut self.levels) {
            *shape = level - mean - *average;
            *average += *shape / self.frames;
        }
        Some(shape)
    }
}

impl Correlation {
    fn add(&mut self, near: &Shape, far: &Shape, memory: f32) {
        let keep = 1.0 - 1.0 / memory;
        let product = |a: &Shape, b: &Shape| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        self.both = keep * self.both + product(near, far);
        self.near = keep * self.near + product(near, near);
        self.far = keep * self.far + product(far, far);
        self.frames = keep * self.frames + 1.0;
    }

    fn value(&self) -> f32 {
        let norm = (self.near * self.far).sqrt();
        if norm > 0.0 { self.both / norm } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;
