//! What is kept of the line: its last second at 8 kHz, without DC and hum.

/// The rate at which tones are looked for: none of them is above 2.2 kHz.
pub const RATE: u64 = 8_000;

/// `ms` milliseconds in samples.
pub const fn ms(ms: u64) -> u64 {
    ms * RATE / 1_000
}

/// Samples kept. A power of two.
const KEPT: u64 = 8_192;
/// The signal is clipped where it comes as near to full scale as mu-law can tell.
const FULL_SCALE: u16 = 32_000;

/// A half-band filter, in front of which every other sample may be dropped: 31 taps, of which these are the odd ones on
/// one side of the centre (Hamming window). Flat to 3.2 kHz, 45 dB down from 4.8 kHz.
const HALF_BAND: [f64; 8] = [
    0.316_234_4,
    -0.097_639_8,
    0.050_013_7,
    -0.027_803_9,
    0.015_064_6,
    -0.007_500_2,
    0.003_384,
    -0.001_752_8,
];
/// Its length, and what it delays by.
const TAPS: usize = 31;
const DELAY: u64 = 15;

/// Second-order high-pass (Butterworth, 180 Hz at 8 kHz).
#[derive(Clone, Debug, Default)]
struct HighPass {
    x: [f64; 2],
    y: [f64; 2],
}

impl HighPass {
    fn step(&mut self, x: f64) -> f64 {
        // Bilinear transform: K = tan(pi 180 / 8000), gain 1 / (1 + sqrt(2) K + K^2).
        const K: f64 = 0.070_803_8;
        const NORM: f64 = 1.0 / (1.0 + std::f64::consts::SQRT_2 * K + K * K);
        const A1: f64 = 2.0 * (K * K - 1.0) * NORM;
        const A2: f64 = (1.0 - std::f64::consts::SQRT_2 * K + K * K) * NORM;
        let [x1, x2] = self.x;
        let [y1, y2] = self.y;
        let y = NORM * (x - 2.0 * x1 + x2) - A1 * y1 - A2 * y2;
        self.x = [x, x1];
        self.y = [y, y1];
        y
    }
}

/// The line as it is heard, and its recent past. Positions count samples at 8 kHz from its start.
#[derive(Clone, Debug)]
pub struct Line {
    halves: bool,
    /// The last inputs at 16 kHz, as a ring.
    taps: [f64; TAPS],
    tap: usize,
    is_odd: bool,
    clipped: bool,
    high_pass: HighPass,
    /// Samples (1.0 is full scale) and whether they were clipped.
    kept: Vec<(f64, bool)>,
    position: u64,
}

impl Line {
    /// `halves`: the audio comes at 16 kHz instead of 8.
    pub fn new(halves: bool) -> Line {
        Line {
            halves,
            taps: [0.0; TAPS],
            tap: 0,
            is_odd: false,
            clipped: false,
            high_pass: HighPass::default(),
            kept: vec![(0.0, false); usize::try_from(KEPT).unwrap_or_default()],
            position: 0,
        }
    }

    /// Hears a sample. Whether that made one at 8 kHz.
    pub fn hear(&mut self, sample: i16) -> bool {
        let x = f64::from(sample) / 32_768.0;
        self.clipped |= sample.unsigned_abs() >= FULL_SCALE;
        let x = if self.halves {
            if let Some(slot) = self.taps.get_mut(self.tap) {
                *slot = x;
            }
            self.tap = (self.tap + 1) % TAPS;
            self.is_odd = !self.is_odd;
            if self.is_odd {
                return false;
            }
            self.half_band()
        } else {
            x
        };
        let y = self.high_pass.step(x);
        let index = usize::try_from(self.position % KEPT).unwrap_or_default();
        if let Some(slot) = self.kept.get_mut(index) {
            *slot = (y, self.clipped);
        }
        self.clipped = false;
        self.position += 1;
        true
    }

    fn half_band(&self) -> f64 {
        // `tap` is the oldest of the ring.
        let at = |age: usize| {
            self.taps
                .get((self.tap + age) % TAPS)
                .copied()
                .unwrap_or(0.0)
        };
        let centre = TAPS / 2;
        let sides: f64 = HALF_BAND
            .iter()
            .enumerate()
            .map(|(i, tap)| tap * (at(centre - 2 * i - 1) + at(centre + 2 * i + 1)))
            .sum();
        0.5 * at(centre) + sides
    }

    /// Samples heard so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The oldest position that is still known.
    pub fn oldest(&self) -> u64 {
        self.position.saturating_sub(KEPT)
    }

    /// The samples of `from..to`; zeros where nothing is known.
    pub fn samples(&self, from: u64, to: u64) -> impl Iterator<Item = f64> + '_ {
        self.kept_in(from, to).map(|(sample, _)| sample)
    }

    /// The share of samples in `from..to` that are clipped.
    pub fn clipping(&self, from: u64, to: u64) -> f64 {
        let clipped = self
            .kept_in(from, to)
            .filter(|(_, clipped)| *clipped)
            .count();
        clipped as f64 / to.saturating_sub(from).max(1) as f64
    }

    fn kept_in(&self, from: u64, to: u64) -> impl Iterator<Item = (f64, bool)> + '_ {
        let known = self.oldest()..self.position;
        (from..to).map(move |position| {
            let index = usize::try_from(position % KEPT).unwrap_or_default();
            match known.contains(&position) {
                true => self.kept.get(index).copied().unwrap_or_default(),
                false => (0.0, false),
            }
        })
    }

    /// `position` in samples of the audio that came in.
    pub fn input(&self, position: u64) -> u64 {
        match self.halves {
            true => (2 * position).saturating_sub(DELAY),
            false => position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn heard(rate: u32, hz: f64, offset: i16) -> Line {
        let mut line = Line::new(rate == 16_000);
        for i in 0..rate {
            let turn = TAU * hz * f64::from(i) / f64::from(rate);
            line.hear((10_000.0 * turn.sin()) as i16 + offset);
        }
        line
    }

    /// As the amplitude of a sine.
    fn level(line: &Line) -> f64 {
        let squares: f64 = line.samples(4_000, 8_000).map(|x| x * x).sum();
        (squares / 4_000.0 * 2.0).sqrt()
    }

    #[test]
    fn tones_pass_at_either_rate_and_hum_and_dc_do_not() {
        for rate in [8_000, 16_000] {
            for hz in [440.0, 1_000.0, 2_100.0] {
                let level = level(&heard(rate, hz, 0)) * 32_768.0;
                assert!((9_750.0..10_050.0).contains(&level), "{rate} {hz}: {level}");
            }
            assert!(level(&heard(rate, 0.0, 10_000)) < 0.001);
            assert!(level(&heard(rate, 50.0, 0)) < 0.03);
        }
    }

    #[test]
    fn what_8_khz_cannot_hold_is_not_folded_back() {
        assert!(level(&heard(16_000, 6_900.0, 0)) < 0.001);
    }

    #[test]
    fn only_the_last_second_is_known() {
        let mut line = Line::new(false);
        for _ in 0..3 * KEPT {
            line.hear(i16::MIN);
        }
        assert_eq!(line.oldest(), 2 * KEPT);
        assert_eq!(line.samples(0, 100).count(), 100);
        assert_eq!(line.clipping(2 * KEPT, 3 * KEPT), 1.0);
        assert_eq!(line.clipping(0, KEPT), 0.0);
    }
}
