//! From the probability of voice, frame by frame, to where speech starts and ends.

use serde::{Deserialize, Serialize};

use super::Samples;

/// Voice must be this much less likely than at the start of speech for its end.
const HYSTERESIS: f32 = 0.15;
/// A first consonant, not sure enough by itself, is part of the speech that follows; no longer than this.
const LEAD_IN: Samples = 250 * MS;
/// Samples of a millisecond.
const MS: Samples = 16;

/// What counts as speech.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadSettings {
    /// Speech starts in a frame that holds voice with this probability, and goes on while it is 0.15 less.
    pub threshold: f64,
    /// Voice shorter than this is no speech, in ms. It may have breaks, as long together.
    pub min_speech_ms: u32,
    /// A pause shorter than this is part of the speech, in ms.
    pub min_silence_ms: u32,
}

impl Default for VadSettings {
    fn default() -> Self {
        VadSettings {
            threshold: 0.5,
            min_speech_ms: 100,
            min_silence_ms: 500,
        }
    }
}

/// A setting that makes no sense: a whole sentence with value, reason and remedy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VadError {
    #[error(
        "vad-threshold is {0}; it is a probability, above 0.15 (so that speech can end) and below 1; the usual value is 0.5"
    )]
    Threshold(f64),
    #[error(
        "vad-min-speech is {0} ms; it must lie between 16 ms, one frame of the detector, and 5000 ms; the usual value is 100"
    )]
    MinSpeech(u32),
    #[error(
        "vad-min-silence is {0} ms; it must lie between 50 ms (a word has pauses nearly that long) and 10000 ms; the usual value is 500"
    )]
    MinSilence(u32),
}

impl VadSettings {
    /// Refuses the first value that makes no sense.
    pub fn check(&self) -> Result<(), VadError> {
        let threshold = self.threshold;
        if !(threshold > f64::from(HYSTERESIS) && threshold < 1.0) {
            return Err(VadError::Threshold(threshold));
        }
        if !(16..=5_000).contains(&self.min_speech_ms) {
            return Err(VadError::MinSpeech(self.min_speech_ms));
        }
        if !(50..=10_000).contains(&self.min_silence_ms) {
            return Err(VadError::MinSilence(self.min_silence_ms));
        }
        Ok(())
    }
}

/// Speech starts or ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Boundary {
    Start {
        /// Where the first frame of voice begins.
        onset: Samples,
        /// Mean probability of the frames since then.
        probability: f32,
    },
    End {
        onset: Samples,
        /// Behind the last frame of voice.
        end: Samples,
    },
}

/// Hysteresis, least speech and least silence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpointer {
    threshold: f32,
    min_speech: Samples,
    min_silence: Samples,
    state: State,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum State {
    Silence {
        /// Where sound began that may be voice's beginning: not sure enough to start, but to go on.
        maybe: Option<Samples>,
    },
    /// Voice, but not long enough yet.
    Perhaps {
        onset: Samples,
        /// Samples that hold voice, and that do not.
        voiced: Samples,
        silent: Samples,
        /// Of the frames so far: their probabilities' sum, and how many they are.
        sum: f32,
        frames: u32,
    },
    Speech {
        onset: Samples,
        /// Behind the last frame of voice.
        last: Samples,
        /// Samples that hold voice, pauses left out.
        voiced: Samples,
    },
}

impl Endpointer {
    pub fn new(settings: &VadSettings) -> Endpointer {
        Endpointer {
            threshold: settings.threshold as f32,
            min_speech: Samples::from(settings.min_speech_ms) * MS,
            min_silence: Samples::from(settings.min_silence_ms) * MS,
            state: State::Silence { maybe: None },
        }
    }

    /// Takes in the frame from `start` to `end` that holds voice with `probability`; the boundary it made certain, if
    /// any. Times of boundaries are known a little (least speech, least silence) after they were.
    pub fn frame(&mut self, start: Samples, end: Samples, probability: f32) -> Option<Boundary> {
        let goes_on = probability >= self.threshold - HYSTERESIS;
        match &mut self.state {
            State::Silence { maybe } if probability >= self.threshold => {
                let onset = maybe.unwrap_or(start);
                self.state = State::Perhaps {
                    onset: onset.max(start.saturating_sub(LEAD_IN)),
                    voiced: 0,
                    silent: 0,
                    sum: 0.0,
                    frames: 0,
                };
                self.perhaps(start, end, probability)
            }
            State::Silence { maybe } => {
                *maybe = goes_on.then(|| maybe.unwrap_or(start));
                None
            }
            State::Perhaps { .. } => self.perhaps(start, end, probability),
            State::Speech { last, voiced, .. } if goes_on => {
                *voiced += end.saturating_sub(start);
                *last = end;
                None
            }
            State::Speech { last, .. } if end.saturating_sub(*last) >= self.min_silence => {
                self.finish()
            }
            State::Speech { .. } => None,
        }
    }

    fn perhaps(&mut self, start: Samples, end: Samples, probability: f32) -> Option<Boundary> {
        let State::Perhaps {
            onset,
            voiced,
            silent,
            sum,
            frames,
        } = &mut self.state
        else {
            return None;
        };
        *sum += probability;
        *frames += 1;
        if probability < self.threshold - HYSTERESIS {
            *silent += end.saturating_sub(start);
            if *silent > self.min_speech {
                self.state = State::Silence { maybe: None };
            }
            return None;
        }
        *voiced += end.saturating_sub(start);
        if *voiced < self.min_speech {
            return None;
        }
        let (onset, voiced) = (*onset, *voiced);
        let probability = *sum / *frames as f32;
        let last = end;
        self.state = State::Speech {
            onset,
            last,
            voiced,
        };
        Some(Boundary::Start { onset, probability })
    }

