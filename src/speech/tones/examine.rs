//! A thorough look at a stretch in which there may be a tone: how many sines there are, and how steady one is.

use std::f64::consts::{PI, TAU};

use super::line::{Line, RATE, ms};
use super::spectrum::Spectrum;

/// Length of the blocks in which amplitude and phase are followed.
const BLOCK: u64 = ms(20);
/// The longest stretch looked at.
pub const LONGEST: u64 = 4_096;
/// The shortest: below it, sines 40 Hz apart are one.
pub const SHORTEST: u64 = ms(80);
/// What is looked at, in Hz.
const LOWEST: f64 = 250.0;
const HIGHEST: f64 = 3_700.0;
/// The second of two tones has at least this share of the first one's power (-12 dB); where the line is clipped (-5 dB),
/// so that it is not a harmonic.
const SECOND: f64 = 0.063;
const SECOND_CLIPPED: f64 = 0.3;

/// What a stretch is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Made {
    One(f64),
    /// The lower first.
    Two(f64, f64),
}

/// What a look found.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub made: Made,
    /// The strongest sine's.
    pub hz: f64,
    /// The squared amplitude of what it is made of, 1.0 for a sine of full scale.
    pub power: f64,
    /// The strongest thing besides, as a share of the strongest sine's power.
    pub rest: f64,
    /// The strongest of its second to fourth harmonic, likewise.
    pub harmonic: f64,
    /// The power of the noise in a bin, and in all of them, likewise.
    pub floor: f64,
    pub noise: f64,
    /// The share of samples that are clipped. Clipping has harmonics of its own.
    pub clipping: f64,
    /// RMS of what the phase strays from a sine's, rad; that of twice the phase if `mirrored`.
    pub stray: f64,
    /// Standard deviation of the amplitude, relative to its mean.
    pub sway: f64,
    /// The most that the amplitude of a block is off the mean, likewise.
    pub jump: f64,
    /// Amplitude of the last third relative to that of the first.
    pub fall: f64,
}

/// Looks at `from..to`, no more than the last [`LONGEST`] of it. `mirrored`: reversals of the phase do not count as
/// straying.
pub fn look(line: &Line, spectrum: &mut Spectrum, from: u64, to: u64, mirrored: bool) -> Look {
    let from = from.max(to.saturating_sub(LONGEST)).max(line.oldest());
    let length = to.saturating_sub(from).max(1);
    spectrum.look(line.samples(from, to), usize::try_from(length).unwrap_or(1));

    // Hann's main lobe is two bins of the stretch wide on either side; beyond 3.5 what leaks is 45 dB down.
    let reach = match mirrored {
        true => 60.0,
        false => (3.5 * RATE as f64 / length as f64).max(12.0),
    };
    let (low, high) = (LOWEST, HIGHEST);
    let first = spectrum.highest(low, high, &[], 0.0);
    let second = spectrum.highest(low, high, &[first.hz], reach);
    let clipping = line.clipping(from, to);
    let least = if clipping >= CLIPPED {
        SECOND_CLIPPED
    } else {
        SECOND
    };
    let is_two = second.power >= least * first.power;
    let (made, rest, sines) = if is_two {
        let third = spectrum.highest(low, high, &[first.hz, second.hz], reach);
        let made = Made::Two(first.hz.min(second.hz), first.hz.max(second.hz));
        (
            made,
            third.power,
            spectrum.around(&[first.hz, second.hz], reach),
        )
    } else {
        let sine = spectrum.around(&[first.hz], reach);
        (Made::One(first.hz), second.power, sine)
    };
    let harmonic = [2.0, 3.0, 4.0]
        .into_iter()
        .map(|n| n * first.hz)
        .filter(|hz| *hz < high)
        .map(|hz| spectrum.highest(hz - reach, hz + reach, &[], 0.0).power)
        .fold(0.0, f64::max);
    let floor = spectrum.floor(low, high) / first.power.max(1e-30);
    let noise = floor * first.power / sines.max(1e-30) * (RATE as f64 / 2.0 / spectrum.step());
    let pace = Pace::of(line, from, to, first.hz, mirrored);
    Look {
        made,
        hz: first.hz,
        power: sines,
        rest: rest / first.power.max(1e-30),
        harmonic: harmonic / first.power.max(1e-30),
        floor,
        noise,
        clipping,
        stray: pace.stray,
        sway: pace.sway,
        jump: pace.jump,
        fall: pace.fall,
    }
}

