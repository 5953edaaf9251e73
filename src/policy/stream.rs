//! What every policy keeps of a stream: settings, audio, context, language, and the running utterance; and what it
//! decides with them alone: whether a pass is due.

use std::sync::Arc;

use super::audio::Audio;
use super::context::Context;
use super::partials::Partials;
use super::pass::{Decoded, LanguageState, Pass, Start};
use super::saved::{NotResumed, SavedStream};
use super::settings::{Gate, LanguageChoice, PolicySettings, SettingsError};
use super::shared::{Shared, share};
use super::utterance::{LONG_UTTERANCE, Utterance, WORD_TAIL};
use super::words::TimedToken;
use super::{Detected, Guards, Outcome, Samples};
use crate::speech::Boundary;
use crate::whisper::{FRAME, Language, MelFilters, SAMPLE_RATE, Tokenizer, WhisperConfig};

/// Audio kept in front of the first sound of an utterance: its onset may be too soft for the energy gate.
pub(super) const PREROLL: Samples = SAMPLE_RATE as Samples;
/// The same, in front of the onset that a voice detector tells of: whatever was heard before that (keys, a tone, music)
/// is not to be written down.
const VOICE_PREROLL: Samples = SAMPLE_RATE as Samples * 4 / 10;
/// The context survives a pause shorter than this.
const CONTEXT_PAUSE: Samples = SAMPLE_RATE as Samples * 5;
/// A pause of this length makes us listen for the language again.
const LANGUAGE_PAUSE: Samples = SAMPLE_RATE as Samples * 2;
/// Speech needed before a detected language is believed.
const LANGUAGE_SPEECH: Samples = SAMPLE_RATE as Samples * 2;

/// One stream, whatever the policy.
pub(super) struct Stream {
    pub shared: Arc<Shared>,
    /// Settings that wait for the next utterance.
    upcoming: Option<Arc<Shared>>,
    config: WhisperConfig,
    pub audio: Audio,
    pub context: Context,
    /// Language in force.
    pub language: Option<&'static str>,
    /// Whether to listen for the language (again).
    pub listen: bool,
    pub utterance: Utterance,
    pub partials: Partials,
    /// The machine cannot keep up.
    pub shorten: bool,
}

/// What the gates say of a pass now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gated {
    /// Nothing held could be speech.
    Silent,
    /// Less than `audio-min-len` is held.
    TooShort,
    /// There is something to hear; `ends`: the utterance ends with it.
    Open { ends: bool },
}

impl Stream {
    pub fn new(
        settings: PolicySettings,
        config: &WhisperConfig,
        tokenizer: Arc<Tokenizer>,
        filters: Arc<MelFilters>,
    ) -> Result<Stream, SettingsError> {
        let mut stream = Stream {
            shared: Arc::new(share(settings, config, tokenizer)?),
            upcoming: None,
            config: config.clone(),
            audio: Audio::new(filters),
            context: Context::default(),
            language: None,
            listen: false,
            utterance: Utterance::new(0),
            partials: Partials::default(),
            shorten: false,
        };
        stream.refresh();
        Ok(stream)
    }

