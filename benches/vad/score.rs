//! What a detector made of it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gstwhisperstream::speech::{Boundary, Ear, VadSettings, VoiceDetector};

use crate::corpus::{Recording, STEP};
use crate::detectors::Make;
use crate::median::quantile;

const SECOND: f64 = 16_000.0;
/// Frames of truth, each 10 ms, around speech that are neither: a detector may start a little early and end a little late.
const EARLY: usize = 6;
const LATE: usize = 15;
/// Speech goes on above this (the threshold, less the hysteresis).
pub const THRESHOLD: f64 = 0.5;

/// Notes what a detector says.
struct Noted {
    detector: Box<dyn VoiceDetector>,
    said: Arc<Mutex<Vec<f32>>>,
}

impl VoiceDetector for Noted {
    fn frame(&self) -> usize {
        self.detector.frame()
    }

    fn probability(&mut self, frame: &[i16]) -> f32 {
        let probability = self.detector.probability(frame);
        self.said.lock().unwrap().push(probability);
        probability
    }

    fn reset(&mut self) {
        self.detector.reset();
    }
}

/// Speech as the product would tell of it: onset, when that was known, end; in samples.
pub struct Stretch {
    pub onset: u64,
    pub known: u64,
    pub end: u64,
}

pub struct Heard {
    frame: usize,
    pub probabilities: Vec<f32>,
    pub stretches: Vec<Stretch>,
    samples: usize,
}

impl Heard {
    pub fn of(make: Make, samples: &[i16]) -> Heard {
        let detector = make();
        let frame = detector.frame();
        let said = Arc::new(Mutex::new(Vec::new()));
        let noted = Noted {
            detector,
            said: said.clone(),
        };
        let mut ear = Ear::with(Box::new(noted), VadSettings::default(), 0);
        let mut detections = Vec::new();
        ear.hear(samples, |frame| {
            detections.extend(frame.detection);
            ControlFlow::Continue(())
        });
        detections.extend(ear.finish(samples.len() as u64));
        let mut stretches: Vec<Stretch> = Vec::new();
        for detection in detections {
            match (detection.boundary, stretches.last_mut()) {
                (Boundary::Start { onset, .. }, _) => stretches.push(Stretch {
                    onset,
                    known: detection.at,
                    end: u64::MAX,
                }),
                (Boundary::End { end, .. }, Some(last)) => last.end = end,
                (Boundary::End { .. }, None) => unreachable!("an end without a start"),
            }
        }
        let probabilities = std::mem::take(&mut *said.lock().unwrap());
        Heard {
            frame,
            probabilities,
            stretches,
            samples: samples.len(),
        }
    }

    pub fn starts_in_10_min(&self) -> f64 {
        self.stretches.len() as f64 * 600.0 * SECOND / self.samples as f64
    }

    pub fn speech_share(&self) -> f64 {
        let lengths = self
            .stretches
            .iter()
            .map(|s| s.end.min(self.samples as u64) - s.onset);
        100.0 * lengths.sum::<u64>() as f64 / self.samples as f64
    }

    /// What was known of the frame of truth at its end.
    fn at(&self, n: usize) -> f32 {
        let whole = (n + 1) * STEP / self.frame;
        whole
            .checked_sub(1)
            .and_then(|n| self.probabilities.get(n))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Frames of speech, and of what is none, with their probabilities.
#[derive(Default)]
pub struct Curve {
    pub speech: Vec<f32>,
    pub no_speech: Vec<f32>,
}

impl Curve {
    fn add(&mut self, heard: &Heard, truth: &[bool]) {
        for (n, is_speech) in truth.iter().enumerate() {
            let around = &truth[n.saturating_sub(LATE)..(n + EARLY).min(truth.len())];
            if *is_speech {
                self.speech.push(heard.at(n));
            } else if !around.contains(&true) {
                self.no_speech.push(heard.at(n));
            }
        }
    }

    /// Shares above `threshold`, in %.
    pub fn at(&self, threshold: f64) -> (f64, f64) {
        let share = |of: &[f32]| {
            let above = of.iter().filter(|p| f64::from(**p) >= threshold).count();
            100.0 * above as f64 / of.len().max(1) as f64
        };
        (share(&self.speech), share(&self.no_speech))
    }
}

pub struct Spoken {
    pub curve: Curve,
    pub utterances: usize,
    pub missed: usize,
    pub start_ms: f64,
    pub start_p95_ms: f64,
}

impl Spoken {
    pub fn of(make: Make, recordings: &[Recording]) -> Spoken {
        let mut curve = Curve::default();
        let (mut utterances, mut missed) = (0, 0);
        let mut starts = Vec::new();
        for recording in recordings {
            let heard = Heard::of(make, &recording.samples);
            curve.add(&heard, &recording.truth);
            for (from, to) in recording.utterances() {
                let (from, to) = ((from * STEP) as u64, (to * STEP) as u64);
                utterances += 1;
                let first = heard
                    .stretches
                    .iter()
                    .find(|s| s.onset < to && s.end > from);
                match first {
                    None => missed += 1,
                    // One that goes on since the utterance before has no start here.
                    Some(stretch) if stretch.known + 8_000 > from => {
                        starts.push((stretch.known as f64 - from as f64) / 16.0);
                    }
                    Some(_) => {}
                }
            }
        }
        Spoken {
            curve,
            utterances,
            missed,
            start_ms: quantile(starts.iter().copied(), 0.5),
            start_p95_ms: quantile(starts, 0.95),
        }
    }
}

/// Milliseconds of processor time for a second of audio: this process does nothing else.
pub fn cost<'a>(make: Make, audio: impl Iterator<Item = &'a [i16]>) -> f64 {
    let (mut seconds, mut spent) = (0.0, 0.0);
    for samples in audio {
        let mut detector = make();
        let started = Instant::now();
        for frame in samples.chunks_exact(detector.frame()) {
            std::hint::black_box(detector.probability(frame));
        }
        spent += started.elapsed().as_secs_f64();
        seconds += samples.len() as f64 / SECOND;
    }
    1_000.0 * spent / seconds
}