/// How a sine goes along.
struct Pace {
    stray: f64,
    sway: f64,
    jump: f64,
    fall: f64,
}

/// Blocks in the longest stretch.
const BLOCKS: usize = (LONGEST / BLOCK) as usize + 1;

impl Pace {
    /// Beats `from..to` down by `hz` and follows amplitude and phase from block to block.
    fn of(line: &Line, from: u64, to: u64, hz: f64, mirrored: bool) -> Pace {
        let mut all = [Block::default(); BLOCKS];
        let starts = (0..)
            .map(|i| from + i * BLOCK)
            .take_while(|start| start + BLOCK <= to);
        let mut count = 0;
        for (block, start) in all.iter_mut().zip(starts) {
            let (amplitude, phase) = beat(line, start, start + BLOCK, hz);
            *block = Block {
                time: count as f64,
                amplitude,
                phase,
            };
            count += 1;
        }
        let all = all.get_mut(..count).unwrap_or_default();
        let mean = mean(all.iter().map(|block| block.amplitude));
        // A lost packet is no fault of the tone.
        let is_hole = |block: &Block| block.amplitude < 0.5 * mean;
        let holes = all.iter().filter(|block| is_hole(block)).count();
        let spared = if holes <= 2 && count >= 6 * holes {
            holes
        } else {
            0
        };
        let mut last = None;
        for block in all.iter_mut() {
            if spared > 0 && is_hole(block) {
                block.time = f64::NAN;
                continue;
            }
            let angle = if mirrored {
                2.0 * block.phase
            } else {
                block.phase
            };
            // Unwrapped: next to the last.
            block.phase = last.map_or(angle, |last: f64| {
                angle - TAU * ((angle - last) / TAU).round()
            });
            last = Some(block.phase);
        }
        let heard = || all.iter().filter(|block| !block.time.is_nan());
        if count - spared < 3 {
            return Pace {
                stray: PI,
                sway: 1.0,
                jump: 1.0,
                fall: 0.0,
            };
        }
        let level = self::mean(heard().map(|block| block.amplitude));
        let sway = self::mean(heard().map(|block| (block.amplitude - level).powi(2))).sqrt();
        let jump = heard()
            .map(|block| (block.amplitude - level).abs())
            .fold(0.0, f64::max);
        let third = (count - spared).div_ceil(3);
        let head: f64 = heard().take(third).map(|block| block.amplitude).sum();
        let tail: f64 = heard().rev().take(third).map(|block| block.amplitude).sum();
        Pace {
            stray: stray(heard()),
            sway: sway / level.max(1e-12),
            jump: jump / level.max(1e-12),
            fall: tail / head.max(1e-12),
        }
    }
}

/// A stretch of 20 ms of a sine.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// Counted in blocks; NaN if it does not count.
    time: f64,
    amplitude: f64,
    phase: f64,
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

/// RMS of what is left of the phases without the straight line through them.
fn stray<'a>(blocks: impl Iterator<Item = &'a Block> + Clone) -> f64 {
    let time = mean(blocks.clone().map(|block| block.time));
    let phase = mean(blocks.clone().map(|block| block.phase));
    let spread = mean(blocks.clone().map(|block| (block.time - time).powi(2)));
    let slope = mean(
        blocks
            .clone()
            .map(|block| (block.time - time) * (block.phase - phase)),
    ) / spread.max(1e-12);
    mean(blocks.map(|block| (block.phase - phase - slope * (block.time - time)).powi(2))).sqrt()
}

/// Amplitude and phase of the sine of `hz` in `from..to`; the phase is that of a sine that has run since position 0.
pub fn beat(line: &Line, from: u64, to: u64, hz: f64) -> (f64, f64) {
    let turn = TAU * hz / RATE as f64;
    let (step_sin, step_cos) = turn.sin_cos();
    let (mut sin, mut cos) = (turn * from as f64).rem_euclid(TAU).sin_cos();
    let (mut re, mut im) = (0.0, 0.0);
    for sample in line.samples(from, to) {
        re += sample * cos;
        im -= sample * sin;
        (sin, cos) = (
            sin * step_cos + cos * step_sin,
            cos * step_cos - sin * step_sin,
        );
    }
    let scale = 2.0 / to.saturating_sub(from).max(1) as f64;
    ((re * re + im * im).sqrt() * scale, im.atan2(re))
}

