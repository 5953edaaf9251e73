//! What may be said when: AlignAtt (docs/policy.md). Pure state machines: no threads, no candle, no I/O.
//!
//! A stream's [`AlignAtt`] takes chunks of audio and hands out a [`Pass`] for each; the pass asks for rows of
//! logits and attention ([`Ask`]) until it is done, and [`AlignAtt::commit`] turns it into an [`Outcome`].
//! Whoever owns the network (the engine, a test) answers the asks. A pass that is dropped has never been.

mod alignatt;
mod alignment;
mod audio;
mod beam;
mod context;
mod guards;
mod logits;
mod pass;
mod report;
mod settings;
mod shared;
mod word_end;
mod words;

pub use alignatt::AlignAtt;
pub use pass::{Ask, Pass, Referee, Stop};
pub use report::{Chosen, Report};
pub use settings::{AudioCtx, Compat, Gate, LanguageChoice, PolicySettings, SettingsError, Task};

pub use crate::speech::Samples;

use serde::Serialize;

/// A committed word, whole (under `compat=simulstreaming`: a fragment as the reference emits it).
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// With its leading space, if the tokens have one.
    pub text: String,
    pub tokens: Vec<u32>,
    pub start: Samples,
    pub end: Samples,
    /// exp(mean log-probability of its tokens), 0 to 1.
    pub confidence: f32,
}

/// A word of the unstable tail.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialWord {
    pub word: Word,
    /// Consecutive passes in which it stood unchanged, this one included.
    pub stability: u32,
}

/// What one pass released.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    pub words: Vec<Word>,
    /// All words joined, as decoded.
    pub text: String,
    /// The emitted segment's start and end (docs/policy.md).
    pub start: Samples,
    pub end: Samples,
}

/// The language a stream speaks, once it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    pub code: &'static str,
    /// Probability among the languages allowed, 0 to 1; 1 when it was set, not detected.
    pub probability: f32,
}

/// What a guard cut (all counts are of this pass).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Guards {
    /// Passes that held no speech by the no-speech probability.
    pub no_speech: u32,
    /// Tokens cut by the rate cap.
    pub rate: u32,
    /// Tokens cut by the repetition brake.
    pub repetition: u32,
    /// Passes discarded because attention jumped back (rewind).
    pub rewind: u32,
    /// Passes not run because nothing was loud enough to be speech.
    pub quiet: u32,
    /// Passes that would have begun an utterance with guesses: of low probability on the whole.
    pub unlikely: u32,
    /// Passes repeated over the whole window, because a part of it had led the network astray (`audio-ctx=auto`).
    pub repeated: u32,
    /// Times that a failed last pass was decoded again, with sampling.
    pub resampled: u32,
}

/// What a committed pass means to the world.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub release: Option<Release>,
    /// The utterance ended with this pass: `release`, if any, is its last.
    pub utterance_end: bool,
    /// The unstable tail behind everything committed (only with `interim`).
    pub partial: Vec<PartialWord>,
    /// Set in the pass that locked the language.
    pub language: Option<Detected>,
    /// No word released later starts before this position, as far as is known now.
    pub quiet_until: Samples,
    pub guards: Guards,
}
