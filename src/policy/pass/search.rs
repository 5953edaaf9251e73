//! As [`super::decode`], of several hypotheses.

use std::sync::Arc;

use super::beam::{Beam, Hypothesis};
use super::{Ask, Pass, Stop};
use crate::whisper::Step;

impl Pass {
    /// Takes in a step of all lanes.
    pub(super) fn decode_beam(&mut self, step: &Step, also: &[u32]) -> Ask {
        let shared = Arc::clone(&self.from.shared);
        let (settings, compat) = (&shared.settings, shared.settings.is_compat());
        let mut beam = self.beam.take().unwrap_or_else(|| {
            let prompt = step.alignment.rows.saturating_sub(1);
            self.alignment.push_rows(&step.alignment, 0..prompt);
            let alignment = std::mem::take(&mut self.alignment);
            Beam::begin(settings.beams as usize, compat, alignment, self.last_frame)
        });
        let at = beam.best().map_or(0, |best| best.steps.len());
        let (epsilon, belief) = (self.epsilon(), self.belief());
        let before = self.prompt.last().copied().unwrap_or_default();
        let referee = &mut self.referee;
        let settle = |ours: usize, row: &[f64]| match referee {
            Some(referee) => referee.frame(at, ours, row),
            None => ours,
        };
        let looks = beam.attend(step, self.from.content, epsilon, settle);
        let choice = (&shared.suppressed, also, shared.specials.eot);
        let parents = beam.grow(&step.logits, &looks, choice, (belief, before));
        self.lane = parents.first().copied();
        if compat && beam.is_complete() {
            // What had ended is forgotten: the best that goes on is told, but for its newest token.
            return self.tell(beam.into_best(), Some(Stop::EndOfText));
        }
        if !compat && beam.is_settled() {
            return self.tell(beam.winner(false), None);
        }
        let Some(best) = beam.best() else {
            return self.tell(beam.winner(false), None);
        };
        if best.jumped {
            self.steps.clone_from(&best.steps);
            return self.discard();
        }
        if best.reached.is_some() {
            return match compat {
                true => self.tell(beam.into_best(), Some(Stop::AudioEnd)),
                false => self.tell(beam.winner(true), None),
            };
        }
        self.steps.clone_from(&best.steps);
        self.kept = self.steps.len();
        if let Some(stop) = self.brake() {
            self.last_frame = best.last_frame;
            return self.finish(stop);
        }
        let tokens = beam.tokens();
        self.beam = Some(beam);
        Ask::Beam { parents, tokens }
    }

    /// Makes `winner` the pass's text. Without `stop` it is told by its tokens why it ends.
    fn tell(&mut self, winner: Option<Hypothesis>, stop: Option<Stop>) -> Ask {
        let Some(winner) = winner else {
            return self.finish(Stop::EndOfText);
        };
        self.steps = winner.steps;
        self.alignment = winner.alignment;
        let newest = self.steps.len().saturating_sub(1);
        let (kept, stop) = match (stop, winner.reached) {
            (Some(stop), _) => (newest, stop),
            (None, Some(reached)) => (reached, Stop::AudioEnd),
            (None, None) => (newest, Stop::EndOfText),
        };
        self.kept = kept;
        let attended = match stop {
            Stop::AudioEnd => self.steps.get(kept),
            _ => kept.checked_sub(1).and_then(|last| self.steps.get(last)),
        };
        self.last_frame = attended.map_or(self.last_frame, |step| step.frame);
        self.finish(stop)
    }
}
