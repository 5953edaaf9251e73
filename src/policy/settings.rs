//! What a stream's policy can be told, checked once.

use serde::{Deserialize, Serialize};

use crate::whisper::{Language, WhisperConfig};

/// Most hypotheses at a time.
const MOST_BEAMS: u32 = 16;

/// How it is decided what may be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// By where each token attends ([`super::AlignAtt`]).
    #[default]
    #[serde(rename = "alignatt")]
    AlignAtt,
    /// By what two passes in a row agree upon ([`super::LocalAgreement`]).
    LocalAgreement,
}

/// Where [`Rule::LocalAgreement`] cuts a buffer that has grown too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BufferTrimming {
    /// At the end of a segment: of a sentence, or where the speaker pauses.
    #[default]
    Segment,
    /// At the end of a sentence, if there is one.
    Sentence,
}

/// Whether the reference is reproduced decision for decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// Ours: with the listed deviations of docs/policy.md.
    #[default]
    None,
    /// SimulStreaming's decisions, to the token.
    SimulStreaming,
}

/// What Whisper writes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// What was said, in its language.
    #[default]
    Transcribe,
    /// What was said, in English.
    Translate,
}

/// How much of the window is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCtx {
    /// All of it, as the network was trained.
    #[default]
    Exact,
    /// The audio held and a margin; all of it, once more, where that led the network astray.
    Auto,
    /// All of it; as `Auto` while the stream is told to be brief ([`super::Policy::shorten`]).
    Overload,
}

/// What tells that somebody speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// Energy over its own floor.
    #[default]
    Energy,
    /// A voice detector, whose boundaries the policy is told ([`super::Policy::speech`]).
    Voice,
}

/// All of the policy's settings, in the units of the element's properties. Written down (a recording of a stream has
/// them), they have the properties' names; what is missing there has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PolicySettings {
    /// How it is decided what may be said.
    #[serde(rename = "policy")]
    pub rule: Rule,
    pub compat: Compat,
    /// Language code, name or BCP-47 tag, or `auto`.
    pub language: String,
    /// Among which languages `auto` chooses, comma-separated; empty: all.
    pub languages: String,
    pub task: Task,
    /// Audio between two passes.
    #[serde(rename = "min-chunk-size")]
    pub min_chunk_ms: u32,
    /// No pass before this much audio is held.
    #[serde(rename = "audio-min-len")]
    pub audio_min_len_ms: u32,
    /// The oldest audio scrolls out beyond this.
    #[serde(rename = "audio-max-len")]
    pub audio_max_len_ms: u32,
    /// Where the buffer of [`Rule::LocalAgreement`] is cut when it is longer than that.
    pub buffer_trimming: BufferTrimming,
    #[serde(rename = "buffer-trimming-len")]
    pub buffer_trimming_ms: u32,
    /// A token that attends closer than this many frames (20 ms) to the end of the audio is not yet believed.
    pub frame_threshold: u32,
    /// A jump of the attention back by more than this many frames discards the pass.
    pub rewind_threshold: u32,
    /// Text that precedes the stream, scrolls out like any other.
    pub init_prompt: Option<String>,
    /// Text that stays in the context for ever.
    pub static_init_prompt: Option<String>,
    /// Names and terms to expect, comma-separated; they stay in the context behind the static prompt.
    pub keyterms: Option<String>,
    /// Most tokens of context before the window.
    pub max_context_tokens: u32,
    /// Hypotheses that decoding follows at a time; 1: the best token, always.
    pub beams: u32,
    /// The last pass of an utterance is decoded again, with sampling, when it fails: up to this temperature, 0.2 more each
    /// time; 0: never.
    pub temperature: f32,
    /// Drop the last word of every pass but the last.
    pub truncate_last_word: bool,
    /// Decode on for the unstable tail.
    pub interim: bool,
    pub audio_ctx: AudioCtx,
    pub gate: Gate,
}

impl Default for PolicySettings {
    fn default() -> Self {
        PolicySettings {
            rule: Rule::AlignAtt,
            compat: Compat::None,
            language: "auto".into(),
            languages: String::new(),
            task: Task::Transcribe,
            min_chunk_ms: 500,
            audio_min_len_ms: 0,
            audio_max_len_ms: 30_000,
            buffer_trimming: BufferTrimming::Segment,
            buffer_trimming_ms: 15_000,
            frame_threshold: 25,
            rewind_threshold: 200,
            init_prompt: None,
            static_init_prompt: None,
            keyterms: None,
            max_context_tokens: 448,
            beams: 1,
            temperature: 0.0,
            truncate_last_word: false,
            interim: false,
            audio_ctx: AudioCtx::Exact,
            gate: Gate::Energy,
        }
    }
}

