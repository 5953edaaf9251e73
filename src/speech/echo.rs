//! Is it the speaker, or the echo of what the other side is told?
//!
//! A bot's prompt comes back over the line: softer, later, coloured, but in its own rhythm. What is heard at the near end is
//! compared with the far end's last seconds, band by band: energies that rise and fall together, at one delay, are an
//! echo, as long as they are not louder than that echo has been. Somebody who speaks over the prompt adds energy where the
//! prompt has none.

use std::collections::VecDeque;

use super::Samples;

/// Samples of a frame (10 ms).
const FRAME: usize = 160;
/// Bands, by the corners of their one-pole filters, in Hz.
const CORNERS: [f32; 7] = [200.0, 450.0, 800.0, 1_250.0, 1_800.0, 2_500.0, 3_400.0];
const BANDS: usize = CORNERS.len() - 1;
/// Frames of the far end that are kept: 10 s.
const KEPT: usize = 1_000;
/// Frames that are compared: 600 ms.
const COMPARED: usize = 60;
/// The longest delay of an echo, in frames: 500 ms.
const LONGEST: usize = 50;
/// How alike their rise and fall must be, to find an echo's delay among all there may be,
const ALIKE: f32 = 0.82;
/// and near the delay that it had.
const STILL_ALIKE: f32 = 0.68;
/// How near, in frames.
const NEAR: usize = 3;
/// So many times in a row the delay must be the same before it is believed: chance finds another one each time.
const STEADY: u32 = 5;
/// Louder by more than this than what the echo's level predicts: somebody speaks as well.
const SURPLUS_DB: f32 = 8.0;
/// An echo is softer than what it is an echo of, by this at least.
const LEAST_LOSS_DB: f32 = 3.0;
/// Below this level, in dB of full scale, a band is silent.
const FLOOR_DB: f32 = -80.0;

type Bands = [f32; BANDS];

/// Band energies of a stream, frame by frame, in dB of full scale.
#[derive(Clone, Debug)]
struct Analysis {
    low: [f32; CORNERS.len()],
    power: Bands,
    samples: usize,
}

impl Default for Analysis {
    fn default() -> Self {
        Analysis {
            low: [0.0; CORNERS.len()],
            power: [0.0; BANDS],
            samples: 0,
        }
    }
}

impl Analysis {
    fn hear(&mut self, samples: &[i16], mut frame: impl FnMut(Bands)) {
        for &sample in samples {
            let x = f32::from(sample) / 32_768.0;
            for (low, corner) in self.low.iter_mut().zip(CORNERS) {
                let pole = (-std::f32::consts::TAU * corner / 16_000.0).exp();
                *low = x + pole * (*low - x);
            }
            // A band is what one corner lets through and the one below it does not.
            let pairs = self.low.iter().zip(self.low.iter().skip(1));
            for (power, (below, above)) in self.power.iter_mut().zip(pairs) {
                *power += (above - below) * (above - below);
            }
            self.samples += 1;
            if self.samples == FRAME {
                let bands = std::mem::take(&mut self.power);
                self.samples = 0;
                let db = |power: f32| 10.0 * (power / FRAME as f32).max(1e-12).log10();
                frame(bands.map(|power| db(power).max(FLOOR_DB)));
            }
        }
    }
}

/// What the far end says, and what the near end says that may be its echo. Positions are the near end's.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    far: VecDeque<Bands>,
    /// Position behind the last frame of `far`, in frames.
    far_end: u64,
    far_analysis: Analysis,
    near: VecDeque<Bands>,
    near_analysis: Analysis,
    /// How much later the echo is, in frames, and how much softer, in dB; once one was heard.
    known: Option<(usize, f32)>,
    /// The delay found last, and how often in a row.
    found: (usize, u32),
}

impl Echo {
    /// The far end's samples from `position` on.
    pub fn hear_far(&mut self, position: Samples, samples: &[i16]) {
        let start = position / FRAME as u64;
        let expected = self.far_end;
        if start.abs_diff(expected) > 3 {
            // A hole, or a first piece: silence in between, as far as it is remembered.
            match start.checked_sub(expected) {
                Some(hole) if hole < KEPT as u64 && !self.far.is_empty() => {
                    for _ in 0..hole {
                        self.far.push_back([FLOOR_DB; BANDS]);
                    }
                }
                _ => self.far.clear(),
            }
            self.far_end = start;
            self.far_analysis = Analysis::default();
        }
        let far = &mut self.far;
        let end = &mut self.far_end;
        self.far_analysis.hear(samples, |bands| {
            far.push_back(bands);
            *end += 1;
        });
        let surplus = self.far.len().saturating_sub(KEPT);
        self.far.drain(..surplus);
    }

