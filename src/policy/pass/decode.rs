//! Token by token: which one comes next, where it attends, and whether it is believed.

use std::sync::Arc;

use super::{Ask, Decoded, Pass, Stage, Stop};
use crate::policy::alignment::{Mass, argmax};
use crate::policy::guards;
use crate::policy::logits::{Choice, choose, probability, sample};
use crate::policy::word_end::ends_with_word;
use crate::whisper::Step;

/// Threshold, in frames, of a last pass: nothing more comes, so nearly all is believed.
const LAST_THRESHOLD: i32 = 4;
/// Added to the deviation so that a constant column gives 0.
const EPSILON: f64 = 1e-8;
/// The first special token in every multilingual vocabulary. The reference uses this number for every model, `.en` too.
const FIRST_SPECIAL: u32 = 50257;

/// What a pass believes of where tokens attend.
#[derive(Clone, Copy, Debug)]
pub struct Belief {
    /// A token that attends at this frame or behind it is not believed.
    pub end: i32,
    /// A jump back by more frames than this is a fault.
    rewind: i32,
}

impl Belief {
    /// Whether the attention jumps back from `last` to `frame` though it had no reason to: behind a special token it may
    /// be anywhere.
    pub fn jumps(&self, last: i32, frame: i32, before: u32) -> bool {
        last.saturating_sub(frame) > self.rewind && before < FIRST_SPECIAL
    }
}

impl Pass {
    pub(super) fn decode(&mut self, step: Step) -> Ask {
        let first = matches!(self.stage, Stage::Prompt);
        self.stage = Stage::Decode;
        let shared = Arc::clone(&self.from.shared);
        let compat = shared.settings.is_compat();
        if let Some(weights) = &step.word_weights {
            let held = weights.get(..self.from.content);
            self.cuts_word = !ends_with_word(held.unwrap_or(weights));
        }
        if first && !compat {
            let silent = step
                .probe_logits
                .as_deref()
                .map_or(0.0, |row| probability(row, shared.specials.no_speech));
            if silent > guards::NO_SPEECH {
                self.guards.no_speech += 1;
                return self.finish(Stop::NoSpeech);
            }
        }
        // Whoever hears the same again and again may find nothing in it.
        let must_speak =
            compat || (self.from.forced.is_empty() && shared.settings.attention_decides());
        let also = match (first, must_speak) {
            (true, true) => shared.blank_and_end.as_slice(),
            (true, false) => shared.blank.as_slice(),
            (false, _) => &[],
        };
        if shared.settings.beams > 1 && self.temperature == 0.0 {
            return self.decode_beam(&step, also);
        }
        let (choice, decoded) = self.next(&step, also);
        let before = self
            .steps
            .last()
            .map(|s| s.id)
            .or(self.prompt.last().copied())
            .unwrap_or_default();
        self.steps.push(decoded);
        if choice.token == shared.specials.eot {
            return self.finish(Stop::EndOfText);
        }
        let belief = self.belief();
        if belief.jumps(self.last_frame, decoded.frame, before) {
            return self.discard();
        }
        self.last_frame = decoded.frame;
        if decoded.frame >= belief.end {
            return self.finish(Stop::AudioEnd);
        }
        self.kept = self.steps.len();
        match self.brake() {
            Some(stop) => self.finish(stop),
            None => Ask::Step {
                tokens: vec![choice.token],
                probe_row: None,
            },
        }
    }

    /// Chooses the next token from a step's last row and looks at where it attends.
    fn next(&mut self, step: &Step, also_suppressed: &[u32]) -> (Choice, Decoded) {
        let compat = self.from.shared.settings.is_compat();
        let (logits, suppressed) = (&step.logits, &self.from.shared.suppressed);
        let mut choice = match self.temperature > 0.0 {
            true => sample(
                logits,
                suppressed,
                also_suppressed,
                self.temperature,
                self.chance(),
            ),
            false => choose(logits, suppressed, also_suppressed),
        };
        self.alignment.push(&step.alignment);
        let row = self.alignment.filtered(self.from.content, self.epsilon());
        let mut frame = argmax(&row);
        let at = self.steps.len();
        if let Some(referee) = &mut self.referee {
            choice.token = referee.token(at, choice.token, choice.gap);
            frame = referee.frame(at, frame, &row);
        }
        let mass = if compat {
            Mass::default()
        } else {
            self.alignment.mass(self.from.content)
        };
        (
            choice,
            Decoded {
                id: choice.token,
                frame: frame as i32,
                mass,
                logprob: choice.logprob,
            },
        )
    }

    /// A constant column is NaN in the reference.
    pub(super) fn epsilon(&self) -> f64 {
        match self.from.shared.settings.is_compat() {
            true => 0.0,
            false => EPSILON,
        }
    }

    pub(super) fn belief(&self) -> Belief {
        let settings = &self.from.shared.settings;
        let content = self.from.content as i32;
        let (threshold, rewind) = match self.from.is_last {
            true => (LAST_THRESHOLD, i32::MAX),
            false => (
                settings.frame_threshold as i32,
                settings.rewind_threshold as i32,
            ),
        };
        match settings.attention_decides() {
            true => Belief {
                end: content - threshold,
                rewind,
            },
            false => Belief {
                end: i32::MAX,
                rewind: i32::MAX,
            },
        }
    }

    /// The attention jumped back: nothing of the pass is believed.
    pub(super) fn discard(&mut self) -> Ask {
        self.last_frame = -(self.from.shared.settings.rewind_threshold as i32);
        self.kept = 0;
        self.guards.rewind += 1;
        self.finish(Stop::Rewind)
    }

    /// Whether the guards, or the lack of room, stop a text of which all is kept so far; they cut what they do not believe.
    pub(super) fn brake(&mut self) -> Option<Stop> {
        if !self.from.shared.settings.is_compat() {
            if guards::too_fast(self.kept, self.from.new_frames) {
                self.kept -= 1;
                self.guards.rate += 1;
                return Some(Stop::TooFast);
            }
            let told: Vec<u32> = self
                .from
                .forced
                .iter()
                .copied()
                .chain(self.decided())
                .collect();
            if let Some(left) = guards::loop_start(&told) {
                let cut = (told.len() - left).min(self.kept);
                self.kept -= cut;
                self.guards.repetition += cut as u32;
                return Some(Stop::Loop);
            }
        }
        let used = self.prompt.len() + self.steps.len();
        (used >= self.from.shared.text_positions).then_some(Stop::Full)
    }
}