/// A setting that makes no sense: a whole sentence with value, reason and remedy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "language {0:?} is unknown to Whisper; give a code such as \"fr\", a name such as \"french\", a BCP-47 tag such as \"fr-FR\", or \"auto\""
    )]
    UnknownLanguage(String),
    #[error(
        "languages names {0:?}, which is unknown to Whisper; separate codes (\"fr\"), names (\"french\") or BCP-47 tags (\"fr-FR\") by commas, or unset it to allow all languages"
    )]
    UnknownAllowed(String),
    #[error(
        "languages is {0:?}, but this is an English-only model; add \"en\", unset it, or choose a multilingual model"
    )]
    EnglishNotAllowed(String),
    #[error(
        "languages names {0:?}, which has no token in this model's vocabulary; take it out, or choose a newer model"
    )]
    AllowedNotInModel(String),
    #[error(
        "language {0:?} was asked for, but this is an English-only model; set language to \"en\" or \"auto\", or choose a multilingual model"
    )]
    EnglishOnly(String),
    #[error(
        "language {0:?} has no token in this model's vocabulary; choose another language or a newer model"
    )]
    LanguageNotInModel(String),
    #[error(
        "task \"translate\" was asked for, but this is an English-only model; set task to \"transcribe\" or choose a multilingual model"
    )]
    CannotTranslate,
    #[error("min-chunk-size is {0} ms; it must be at least 20 ms, one frame of the encoder")]
    ChunkTooShort(u32),
    #[error(
        "min-chunk-size ({chunk} ms) is not below audio-max-len ({max} ms): the first pass would never run; lower min-chunk-size or raise audio-max-len"
    )]
    ChunkBeyondWindow { chunk: u32, max: u32 },
    #[error(
        "audio-min-len ({min} ms) exceeds audio-max-len ({max} ms): no pass could ever run; lower audio-min-len or raise audio-max-len"
    )]
    MinBeyondMax { min: u32, max: u32 },
    #[error(
        "audio-max-len is {0} ms, but Whisper hears 30000 ms at most: newer audio would be cut; set it to 30000 ms or less"
    )]
    WindowTooLong(u32),
    #[error(
        "frame-threshold is {0} frames, but a window has only 1500 (20 ms each): no token could ever be believed; the usual value is 25"
    )]
    ThresholdTooLarge(u32),
    #[error("beams is {0}; it must be 1 (the best token, always) to {MOST_BEAMS}")]
    Beams(u32),
    #[error("temperature is {0}; it must be 0 (never sample) to 1")]
    Temperature(f32),
    #[error(
        "temperature is {0}, but compat=simulstreaming reproduces the reference, which never samples; set temperature to 0 or compat to none"
    )]
    TemperatureCompat(f32),
    #[error(
        "audio-ctx is not exact, but compat=simulstreaming reproduces the reference, which always hears the whole window; set audio-ctx to exact or compat to none"
    )]
    InexactCompat,
    #[error(
        "policy is local-agreement, but compat=simulstreaming reproduces the reference, which decides by AlignAtt; set policy to alignatt or compat to none"
    )]
    AgreementCompat,
    #[error(
        "beams is {0}, but policy=local-agreement follows one hypothesis a pass, and two passes must agree; set beams to 1 or policy to alignatt"
    )]
    AgreementBeams(u32),
    #[error(
        "buffer-trimming-len is {0} ms, but Whisper hears 30000 ms at most; set it to 30000 ms or less, the usual value is 15000"
    )]
    TrimmedTooLate(u32),
    #[error(
        "static-init-prompt and keyterms have {tokens} tokens, but only {most} fit before the window; shorten them"
    )]
    PromptTooLong { tokens: usize, most: usize },
}

/// What the model is asked for and was not made for: it does what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Caution {
    #[error(
        "task is translate, but the model has the shape of large-v3-turbo, which was not trained to translate: the text will mostly be in the language spoken; choose large-v3 or medium to translate, or set task to transcribe"
    )]
    NotTrainedToTranslate,
}

