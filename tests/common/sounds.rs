//! Sounds of a telephone line, computed: tones of every kind with their national cadences, DTMF, noises, breath,
//! keyboards, and what a line does to them. All of it is synthetic and, for one seed, the same on every machine.
//!
//! Levels are dBFS in the sense that a sine of full scale has 0 dBFS: a tone of -20 dBFS has an amplitude of 0.1, a noise
//! of -20 dBFS has the power of that tone.
#![allow(dead_code)]

use std::f64::consts::{PI, SQRT_2, TAU};

/// The rate of everything that is not asked for at another.
pub const RATE: u32 = 16_000;

/// A generator of pseudo-random numbers (splitmix64).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed ^ 0x5851_F42D_4C95_7F2D)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// In 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Of mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

fn count(seconds: f64, rate: u32) -> usize {
    (seconds * f64::from(rate)).round() as usize
}

fn amplitude(dbfs: f64) -> f64 {
    10f64.powf(dbfs / 20.0) * 32767.0
}

/// To S16; what is too loud is clipped.
fn quantise(x: f64) -> i16 {
    x.round().clamp(-32768.0, 32767.0) as i16
}

pub fn silence(seconds: f64, rate: u32) -> Vec<i16> {
    vec![0; count(seconds, rate)]
}

// Tones ---------------------------------------------------------------------------------------------------------------

/// Sines of `hz`, each of level `dbfs`, faded in and out over 2 ms. Above 0 dBFS it clips.
pub fn tone(hz: &[f64], dbfs: f64, seconds: f64, rate: u32) -> Vec<i16> {
    let n = count(seconds, rate);
    let fade = f64::from(rate) * 0.002;
    let level = amplitude(dbfs);
    (0..n)
        .map(|i| {
            let t = i as f64 / f64::from(rate);
            let edge = (i + 1).min(n - i) as f64 / fade;
            let sum: f64 = hz.iter().map(|hz| (TAU * hz * t).sin()).sum();
            quantise(sum * level * edge.min(1.0))
        })
        .collect()
}

/// One step of a cadence: these sines for so long (none: silence).
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub hz: &'static [f64],
    pub seconds: f64,
}

const fn on(hz: &'static [f64], seconds: f64) -> Step {
    Step { hz, seconds }
}

const fn off(seconds: f64) -> Step {
    Step { hz: &[], seconds }
}

/// A tone of a country's network.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    /// As beepdetect names it.
    pub kind: &'static str,
    pub country: &'static str,
    /// Repeated over and over.
    pub cadence: &'static [Step],
}

/// For a continuous tone: a cadence has to have some length.
const ON: f64 = 60.0;