    /// The near end's next samples, which end at `position`. Returns whether what was heard last is the far end's echo.
    pub fn hear_near(&mut self, position: Samples, samples: &[i16]) -> bool {
        let near = &mut self.near;
        self.near_analysis
            .hear(samples, |bands| near.push_back(bands));
        let surplus = self.near.len().saturating_sub(COMPARED);
        self.near.drain(..surplus);
        self.is_echo(position / FRAME as u64)
    }

    /// Forgets both ends.
    pub fn reset(&mut self) {
        *self = Echo::default();
    }

    fn is_echo(&mut self, near_end: u64) -> bool {
        if self.near.len() < COMPARED / 2 || self.far.is_empty() {
            return false;
        }
        let best = (0..=LONGEST)
            .filter_map(|delay| {
                let far = self.far_behind(near_end, delay)?;
                let loss = median_loss(&self.near, far.clone())?;
                let likeness = likeness(&self.near, far, loss)?;
                let before = self
                    .known
                    .filter(|(known, _)| known.abs_diff(delay) <= NEAR);
                let enough = before.map_or(ALIKE, |_| STILL_ALIKE);
                (likeness >= enough).then_some((delay, loss, likeness))
            })
            .max_by(|a, b| a.2.total_cmp(&b.2));
        let Some((delay, loss, likeness)) = best else {
            self.found = (0, 0);
            return false;
        };
        self.found = match self.found {
            (before, times) if before.abs_diff(delay) <= NEAR => (delay, times.saturating_add(1)),
            _ => (delay, 1),
        };
        if self.found.1 < STEADY {
            return false;
        }
        let expected = self.known.map_or(loss, |(_, loss)| loss);
        if loss < LEAST_LOSS_DB || loss < expected - SURPLUS_DB {
            return false;
        }
        // Learned from what is surely an echo, slowly.
        if likeness >= ALIKE {
            self.known = Some((delay, expected + 0.05 * (loss - expected)));
        }
        true
    }

    /// The far end's frames that the near end's would be an echo of, so many frames later.
    fn far_behind(
        &self,
        near_end: u64,
        delay: usize,
    ) -> Option<impl Iterator<Item = &Bands> + Clone> {
        let end = near_end.checked_sub(delay as u64)?;
        let start = end.checked_sub(self.near.len() as u64)?;
        let oldest = self.far_end.checked_sub(self.far.len() as u64)?;
        if end > self.far_end {
            return None;
        }
        let skip = usize::try_from(start.checked_sub(oldest)?).ok()?;
        Some(self.far.iter().skip(skip).take(self.near.len()))
    }
}

/// Correlation of the two courses, mean over the bands in which the far end moves; `None` where it says nothing. What of
/// the far end would be too soft to be heard, `loss` dB softer, counts as silence.
fn likeness<'a>(
    near: &VecDeque<Bands>,
    far: impl Iterator<Item = &'a Bands> + Clone,
    loss: f32,
) -> Option<f32> {
    let mut sum = 0.0;
    let mut moving = 0;
    for band in 0..BANDS {
        let of = move |bands: &Bands| bands.get(band).copied().unwrap_or(FLOOR_DB);
        let a = near.iter().map(of);
        let b = far.clone().map(move |bands| of(bands).max(FLOOR_DB + loss));
        if let Some(r) = correlation(a, b) {
            sum += r;
            moving += 1;
        }
    }
    (moving > 0).then(|| sum / moving as f32)
}

