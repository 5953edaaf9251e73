//! LocalAgreement: each pass writes down all of the buffer afresh, and what two passes in a row have in common is told
//! (docs/policy.md).

mod agreement;
#[cfg(test)]
mod tests;
mod trimming;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::guards;
use crate::policy::pass::{HEADROOM, Pass, Stop};
use crate::policy::saved::{NotResumed, SavedPolicy, SavedRule};
use crate::policy::settings::Gate;
use crate::policy::stream::{Gated, PREROLL, Stream, timed};
use crate::policy::utterance::WORD_TAIL;
use crate::policy::words::{Behind, TimedToken, WholeWords};
use crate::policy::{Outcome, Policy, PolicySettings, Release, Samples, SettingsError, Word};
use crate::speech::Boundary;
use crate::whisper::{FRAME, MelFilters, SAMPLE_RATE, Tokenizer, WhisperConfig};
use agreement::Agreement;

/// Characters of text that scrolled out which a pass is reminded of.
const PROMPT: usize = 200;
/// Where a word starts may be told so much earlier by the next pass.
const JITTER: Samples = SAMPLE_RATE as Samples / 10;

/// One stream's policy state.
pub struct LocalAgreement {
    stream: Stream,
    agreement: Agreement,
    /// A pass has run over the running utterance.
    begun: bool,
    /// End of the audio that the newest hypothesis covers.
    heard: Samples,
}

/// What a stream under it is besides what all streams are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::policy) struct SavedAgreement {
    agreement: Agreement,
    begun: bool,
    heard: Samples,
}

impl LocalAgreement {
    /// A fresh stream; see [`super::AlignAtt::new`].
    pub fn new(
        settings: PolicySettings,
        config: &WhisperConfig,
        tokenizer: Arc<Tokenizer>,
        filters: Arc<MelFilters>,
    ) -> Result<LocalAgreement, SettingsError> {
        let mut policy = LocalAgreement {
            stream: Stream::new(settings, config, tokenizer, filters)?,
            agreement: Agreement::default(),
            begun: false,
            heard: 0,
        };
        policy.fresh_utterance();
        Ok(policy)
    }

    fn fresh_utterance(&mut self) {
        let audio = &self.stream.audio;
        let told_until = self.stream.utterance.told_until;
        self.agreement
            .reset(audio.start().max(told_until.min(audio.end())));
        self.begun = false;
        self.heard = audio.start();
    }

    /// Whether the newest hypothesis covers all that sounds.
    fn has_heard_all(&self) -> bool {
        let last = self.stream.utterance.last.unwrap_or_default();
        self.begun && self.heard >= last + WORD_TAIL
    }

    /// The utterance is over, and the pass before had heard all of it: what it wrote down is told.
    fn end_without_pass(&mut self, stream_ends: bool) -> Outcome {
        let words = self.agreement.tell_all();
        let outcome = Outcome {
            release: self.release(words),
            utterance_end: self.stream.utterance.told,
            ..self.stream.run_none(None)
        };
        self.finish_utterance(!stream_ends);
        outcome
    }

    /// The words of a pass, as if all were complete: those that are not will not be agreed upon.
    fn words(&self, tokens: &[TimedToken]) -> Vec<Word> {
        let stream = &self.stream;
        let behind = Behind {
            next: None,
            all: true,
            sound_end: &|from, limit| stream.utterance.loudness.sound_end(from, limit),
        };
        let mut words = WholeWords::default();
        words.reset(stream.audio.start());
        words
            .take(tokens, &behind, &stream.shared.tokenizer, stream.language)
            .map(|release| release.words)
            .unwrap_or_default()
    }

    fn release(&mut self, words: Vec<Word>) -> Option<Release> {
        let (start, end) = (words.first()?.start, words.last()?.end);
        self.stream.utterance.tell(end);
        Some(Release {
            text: words.iter().map(|word| word.text.as_str()).collect(),
            words,
            start,
            end,
        })
    }

    /// Position in front of which audio will have left the window when the next chunk is in.
    fn leaving(&self) -> Samples {
        let settings = &self.stream.shared.settings;
        let next = self.stream.audio.end() + settings.chunk_samples() as Samples;
        next.saturating_sub(settings.window_samples() as Samples)
    }

    /// Cuts the buffer where it is too long: for `buffer-trimming-len`, for the window with the next chunk in it, or for the
    /// text positions, of which `tokens` are taken by its text.
    fn trim(&mut self, tokens: usize) {
        let shared = &self.stream.shared;
        let settings = &shared.settings;
        let most = settings
            .window_samples()
            .saturating_sub(settings.chunk_samples())
            .min(settings.buffer_trimming_ms as usize * 16);
        let initial = shared.initial_tokens(self.stream.language).len();
        let is_dense = tokens + initial + HEADROOM > shared.usable_positions;
        if self.stream.audio.len() <= most && !is_dense {
            return;
        }
        let (told, rest) = (self.agreement.told(), self.agreement.rest());
        let Some(cut) = trimming::cut(told, rest, settings.buffer_trimming) else {
            return;
        };
        let dropped = cut.saturating_sub(self.stream.audio.start()) / FRAME as Samples;
        let kept = self.stream.audio.len() as Samples - dropped * FRAME as Samples;
        self.stream.audio.keep_newest(kept as usize);
        self.scroll();
    }

