//! `compat=none`: utterances, gates and whole words around the same decoding.

use super::AlignAtt;
use crate::policy::guards;
use crate::policy::pass::{Decoded, HEADROOM, Heard, LanguageState, Pass, Stop};
use crate::policy::settings::Gate;
use crate::policy::words::{Behind, TimedToken};
use crate::policy::{
    Detected, Guards, Outcome, PartialWord, PolicySettings, Release, Samples, Word,
};
use crate::speech::Boundary;
use crate::whisper::{FRAME, SAMPLE_RATE};

/// Audio kept in front of the first sound of an utterance: its onset may be too soft for the energy gate.
const PREROLL: Samples = SAMPLE_RATE as Samples;
/// The same, in front of the onset that a voice detector tells of: whatever was heard before that (keys, a tone, music)
/// is not to be written down.
const VOICE_PREROLL: Samples = SAMPLE_RATE as Samples * 4 / 10;
/// Quiet this long ends an utterance (the usual least silence of voice detectors).
const END_SILENCE: Samples = SAMPLE_RATE as Samples / 2;
/// An utterance longer than this ends at the next breath: the longer the window, the more text is forced on the network
/// and the more often it loses its place.
const LONG_UTTERANCE: Samples = SAMPLE_RATE as Samples * 5;
/// A breath: quiet longer than the closure of any stop consonant.
const BREATH: Samples = SAMPLE_RATE as Samples / 5;
/// Quiet this short still belongs to the last word: it is not heard again in front of the next utterance.
const WORD_TAIL: Samples = SAMPLE_RATE as Samples / 10;
/// A word's onset may lie this far in front of the first sound that stands out of the noise.
const ONSET: Samples = SAMPLE_RATE as Samples / 10;
/// The context survives a pause shorter than this.
const CONTEXT_PAUSE: Samples = SAMPLE_RATE as Samples * 5;
/// A pause of this length makes us listen for the language again.
const LANGUAGE_PAUSE: Samples = SAMPLE_RATE as Samples * 2;
/// Speech needed before a detected language is believed.
const LANGUAGE_SPEECH: Samples = SAMPLE_RATE as Samples * 2;

impl AlignAtt {
    /// Notes what sounds in the chunk just inserted. With a voice detector, only while somebody speaks.
    pub(super) fn listen(&mut self, chunk: &[f32]) {
        let voiced = self.loudness.push(chunk);
        if self.shared.settings.gate == Gate::Voice && !self.speaking {
            return;
        }
        self.speech += voiced.samples;
        self.speech_first = self.speech_first.or(voiced.first);
        self.speech_last = self.speech_last.max(voiced.last);
        self.news = self.news.or(voiced.first);
    }

    pub(super) fn heed(&mut self, boundary: &Boundary) {
        match *boundary {
            // However soft it is.
            Boundary::Start { onset, .. } => {
                self.speaking = true;
                self.ended = false;
                self.speech_first.get_or_insert(onset);
                self.speech_last = self.speech_last.max(Some(onset));
                self.news.get_or_insert(onset);
            }
            Boundary::End { end, .. } => {
                self.speaking = false;
                self.ended = true;
                // The energy may have shown nothing of what the detector heard since.
                if end > self.told_all + WORD_TAIL {
                    self.speech_first.get_or_insert(self.told_all);
                    self.news.get_or_insert(self.told_all);
                    self.speech_last = self.speech_last.max(Some(end));
                }
            }
        }
    }

    #[allow(clippy::result_large_err)]
    pub(super) fn begin_ours(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        let end = self.audio.end();
        let Some(speech_last) = self.speech_last else {
            return Err(self.stay_quiet(is_last));
        };
        let silence = end.saturating_sub(speech_last);
        let is_long = self.audio.len() as Samples >= LONG_UTTERANCE;
        let pauses = match self.shared.settings.gate {
            _ if is_long => silence >= BREATH,
            Gate::Energy => silence >= END_SILENCE,
            // It tells of the end itself.
            Gate::Voice => false,
        };
        let ends_utterance = is_last || self.ended || pauses;
        if self.audio.len() == 0 || (self.audio.len() < self.min_samples() && !ends_utterance) {
            return Err(Outcome {
                quiet_until: self.quiet_until(),
                ..Outcome::default()
            });
        }
        match self.news {
            None if ends_utterance => return Err(self.end_without_pass(is_last)),
            None => return Err(self.run_none()),
            Some(first) if !ends_utterance && self.is_too_new(first) => return Err(self.run_none()),
            Some(_) => {}
        }
        if !self.told && self.committed.is_empty() {
            self.forget_before_onset();
            self.start_utterance();
        }
        let language = LanguageState {
            current: self.language,
            detect: self.listen,
            may_lock: self.speech >= LANGUAGE_SPEECH || ends_utterance,
            found: None,
        };
        let told = self
            .committed
            .iter()
            .flatten()
            .map(|t| t.attended)
            .max()
            .unwrap_or(self.audio.start());
        Ok(self.pass(ends_utterance, is_last, language, end.saturating_sub(told)))
    }

