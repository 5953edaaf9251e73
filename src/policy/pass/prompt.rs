//! What stands in front of the first step.

use super::{Ask, Pass, Stage, Stop};

/// Positions kept free for what this pass will say.
pub const HEADROOM: usize = 20;

impl Pass {
    pub(super) fn ask_prompt(&mut self) -> Ask {
        let shared = &self.from.shared;
        let initial = shared.initial_tokens(self.language.current);
        let window = initial.len() + self.from.forced.len();
        self.context.trim(
            &shared.tokenizer,
            self.language.current,
            window,
            (shared.settings.max_context_tokens as usize).min(shared.context_room),
            shared.usable_positions.saturating_sub(HEADROOM),
        );
        let context = self.context.tokens(&shared.tokenizer);
        let mut prompt = Vec::with_capacity(1 + context.len() + window);
        if !context.is_empty() {
            prompt.push(shared.specials.sot_prev);
            prompt.extend(context);
        }
        let sot_row = prompt.len();
        prompt.extend(initial);
        prompt.extend(&self.from.forced);
        if prompt.len() >= shared.text_positions {
            self.stop = Some(Stop::Full);
            self.stage = Stage::Done;
            return Ask::Done;
        }
        self.prompt = prompt.clone();
        self.stage = Stage::Prompt;
        let probe_row = (!shared.settings.is_compat()).then_some(sot_row);
        Ask::Step {
            tokens: prompt,
            probe_row,
        }
    }
}
