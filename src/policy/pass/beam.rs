//! Beam search: several hypotheses of a pass at a time, of which the best is told.
//!
//! Each hypothesis keeps its own attention, so a frame is always that of the text it belongs to. The pass stops where the
//! best one's attention reaches the end of the audio; a hypothesis whose text had ended by then wins if its tokens are
//! the more probable, on the mean (as openai/whisper ranks them).
//!
//! The reference (`compat=simulstreaming`) reads the attention of the beam's first slot whichever hypothesis stands there,
//! and never lets one that has ended win.

use super::Decoded;
use super::decode::Belief;
use crate::policy::alignment::{Alignment, Mass, argmax};
use crate::policy::logits::{Suppressed, best};
use crate::whisper::Step;

/// A text under way.
#[derive(Clone, Debug, Default)]
pub struct Hypothesis {
    pub steps: Vec<Decoded>,
    /// Sum of the log-probabilities.
    pub score: f32,
    pub last_frame: i32,
    /// Its attention, down to the row that brought its newest token.
    pub alignment: Alignment,
    /// The first of its tokens that attends the end of the audio.
    pub reached: Option<usize>,
    /// Its newest token attends far behind the one before.
    pub jumped: bool,
}

impl Hypothesis {
    /// Mean log-probability of a token.
    fn mean(&self) -> f32 {
        self.score / self.steps.len().max(1) as f32
    }
}

/// Where a lane's newest row attends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    pub frame: usize,
    pub mass: Mass,
}

/// The hypotheses of a pass: lane `i` of the decoder is `live[i]`, best first.
#[derive(Debug)]
pub struct Beam {
    live: Vec<Hypothesis>,
    finished: Vec<Hypothesis>,
    width: usize,
    /// The attention of the first slot, where that tells for all, as the reference has it.
    slot: Option<Alignment>,
}

impl Beam {
    /// One hypothesis without a token; `alignment` has seen all rows of the prompt but the last.
    pub fn begin(width: usize, is_compat: bool, alignment: Alignment, last_frame: i32) -> Beam {
        let (slot, own) = match is_compat {
            true => (Some(alignment), Alignment::default()),
            false => (None, alignment),
        };
        Beam {
            live: vec![Hypothesis {
                alignment: own,
                last_frame,
                ..Hypothesis::default()
            }],
            finished: Vec::new(),
            width,
            slot,
        }
    }

    /// Takes in the newest row of each lane; says where it attends among the first `content` frames. `settle` has the
    /// last word on the first slot's frame.
    pub fn attend(
        &mut self,
        step: &Step,
        content: usize,
        epsilon: f64,
        mut settle: impl FnMut(usize, &[f64]) -> usize,
    ) -> Vec<Look> {
        let rows = step.alignment.rows;
        let first = rows.saturating_sub(self.live.len());
        let mut looks: Vec<Look> = Vec::new();
        for (lane, hypothesis) in self.live.iter_mut().enumerate() {
            if let (Some(_), Some(&look)) = (&self.slot, looks.first()) {
                looks.push(look);
                continue;
            }
            let alignment = self.slot.as_mut().unwrap_or(&mut hypothesis.alignment);
            alignment.push_rows(&step.alignment, first + lane..first + lane + 1);
            let row = alignment.filtered(content, epsilon);
            let frame = argmax(&row);
            looks.push(Look {
                frame: match lane {
                    0 => settle(frame, &row),
                    _ => frame,
                },
                mass: alignment.mass(content),
            });
        }
        looks
    }

    /// Each lane's likeliest tokens compete; the best `width` go on, those that end the text are finished. Says whose
    /// child each one is. `before` is the token in front of the first.
    pub fn grow(
        &mut self,
        logits: &[f32],
        looks: &[Look],
        (suppressed, also, eot): (&Suppressed, &[u32], u32),
        (belief, before): (Belief, u32),
    ) -> Vec<usize> {
        let vocabulary = logits.len() / self.live.len().max(1);
        let mut candidates = Vec::new();
        for (lane, logits) in logits.chunks_exact(vocabulary.max(1)).enumerate() {
            let Some(parent) = self.live.get(lane) else {
                break;
            };
            for (token, logprob) in best(logits, suppressed, also, self.width + 1) {
                candidates.push((parent.score + logprob, lane, token, logprob));
            }
        }
        // Stable: of equals the first lane's first.
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut parents, mut children) = (Vec::new(), Vec::new());
        for (score, lane, token, logprob) in candidates {
            let (Some(parent), Some(look)) = (self.live.get(lane), looks.get(lane)) else {
                continue;
            };
            let mut child = parent.clone();
            child.score = score;
            child.steps.push(Decoded {
                id: token,
                frame: look.frame as i32,
                mass: look.mass,
                logprob,
            });
            if token == eot {
                self.finish(child);
                continue;
            }
            let newest = parent.steps.last();
            child.judge(belief, newest.map_or(before, |step| step.id));
            // Only the best one's fault is the pass's; others are out of the race.
            if child.jumped && self.slot.is_none() && !children.is_empty() {
                continue;
            }
            parents.push(lane);
            children.push(child);
            if children.len() == self.width {
                break;
            }
        }
        self.live = children;
        parents
    }

    /// The reference counts all that have ended; to us only the likeliest of them can matter.
    fn finish(&mut self, ended: Hypothesis) {
        let is_better = self
            .finished
            .iter()
            .all(|other| ended.mean() > other.mean());
        if self.slot.is_some() {
            if self.finished.len() < self.width {
                self.finished.push(ended);
            }
        } else if is_better {
            self.finished = vec![ended];
        }
    }

    pub fn best(&self) -> Option<&Hypothesis> {
        self.live.first()
    }

    /// The newest token of each lane.
    pub fn tokens(&self) -> Vec<u32> {
        let newest = self.live.iter().filter_map(|h| h.steps.last());
        newest.map(|step| step.id).collect()
    }

    /// As many have ended as are followed: where the reference stops.
    pub fn is_complete(&self) -> bool {
        self.finished.len() >= self.width
    }

    /// One that has ended is likelier than all that go on: what they still get only makes them less so.
    pub fn is_settled(&self) -> bool {
        let live = self.best().map_or(f32::NEG_INFINITY, Hypothesis::mean);
        self.finished.iter().any(|ended| ended.mean() > live)
    }

    /// The likeliest, of those that have ended and, with `live`, of the best that goes on.
    pub fn winner(self, live: bool) -> Option<Hypothesis> {
        let running = self.live.into_iter().take(usize::from(live));
        let mut all = running.chain(self.finished);
        let first = all.next()?;
        Some(
            all.fold(first, |best, other| match other.mean() > best.mean() {
                true => other,
                false => best,
            }),
        )
    }

    /// The best of those that go on.
    pub fn into_best(self) -> Option<Hypothesis> {
        self.live.into_iter().next()
    }
}

impl Hypothesis {
    /// Looks at where the newest token attends, which stands behind `before`.
    fn judge(&mut self, belief: Belief, before: u32) {
        let Some(newest) = self.steps.last() else {
            return;
        };
        self.jumped = belief.jumps(self.last_frame, newest.frame, before);
        self.last_frame = newest.frame;
        if newest.frame >= belief.end && self.reached.is_none() {
            self.reached = Some(self.steps.len() - 1);
        }
    }
}