/// What `language` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LanguageChoice {
    Auto,
    Fixed(Language),
}

impl PolicySettings {
    /// Checks every value and pair of values; the first fault found is returned.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.language_choice()?;
        self.allowed_languages()?;
        if self.min_chunk_ms < 20 {
            return Err(SettingsError::ChunkTooShort(self.min_chunk_ms));
        }
        if self.audio_max_len_ms > 30_000 {
            return Err(SettingsError::WindowTooLong(self.audio_max_len_ms));
        }
        if self.min_chunk_ms >= self.audio_max_len_ms {
            return Err(SettingsError::ChunkBeyondWindow {
                chunk: self.min_chunk_ms,
                max: self.audio_max_len_ms,
            });
        }
        if self.audio_min_len_ms > self.audio_max_len_ms {
            return Err(SettingsError::MinBeyondMax {
                min: self.audio_min_len_ms,
                max: self.audio_max_len_ms,
            });
        }
        if self.frame_threshold >= 1500 {
            return Err(SettingsError::ThresholdTooLarge(self.frame_threshold));
        }
        if !(1..=MOST_BEAMS).contains(&self.beams) {
            return Err(SettingsError::Beams(self.beams));
        }
        if !(0.0..=1.0).contains(&self.temperature) {
            return Err(SettingsError::Temperature(self.temperature));
        }
        if self.is_compat() && self.temperature > 0.0 {
            return Err(SettingsError::TemperatureCompat(self.temperature));
        }
        if self.buffer_trimming_ms > 30_000 {
            return Err(SettingsError::TrimmedTooLate(self.buffer_trimming_ms));
        }
        if self.is_compat() && !self.attention_decides() {
            return Err(SettingsError::AgreementCompat);
        }
        if self.beams > 1 && !self.attention_decides() {
            return Err(SettingsError::AgreementBeams(self.beams));
        }
        if self.is_compat() && self.audio_ctx != AudioCtx::Exact {
            return Err(SettingsError::InexactCompat);
        }
        Ok(())
    }

    /// `language`, understood.
    pub fn language_choice(&self) -> Result<LanguageChoice, SettingsError> {
        let text = self.language.trim();
        if text.eq_ignore_ascii_case("auto") {
            return Ok(LanguageChoice::Auto);
        }
        Language::parse(text)
            .map(LanguageChoice::Fixed)
            .ok_or_else(|| SettingsError::UnknownLanguage(self.language.clone()))
    }

    /// What to say of these settings on a model like this.
    pub fn caution(&self, config: &WhisperConfig) -> Option<Caution> {
        (self.task == Task::Translate && config.is_turbo())
            .then_some(Caution::NotTrainedToTranslate)
    }

    /// `languages`, understood, each once; empty: all.
    pub fn allowed_languages(&self) -> Result<Vec<Language>, SettingsError> {
        let mut allowed: Vec<Language> = Vec::new();
        if self.languages.trim().is_empty() {
            return Ok(allowed);
        }
        for name in self.languages.split(',').map(str::trim) {
            let language = Language::parse(name)
                .ok_or_else(|| SettingsError::UnknownAllowed(name.to_owned()))?;
            if !allowed.contains(&language) {
                allowed.push(language);
            }
        }
        Ok(allowed)
    }

    /// `min_chunk_ms` in samples.
    pub fn chunk_samples(&self) -> usize {
        self.min_chunk_ms as usize * 16
    }

    /// `audio_max_len_ms` in samples.
    pub fn window_samples(&self) -> usize {
        self.audio_max_len_ms as usize * 16
    }

    /// The text that stays in front of all other: the static prompt and the key terms.
    pub(super) fn fixed_prompt(&self) -> String {
        let mut text = self.static_init_prompt.clone().unwrap_or_default();
        let terms = self.keyterms.as_deref().unwrap_or_default().split(',');
        let terms: Vec<&str> = terms.map(str::trim).filter(|t| !t.is_empty()).collect();
        if !terms.is_empty() {
            text.push(' ');
            text.push_str(&terms.join(", "));
            text.push('.');
        }
        text
    }

    /// Whether a token's attention tells if it is believed.
    pub(super) fn attention_decides(&self) -> bool {
        self.rule == Rule::AlignAtt
    }

    pub(super) fn is_compat(&self) -> bool {
        self.compat == Compat::SimulStreaming
    }
}
