//! `compat=none`: utterances, gates and whole words around the same decoding.

use super::AlignAtt;
use crate::policy::guards;
use crate::policy::pass::{HEADROOM, Pass, Stop};
use crate::policy::settings::Gate;
use crate::policy::stream::{Gated, PREROLL, timed};
use crate::policy::words::{Behind, TimedToken};
use crate::policy::{Outcome, PartialWord, Release, Samples};
use crate::whisper::{FRAME, SAMPLE_RATE};

/// A word's onset may lie this far in front of the first sound that stands out of the noise.
const ONSET: Samples = SAMPLE_RATE as Samples / 10;

impl AlignAtt {
    #[allow(clippy::result_large_err)]
    pub(super) fn begin_ours(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        let ends_utterance = match self.stream.gate(is_last) {
            Gated::Silent => {
                let outcome = self.stream.stay_quiet(is_last);
                self.base = self.stream.audio.start();
                return Err(outcome);
            }
            Gated::TooShort => {
                return Err(Outcome {
                    quiet_until: self.quiet_until(),
                    ..Outcome::default()
                });
            }
            Gated::Open { ends } => ends,
        };
        match self.stream.utterance.news {
            None if ends_utterance => return Err(self.end_without_pass(is_last)),
            None => return Err(self.run_none()),
            Some(first) if !ends_utterance && self.is_too_new(first) => return Err(self.run_none()),
            Some(_) => {}
        }
        if !self.stream.utterance.told && self.committed.is_empty() {
            self.stream.start_utterance();
            self.base = self.stream.audio.start();
        }
        let language = self.stream.language_state(ends_utterance);
        let told = self
            .committed
            .iter()
            .flatten()
            .map(|t| t.attended)
            .max()
            .unwrap_or(self.stream.audio.start());
        let new_audio = self.stream.audio.end().saturating_sub(told);
        Ok(self.pass(ends_utterance, is_last, language, new_audio))
    }

    /// Whether sound from `first` on is so close to the end of the audio that no token of it would be believed.
    fn is_too_new(&self, first: Samples) -> bool {
        let settings = &self.stream.shared.settings;
        let threshold = Samples::from(settings.frame_threshold) * FRAME as Samples;
        // A partial shows what is not believed yet.
        !settings.interim && first.saturating_sub(ONSET) + threshold >= self.stream.audio.end()
    }

    /// No pass is worth its cost now.
    fn run_none(&self) -> Outcome {
        self.stream.run_none(self.words.held_since())
    }

    /// The utterance is over, and the pass before had told all of it.
    fn end_without_pass(&mut self, stream_ends: bool) -> Outcome {
        let release = self.release(&[], None, true);
        let outcome = Outcome {
            release,
            utterance_end: self.stream.utterance.told,
            ..self.run_none()
        };
        self.finish_utterance(!stream_ends);
        outcome
    }

    pub(super) fn commit_ours(&mut self, pass: Pass) -> Outcome {
        let language = self.stream.learn_language(&pass);
        let mut tokens = self.stream.kept(&pass, timed);
        let mut guards = pass.guards;
        if self.stream.shared.settings.gate == Gate::Voice
            && !self.stream.utterance.told
            && self.committed.iter().all(Vec::is_empty)
            && guards::is_unlikely(tokens.iter().map(|token| token.logprob))
        {
            tokens.clear();
            guards.unlikely += 1;
            // Where it looked tells nothing.
            self.last_frame = -(self.stream.shared.settings.rewind_threshold as i32);
        }
        let audio_end = self.stream.audio.end();
        let next = match (pass.next_decoded(), pass.stop) {
            (Some(next), Some(Stop::EndOfText)) => Some((next.id, audio_end)),
            (Some(next), _) => Some((next.id, timed(&pass, next).start)),
            (None, _) => None,
        };
        let release = self.release(&tokens, next, pass.from.is_last);
        self.committed.push(tokens);
        if self.has_told_all(&pass) {
            self.stream.utterance.tell_all(audio_end);
        }
        let partial = self.partial(&pass, release.as_ref());
        let outcome = Outcome {
            release,
            utterance_end: pass.from.is_last && self.stream.utterance.told,
            partial,
            language,
            quiet_until: self.quiet_until_of(&pass),
            guards,
        };
        if pass.from.is_last {
            self.finish_utterance(!pass.from.stream_ends);
        }
        outcome
    }