    /// Moves the words whose audio has left the buffer to the context.
    fn scroll(&mut self) {
        for word in self.agreement.scroll(self.stream.audio.start()) {
            self.stream.context.push(&word.text);
        }
    }

    fn finish_utterance(&mut self, more_follows: bool) {
        let told = self.agreement.told().iter();
        let text: String = told.map(|word| word.text.as_str()).collect();
        self.stream.finish_utterance(&text, more_follows);
        self.fresh_utterance();
    }

    /// No word told later starts before this: what is not agreed upon yet, else all but the newest second.
    fn quiet_until(&self) -> Samples {
        let newest = self.stream.audio.end().saturating_sub(PREROLL);
        let unsure = self.agreement.rest().first();
        let unsure = unsure.map(|word| word.start.saturating_sub(JITTER));
        unsure
            .map_or(newest, |start| start.min(newest))
            .max(self.stream.utterance.told_until)
    }
}

impl Policy for LocalAgreement {
    fn insert(&mut self, chunk: &[f32]) {
        self.stream.audio.push(chunk);
        self.stream.hear(chunk);
        let most = self.stream.shared.settings.window_samples();
        if self.stream.audio.len() > most {
            self.stream.audio.keep_newest(most);
            self.scroll();
        }
    }

    fn speech(&mut self, boundary: &Boundary) {
        self.stream.speech(boundary);
    }

    fn begin(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        let ends = match self.stream.gate(is_last) {
            Gated::Silent => return Err(self.stream.stay_quiet(is_last)),
            Gated::TooShort => {
                return Err(Outcome {
                    quiet_until: self.quiet_until(),
                    ..Outcome::default()
                });
            }
            Gated::Open { ends } => ends,
        };
        let has_news = self.stream.utterance.news.is_some();
        if ends && (!has_news || self.has_heard_all()) {
            return Err(self.end_without_pass(is_last));
        }
        if !has_news {
            return Err(self.stream.run_none(None));
        }
        if !self.begun {
            self.stream.start_utterance();
        }
        self.stream.context.keep_last(PROMPT);
        let language = self.stream.language_state(ends);
        Ok(Pass::new(self.stream.start(ends, is_last, language)))
    }

    fn commit(&mut self, pass: Pass) -> Outcome {
        self.stream.take_over(&pass);
        self.begun = true;
        let language = self.stream.learn_language(&pass);
        let mut guards = pass.guards;
        let mut tokens = self.stream.kept(&pass, timed);
        let mut told = Vec::new();
        // Otherwise nothing was written down, and what was before stands.
        if pass.stop != Some(Stop::LanguageUnsure) {
            if self.stream.shared.settings.gate == Gate::Voice
                && !self.stream.utterance.told
                && guards::is_unlikely(tokens.iter().map(|token| token.logprob))
            {
                tokens.clear();
                guards.unlikely += 1;
            }
            told = self.agreement.hear(self.words(&tokens));
            self.heard = self.stream.audio.end();
        }
        told.extend(match pass.from.is_last {
            true => self.agreement.tell_all(),
            // Nobody will hear it again.
            false => self.agreement.tell_before(self.leaving()),
        });
        let gone = told.len();
        let release = self.release(told);
        if self.has_told_all(&pass) {
            self.stream.utterance.tell_all(self.heard);
        }
        let partial = match self.stream.shared.settings.interim {
            true => {
                let rest = self.agreement.rest().to_vec();
                self.stream.partials.follow(rest, gone)
            }
            false => Vec::new(),
        };
        let outcome = Outcome {
            release,
            utterance_end: pass.from.is_last && self.stream.utterance.told,
            partial,
            language,
            quiet_until: self.quiet_until(),
            guards,
        };
        if pass.from.is_last {
            self.finish_utterance(!pass.from.stream_ends);
        } else {
            self.trim(tokens.len());
        }
        outcome
    }

    fn update(&mut self, settings: PolicySettings) -> Result<(), SettingsError> {
        let idle = self.stream.is_idle() && !self.begun;
        if self.stream.update(settings, idle)? {
            self.fresh_utterance();
        }
        Ok(())
    }

    fn shorten(&mut self, shorten: bool) {
        self.stream.shorten = shorten;
    }

    fn reset(&mut self, position: Samples) {
        self.stream.reset(position);
        self.fresh_utterance();
    }

    fn save(&self) -> SavedPolicy {
        SavedPolicy {
            stream: self.stream.save(),
            rule: SavedRule::LocalAgreement(SavedAgreement {
                agreement: self.agreement.clone(),
                begun: self.begun,
                heard: self.heard,
            }),
        }
    }

    fn resume(&mut self, saved: SavedPolicy) -> Result<(), NotResumed> {
        let SavedRule::LocalAgreement(own) = saved.rule else {
            return Err(NotResumed::Rule);
        };
        self.stream.resume(saved.stream)?;
        self.agreement = own.agreement;
        self.begun = own.begun;
        self.heard = own.heard;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.stream.bytes() + self.agreement.bytes()
    }
}

impl LocalAgreement {
    /// Whether a pass over the same sound with more silence behind it would have nothing to add.
    fn has_told_all(&self, pass: &Pass) -> bool {
        pass.stop == Some(Stop::EndOfText)
            && self.agreement.rest().is_empty()
            && self.stream.utterance.is_quiet_at(self.stream.audio.end())
            && !self.stream.shared.settings.truncate_last_word
            && !pass.cuts_word
    }
}