    /// The stream ends or breaks off: so does the speech.
    pub fn finish(&mut self) -> Option<Boundary> {
        match std::mem::replace(&mut self.state, State::Silence { maybe: None }) {
            State::Speech { onset, last, .. } => Some(Boundary::End { onset, end: last }),
            _ => None,
        }
    }

    /// Samples of voice in the running speech; `None` in silence. Pauses are not counted.
    pub fn speech(&self) -> Option<Samples> {
        match self.state {
            State::Speech { voiced, .. } => Some(voiced),
            _ => None,
        }
    }

    /// Whether the frame that ends at `end`, the last one, holds voice of the running speech.
    pub fn is_voice(&self, end: Samples) -> bool {
        matches!(self.state, State::Speech { last, .. } if last == end)
    }

    /// Where the running speech began.
    pub fn onset(&self) -> Option<Samples> {
        match self.state {
            State::Speech { onset, .. } => Some(onset),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Samples = 256;

    /// Boundaries of `frames` of (count, probability), with the end of the frame that decided each.
    fn boundaries(settings: VadSettings, frames: &[(usize, f32)]) -> Vec<(Samples, Boundary)> {
        let mut endpointer = Endpointer::new(&settings);
        let mut at = 0;
        let mut found = Vec::new();
        for &(count, probability) in frames {
            for _ in 0..count {
                let boundary = endpointer.frame(at, at + FRAME, probability);
                at += FRAME;
                found.extend(boundary.map(|boundary| (at, boundary)));
            }
        }
        found
    }

    fn onsets(frames: &[(usize, f32)]) -> Vec<Samples> {
        boundaries(VadSettings::default(), frames)
            .into_iter()
            .filter_map(|(_, boundary)| match boundary {
                Boundary::Start { onset, .. } => Some(onset),
                Boundary::End { .. } => None,
            })
            .collect()
    }

    #[test]
    fn speech_starts_where_the_voice_did_and_ends_where_it_did() {
        let found = boundaries(
            VadSettings::default(),
            &[(10, 0.1), (50, 0.9), (40, 0.1), (50, 0.1)],
        );
        let [(at, start), (until, end)] = found[..] else {
            panic!("{found:?}");
        };
        let onset = 10 * FRAME;
        assert!(
            matches!(start, Boundary::Start { onset: o, probability } if o == onset && probability > 0.89)
        );
        assert!(at - onset <= 1600 + FRAME, "known after {}", at - onset);
        let last = 60 * FRAME;
        assert_eq!(end, Boundary::End { onset, end: last });
        assert!((8000..8000 + FRAME).contains(&(until - last)));
    }

    #[test]
    fn a_click_is_no_speech() {
        assert!(onsets(&[(10, 0.0), (5, 1.0), (100, 0.0)]).is_empty());
    }

    #[test]
    fn a_voice_that_breaks_off_for_a_moment_is_one() {
        assert_eq!(
            onsets(&[(10, 0.0), (4, 0.9), (3, 0.1), (4, 0.9)]),
            [10 * FRAME]
        );
        assert!(onsets(&[(10, 0.0), (4, 0.9), (8, 0.1), (4, 0.9), (9, 0.1)]).is_empty());
    }

    #[test]
    fn a_first_consonant_belongs_to_the_speech_that_follows() {
        assert_eq!(
            onsets(&[(10, 0.0), (8, 0.4), (20, 0.9), (40, 0.0)]),
            [10 * FRAME]
        );
        // But not whatever went on in front of it.
        let [onset] = onsets(&[(100, 0.4), (20, 0.9)])[..] else {
            panic!("one start");
        };
        assert!((80 * FRAME..90 * FRAME).contains(&onset), "{onset}");
        assert_eq!(onsets(&[(8, 0.4), (2, 0.0), (20, 0.9)]), [10 * FRAME]);
    }

    #[test]
    fn a_pause_within_speech_does_not_end_it() {
        let found = boundaries(
            VadSettings::default(),
            &[(20, 0.9), (30, 0.0), (20, 0.9), (20, 0.0)],
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn once_started_a_softer_voice_carries_on() {
        assert!(onsets(&[(20, 0.45)]).is_empty());
        let found = boundaries(VadSettings::default(), &[(10, 0.6), (100, 0.4)]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn speech_so_far_leaves_the_last_pause_out() {
        let mut endpointer = Endpointer::new(&VadSettings::default());
        for n in 0..30 {
            endpointer.frame(n * FRAME, (n + 1) * FRAME, if n < 20 { 0.9 } else { 0.0 });
        }
        assert_eq!(endpointer.speech(), Some(20 * FRAME));
        assert!(endpointer.finish().is_some());
        assert_eq!(endpointer.speech(), None);
    }

    #[test]
    fn settings_out_of_range_are_refused_with_the_value() {
        let with = |change: fn(&mut VadSettings)| {
            let mut settings = VadSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(with(|s| s.threshold = f64::NAN).contains("NaN"));
        assert!(with(|s| s.threshold = 0.1).contains("0.1"));
        assert!(with(|s| s.threshold = 1.0).contains("vad-threshold is 1"));
        assert!(with(|s| s.min_speech_ms = 0).contains("0 ms"));
        assert!(with(|s| s.min_silence_ms = 20_000).contains("20000 ms"));
    }
}
