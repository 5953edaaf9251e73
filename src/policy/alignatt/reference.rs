//! `compat=simulstreaming`: the reference's passes, decision for decision, its faults included.

use super::AlignAtt;
use crate::policy::pass::{LanguageState, Pass};
use crate::policy::words::TimedToken;
use crate::policy::{Outcome, Samples};

impl AlignAtt {
    #[allow(clippy::result_large_err)]
    pub(super) fn begin_compat(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        if self.stream.audio.len() == 0 || self.stream.is_too_short() {
            let outcome = Outcome {
                utterance_end: is_last,
                quiet_until: self.stream.audio.start(),
                ..Outcome::default()
            };
            if is_last {
                self.finish_stream();
            }
            return Err(outcome);
        }
        let language = LanguageState {
            current: self.stream.language,
            detect: self.stream.listen,
            may_lock: true,
            found: None,
        };
        Ok(self.pass(is_last, is_last, language, Samples::MAX))
    }

    pub(super) fn commit_compat(&mut self, pass: Pass) -> Outcome {
        if pass.language.found.is_some() {
            self.stream.listen = false;
            self.committed.clear();
        }
        let tokens = self.stream.kept(&pass, |pass, d| {
            let at = pass.position(d.frame as f32);
            TimedToken {
                id: d.id,
                attended: at,
                start: at,
                end: at,
                logprob: d.logprob,
            }
        });
        let steps: Vec<Samples> = pass.frames().map(|f| pass.position(f as f32)).collect();
        let end = pass.from.is_last.then_some(self.stream.audio.end());
        let release = self.fragments.take(
            &tokens,
            &steps,
            end,
            &self.stream.shared.tokenizer,
            self.stream.language,
        );
        self.committed.push(tokens);
        if let Some(release) = &release {
            self.stream.utterance.told_until = release.end;
        }
        let outcome = Outcome {
            release,
            utterance_end: pass.from.is_last,
            language: pass.language.found.map(Into::into),
            quiet_until: self
                .stream
                .utterance
                .told_until
                .max(self.stream.audio.start()),
            guards: pass.guards,
            partial: Vec::new(),
        };
        if pass.from.is_last {
            self.finish_stream();
        }
        outcome
    }

    /// After the reference's `finish`: everything but the position is as at the start.
    pub(super) fn finish_stream(&mut self) {
        self.stream.audio.reset(self.stream.audio.end());
        self.stream.refresh();
        self.refresh_own();
    }
}
