//! Which language is spoken: asked of the network in front of the pass's own decoding.

use super::{Pass, Stop};
use crate::policy::Detected;

/// What a pass knows of the language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanguageState {
    /// In force: set, or detected before.
    pub current: Option<&'static str>,
    /// Whether to listen again in this pass.
    pub detect: bool,
    /// Whether enough speech was heard to believe a language other than `current`.
    pub may_lock: bool,
    /// What this pass found out.
    pub found: Option<Heard>,
}

/// A detection: code, token, probability, and whether it was locked in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    pub code: &'static str,
    pub probability: f32,
    pub locked: bool,
}

impl From<Heard> for Detected {
    fn from(d: Heard) -> Detected {
        Detected {
            code: d.code,
            probability: d.probability,
        }
    }
}

impl Pass {
    pub(super) fn detect_language(&mut self, logits: &[f32]) {
        let of = |token: u32| {
            logits
                .get(token as usize)
                .copied()
                .unwrap_or(f32::NEG_INFINITY)
        };
        let languages = &self.from.shared.allowed;
        let Some(&(code, token)) = languages
            .iter()
            .rev()
            .max_by(|a, b| of(a.1).total_cmp(&of(b.1)))
        else {
            return;
        };
        let sum: f32 = languages
            .iter()
            .map(|&(_, t)| (of(t) - of(token)).exp())
            .sum();
        let compat = self.from.shared.settings.is_compat();
        let agrees = self.language.current == Some(code);
        let locked = compat || self.language.may_lock || self.from.is_last;
        self.language.found = Some(Heard {
            code,
            probability: 1.0 / sum,
            locked: locked || agrees,
        });
        if locked {
            self.language.current = Some(code);
        } else if !agrees {
            self.stop = Some(Stop::LanguageUnsure);
        }
    }
}