/// Call-progress tones of Europe and North America (ITU-T E.180, supplement 2), SIT and fax.
#[rustfmt::skip]
pub const SIGNALS: &[Signal] = &[
    Signal { kind: "dial", country: "fr", cadence: &[on(&[440.0], ON)] },
    Signal { kind: "ring-back", country: "fr", cadence: &[on(&[440.0], 1.5), off(3.5)] },
    Signal { kind: "busy", country: "fr", cadence: &[on(&[440.0], 0.5), off(0.5)] },
    Signal { kind: "congestion", country: "fr", cadence: &[on(&[440.0], 0.25), off(0.25)] },
    Signal { kind: "dial", country: "de", cadence: &[on(&[425.0], ON)] },
    Signal { kind: "ring-back", country: "de", cadence: &[on(&[425.0], 1.0), off(4.0)] },
    Signal { kind: "busy", country: "de", cadence: &[on(&[425.0], 0.48), off(0.48)] },
    Signal { kind: "congestion", country: "de", cadence: &[on(&[425.0], 0.24), off(0.24)] },
    Signal { kind: "ring-back", country: "be", cadence: &[on(&[425.0], 1.0), off(3.0)] },
    Signal { kind: "congestion", country: "be", cadence: &[on(&[425.0], 0.167), off(0.167)] },
    Signal { kind: "ring-back", country: "es", cadence: &[on(&[425.0], 1.5), off(3.0)] },
    Signal { kind: "dial", country: "it", cadence: &[on(&[425.0], 0.2), off(0.2), on(&[425.0], 0.6), off(1.0)] },
    Signal { kind: "ring-back", country: "it", cadence: &[on(&[425.0], 1.0), off(4.0)] },
    Signal { kind: "busy", country: "it", cadence: &[on(&[425.0], 0.5), off(0.5)] },
    Signal { kind: "congestion", country: "it", cadence: &[on(&[425.0], 0.2), off(0.2)] },
    Signal { kind: "dial", country: "uk", cadence: &[on(&[350.0, 440.0], ON)] },
    Signal { kind: "ring-back", country: "uk", cadence: &[on(&[400.0, 450.0], 0.4), off(0.2), on(&[400.0, 450.0], 0.4), off(2.0)] },
    Signal { kind: "busy", country: "uk", cadence: &[on(&[400.0], 0.375), off(0.375)] },
    Signal { kind: "congestion", country: "uk", cadence: &[on(&[400.0], 0.4), off(0.35), on(&[400.0], 0.225), off(0.525)] },
    Signal { kind: "dial", country: "us", cadence: &[on(&[350.0, 440.0], ON)] },
    Signal { kind: "ring-back", country: "us", cadence: &[on(&[440.0, 480.0], 2.0), off(4.0)] },
    Signal { kind: "busy", country: "us", cadence: &[on(&[480.0, 620.0], 0.5), off(0.5)] },
    Signal { kind: "congestion", country: "us", cadence: &[on(&[480.0, 620.0], 0.25), off(0.25)] },
    // ITU-T E.180: 950, 1400, 1800 Hz; then the variants of Bellcore SR-2275 (intercept, vacant code, no circuit, reorder).
    Signal { kind: "sit", country: "itu", cadence: &[on(&[950.0], 0.33), on(&[1400.0], 0.33), on(&[1800.0], 0.33), off(1.0)] },
    Signal { kind: "sit", country: "us-ic", cadence: &[on(&[913.8], 0.274), on(&[1370.6], 0.274), on(&[1776.7], 0.38), off(4.0)] },
    Signal { kind: "sit", country: "us-vc", cadence: &[on(&[985.2], 0.38), on(&[1370.6], 0.274), on(&[1776.7], 0.38), off(4.0)] },
    Signal { kind: "sit", country: "us-nc", cadence: &[on(&[985.2], 0.38), on(&[1428.5], 0.38), on(&[1776.7], 0.38), off(4.0)] },
    Signal { kind: "sit", country: "us-ro", cadence: &[on(&[913.8], 0.274), on(&[1428.5], 0.38), on(&[1776.7], 0.38), off(4.0)] },
    // ITU-T T.30.
    Signal { kind: "fax-cng", country: "itu", cadence: &[on(&[1100.0], 0.5), off(3.0)] },
    Signal { kind: "fax-ced", country: "itu", cadence: &[on(&[2100.0], 3.0), off(60.0)] },
];

impl Signal {
    pub fn of(kind: &str, country: &str) -> Signal {
        *SIGNALS
            .iter()
            .find(|signal| signal.kind == kind && signal.country == country)
            .unwrap_or_else(|| panic!("no {kind} of {country} in SIGNALS"))
    }

    /// `seconds` of it from its start on, each sine of level `dbfs`.
    pub fn play(&self, dbfs: f64, seconds: f64, rate: u32) -> Vec<i16> {
        let all = count(seconds, rate);
        let mut samples = Vec::with_capacity(all);
        for step in self.cadence.iter().cycle() {
            if samples.len() >= all {
                break;
            }
            let left = (all - samples.len()) as f64 / f64::from(rate);
            samples.extend(tone(step.hz, dbfs, step.seconds.min(left), rate));
        }
        samples.truncate(all);
        samples
    }
}

/// The answer of a V.34 fax (ANSam, ITU-T V.8): 2100 Hz, its phase reversed every 450 ms, its amplitude swayed by 20 % at
/// 15 Hz. `swayed = false` is the plain tone with reversals that disables echo cancellers (ITU-T G.168).
pub fn answer_tone(swayed: bool, dbfs: f64, seconds: f64, rate: u32) -> Vec<i16> {
    let level = amplitude(dbfs);
    (0..count(seconds, rate))
        .map(|i| {
            let t = i as f64 / f64::from(rate);
            let sign = if ((t / 0.45) as u64).is_multiple_of(2) {
                1.0
            } else {
                -1.0
            };
            let sway = if swayed {
                1.0 + 0.2 * (TAU * 15.0 * t).sin()
            } else {
                1.0
            };
            quantise(level * sign * sway * (TAU * 2100.0 * t).sin())
        })
        .collect()
}