    /// Nothing in the window could be speech: no pass, and only the newest audio is kept.
    pub(super) fn stay_quiet(&mut self, is_last: bool) -> Outcome {
        let end = self.audio.end();
        if is_last {
            self.audio.reset(end);
        } else if self.speaking {
            // So softly that only the voice detector hears it.
            self.audio.keep_newest(LONG_UTTERANCE as usize);
        } else {
            self.audio.keep_newest(PREROLL as usize);
        }
        self.ended = false;
        self.base = self.audio.start();
        let quiet = u32::from(!is_last);
        Outcome {
            utterance_end: false,
            quiet_until: self.audio.start(),
            guards: Guards {
                quiet,
                ..Guards::default()
            },
            ..Outcome::default()
        }
    }

    /// Whether sound from `first` on is so close to the end of the audio that no token of it would be believed.
    fn is_too_new(&self, first: Samples) -> bool {
        let settings = &self.shared.settings;
        let threshold = Samples::from(settings.frame_threshold) * FRAME as Samples;
        // A partial shows what is not believed yet.
        !settings.interim && first.saturating_sub(ONSET) + threshold >= self.audio.end()
    }

    /// No pass is worth its cost now.
    fn run_none(&self) -> Outcome {
        let open = self.audio.start().max(self.told_until);
        Outcome {
            quiet_until: self.words.held_since().map_or(open, |held| held.min(open)),
            guards: Guards {
                quiet: 1,
                ..Guards::default()
            },
            ..Outcome::default()
        }
    }

    /// The utterance is over, and the pass before had told all of it.
    fn end_without_pass(&mut self, stream_ends: bool) -> Outcome {
        let behind = Behind {
            next: None,
            all: true,
            sound_end: &|from, limit| self.loudness.sound_end(from, limit),
        };
        let tokenizer = &self.shared.tokenizer;
        let release = self.words.take(&[], &behind, tokenizer, self.language);
        if let Some(release) = &release {
            self.told = true;
            self.told_until = release.end;
        }
        let outcome = Outcome {
            release,
            utterance_end: self.told,
            ..self.run_none()
        };
        self.finish_utterance(!stream_ends);
        outcome
    }

    /// Before the first pass of an utterance that a voice detector has told of.
    fn forget_before_onset(&mut self) {
        let Some(onset) = self
            .speech_first
            .filter(|_| self.shared.settings.gate == Gate::Voice)
        else {
            return;
        };
        let start = onset.saturating_sub(VOICE_PREROLL);
        if start > self.audio.start() {
            let held = self.audio.end().saturating_sub(start);
            self.audio.keep_newest(held as usize);
            self.base = self.audio.start();
        }
    }

    /// Before the first pass of an utterance: what does the pause before it mean?
    pub(super) fn start_utterance(&mut self) {
        let pause = self
            .speech_first
            .unwrap_or_default()
            .saturating_sub(self.told_until);
        if pause >= CONTEXT_PAUSE && self.told_until > 0 {
            self.context = self.fresh_context();
        }
        if pause >= LANGUAGE_PAUSE && self.chooses_language() {
            self.listen = true;
        }
    }

    pub(super) fn commit_ours(&mut self, pass: Pass) -> Outcome {
        let found = pass.language.found.filter(|found| found.locked);
        let news = self.learn_language(found);
        let mut tokens = self.kept(&pass, timed);
        let mut guards = pass.guards;
        if self.shared.settings.gate == Gate::Voice
            && !self.told
            && self.committed.iter().all(Vec::is_empty)
            && guards::is_unlikely(tokens.iter().map(|token| token.logprob))
        {
            tokens.clear();
            guards.unlikely += 1;
            // Where it looked tells nothing.
            self.last_frame = -(self.shared.settings.rewind_threshold as i32);
        }
        let audio_end = self.audio.end();
        let behind = Behind {
            next: match (pass.next_decoded(), pass.stop) {
                (Some(next), Some(Stop::EndOfText)) => Some((next.id, audio_end)),
                (Some(next), _) => Some((next.id, timed(&pass, next).start)),
                (None, _) => None,
            },
            all: pass.is_last,
            sound_end: &|from, limit| self.loudness.sound_end(from, limit),
        };
        let release = self
            .words
            .take(&tokens, &behind, &self.shared.tokenizer, self.language);
        self.committed.push(tokens);
        if self.has_told_all(&pass) {
            self.news = None;
            self.told_all = self.audio.end();
        }
        if let Some(release) = &release {
            self.told = true;
            self.told_until = release.end;
        }
        let partial = self.partial(&pass, release.as_ref());
        let ended = pass.is_last && self.told;
        let outcome = Outcome {
            release,
            utterance_end: ended,
            partial,
            language: news,
            quiet_until: self.quiet_until_of(&pass),
            guards,
        };
        if pass.is_last {
            self.finish_utterance(!pass.stream_ends);
        }
        outcome
    }

