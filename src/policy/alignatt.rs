//! One stream under AlignAtt: audio in, passes out, words back.

use std::sync::Arc;

use super::audio::Audio;
use super::context::Context;
use super::logits::Suppressed;
use super::loudness::Loudness;
use super::pass::{Decoded, Heard, LanguageState, Pass, Start, Stop};
use super::settings::LanguageChoice;
use super::words::{Fragments, TimedToken, WholeWords};
use super::{
    Guards, Outcome, PartialWord, PolicySettings, Release, Samples, SettingsError, Task, Word,
};
use crate::whisper::{FRAME, MelFilters, SAMPLE_RATE, Specials, Tokenizer, WhisperConfig};

/// Audio kept in front of the first sound of an utterance: its onset may be too soft for the energy gate.
const PREROLL: Samples = SAMPLE_RATE as Samples;
/// Quiet this long ends an utterance.
const END_SILENCE: Samples = SAMPLE_RATE as Samples * 7 / 10;
/// Quiet this short still belongs to the last word: it is not heard again in front of the next utterance.
const WORD_TAIL: Samples = SAMPLE_RATE as Samples / 5;
/// The context survives a pause shorter than this.
const CONTEXT_PAUSE: Samples = SAMPLE_RATE as Samples * 5;
/// A pause of this length makes us listen for the language again.
const LANGUAGE_PAUSE: Samples = SAMPLE_RATE as Samples * 2;
/// Speech needed before a detected language is believed.
const LANGUAGE_SPEECH: Samples = SAMPLE_RATE as Samples * 2;

/// What the passes of a stream share and never change; replaced when settings change.
#[derive(Debug)]
pub(super) struct Shared {
    pub settings: PolicySettings,
    pub tokenizer: Arc<Tokenizer>,
    pub specials: Specials,
    pub multilingual: bool,
    pub text_positions: usize,
    pub suppressed: Suppressed,
    /// Tokens barred from the first place: a lone space, and with it the end of the text.
    pub blank: Vec<u32>,
    pub blank_and_end: Vec<u32>,
}

impl Shared {
    /// The tokens every window starts with.
    pub fn initial_tokens(&self, language: Option<&str>) -> Vec<u32> {
        let mut tokens = vec![self.specials.sot];
        if self.multilingual {
            let wanted = language.unwrap_or("en");
            tokens.extend(
                self.specials
                    .languages
                    .iter()
                    .find(|(code, _)| *code == wanted)
                    .map(|&(_, id)| id),
            );
            tokens.push(match self.settings.task {
                Task::Transcribe => self.specials.transcribe,
                Task::Translate => self.specials.translate,
            });
        }
        tokens.push(self.specials.no_timestamps);
        tokens
    }
}

/// One stream's policy state.
pub struct AlignAtt {
    shared: Arc<Shared>,
    /// Settings that wait for the next utterance.
    upcoming: Option<Arc<Shared>>,
    config: WhisperConfig,
    audio: Audio,
    /// Stream position of the window's first sample, as word times see it. Under compat it drifts as the reference's does.
    base: Samples,
    /// One hypothesis per pass that reached decoding, oldest first, as long as its audio is held.
    committed: Vec<Vec<TimedToken>>,
    context: Context,
    last_frame: i32,
    /// Language in force.
    language: Option<&'static str>,
    /// Whether to listen for the language (again).
    listen: bool,
    fragments: Fragments,
    words: WholeWords,
    loudness: Loudness,
    /// Speech heard in this utterance, and where it was heard first and last.
    speech: Samples,
    speech_first: Option<Samples>,
    speech_last: Option<Samples>,
    /// Whether the running utterance has released words, and where the last one ended.
    told: bool,
    told_until: Samples,
    /// Where the last pass stopped hearing, when it ended with nothing left to say.
    settled: Option<Samples>,
    last_partial: Vec<(String, u32)>,
}

impl AlignAtt {
    /// A fresh stream. What depends on the model (a language other than English on an `.en` model, a prompt that does
    /// not fit) is checked here, beside [`PolicySettings::check`].
    pub fn new(
        settings: PolicySettings,
        config: &WhisperConfig,
        tokenizer: Arc<Tokenizer>,
        filters: Arc<MelFilters>,
    ) -> Result<AlignAtt, SettingsError> {
        let shared = Arc::new(share(settings, config, tokenizer)?);
        let mut stream = AlignAtt {
            upcoming: None,
            config: config.clone(),
            audio: Audio::new(filters),
            base: 0,
            committed: Vec::new(),
            context: Context::default(),
            last_frame: 0,
            language: None,
            listen: false,
            fragments: Fragments::default(),
            words: WholeWords::default(),
            loudness: Loudness::new(0),
            speech: 0,
            speech_first: None,
            speech_last: None,
            told: false,
            told_until: 0,
            settled: None,
            last_partial: Vec::new(),
            shared,
        };
        stream.refresh_all();
        Ok(stream)
    }