/// Digits as keys are pressed: `on` seconds each, `off` seconds between them; each of the two sines of level `dbfs`.
pub fn dtmf(digits: &str, on: f64, off: f64, dbfs: f64, rate: u32) -> Vec<i16> {
    const KEYS: [&str; 4] = ["123A", "456B", "789C", "*0#D"];
    const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    let mut samples = Vec::new();
    for digit in digits.chars() {
        let (row, column) = (0..4)
            .find_map(|row| KEYS[row].find(digit).map(|column| (row, column)))
            .unwrap_or_else(|| panic!("no key {digit}"));
        samples.extend(tone(&[ROWS[row], COLUMNS[column]], dbfs, on, rate));
        samples.extend(silence(off, rate));
    }
    samples
}

/// A held vowel as a voice sings it: a buzz at `hz` through three formants, with a vibrato of `vibrato` (0.01 = 1 %) at
/// 5.5 Hz. Peak at `dbfs`.
pub fn vowel(
    hz: f64,
    formants: [f64; 3],
    vibrato: f64,
    dbfs: f64,
    seconds: f64,
    rate: u32,
) -> Vec<i16> {
    let mut buzz: Vec<f64> = Vec::with_capacity(count(seconds, rate));
    let mut phase = 0.0f64;
    for i in 0..count(seconds, rate) {
        let t = i as f64 / f64::from(rate);
        phase += hz * (1.0 + vibrato * (TAU * 5.5 * t).sin()) / f64::from(rate);
        // A glottal pulse: opens over 40 % of the period, shuts over 16 %.
        let p = phase.fract();
        buzz.push(match p {
            p if p < 0.4 => 0.5 * (1.0 - (PI * p / 0.4).cos()),
            p if p < 0.56 => (PI * (p - 0.4) / 0.32).cos(),
            _ => 0.0,
        });
    }
    let mean = buzz.iter().sum::<f64>() / buzz.len().max(1) as f64;
    let mut x: Vec<f64> = buzz.iter().map(|b| b - mean).collect();
    for (formant, width) in formants.iter().zip([80.0, 100.0, 140.0]) {
        resonate(&mut x, *formant, width, rate);
    }
    let n = x.len();
    let fade = f64::from(rate) * 0.03;
    for (i, x) in x.iter_mut().enumerate() {
        *x *= ((i.min(n - i)) as f64 / fade).min(1.0);
    }
    to_peak(&x, dbfs)
}

// Noises --------------------------------------------------------------------------------------------------------------

/// White noise with the power of a tone of `dbfs`.
pub fn white(dbfs: f64, seconds: f64, rate: u32, seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let x: Vec<f64> = (0..count(seconds, rate)).map(|_| random.normal()).collect();
    to_power(&x, dbfs)
}

/// Noise whose power falls by 3 dB an octave (Kellet's filter), with the power of a tone of `dbfs`.
pub fn pink(dbfs: f64, seconds: f64, rate: u32, seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let mut b = [0.0f64; 3];
    let x: Vec<f64> = (0..count(seconds, rate))
        .map(|_| {
            let white = random.normal();
            b[0] = 0.99765 * b[0] + white * 0.0990460;
            b[1] = 0.96300 * b[1] + white * 0.2965164;
            b[2] = 0.57000 * b[2] + white * 1.0526913;
            b[0] + b[1] + b[2] + white * 0.1848
        })
        .collect();
    to_power(&x, dbfs)
}

/// A line with nobody on it: hum of 50 Hz and its first harmonics, and hiss, of equal power; `dbfs` together.
pub fn line_noise(dbfs: f64, seconds: f64, rate: u32, seed: u64) -> Vec<i16> {
    let half = dbfs - 3.0;
    let hum: Vec<f64> = (0..count(seconds, rate))
        .map(|i| {
            let t = i as f64 / f64::from(rate);
            [(50.0, 1.0), (100.0, 0.4), (150.0, 0.6), (250.0, 0.2)]
                .iter()
                .map(|(hz, level)| level * (TAU * hz * t).sin())
                .sum()
        })
        .collect();
    mix(&to_power(&hum, half), &white(half, seconds, rate, seed))
}

