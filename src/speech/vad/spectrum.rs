//! What of the spectrum stands still, whether it is a tone, and whether it has a pitch.

use std::collections::VecDeque;
use std::f32::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};

use crate::whisper::SAMPLE_RATE;

/// Samples of a window (64 ms); bins are 16 Hz apart.
const WINDOW: usize = 1024;
/// Bins where lines are looked for, 500 to 3500 Hz: lower down, a voice's own harmonics are as steady as a note.
const LINES: Range<usize> = 32..225;
/// A line stands out of this many bins on either side...
const NEIGHBOURS: usize = 10;
/// ...by this much...
const LINE_DB: f32 = 3.0;
/// ...and is at most this far below the strongest.
const WEAKEST_LINE_DB: f32 = 40.0;
/// Below this (power of a window of full-scale samples) nothing is a line.
const FAINT_DB: f32 = -40.0;
/// A line that has stood for so many frames (160 ms) is a note's: a voice's harmonics have moved on.
const STILL_FRAMES: u16 = 10;
/// A line that stands for so long (3 s) belongs to the place: a fan's, the mains'. It tells nothing of what else is heard.
const ENDLESS_FRAMES: u16 = 188;
/// Frames that lines are judged over (0.8 s).
const JUDGED_FRAMES: usize = 48;

/// Bins of tones, 94 Hz and higher.
const TONES: Range<usize> = 6..510;
/// Bins that a tone's peak leaks into, on either side. Two tones closer than that are one, and beat.
const LEAK: usize = 4;
/// A tone has this much of the power, in one or two lines...
const TONE_SHARE: f32 = 0.93;
/// ...that move by less than this many bins (3 Hz)...
const TONE_DRIFT: f32 = 0.2;
/// ...for so many frames.
const TONE_FRAMES: u16 = 3;
/// And it rings on in the window.
const TONE_TAIL: u16 = 6;
/// A second line weaker than this share of the first is none.
const SECOND_LINE: f32 = 0.05;

/// Pitch periods of voices, in samples: 400 to 62 Hz.
const PERIODS: Range<usize> = (SAMPLE_RATE / 400)..(SAMPLE_RATE / 62);
/// Hum of the mains and rumble are not asked for their pitch: bins (8 Hz apart here) below 55 Hz.
const HUM: usize = 7;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Share of the lines that have stood still, over the last 0.8 s.
    pub still: f32,
    /// One or two steady lines and nothing else.
    pub is_tone: bool,
    /// For so many frames.
    pub tone_frames: u16,
    /// How much the window resembles itself one pitch period later, 0 to 1.
    pub periodicity: f32,
}

/// How long a bin has held a line; one frame's absence is forgiven.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Line {
    frames: u16,
    is_missing: bool,
}

/// What is remembered from frame to frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The last samples of a window, the oldest first.
    window: VecDeque<f32>,
    /// Frames since anything but digital silence was heard.
    silent: usize,
    lines: Vec<Line>,
    still: VecDeque<f32>,
    /// The two strongest lines of the frame before, in bins.
    tones: [f32; 2],
    tone_frames: u16,
    since_tone: u16,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            window: VecDeque::from(vec![0.0; WINDOW]),
            silent: usize::MAX,
            lines: vec![Line::default(); LINES.len()],
            still: VecDeque::from(vec![0.0; JUDGED_FRAMES]),
            tones: [0.0; 2],
            tone_frames: 0,
            since_tone: u16::MAX,
        }
    }
}

impl Memory {
    /// Whether it could be one's own.
    pub fn is_whole(&self) -> bool {
        (self.window.len(), self.lines.len(), self.still.len())
            == (WINDOW, LINES.len(), JUDGED_FRAMES)
    }
}

pub(super) struct Spectrum {
    pub memory: Memory,
    hop: usize,
    hann: Vec<f32>,
    /// What the window makes of the autocorrelation, by lag.
    hann_correlation: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    backward: Arc<dyn ComplexToReal<f32>>,
}

impl Spectrum {
    /// For frames of `hop` samples.
    pub fn new(hop: usize) -> Spectrum {
        let mut planner = RealFftPlanner::new();
        let hann: Vec<f32> = (0..WINDOW)
            .map(|i| 0.5 - 0.5 * (TAU * i as f32 / WINDOW as f32).cos())
            .collect();
        let overlap = |lag: usize| hann.iter().zip(hann.iter().skip(lag)).map(|(a, b)| a * b);
        Spectrum {
            memory: Memory::default(),
            hop,
            hann_correlation: (0..PERIODS.end).map(|lag| overlap(lag).sum()).collect(),
            // Twice the window, so that the autocorrelation does not wrap around.
            forward: planner.plan_fft_forward(2 * WINDOW),
            backward: planner.plan_fft_inverse(2 * WINDOW),
            hann,
        }
    }

    pub fn frame(&mut self, samples: &[f32]) -> Seen {
        self.memory.window.drain(..samples.len().min(WINDOW));
        self.memory.window.extend(samples.iter().take(WINDOW));
        let is_silent = samples.iter().all(|x| x.abs() < 1e-6);
        self.memory.silent = if is_silent {
            self.memory.silent.saturating_add(1)
        } else {
            0
        };
        let seen = if self.memory.silent > WINDOW / self.hop.max(1) {
            None
        } else {
            self.transform()
        };
        let Some((power, periodicity)) = seen else {
            self.memory.lines.fill(Line::default());
            self.remember(0.0);
            self.memory.tone_frames = 0;
            self.memory.since_tone = self.memory.since_tone.saturating_add(1);
            return Seen {
                still: self.mean_still(),
                ..Seen::default()
            };
        };
        let still = self.follow_lines(&power);
        self.remember(still);
        self.follow_tones(&power);
        Seen {
            still: self.mean_still(),
            is_tone: self.memory.since_tone < TONE_TAIL,
            tone_frames: self.memory.tone_frames,
            periodicity,
        }
    }

