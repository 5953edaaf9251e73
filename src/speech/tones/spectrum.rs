//! Spectra of stretches of the line: Hann-windowed, and what sticks out of them.

use std::f64::consts::TAU;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::line::RATE;

/// Something that sticks out: where, and the power that lies around it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peak {
    pub hz: f64,
    pub power: f64,
}

/// A transform of fixed size with its memory.
pub struct Spectrum {
    transform: Arc<dyn RealToComplex<f64>>,
    input: Vec<f64>,
    output: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    /// Of each bin, so scaled that the bins of a sine of amplitude 1 add up to 1.
    power: Vec<f64>,
    sorted: Vec<f64>,
}

impl Spectrum {
    pub fn new(size: usize) -> Spectrum {
        let transform = RealFftPlanner::new().plan_fft_forward(size);
        Spectrum {
            input: transform.make_input_vec(),
            output: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            power: vec![0.0; transform.complex_len()],
            sorted: vec![0.0; transform.complex_len()],
            transform,
        }
    }

    /// The longest stretch it takes.
    pub fn size(&self) -> usize {
        self.input.len()
    }

    /// Hz between two bins.
    pub fn step(&self) -> f64 {
        RATE as f64 / self.size() as f64
    }

    /// Looks at a stretch of `length` samples, at most [`Self::size`].
    pub fn look(&mut self, samples: impl Iterator<Item = f64>, length: usize) {
        let turn = TAU / length.max(1) as f64;
        self.input.fill(0.0);
        for (i, (slot, sample)) in self.input.iter_mut().zip(samples.take(length)).enumerate() {
            *slot = sample * (0.5 - 0.5 * (turn * (i as f64 + 0.5)).cos());
        }
        // Fails for wrong lengths only, and these are the transform's own.
        let _ = self.transform.process_with_scratch(
            &mut self.input,
            &mut self.output,
            &mut self.scratch,
        );
        // Parseval: the bins of one side hold size * sum(window^2) / 4 of a sine's squared amplitude.
        let scale = 4.0 / (self.size() as f64 * length.max(1) as f64 * 0.375);
        for (power, bin) in self.power.iter_mut().zip(&self.output) {
            *power = bin.norm_sqr() * scale;
        }
    }

    fn bin(&self, hz: f64) -> usize {
        // Saturates where it would be negative.
        (hz / self.step()).round() as usize
    }

    /// The power between two frequencies.
    pub fn between(&self, low: f64, high: f64) -> f64 {
        let (low, high) = (self.bin(low), self.bin(high));
        self.power
            .iter()
            .skip(low)
            .take((high + 1).saturating_sub(low))
            .sum()
    }

    /// The mean power of a bin of the noise between two frequencies, however much sticks out of it: from the median, of
    /// which the mean of white noise's exponential distribution is 1 / ln 2.
    pub fn floor(&mut self, low: f64, high: f64) -> f64 {
        let (low, high) = (self.bin(low), self.bin(high));
        let count = (high + 1).saturating_sub(low);
        let bins = self.power.iter().skip(low).take(count);
        let mut kept = 0;
        for (slot, power) in self.sorted.iter_mut().zip(bins) {
            *slot = *power;
            kept += 1;
        }
        let sorted = self.sorted.get_mut(..kept).unwrap_or_default();
        if sorted.is_empty() {
            return 0.0;
        }
        let (_, median, _) = sorted.select_nth_unstable_by(kept / 2, f64::total_cmp);
        *median / std::f64::consts::LN_2
    }

    /// The power within `reach` of any of `hz`, each bin counted once.
    pub fn around(&self, hz: &[f64], reach: f64) -> f64 {
        let step = self.step();
        self.power
            .iter()
            .enumerate()
            .filter(|(bin, _)| hz.iter().any(|hz| (*bin as f64 * step - hz).abs() <= reach))
            .map(|(_, power)| power)
            .sum()
    }

    /// The highest bin from `low` to `high` that is farther than `reach` from all of `but`, its frequency interpolated, and
    /// its own power.
    pub fn highest(&self, low: f64, high: f64, but: &[f64], reach: f64) -> Peak {
        let step = self.step();
        let (first, last) = (self.bin(low).max(1), self.bin(high));
        let found = self
            .power
            .iter()
            .enumerate()
            .skip(first)
            .take((last + 1).saturating_sub(first))
            .filter(|(bin, _)| but.iter().all(|hz| (*bin as f64 * step - hz).abs() > reach))
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((bin, power)) = found else {
            return Peak::default();
        };
        let log = |bin: usize| (self.power.get(bin).copied().unwrap_or(0.0) + 1e-30).ln();
        let (before, at, after) = (log(bin - 1), log(bin), log(bin + 1));
        let bend = before - 2.0 * at + after;
        let shift = match bend < 0.0 {
            true => (0.5 * (before - after) / bend).clamp(-0.5, 0.5),
            false => 0.0,
        };
        Peak {
            hz: (bin as f64 + shift) * step,
            power: *power,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, amplitude: f64) -> impl Iterator<Item = f64> {
        (0..).map(move |i| amplitude * (TAU * hz * f64::from(i) / RATE as f64).sin())
    }

    #[test]
    fn a_sine_has_its_frequency_and_its_squared_amplitude() {
        let mut spectrum = Spectrum::new(4_096);
        for (hz, length) in [(440.0, 1_200), (985.2, 2_400), (2_000.0, 4_096)] {
            spectrum.look(sine(hz, 0.5), length);
            let peak = spectrum.highest(250.0, 3_700.0, &[], 0.0);
            assert!((peak.hz - hz).abs() < 0.3, "{hz}: {}", peak.hz);
            let power = spectrum.around(&[hz], 60.0);
            assert!((power - 0.25).abs() < 0.003, "{hz}: {power}");
        }
    }

    #[test]
    fn two_sines_40_hz_apart_are_two_in_100_ms() {
        let mut spectrum = Spectrum::new(4_096);
        spectrum.look(
            sine(440.0, 0.3).zip(sine(480.0, 0.2)).map(|(a, b)| a + b),
            800,
        );
        let first = spectrum.highest(250.0, 3_700.0, &[], 0.0);
        let second = spectrum.highest(250.0, 3_700.0, &[first.hz], 35.0);
        assert!((first.hz - 440.0).abs() < 4.0 && (second.hz - 480.0).abs() < 4.0);
    }

    #[test]
    fn the_floor_is_that_of_the_noise_under_a_tone() {
        let mut state = 1u64;
        let noise = std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
        });
        let mut spectrum = Spectrum::new(4_096);
        spectrum.look(noise.zip(sine(1_000.0, 0.9)).map(|(a, b)| a + b), 4_096);
        // Of uniform noise in +-0.5 the power is 1/12: that of a sine whose squared amplitude is 1/6.
        let noise = spectrum.floor(250.0, 3_700.0) * RATE as f64 / 2.0 / spectrum.step();
        assert!((noise - 1.0 / 6.0).abs() < 0.02, "{noise}");
    }
}