    /// Takes over settings that may change while playing (language, task, prompts, interim): from the next utterance on,
    /// `interim` at once.
    pub fn update(&mut self, settings: PolicySettings) -> Result<(), SettingsError> {
        let tokenizer = Arc::clone(&self.shared.tokenizer);
        let next = Arc::new(share(
            settings.clone(),
            &self.config,
            Arc::clone(&tokenizer),
        )?);
        if self.is_idle() {
            self.shared = next;
            self.refresh_all();
            return Ok(());
        }
        if settings.interim != self.shared.settings.interim {
            let now = PolicySettings {
                interim: settings.interim,
                ..self.shared.settings.clone()
            };
            self.shared = Arc::new(share(now, &self.config, tokenizer)?);
        }
        self.upcoming = Some(next);
        Ok(())
    }

    /// Appends a chunk (samples in -1..1) and scrolls what no longer fits. One call a chunk: passes follow chunk edges.
    pub fn insert(&mut self, chunk: &[f32]) {
        let compat = self.shared.settings.is_compat();
        self.audio.push(chunk);
        if !compat {
            let voiced = self.loudness.push(chunk);
            self.speech += voiced.samples;
            self.speech_first = self.speech_first.or(voiced.first);
            self.speech_last = voiced.last.or(self.speech_last);
        }
        let mut dropped = None;
        while let Some(samples) = self.audio.pop_beyond(self.shared.settings.window_samples()) {
            // The reference's own arithmetic, truncated as it does.
            self.last_frame -= (50.0 * (samples as f64 / SAMPLE_RATE as f64)) as i32;
            dropped = Some(samples);
            if compat && !self.committed.is_empty() {
                let oldest = self.committed.remove(0);
                self.context.push(&self.text(&oldest));
            }
        }
        if let Some(last) = dropped {
            if compat {
                // Only the last length counts there, so times drift when several chunks leave at once.
                self.base += last as Samples;
            } else {
                self.base = self.audio.start();
                self.scroll_tokens();
            }
        }
    }

    /// Starts a pass over all audio held, or says why there is none (nothing there, too short, nothing to hear):
    /// then the outcome stands in its place. `is_last`: the stream (or what precedes a flush or a hole) ends here.
    #[allow(clippy::result_large_err)]
    pub fn begin(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        if self.shared.settings.is_compat() {
            self.begin_compat(is_last)
        } else {
            self.begin_ours(is_last)
        }
    }

    /// Takes over what a finished pass decided. After a last pass the stream is fresh, at the position it had reached.
    pub fn commit(&mut self, pass: Pass) -> Outcome {
        self.last_frame = pass.last_frame;
        self.context = pass.context.clone();
        self.language = pass.language.current.or(self.language);
        if self.shared.settings.is_compat() {
            self.commit_compat(pass)
        } else {
            self.commit_ours(pass)
        }
    }

    /// Forgets audio, tokens and context, and goes on at stream position `position` (after a flush, a hole).
    pub fn reset(&mut self, position: Samples) {
        self.audio.reset(position);
        self.loudness = Loudness::new(position);
        self.refresh_all();
    }

    fn begin_compat(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        if self.audio.len() == 0 || self.audio.len() < self.min_samples() {
            let outcome = Outcome {
                utterance_end: is_last,
                quiet_until: self.audio.start(),
                ..Outcome::default()
            };
            if is_last {
                self.finish_stream();
            }
            return Err(outcome);
        }
        let language = LanguageState {
            current: self.language,
            detect: self.listen,
            may_lock: true,
            found: None,
        };
        Ok(self.pass(is_last, is_last, language, Samples::MAX))
    }