/// Somebody who breathes into the microphone: shaped noise, in and out every 3 to 5 seconds, peaks near `dbfs`. Synthetic.
pub fn breath(dbfs: f64, seconds: f64, rate: u32, seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let n = count(seconds, rate);
    let mut x = vec![0.0; n];
    let mut at = count(random.between(0.2, 1.0), rate);
    while at < n {
        for (length, centre, level) in [
            (
                random.between(0.8, 1.4),
                random.between(900.0, 1_600.0),
                0.7,
            ),
            (random.between(1.0, 1.8), random.between(500.0, 900.0), 1.0),
        ] {
            let mut puff: Vec<f64> = (0..count(length, rate)).map(|_| random.normal()).collect();
            resonate(&mut puff, centre, 900.0, rate);
            let m = puff.len();
            let loudest = puff.iter().fold(1e-9f64, |a, b| a.max(b.abs()));
            for (i, p) in puff.iter().enumerate() {
                if let Some(x) = x.get_mut(at + i) {
                    *x += p / loudest * level * (PI * i as f64 / m as f64).sin().powi(2);
                }
            }
            at += m + count(random.between(0.1, 0.4), rate);
        }
        at += count(random.between(0.5, 1.5), rate);
    }
    to_peak(&x, dbfs)
}

/// Somebody who types: clicks of the keys going down and up, two to eight keys a second, peaks near `dbfs`. Synthetic.
pub fn keyboard(dbfs: f64, seconds: f64, rate: u32, seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let n = count(seconds, rate);
    let mut x = vec![0.0; n];
    let mut at = count(random.between(0.1, 0.5), rate);
    while at < n {
        let held = count(random.between(0.05, 0.11), rate);
        for (start, level) in [(at, 1.0), (at + held, 0.4)] {
            let mut click: Vec<f64> = (0..count(0.02, rate))
                .map(|i| random.normal() * (-(i as f64) / (0.003 * f64::from(rate))).exp())
                .collect();
            resonate(&mut click, random.between(1_500.0, 3_000.0), 1_200.0, rate);
            let loudest = click.iter().fold(1e-9f64, |a, b| a.max(b.abs()));
            let level = level * random.between(0.4, 1.0);
            for (i, c) in click.iter().enumerate() {
                if let Some(x) = x.get_mut(start + i) {
                    *x += c / loudest * level;
                }
            }
        }
        let pause = if random.unit() < 0.1 {
            random.between(0.6, 2.0)
        } else {
            0.0
        };
        at += count(random.between(0.12, 0.5) + pause, rate);
    }
    to_peak(&x, dbfs)
}

/// A resonance of `width` Hz at `hz`.
fn resonate(x: &mut [f64], hz: f64, width: f64, rate: u32) {
    let rate = f64::from(rate);
    let r = (-PI * width / rate).exp();
    let (a, b) = (2.0 * r * (TAU * hz / rate).cos(), r * r);
    let gain = (1.0 - r) * (1.0 - 2.0 * r * (2.0 * TAU * hz / rate).cos() + r * r).sqrt();
    let (mut y1, mut y2) = (0.0, 0.0);
    for x in x {
        let y = gain * *x + a * y1 - b * y2;
        (y2, y1) = (y1, y);
        *x = y;
    }
}

fn to_power(x: &[f64], dbfs: f64) -> Vec<i16> {
    let power = x.iter().map(|x| x * x).sum::<f64>() / x.len().max(1) as f64;
    let gain = amplitude(dbfs) / SQRT_2 / power.sqrt().max(1e-12);
    x.iter().map(|x| quantise(x * gain)).collect()
}

fn to_peak(x: &[f64], dbfs: f64) -> Vec<i16> {
    let peak = x.iter().fold(1e-12f64, |a, b| a.max(b.abs()));
    let gain = amplitude(dbfs) / peak;
    x.iter().map(|x| quantise(x * gain)).collect()
}

// What is done to sounds ----------------------------------------------------------------------------------------------

/// The power of `samples` as the level of the tone that has as much; -infinity for silence.
pub fn level(samples: &[i16]) -> f64 {
    let power =
        samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    20.0 * (power.sqrt() * SQRT_2 / 32767.0).log10()
}

