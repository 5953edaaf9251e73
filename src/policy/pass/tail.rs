//! The unstable tail: decoding goes on behind what is believed, on nothing but the pass's own state.

use super::{Ask, Decoded, Pass, Stage};
use crate::policy::guards;
use crate::policy::logits::choose;
use crate::whisper::Step;

/// Most tokens of the unstable tail.
const TAIL_TOKENS: usize = 24;

impl Pass {
    pub(super) fn ask_tail(&mut self, token: u32) -> Ask {
        let used = self.prompt.len() + self.steps.len() + self.tail.len();
        if self.tail.len() >= TAIL_TOKENS || used >= self.from.shared.text_positions {
            self.stage = Stage::Done;
            return Ask::Done;
        }
        match self.lane.take() {
            Some(lane) => Ask::Beam {
                parents: vec![lane],
                tokens: vec![token],
            },
            None => Ask::Step {
                tokens: vec![token],
                probe_row: None,
            },
        }
    }

    /// The tail only looks ahead: nothing of it reaches the stream's state.
    pub(super) fn decode_tail(&mut self, step: Step) -> Ask {
        let choice = choose(&step.logits, &self.from.shared.suppressed, &[]);
        if choice.token == self.from.shared.specials.eot {
            self.stage = Stage::Done;
            return Ask::Done;
        }
        self.alignment.push(&step.alignment);
        let mass = self.alignment.mass(self.from.content);
        self.tail.push(Decoded {
            id: choice.token,
            frame: mass.middle as i32,
            mass,
            logprob: choice.logprob,
        });
        let told: Vec<u32> = self.tail.iter().map(|t| t.id).collect();
        if guards::loop_start(&told).is_some() {
            self.stage = Stage::Done;
            return Ask::Done;
        }
        self.ask_tail(choice.token)
    }
}