    /// Adds committed tokens, and tells the words that are complete then; see [`Behind`].
    fn release(
        &mut self,
        tokens: &[TimedToken],
        next: Option<(u32, Samples)>,
        all: bool,
    ) -> Option<Release> {
        let stream = &mut self.stream;
        let loudness = &stream.utterance.loudness;
        let behind = Behind {
            next,
            all,
            sound_end: &|from, limit| loudness.sound_end(from, limit),
        };
        let tokenizer = &stream.shared.tokenizer;
        let release = self.words.take(tokens, &behind, tokenizer, stream.language);
        if let Some(release) = &release {
            stream.utterance.tell(release.end);
        }
        release
    }

    /// Whether a pass over the same sound with more silence behind it would have nothing to add: the text was at its end,
    /// and the sound over.
    fn has_told_all(&self, pass: &Pass) -> bool {
        pass.stop == Some(Stop::EndOfText)
            && self.stream.utterance.is_quiet_at(self.stream.audio.end())
            && !self.stream.shared.settings.truncate_last_word
            && !pass.cuts_word
    }

    /// Moves the tokens whose audio has left the window to the context.
    pub(super) fn scroll_tokens(&mut self) {
        let start = self.stream.audio.start();
        let mut gone = Vec::new();
        for hypothesis in &mut self.committed {
            while hypothesis.first().is_some_and(|t| t.attended < start) {
                gone.push(hypothesis.remove(0));
            }
            if !hypothesis.is_empty() {
                break;
            }
        }
        self.committed.retain(|h| !h.is_empty());
        let text = self.stream.text(&gone);
        self.stream.context.push(&text);
    }

    /// Dense speech fills the text positions before the audio fills the window: then the oldest chunks leave early.
    pub(super) fn shorten_window(&mut self) {
        let shared = &self.stream.shared;
        let initial = shared.initial_tokens(self.stream.language).len();
        let most = shared.usable_positions.saturating_sub(initial + HEADROOM);
        while self.committed.iter().map(Vec::len).sum::<usize>() > most {
            let Some(dropped) = self.stream.audio.pop() else {
                break;
            };
            self.last_frame -= (dropped / FRAME) as i32;
            self.base = self.stream.audio.start();
            self.scroll_tokens();
        }
    }

    fn finish_utterance(&mut self, more_follows: bool) {
        let told: Vec<TimedToken> = self.committed.drain(..).flatten().collect();
        let text = self.stream.text(&told);
        self.stream.finish_utterance(&text, more_follows);
        self.fresh_utterance();
    }

    fn quiet_until(&self) -> Samples {
        let told_until = self.stream.utterance.told_until;
        self.words
            .held_since()
            .unwrap_or(told_until)
            .max(self.stream.audio.start().min(told_until))
    }

    /// No word released later starts before this: what is held, what was dropped, else all but the newest second.
    fn quiet_until_of(&self, pass: &Pass) -> Samples {
        let unsure = pass.steps.get(pass.kept).map(|d| timed(pass, d).start);
        let newest = self.stream.audio.end().saturating_sub(PREROLL);
        let open = unsure
            .filter(|_| pass.stop != Some(Stop::EndOfText))
            .unwrap_or(newest)
            .min(newest);
        self.words
            .held_since()
            .map_or(open, |held| open.min(held))
            .max(self.stream.utterance.told_until)
    }

    fn partial(&mut self, pass: &Pass, release: Option<&Release>) -> Vec<PartialWord> {
        let stream = &mut self.stream;
        if !stream.shared.settings.interim {
            return Vec::new();
        }
        let tail: Vec<TimedToken> = pass.tail.iter().map(|d| timed(pass, d)).collect();
        let words = self.words.preview(
            &tail,
            &|from, limit| stream.utterance.loudness.sound_end(from, limit),
            &stream.shared.tokenizer,
            stream.language,
        );
        let gone = release.map_or(0, |r| r.words.len());
        stream.partials.follow(words, gone)
    }
}