    /// Power by bins of 16 Hz, and how periodic the window is.
    fn transform(&self) -> Option<(Vec<f32>, f32)> {
        let windowed = self
            .memory
            .window
            .iter()
            .zip(&self.hann)
            .map(|(x, w)| x * w);
        let mut input: Vec<f32> = windowed.collect();
        input.resize(2 * WINDOW, 0.0);
        let mut spectrum = self.forward.make_output_vec();
        self.forward.process(&mut input, &mut spectrum).ok()?;
        let powers = spectrum.iter().map(Complex::norm_sqr);
        let power = powers.clone().step_by(2).collect();
        let without_hum = |(k, power)| Complex::new(if k < HUM { 0.0 } else { power }, 0.0);
        let mut squares: Vec<Complex<f32>> = powers.enumerate().map(without_hum).collect();
        let mut correlation = self.backward.make_output_vec();
        self.backward.process(&mut squares, &mut correlation).ok()?;
        let mut by_lag = correlation
            .iter()
            .zip(&self.hann_correlation)
            .map(|(c, h)| c / h);
        let whole = by_lag.next().filter(|whole| *whole > 0.0)?;
        let periodicity = by_lag.skip(PERIODS.start - 1).fold(0.0, f32::max) / whole;
        Some((power, periodicity))
    }

    /// Share of the lines of this frame that have stood for long.
    fn follow_lines(&mut self, power: &[f32]) -> f32 {
        let db: Vec<f32> = power.iter().map(|p| 10.0 * (p + 1e-9).log10()).collect();
        let around = db.get(LINES.start - NEIGHBOURS..LINES.end + NEIGHBOURS);
        let around = around.unwrap_or_default();
        let top = around.iter().copied().fold(f32::MIN, f32::max);
        let (mut all, mut still) = (0.0, 0.0);
        for (neighbours, line) in around
            .windows(2 * NEIGHBOURS + 1)
            .zip(&mut self.memory.lines)
        {
            let level = neighbours.get(NEIGHBOURS).copied().unwrap_or(f32::MIN);
            let above = level - neighbours.iter().sum::<f32>() / neighbours.len() as f32;
            if above > LINE_DB && level > (top - WEAKEST_LINE_DB).max(FAINT_DB) {
                line.frames = line.frames.saturating_add(1);
                line.is_missing = false;
                if line.frames > ENDLESS_FRAMES {
                    continue;
                }
                all += above;
                if line.frames >= STILL_FRAMES {
                    still += above;
                }
            } else if line.frames > 0 && !line.is_missing {
                line.is_missing = true;
            } else {
                *line = Line::default();
            }
        }
        if all > 0.0 { still / all } else { 0.0 }
    }

    fn remember(&mut self, still: f32) {
        self.memory.still.pop_front();
        self.memory.still.push_back(still);
    }

    fn mean_still(&self) -> f32 {
        self.memory.still.iter().sum::<f32>() / JUDGED_FRAMES as f32
    }

    fn follow_tones(&mut self, power: &[f32]) {
        let whole: f32 = power.iter().skip(TONES.start).sum();
        let first = strongest(power, None);
        let second = strongest(power, Some(first));
        let (one, mut two) = (around(power, first), around(power, second));
        // What lies between two that are near belongs to the first.
        let overlap = (2 * LEAK + 1).saturating_sub(first.abs_diff(second));
        if overlap > 0 {
            let from = first.max(second).saturating_sub(LEAK);
            two -= power.iter().skip(from).take(overlap).sum::<f32>();
        }
        let mut tones = [exact(power, first), exact(power, second)];
        if two < SECOND_LINE * one {
            tones = [tones[0]; 2];
        }
        tones.sort_by(f32::total_cmp);
        let pairs = tones.iter().zip(&self.memory.tones);
        let is_steady = pairs.into_iter().all(|(a, b)| (a - b).abs() < TONE_DRIFT);
        self.memory.tones = tones;
        self.memory.tone_frames = if is_steady && one + two > TONE_SHARE * whole {
            self.memory.tone_frames.saturating_add(1)
        } else {
            0
        };
        self.memory.since_tone = if self.memory.tone_frames >= TONE_FRAMES {
            0
        } else {
            self.memory.since_tone.saturating_add(1)
        };
    }
}

/// The strongest bin that is none of `other`'s.
fn strongest(power: &[f32], other: Option<usize>) -> usize {
    let bins = power.iter().enumerate().take(TONES.end).skip(TONES.start);
    bins.filter(|(k, _)| other.is_none_or(|other| other.abs_diff(*k) > LEAK))
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(TONES.start, |(k, _)| k)
}

/// Power of the peak at bin `k`.
fn around(power: &[f32], k: usize) -> f32 {
    power
        .iter()
        .skip(k.saturating_sub(LEAK))
        .take(2 * LEAK + 1)
        .sum()
}

/// Where between the bins the middle of the peak at `k` lies.
fn exact(power: &[f32], k: usize) -> f32 {
    let first = k.saturating_sub(LEAK);
    let bins = power.iter().skip(first).take(2 * LEAK + 1);
    let moment: f32 = bins.enumerate().map(|(n, p)| n as f32 * p).sum();
    first as f32 + moment / around(power, k).max(1e-9)
}