    /// Takes settings over, at once if nothing of an utterance is held (then all but the audio is fresh, and the answer is
    /// true), else with the next utterance.
    pub fn update(&mut self, settings: PolicySettings, idle: bool) -> Result<bool, SettingsError> {
        let tokenizer = Arc::clone(&self.shared.tokenizer);
        let next = Arc::new(share(
            settings.clone(),
            &self.config,
            Arc::clone(&tokenizer),
        )?);
        if idle {
            self.shared = next;
            self.refresh();
            return Ok(true);
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
        Ok(false)
    }

    /// Everything but the audio, back to the start.
    pub fn refresh(&mut self) {
        if let Some(upcoming) = self.upcoming.take() {
            self.shared = upcoming;
        }
        self.context = self.fresh_context();
        self.utterance.told_until = self.audio.start();
        self.choose_language();
        self.fresh_utterance();
    }

    /// Forgets everything and goes on at `position`.
    pub fn reset(&mut self, position: Samples) {
        self.audio.reset(position);
        self.utterance = Utterance::new(position);
        self.refresh();
    }

    pub fn save(&self) -> SavedStream {
        SavedStream {
            settings: self.shared.settings.clone(),
            upcoming: self.upcoming.as_ref().map(|next| next.settings.clone()),
            audio: self.audio.save(),
            context: self.context.clone(),
            language: self.language.map(str::to_owned),
            listen: self.listen,
            utterance: self.utterance.clone(),
            partials: self.partials.clone(),
            shorten: self.shorten,
        }
    }

    pub fn resume(&mut self, saved: SavedStream) -> Result<(), NotResumed> {
        let shared = |settings| {
            let tokenizer = Arc::clone(&self.shared.tokenizer);
            share(settings, &self.config, tokenizer).map(Arc::new)
        };
        let known = |code: String| {
            let language = Language::parse(&code).map(|language| language.code);
            language.ok_or(NotResumed::Language(code))
        };
        let upcoming = saved.upcoming.map(shared).transpose()?;
        self.shared = shared(saved.settings)?;
        self.upcoming = upcoming;
        self.audio.resume(saved.audio)?;
        self.context = saved.context;
        self.language = saved.language.map(known).transpose()?;
        self.listen = saved.listen;
        self.utterance = saved.utterance;
        self.partials = saved.partials;
        self.shorten = saved.shorten;
        Ok(())
    }

    fn fresh_utterance(&mut self) {
        self.utterance.refresh();
        self.partials.clear();
    }

    /// Notes what sounds in the chunk just inserted.
    pub fn hear(&mut self, chunk: &[f32]) {
        self.utterance.listen(chunk, self.shared.settings.gate);
    }

    /// What the voice detector heard, if there is one.
    pub fn speech(&mut self, boundary: &Boundary) {
        if self.shared.settings.gate == Gate::Voice {
            self.utterance.heed(boundary);
        }
    }

    /// Nothing was heard or told since the utterance before.
    pub fn is_idle(&self) -> bool {
        !self.utterance.told && self.utterance.last.is_none()
    }

    /// Whether there is anything to hear, and whether the utterance ends with it. `is_last`: the stream ends.
    pub fn gate(&self, is_last: bool) -> Gated {
        if self.utterance.last.is_none() {
            return Gated::Silent;
        }
        let (held, end) = (self.audio.len(), self.audio.end());
        let gate = self.shared.settings.gate;
        let ends = is_last || self.utterance.is_over(held as Samples, end, gate);
        if held == 0 || (self.is_too_short() && !ends) {
            return Gated::TooShort;
        }
        Gated::Open { ends }
    }

    /// Nothing in the window could be speech: no pass, and only the newest audio is kept.
    pub fn stay_quiet(&mut self, is_last: bool) -> Outcome {
        let end = self.audio.end();
        if is_last {
            self.audio.reset(end);
        } else if self.utterance.speaking {
            // So softly that only the voice detector hears it.
            self.audio.keep_newest(LONG_UTTERANCE as usize);
        } else {
            self.audio.keep_newest(PREROLL as usize);
        }
        self.utterance.ended = false;
        Outcome {
            quiet_until: self.audio.start(),
            guards: Guards {
                quiet: u32::from(!is_last),
                ..Guards::default()
            },
            ..Outcome::default()
        }
    }

    /// No pass is worth its cost now. `held`: where the first word starts that is known and not yet told.
    pub fn run_none(&self, held: Option<Samples>) -> Outcome {
        let open = self.audio.start().max(self.utterance.told_until);
        Outcome {
            quiet_until: held.map_or(open, |held| held.min(open)),
            guards: Guards {
                quiet: 1,
                ..Guards::default()
            },
            ..Outcome::default()
        }
    }

    /// Before the first pass of an utterance: forgets what was heard before it, and sees what the pause means.
    pub fn start_utterance(&mut self) {
        self.forget_before_onset();
        let first = self.utterance.first.unwrap_or_default();
        let pause = first.saturating_sub(self.utterance.told_until);
        if pause >= CONTEXT_PAUSE && self.utterance.told_until > 0 {
            self.context = self.fresh_context();
        }
        if pause >= LANGUAGE_PAUSE && self.chooses_language() {
            self.listen = true;
        }
    }

    /// What a voice detector has told the start of begins there.
    fn forget_before_onset(&mut self) {
        let Some(onset) = self
            .utterance
            .first
            .filter(|_| self.shared.settings.gate == Gate::Voice)
        else {
            return;
        };
        let start = onset.saturating_sub(VOICE_PREROLL);
        if start > self.audio.start() {
            let held = self.audio.end().saturating_sub(start);
            self.audio.keep_newest(held as usize);
        }
    }

    /// What a pass over all audio held starts from, if nothing of its text is known.
    pub fn start(&mut self, is_last: bool, stream_ends: bool, language: LanguageState) -> Start {
        Start {
            shared: Arc::clone(&self.shared),
            is_last,
            stream_ends,
            shorten: self.shorten,
            content: self.audio.content_frames(),
            mel: Arc::new(self.audio.window()),
            context: self.context.clone(),
            forced: Vec::new(),
            new_frames: self.audio.len() / FRAME,
            language,
            last_frame: 0,
            base: self.audio.start(),
        }
    }

    /// How the next pass is to find the language. A last pass believes what it hears.
    pub fn language_state(&self, is_last: bool) -> LanguageState {
        LanguageState {
            current: self.language,
            detect: self.listen,
            may_lock: self.utterance.speech >= LANGUAGE_SPEECH || is_last,
            found: None,
        }
    }

    /// Takes over what a pass did to the context, and the language it heard.
    pub fn take_over(&mut self, pass: &Pass) {
        self.context = pass.context.clone();
        self.language = pass.language.current.or(self.language);
    }

    /// The language, in the pass that locked it.
    pub fn learn_language(&mut self, pass: &Pass) -> Option<Detected> {
        let found = pass.language.found.filter(|found| found.locked)?;
        self.listen = false;
        Some(found.into())
    }

    /// The decided tokens of a pass, less the last word if that is to be dropped.
    pub fn kept(
        &self,
        pass: &Pass,
        timed: impl Fn(&Pass, &Decoded) -> TimedToken,
    ) -> Vec<TimedToken> {
        let mut tokens: Vec<TimedToken> = pass
            .steps
            .iter()
            .take(pass.kept)
            .map(|d| timed(pass, d))
            .collect();
        let is_cut = self.shared.settings.truncate_last_word || pass.cuts_word;
        if is_cut && !pass.from.is_last {
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

    /// Ends the utterance: its text becomes context, the silence behind it is kept for the next, and settings that waited
    /// come into force.
    pub fn finish_utterance(&mut self, text: &str, more_follows: bool) {
        self.context.push(text);
        let end = self.audio.end();
        self.utterance.told_all = end;
        if more_follows {
            let silence = end.saturating_sub(self.utterance.last.unwrap_or(end));
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

    /// Less than `audio-min-len` is held.
    pub fn is_too_short(&self) -> bool {
        self.audio.len() < self.shared.settings.audio_min_len_ms as usize * 16
    }

    /// Memory held between two passes, in what can grow: audio, log-mel, text.
    pub fn bytes(&self) -> usize {
        self.audio.bytes() + self.context.bytes()
    }

    pub fn text(&self, tokens: &[TimedToken]) -> String {
        self.shared
            .tokenizer
            .decode(&tokens.iter().map(|t| t.id).collect::<Vec<_>>())
    }
}

/// A decoded token's place in the stream, by the mass of its attention.
pub(super) fn timed(pass: &Pass, d: &Decoded) -> TimedToken {
    TimedToken {
        id: d.id,
        attended: pass.position(d.frame as f32),
        start: pass.position(d.mass.start),
        end: pass.position(d.mass.end),
        logprob: d.logprob,
    }
}