    /// Whether a pass over the same sound with more silence behind it would have nothing to add: the text was at its end,
    /// and the sound so long over that no word was cut.
    fn has_told_all(&self, pass: &Pass) -> bool {
        let sound_end = self.speech_last.unwrap_or_default();
        pass.stop == Some(Stop::EndOfText)
            && self.audio.end() >= sound_end + BREATH
            && !self.shared.settings.truncate_last_word
            && !pass.cuts_word
    }

    pub(super) fn learn_language(&mut self, found: Option<Heard>) -> Option<Detected> {
        let found = found?;
        self.listen = false;
        Some(found.into())
    }

    /// Moves the tokens whose audio has left the window to the context.
    pub(super) fn scroll_tokens(&mut self) {
        let start = self.audio.start();
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
        let text = self.text(&gone);
        self.context.push(&text);
    }

    /// Dense speech fills the text positions before the audio fills the window: then the oldest chunks leave early.
    pub(super) fn shorten_window(&mut self) {
        let initial = self.shared.initial_tokens(self.language).len();
        let most = self
            .shared
            .usable_positions
            .saturating_sub(initial + HEADROOM);
        while self.committed.iter().map(Vec::len).sum::<usize>() > most {
            let Some(dropped) = self.audio.pop() else {
                break;
            };
            self.last_frame -= (dropped / FRAME) as i32;
            self.base = self.audio.start();
            self.scroll_tokens();
        }
    }

    pub(super) fn finish_utterance(&mut self, more_follows: bool) {
        let told: Vec<TimedToken> = self.committed.drain(..).flatten().collect();
        self.context.push(&self.text(&told));
        let end = self.audio.end();
        self.told_all = end;
        if more_follows {
            let silence = end.saturating_sub(self.speech_last.unwrap_or(end));
            self.audio
                .keep_newest(PREROLL.min(silence.saturating_sub(WORD_TAIL)) as usize);
        } else {
            self.audio.reset(end);
        }
        if let Some(upcoming) = self.upcoming.take() {
            let before = std::mem::replace(&mut self.shared, upcoming);
            self.follow(&before.settings);
        }
        self.fresh_utterance();
    }

    /// Settings have changed: what they are about begins anew, all else goes on.
    fn follow(&mut self, before: &PolicySettings) {
        let now = &self.shared.settings;
        let (fixed, prompt) = (now.fixed_prompt(), now.init_prompt.as_deref());
        if fixed != before.fixed_prompt() || prompt != before.init_prompt.as_deref() {
            let news = prompt.filter(|&prompt| before.init_prompt.as_deref() != Some(prompt));
            self.context.renew(&fixed, news);
        }
        if now.language != before.language {
            self.choose_language();
        }
    }

    pub(super) fn quiet_until(&self) -> Samples {
        self.words
            .held_since()
            .unwrap_or(self.told_until)
            .max(self.audio.start().min(self.told_until))
    }

    /// No word released later starts before this: what is held, what was dropped, else all but the newest second.
    pub(super) fn quiet_until_of(&self, pass: &Pass) -> Samples {
        let unsure = pass.steps.get(pass.kept).map(|d| timed(pass, d).start);
        let newest = self.audio.end().saturating_sub(PREROLL);
        let open = unsure
            .filter(|_| pass.stop != Some(Stop::EndOfText))
            .unwrap_or(newest)
            .min(newest);
        self.words
            .held_since()
            .map_or(open, |held| open.min(held))
            .max(self.told_until)
    }

    pub(super) fn partial(&mut self, pass: &Pass, release: Option<&Release>) -> Vec<PartialWord> {
        if !self.shared.settings.interim {
            return Vec::new();
        }
        let tail: Vec<TimedToken> = pass.tail.iter().map(|d| timed(pass, d)).collect();
        let words: Vec<Word> = self.words.preview(
            &tail,
            &|from, limit| self.loudness.sound_end(from, limit),
            &self.shared.tokenizer,
            self.language,
        );
        let gone = release.map_or(0, |r| r.words.len());
        let before = self
            .last_partial
            .get(gone.min(self.last_partial.len())..)
            .unwrap_or_default()
            .to_vec();
        let mut unchanged = true;
        let partial: Vec<PartialWord> = words
            .into_iter()
            .enumerate()
            .map(|(at, word)| {
                let stood = before
                    .get(at)
                    .filter(|(text, _)| *text == word.text)
                    .map(|&(_, passes)| passes);
                unchanged &= stood.is_some();
                PartialWord {
                    stability: if unchanged { stood.unwrap_or(0) + 1 } else { 1 },
                    word,
                }
            })
            .collect();
        self.last_partial = partial
            .iter()
            .map(|p| (p.word.text.clone(), p.stability))
            .collect();
        partial
    }
}

/// A decoded token's place in the stream, by the mass of its attention.
fn timed(pass: &Pass, d: &Decoded) -> TimedToken {
    TimedToken {
        id: d.id,
        attended: pass.position(d.frame as f32),
        start: pass.position(d.mass.start),
        end: pass.position(d.mass.end),
        logprob: d.logprob,
    }
}