    fn commit_compat(&mut self, pass: Pass) -> Outcome {
        if pass.language.found.is_some() {
            self.listen = false;
            self.committed.clear();
        }
        let tokens = self.kept(&pass, |pass, d| {
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
        let end = pass.is_last.then_some(self.audio.end());
        let release =
            self.fragments
                .take(&tokens, &steps, end, &self.shared.tokenizer, self.language);
        self.committed.push(tokens);
        if let Some(release) = &release {
            self.told_until = release.end;
        }
        let outcome = Outcome {
            release,
            utterance_end: pass.is_last,
            language: pass.language.found.map(Into::into),
            quiet_until: self.told_until.max(self.audio.start()),
            guards: pass.guards,
            partial: Vec::new(),
        };
        if pass.is_last {
            self.finish_stream();
        }
        outcome
    }

    fn begin_ours(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        let end = self.audio.end();
        let Some(speech_last) = self.speech_last else {
            return Err(self.stay_quiet(is_last));
        };
        let silence = end.saturating_sub(speech_last);
        let ends_utterance = is_last || silence >= END_SILENCE;
        if self.audio.len() == 0 || (self.audio.len() < self.min_samples() && !ends_utterance) {
            return Err(Outcome {
                quiet_until: self.quiet_until(),
                ..Outcome::default()
            });
        }
        if !ends_utterance
            && self
                .settled
                .is_some_and(|heard| heard >= speech_last + 8000)
        {
            let guards = Guards {
                quiet: 1,
                ..Guards::default()
            };
            return Err(Outcome {
                quiet_until: self.quiet_until(),
                guards,
                ..Outcome::default()
            });
        }
        if !self.told && self.committed.is_empty() {
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
    fn stay_quiet(&mut self, is_last: bool) -> Outcome {
        let end = self.audio.end();
        if is_last {
            self.audio.reset(end);
        } else {
            self.audio.keep_newest(PREROLL as usize);
        }
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

    /// Before the first pass of an utterance: what does the pause before it mean?
    fn start_utterance(&mut self) {
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

    fn commit_ours(&mut self, pass: Pass) -> Outcome {
        let found = pass.language.found.filter(|found| found.locked);
        let news = self.learn_language(found);
        let tokens = self.kept(&pass, timed);
        let next = pass.next_token().or(match pass.stop {
            Some(Stop::EndOfText) => Some(self.shared.specials.eot),
            _ => None,
        });
        let all = pass.is_last;
        let release = self
            .words
            .take(&tokens, next, all, &self.shared.tokenizer, self.language);
        self.committed.push(tokens);
        self.settled = (pass.stop == Some(Stop::EndOfText)).then_some(self.audio.end());
        if let Some(release) = &release {
            self.told = true;
            self.told_until = release.end;
        }
        let partial = self.partial(&pass, release.as_ref());
        let ended = all && self.told;
        let outcome = Outcome {
            release,
            utterance_end: ended,
            partial,
            language: news,
            quiet_until: self.quiet_until_of(&pass),
            guards: pass.guards,
        };
        if all {
            self.finish_utterance(!pass.stream_ends);
        }
        outcome
    }

    fn learn_language(&mut self, found: Option<Heard>) -> Option<super::Detected> {
        let found = found?;
        self.listen = false;
        Some(found.into())
    }

    /// The decided tokens of a pass, less the last word if that is to be dropped.
    fn kept(&self, pass: &Pass, timed: impl Fn(&Pass, &Decoded) -> TimedToken) -> Vec<TimedToken> {
        let mut tokens: Vec<TimedToken> = pass
            .steps
            .iter()
            .take(pass.kept)
            .map(|d| timed(pass, d))
            .collect();
        if self.shared.settings.truncate_last_word && !pass.is_last {
            let ids: Vec<u32> = tokens.iter().map(|t| t.id).collect();
            let words = self.shared.tokenizer.split_to_words(&ids, self.language);
            let dropped = words.last().map_or(0, |word| word.tokens.len());
            tokens.truncate(if words.len() > 1 {
                tokens.len() - dropped
            } else {
                0
            });
        }
        tokens
    }

    fn pass(
        &mut self,
        last: bool,
        stream_ends: bool,
        language: LanguageState,
        new_audio: Samples,
    ) -> Pass {
        Pass::new(Start {
            shared: Arc::clone(&self.shared),
            is_last: last,
            stream_ends,
            content: self.audio.content_frames(),
            mel: self.audio.window(),
            context: self.context.clone(),
            forced: if language.detect && self.shared.settings.is_compat() {
                Vec::new()
            } else {
                self.committed.iter().flatten().map(|t| t.id).collect()
            },
            new_frames: usize::try_from(new_audio).unwrap_or(usize::MAX) / FRAME,
            language,
            last_frame: self.last_frame,
            base: self.base,
        })
    }

    /// Moves the tokens whose audio has left the window to the context.
    fn scroll_tokens(&mut self) {
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

    fn finish_utterance(&mut self, more_follows: bool) {
        let told: Vec<TimedToken> = self.committed.drain(..).flatten().collect();
        self.context.push(&self.text(&told));
        let end = self.audio.end();
        if more_follows {
            let silence = end.saturating_sub(self.speech_last.unwrap_or(end));
            self.audio
                .keep_newest(PREROLL.min(silence.saturating_sub(WORD_TAIL)) as usize);
        } else {
            self.audio.reset(end);
        }
        if let Some(upcoming) = self.upcoming.take() {
            self.shared = upcoming;
            self.choose_language();
        }
        self.fresh_utterance();
    }

    /// Everything of a running utterance, back to its start.
    fn fresh_utterance(&mut self) {
        self.base = self.audio.start();
        self.committed.clear();
        self.last_frame = -(self.shared.settings.rewind_threshold as i32);
        self.words.reset(
            self.audio
                .start()
                .max(self.told_until.min(self.audio.end())),
        );
        self.speech = 0;
        self.speech_first = None;
        self.speech_last = None;
        self.told = false;
        self.settled = None;
        self.last_partial.clear();
    }

    /// After the reference's `finish`: everything but the position is as at the start.
    fn finish_stream(&mut self) {
        self.audio.reset(self.audio.end());
        self.refresh_all();
    }

    fn refresh_all(&mut self) {
        if let Some(upcoming) = self.upcoming.take() {
            self.shared = upcoming;
        }
        self.fragments = Fragments::default();
        self.context = self.fresh_context();
        self.told_until = self.audio.start();
        self.choose_language();
        self.fresh_utterance();
    }

    fn fresh_context(&self) -> Context {
        let settings = &self.shared.settings;
        Context::new(
            settings.static_init_prompt.as_deref(),
            settings.init_prompt.as_deref(),
        )
    }

    fn choose_language(&mut self) {
        match self.shared.settings.language_choice() {
            Ok(LanguageChoice::Fixed(language)) => {
                (self.language, self.listen) = (Some(language.code), false)
            }
            _ if !self.shared.multilingual => (self.language, self.listen) = (Some("en"), false),
            _ => (self.language, self.listen) = (None, true),
        }
    }

    fn chooses_language(&self) -> bool {
        self.shared.multilingual
            && self.shared.settings.language_choice() == Ok(LanguageChoice::Auto)
    }

    /// Nothing of an utterance is held.
    fn is_idle(&self) -> bool {
        !self.told && self.speech_last.is_none() && self.committed.is_empty()
    }

    fn min_samples(&self) -> usize {
        self.shared.settings.audio_min_len_ms as usize * 16
    }

    fn text(&self, tokens: &[TimedToken]) -> String {
        self.shared
            .tokenizer
            .decode(&tokens.iter().map(|t| t.id).collect::<Vec<_>>())
    }

    fn quiet_until(&self) -> Samples {
        self.words
            .held_since()
            .unwrap_or(self.told_until)
            .max(self.audio.start().min(self.told_until))
    }

    /// No word released later starts before this: what is held, what was dropped, else all but the newest second.
    fn quiet_until_of(&self, pass: &Pass) -> Samples {
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

    fn partial(&mut self, pass: &Pass, release: Option<&Release>) -> Vec<PartialWord> {
        if !self.shared.settings.interim {
            return Vec::new();
        }
        let tail: Vec<TimedToken> = pass.tail.iter().map(|d| timed(pass, d)).collect();
        let words: Vec<Word> = self
            .words
            .preview(&tail, &self.shared.tokenizer, self.language);
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
        start: pass.position(d.mass.q25),
        end: pass.position(d.mass.q75),
        logprob: d.logprob,
    }
}

fn share(
    settings: PolicySettings,
    config: &WhisperConfig,
    tokenizer: Arc<Tokenizer>,
) -> Result<Shared, SettingsError> {
    settings.check()?;
    let specials = tokenizer.specials().clone();
    if let LanguageChoice::Fixed(language) = settings.language_choice()? {
        if !config.multilingual && language.code != "en" {
            return Err(SettingsError::EnglishOnly(settings.language));
        }
        if config.multilingual
            && !specials
                .languages
                .iter()
                .any(|(code, _)| *code == language.code)
        {
            return Err(SettingsError::LanguageNotInModel(settings.language));
        }
    }
    if !config.multilingual && settings.task == Task::Translate {
        return Err(SettingsError::CannotTranslate);
    }
    let fixed = settings
        .static_init_prompt
        .as_deref()
        .map_or(0, |text| tokenizer.encode(text).len());
    let most = config.text_positions.saturating_sub(20) / 2;
    if fixed > most {
        return Err(SettingsError::PromptTooLong {
            tokens: fixed,
            most,
        });
    }
    let languages = specials.languages.iter().map(|&(_, id)| id);
    let mut barred = vec![
        specials.transcribe,
        specials.translate,
        specials.sot,
        specials.sot_prev,
        specials.sot_lm,
        specials.no_timestamps,
        specials.no_speech,
    ];
    barred.extend(languages);
    if !settings.is_compat() {
        barred.extend(
            config
                .suppress_tokens
                .iter()
                .copied()
                .filter(|&t| t != specials.eot),
        );
        barred.extend(specials.timestamp_begin..config.vocab_size as u32);
    }
    let blank = tokenizer.encode(" ");
    let blank_and_end = blank.iter().copied().chain([specials.eot]).collect();
    Ok(Shared {
        suppressed: Suppressed::new(config.vocab_size, barred),
        multilingual: config.multilingual,
        text_positions: config.text_positions,
        blank,
        blank_and_end,
        specials,
        tokenizer,
        settings,
    })
}
