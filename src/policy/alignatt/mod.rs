//! One stream under AlignAtt: audio in, passes out, words back.

mod ours;
mod reference;

use std::sync::Arc;

use crate::policy::audio::Audio;
use crate::policy::context::Context;
use crate::policy::pass::{Decoded, LanguageState, Pass, Start};
use crate::policy::settings::{Gate, LanguageChoice};
use crate::policy::shared::{Shared, share};
use crate::policy::words::{Fragments, TimedToken, WholeWords};
use crate::policy::{Outcome, PolicySettings, Samples, SettingsError};
use crate::speech::{Boundary, Loudness};
use crate::whisper::{FRAME, MelFilters, SAMPLE_RATE, Tokenizer, WhisperConfig};

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
    /// Somebody speaks, by the voice detector.
    speaking: bool,
    /// The voice detector has heard the end of the speech held: the next pass is the utterance's last.
    ended: bool,
    /// Speech heard in this utterance, and where it was heard first and last.
    speech: Samples,
    speech_first: Option<Samples>,
    speech_last: Option<Samples>,
    /// Whether the running utterance has released words, and where the last one ended.
    told: bool,
    told_until: Samples,
    /// Where the first sound begins of which no pass has told all there is to tell.
    news: Option<Samples>,
    /// End of the audio of the last pass that told all.
    told_all: Samples,
    last_partial: Vec<(String, u32)>,
    /// The machine cannot keep up.
    shorten: bool,
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
            speaking: false,
            ended: false,
            speech: 0,
            speech_first: None,
            speech_last: None,
            told: false,
            told_until: 0,
            news: None,
            told_all: 0,
            last_partial: Vec::new(),
            shorten: false,
            shared,
        };
        stream.refresh_all();
        Ok(stream)
    }

    /// Takes over settings that may change while playing (language, task, prompts, interim): from the next utterance on,
    /// `interim` and `audio_ctx` at once.
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
        let now = &self.shared.settings;
        if (settings.interim, settings.audio_ctx) != (now.interim, now.audio_ctx) {
            let now = PolicySettings {
                interim: settings.interim,
                audio_ctx: settings.audio_ctx,
                ..self.shared.settings.clone()
            };
            self.shared = Arc::new(share(now, &self.config, tokenizer)?);
        }
        self.upcoming = Some(next);
        Ok(())
    }

    /// The machine cannot keep up, or can again: what [`AudioCtx::Overload`](super::AudioCtx::Overload) is for.
    pub fn shorten(&mut self, shorten: bool) {
        self.shorten = shorten;
    }

    /// Appends a chunk (samples in -1..1) and scrolls what no longer fits. One call a chunk: passes follow chunk edges.
    pub fn insert(&mut self, chunk: &[f32]) {
        let compat = self.shared.settings.is_compat();
        self.audio.push(chunk);
        if !compat {
            self.listen(chunk);
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
        if !compat {
            self.shorten_window();
        }
    }

    /// What the voice detector heard ([`Gate::Voice`]): the start of speech, told before the chunk in which it became
    /// certain, or its end, told behind that chunk: then the next pass is the utterance's last.
    pub fn speech(&mut self, boundary: &Boundary) {
        if self.shared.settings.gate == Gate::Voice {
            self.heed(boundary);
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
        self.speaking = false;
        self.told_all = position;
        self.refresh_all();
    }

    /// Memory held between two passes, in what can grow: audio, log-mel, tokens, text.
    pub fn bytes(&self) -> usize {
        let tokens: usize = self.committed.iter().map(Vec::capacity).sum();
        self.audio.bytes() + self.context.bytes() + tokens * size_of::<TimedToken>()
    }

    /// The decided tokens of a pass, less the last word if that is to be dropped.
    fn kept(&self, pass: &Pass, timed: impl Fn(&Pass, &Decoded) -> TimedToken) -> Vec<TimedToken> {
        let mut tokens: Vec<TimedToken> = pass
            .steps
            .iter()
            .take(pass.kept)
            .map(|d| timed(pass, d))
            .collect();
        let is_cut = self.shared.settings.truncate_last_word || pass.cuts_word;
        if is_cut && !pass.is_last {
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
            shorten: self.shorten,
            content: self.audio.content_frames(),
            mel: Arc::new(self.audio.window()),
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
        self.ended = false;
        self.speech = 0;
        self.speech_first = None;
        self.speech_last = None;
        self.told = false;
        self.news = None;
        self.last_partial.clear();
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
        Context::new(&settings.fixed_prompt(), settings.init_prompt.as_deref())
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
}