/// Louder by `db` (softer if negative); what is too loud is clipped.
pub fn gain(samples: &[i16], db: f64) -> Vec<i16> {
    let gain = 10f64.powf(db / 20.0);
    samples
        .iter()
        .map(|&s| quantise(f64::from(s) * gain))
        .collect()
}

/// Shifted by a constant.
pub fn offset(samples: &[i16], by: i16) -> Vec<i16> {
    samples.iter().map(|s| s.saturating_add(by)).collect()
}

/// Both at once, as long as the longer of them.
pub fn mix(a: &[i16], b: &[i16]) -> Vec<i16> {
    (0..a.len().max(b.len()))
        .map(|i| {
            let at = |x: &[i16]| x.get(i).copied().unwrap_or(0);
            at(a).saturating_add(at(b))
        })
        .collect()
}

/// One behind the other.
pub fn join(parts: &[&[i16]]) -> Vec<i16> {
    parts.concat()
}

/// `signal` in `noise` (repeated to its length), which is made softer by `snr_db` than the signal where there is any.
pub fn mix_at_snr(signal: &[i16], noise: &[i16], snr_db: f64) -> Vec<i16> {
    let heard: Vec<i16> = signal
        .chunks(160)
        .filter(|chunk| chunk.iter().any(|&s| s != 0))
        .flatten()
        .copied()
        .collect();
    let change = level(&heard) - snr_db - level(noise);
    let long: Vec<i16> = noise.iter().copied().cycle().take(signal.len()).collect();
    mix(signal, &gain(&long, change))
}

/// There and back through mu-law (ITU-T G.711).
pub fn mulaw(samples: &[i16]) -> Vec<i16> {
    samples
        .iter()
        .map(|&s| mulaw_decode(mulaw_encode(s)))
        .collect()
}

pub fn mulaw_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 0x84;
    let exponent = 23 - magnitude.leading_zeros() as i32 + 1;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

pub fn mulaw_decode(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((i32::from(byte & 0x0F) << 3) + 0x84) << ((byte >> 4) & 7);
    let value = (magnitude - 0x84) as i16;
    if byte & 0x80 == 0 { value } else { -value }
}

/// What a G.711 call makes of 16 kHz audio: 300 to 3400 Hz or so, mu-law at 8 kHz, and back at 16 kHz.
pub fn telephone(samples: &[i16]) -> Vec<i16> {
    resample(&mulaw(&resample(samples, 16_000, 8_000)), 8_000, 16_000)
}

/// At another rate: windowed sinc, 24 zero crossings of the lower rate on either side.
pub fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to {
        return samples.to_vec();
    }
    const CROSSINGS: f64 = 24.0;
    let step = f64::from(from) / f64::from(to);
    // Of the input's rate; a little below half of the lower one.
    let cutoff = 0.94 * (1.0 / step).min(1.0);
    let reach = CROSSINGS / cutoff;
    let n = (samples.len() as f64 / step).round() as usize;
    // The fractions of an input sample at which outputs lie repeat: one set of taps for each.
    let phases = (to / gcd(from, to)) as usize;
    let width = 2 * reach.ceil() as usize + 2;
    let taps: Vec<Vec<f64>> = (0..phases.min(n.max(1)))
        .map(|i| {
            let at = i as f64 * step;
            let first = at.floor() - reach.ceil();
            (0..width)
                .map(|k| {
                    let x = first + k as f64 - at;
                    if x.abs() >= reach {
                        0.0
                    } else {
                        cutoff * sinc(cutoff * x) * (0.5 + 0.5 * (PI * x / reach).cos())
                    }
                })
                .collect()
        })
        .collect();
    (0..n)
        .map(|i| {
            // In integers, so that no rounding accumulates.
            let whole = (i as u64 * u64::from(from) / u64::from(to)) as i64;
            let first = whole - reach.ceil() as i64;
            let sum: f64 = taps[i % phases]
                .iter()
                .enumerate()
                .filter_map(|(k, tap)| {
                    let index = usize::try_from(first + k as i64).ok()?;
                    Some(tap * f64::from(*samples.get(index)?))
                })
                .sum();
            quantise(sum)
        })
        .collect()
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
