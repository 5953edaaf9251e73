//! One pass: a state machine that asks the network for rows and decides token by token (docs/policy.md).

mod beam;
mod decode;
mod decoded;
mod fallback;
mod language;
mod prompt;
mod search;
mod start;
mod tail;

use serde::Serialize;

use super::alignment::Alignment;
use super::context::Context;
use super::{Guards, Samples};
use crate::whisper::{FRAME, Step, WINDOW_FRAMES, Window};
use beam::Beam;
pub use decoded::Decoded;
use fallback::Attempt;
pub(super) use language::LanguageState;
pub(super) use prompt::HEADROOM;
pub(super) use start::Start;

/// What a running pass wants next from the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Run these tokens on a decoder of their own (language detection), then answer with [`Pass::answer`].
    Alone { tokens: Vec<u32> },
    /// Run these tokens on the pass's decoder; `probe_row` as in [`crate::whisper::Decoder::step`].
    Step {
        tokens: Vec<u32>,
        probe_row: Option<usize>,
    },
    /// Run one token on each lane of the pass's decoder, as [`crate::whisper::Turn`] has it.
    Beam {
        parents: Vec<usize>,
        tokens: Vec<u32>,
    },
    /// Encode [`Pass::window`] anew (it has grown), with a new decoder; then ask for [`Pass::first`].
    Encode,
    /// Take a new decoder on the same window; then ask for [`Pass::first`].
    Again,
    /// Nothing more: give the pass to [`super::Policy::commit`].
    Done,
}

/// Replaces choices that rounding could have made otherwise: for comparing with a recorded trace, step by step.
pub trait Referee: Send {
    /// The frame to go on with; `row` is the filtered row whose argmax is `ours`.
    fn frame(&mut self, step: usize, ours: usize, row: &[f64]) -> usize;
    /// The token to go on with; `gap` is how far the runner-up lies behind.
    fn token(&mut self, step: usize, ours: u32, gap: f32) -> u32;
}

/// Why decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// The network said that the text ends.
    EndOfText,
    /// The attention reached the end of the audio: the newest token is not believed.
    AudioEnd,
    /// The attention jumped back: the pass is discarded.
    Rewind,
    /// No text position is left.
    Full,
    /// No speech, by the network's own probability.
    NoSpeech,
    /// More tokens than anyone can say in the time.
    TooFast,
    /// The text runs in a loop.
    Loop,
    /// The language is not known well enough yet.
    LanguageUnsure,
}

enum Stage {
    Language,
    Prompt,
    Decode,
    Tail,
    Done,
}

/// A pass under way. Dropping it undoes it.
pub struct Pass {
    pub(super) from: Start,
    /// Frames of the window to encode.
    frames: usize,
    pub(super) context: Context,
    pub(super) language: LanguageState,
    pub(super) last_frame: i32,
    pub(super) prompt: Vec<u32>,
    pub(super) steps: Vec<Decoded>,
    /// How many of `steps` are decided.
    pub(super) kept: usize,
    pub(super) stop: Option<Stop>,
    /// The audio ends within a word, by the weights that came with the first step.
    pub(super) cuts_word: bool,
    pub(super) tail: Vec<Decoded>,
    pub(super) guards: Guards,
    referee: Option<Box<dyn Referee>>,
    stage: Stage,
    alignment: Alignment,
    beam: Option<Beam>,
    /// The decoder's lane that the best hypothesis goes on with.
    lane: Option<usize>,
    /// At which tokens are sampled; 0: the best is taken.
    temperature: f32,
    /// The best of the attempts that failed.
    failed: Option<Attempt>,
}

impl Pass {
    pub(super) fn new(from: Start) -> Pass {
        let frames = from.frames();
        Pass::over(from, frames)
    }

    fn over(from: Start, frames: usize) -> Pass {
        Pass {
            frames,
            context: from.context.clone(),
            language: from.language,
            last_frame: from.last_frame,
            prompt: Vec::new(),
            steps: Vec::new(),
            kept: 0,
            stop: None,
            cuts_word: false,
            tail: Vec::new(),
            guards: Guards::default(),
            referee: None,
            stage: Stage::Prompt,
            alignment: Alignment::default(),
            beam: None,
            lane: None,
            temperature: 0.0,
            failed: None,
            from,
        }
    }

    /// The encoder's input.
    pub fn window(&self) -> Window<'_> {
        Window {
            mel: &self.from.mel,
            frames: self.frames,
        }
    }

    /// Lets `referee` settle ties.
    pub fn with_referee(mut self, referee: Box<dyn Referee>) -> Pass {
        self.referee = Some(referee);
        self
    }

    /// Frames attended so far, a step each, dropped steps included.
    pub fn frames(&self) -> impl Iterator<Item = i32> + '_ {
        self.steps.iter().map(|s| s.frame)
    }

    /// Tokens decided so far in this pass.
    pub fn decided(&self) -> Vec<u32> {
        self.steps.iter().take(self.kept).map(|s| s.id).collect()
    }

    /// Why decoding stopped; `None` while it runs.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// What to run first.
    pub fn first(&mut self) -> Ask {
        if self.language.detect {
            self.stage = Stage::Language;
            return Ask::Alone {
                tokens: vec![self.from.shared.specials.sot],
            };
        }
        self.ask_prompt()
    }

    /// Hands back what the last ask brought; returns the next.
    pub fn answer(&mut self, step: Step) -> Ask {
        match self.stage {
            Stage::Language => {
                self.detect_language(&step.logits);
                if self.stop.is_some() {
                    self.stage = Stage::Done;
                    return Ask::Done;
                }
                self.ask_prompt()
            }
            Stage::Prompt | Stage::Decode => self.decode(step),
            Stage::Tail => self.decode_tail(step),
            Stage::Done => Ask::Done,
        }
    }

    fn finish(&mut self, stop: Stop) -> Ask {
        if matches!(stop, Stop::Rewind | Stop::TooFast | Stop::Loop) && self.frames < WINDOW_FRAMES
        {
            // So few frames led the network astray.
            let referee = self.referee.take();
            *self = Pass::over(self.from.clone(), WINDOW_FRAMES);
            self.referee = referee;
            self.guards.repeated = 1;
            return Ask::Encode;
        }
        let stop = match self.fall_back(stop) {
            Ok(stop) => stop,
            Err(again) => return again,
        };
        self.stop = Some(stop);
        self.stage = Stage::Done;
        let tail =
            self.from.shared.settings.interim && stop == Stop::AudioEnd && !self.from.is_last;
        if !tail {
            return Ask::Done;
        }
        let undecided = self.steps.get(self.kept..).unwrap_or_default();
        self.tail.extend(undecided);
        let eot = self.from.shared.specials.eot;
        if self.tail.pop_if(|newest| newest.id == eot).is_some() {
            return Ask::Done;
        }
        match self.tail.last().map(|newest| newest.id) {
            Some(newest) => {
                self.stage = Stage::Tail;
                self.ask_tail(newest)
            }
            None => Ask::Done,
        }
    }

    /// What was decoded behind the decided tokens, if anything was.
    pub(super) fn next_decoded(&self) -> Option<&Decoded> {
        self.steps.get(self.kept)
    }

    /// Stream position of a frame of the window.
    pub(super) fn position(&self, frame: f32) -> Samples {
        self.from.base + (frame.max(0.0) * FRAME as f32) as Samples
    }
}