/// Pearson's; `None` if the second hardly moves (less than 3 dB).
fn correlation(
    a: impl Iterator<Item = f32> + Clone,
    b: impl Iterator<Item = f32> + Clone,
) -> Option<f32> {
    let n = b.clone().count().max(1) as f32;
    let (mean_a, mean_b) = (a.clone().sum::<f32>() / n, b.clone().sum::<f32>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    ((bb / n).sqrt() >= 3.0).then(|| ab / (aa * bb).sqrt().max(1e-6))
}

/// By how many dB the near end is softer where the far end is loud; `None` where it never is.
fn median_loss<'a>(near: &VecDeque<Bands>, far: impl Iterator<Item = &'a Bands>) -> Option<f32> {
    let loud = |bands: &Bands| bands.iter().copied().fold(FLOOR_DB, f32::max);
    let mut losses: Vec<f32> = near
        .iter()
        .zip(far)
        .filter(|(_, far)| loud(far) > FLOOR_DB + 30.0)
        .map(|(near, far)| loud(far) - loud(near))
        .collect();
    let middle = losses.len() / 2;
    if losses.len() < COMPARED / 4 {
        return None;
    }
    Some(*losses.select_nth_unstable_by(middle, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something in the rhythm of speech: bursts of noise through two resonances, with pauses.
    fn speech(seed: u64, seconds: usize) -> Vec<i16> {
        let mut state = seed;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f32 / (1u64 << 31) as f32
        };
        let mut samples = Vec::new();
        while samples.len() < seconds * 16_000 {
            let length = 1_200 + (random() * 3_000.0) as usize;
            let pause = (random() * 2_000.0) as usize;
            let (formant, loud) = (400.0 + random() * 2_000.0, 2_000.0 + random() * 9_000.0);
            let (mut y1, mut y2) = (0.0, 0.0);
            let w = std::f32::consts::TAU * formant / 16_000.0;
            for n in 0..length {
                let envelope = (std::f32::consts::PI * n as f32 / length as f32).sin();
                let y = (random() - 0.5) * 0.3 + 1.8 * w.cos() * y1 - 0.81 * y2;
                (y2, y1) = (y1, y);
                samples.push((y * envelope * loud) as i16);
            }
            samples.extend(std::iter::repeat_n(0, pause));
        }
        samples.truncate(seconds * 16_000);
        samples
    }

    /// Later by `delay_ms`, softer by `loss` dB, through a small room.
    fn echo(samples: &[i16], delay_ms: usize, loss: f32) -> Vec<i16> {
        let gain = 10f32.powf(-loss / 20.0);
        let delayed = |n: usize, more: usize| {
            let at = n.checked_sub(delay_ms * 16 + more);
            at.and_then(|at| samples.get(at))
                .map_or(0.0, |s| f32::from(*s))
        };
        (0..samples.len())
            .map(|n| {
                let room = delayed(n, 0) + 0.5 * delayed(n, 70) - 0.3 * delayed(n, 210)
                    + 0.2 * delayed(n, 500);
                (gain * room) as i16
            })
            .collect()
    }

    fn mix(a: &[i16], b: &[i16]) -> Vec<i16> {
        a.iter().zip(b).map(|(a, b)| a.saturating_add(*b)).collect()
    }

    /// Share of the frames, after the first second, that are taken for an echo.
    fn echoes(far: &[i16], near: &[i16]) -> f32 {
        let mut echo = Echo::default();
        let mut taken = Vec::new();
        let mut position = 0;
        for (far, near) in far.chunks(320).zip(near.chunks(320)) {
            echo.hear_far(position, far);
            position += near.len() as Samples;
            taken.push(echo.hear_near(position, near));
        }
        let judged = &taken[50..];
        judged.iter().filter(|taken| **taken).count() as f32 / judged.len() as f32
    }

    #[test]
    fn an_echo_is_known_whatever_its_delay_and_level() {
        let prompt = speech(1, 10);
        for delay in [20, 120, 300] {
            for loss in [10.0, 20.0, 30.0] {
                let share = echoes(&prompt, &echo(&prompt, delay, loss));
                assert!(share > 0.9, "{delay} ms, {loss} dB: {share}");
            }
        }
    }

    #[test]
    fn somebody_else_is_not_an_echo() {
        let prompt = speech(1, 10);
        for seed in 2..12 {
            let share = echoes(&prompt, &speech(seed, 10));
            // All bands of these bursts move together: a voice's own do less so. What is taken by chance delays an
            // interruption by as much.
            assert!(share < 0.2, "{seed}: {share}");
        }
    }

    #[test]
    fn somebody_who_speaks_over_the_echo_is_heard() {
        let prompt = speech(1, 20);
        let mut near = echo(&prompt, 100, 20.0);
        let caller = speech(7, 10);
        let both = mix(&near[160_000..], &caller);
        near.truncate(160_000);
        near.extend(both);
        let mut ear = Echo::default();
        let mut taken = (0, 0);
        let mut position = 0;
        for (far, near) in prompt.chunks(320).zip(near.chunks(320)) {
            ear.hear_far(position, far);
            position += near.len() as Samples;
            let is_echo = ear.hear_near(position, near);
            if position > 160_000 + 8_000 {
                taken = (taken.0 + usize::from(is_echo), taken.1 + 1);
            }
        }
        assert!(taken.0 * 5 < taken.1, "{taken:?}");
    }

    #[test]
    fn without_a_far_end_nothing_is() {
        let mut ear = Echo::default();
        assert!(!ear.hear_near(160_000, &speech(3, 10)));
        let silence = vec![0; 160_000];
        assert_eq!(echoes(&silence, &speech(3, 10)), 0.0);
    }

    #[test]
    fn memory_is_bounded_whatever_the_positions() {
        let mut ear = Echo::default();
        let prompt = speech(1, 2);
        for position in [0, 32_000, u64::MAX - 5, 7, 1_000_000_000, 1_000_040_000] {
            ear.hear_far(position, &prompt);
            ear.hear_near(position, &prompt);
            assert!(ear.far.len() <= KEPT && ear.near.len() <= COMPARED);
        }
    }
}