/// Of what lies besides the sine or the two: their power less 18 dB. White noise 10 dB below the tone stays below that.
const CLEAN: f64 = 0.016;
/// The same where the line is clipped: a square wave's harmonics.
const CLEAN_CLIPPED: f64 = 0.25;
/// This share of samples is clipped.
const CLIPPED: f64 = 0.05;
/// A harmonic is at most this much (-34 dB), unless the line is clipped; and noise, this many times its mean.
const HARMONIC: f64 = 0.000_4;
const CREST: f64 = 12.0;
/// What a machine's tone strays (rad), sways, jumps and falls by at most, beyond what noise makes of it.
struct Limits {
    stray: f64,
    sway: f64,
    jump: f64,
    fall: f64,
}
/// Notes that are held by a voice or on an instrument do more.
const STEADY: Limits = Limits {
    stray: 0.08,
    sway: 0.03,
    jump: 0.06,
    fall: 0.03,
};
/// Codecs of mobile networks make a tone ripple (most of all GSM's, in its first 40 ms), but give it no harmonics. Where
/// there are none above -45 dB, and a second one would be heard, it is neither a voice nor an instrument.
const RIPPLING: Limits = Limits {
    stray: 0.12,
    sway: 0.1,
    jump: 0.3,
    fall: 0.08,
};
const NO_HARMONIC: f64 = 3e-5;
/// The same for an answer tone, whose amplitude may be swayed by 20 % at 15 Hz and whose phase be reversed.
const ANSWER_STRAY: f64 = 0.3;
const ANSWER_SWAY: f64 = 0.25;
const ANSWER_FALL: f64 = 0.06;
/// Noise makes up to this many standard deviations.
const SIGMAS: f64 = 3.0;
/// What a note of a melody may have besides (-9 dB), and stray by.
const NOTE: f64 = 0.125;
const NOTE_STRAY: f64 = 0.8;

impl Look {
    /// Whether there is nothing else but noise.
    pub fn is_clean(&self) -> bool {
        let most = if self.clipping >= CLIPPED {
            CLEAN_CLIPPED
        } else {
            CLEAN
        };
        self.rest <= most
    }

    /// Whether there is one sine, as steady as machines make them.
    pub fn is_steady(&self) -> bool {
        let noise = self.jitter();
        let dull = self.clipping >= CLIPPED || self.harmonic <= HARMONIC + CREST * self.floor;
        let has_none = self.harmonic + CREST * self.floor <= NO_HARMONIC && 2.0 * self.hz < HIGHEST;
        let limits = if has_none { RIPPLING } else { STEADY };
        matches!(self.made, Made::One(_))
            && self.is_clean()
            && dull
            && self.stray <= limits.stray + noise
            && self.sway <= limits.sway + noise
            && self.jump <= limits.jump + noise
            && (self.fall - 1.0).abs() <= limits.fall + noise
    }

    /// The same for a look that is `mirrored`.
    pub fn is_steady_answer(&self) -> bool {
        let noise = self.jitter();
        matches!(self.made, Made::One(_))
            && self.is_clean()
            && self.stray <= ANSWER_STRAY + 2.0 * noise
            && self.sway <= ANSWER_SWAY + noise
            && (self.fall - 1.0).abs() <= ANSWER_FALL + noise
    }

    /// What noise makes of amplitude and phase in a block, relative to the amplitude.
    fn jitter(&self) -> f64 {
        SIGMAS * (self.noise / BLOCK as f64).sqrt()
    }

    /// Whether it may be a note of a melody: one sine, more or less.
    pub fn is_note(&self) -> bool {
        let most = if self.clipping >= CLIPPED {
            CLEAN_CLIPPED
        } else {
            NOTE
        };
        matches!(self.made, Made::One(_)) && self.rest <= most && self.stray <= NOTE_STRAY
    }
}
