//! What may be said when: AlignAtt and LocalAgreement (docs/policy.md). Pure state machines: no threads, no candle, no I/O.
//!
//! A stream's [`Policy`] takes chunks of audio and hands out a [`Pass`] for each; the pass asks for rows of
//! logits and attention ([`Ask`]) until it is done, and [`Policy::commit`] turns it into an [`Outcome`].
//! Whoever owns the network (the engine, a test) answers the asks. A pass that is dropped has never been.

mod alignatt;
mod alignment;
mod audio;
mod context;
mod guards;
mod local_agreement;
mod logits;
mod partials;
mod pass;
mod report;
mod saved;
mod settings;
mod shared;
mod stream;
mod utterance;
mod word_end;
mod words;

pub use alignatt::AlignAtt;
pub use local_agreement::LocalAgreement;
pub use pass::{Ask, Pass, Referee, Stop};
pub use report::{Chosen, Report};
pub use saved::{NotResumed, SavedPolicy};
pub use settings::{
    AudioCtx, BufferTrimming, Caution, Compat, Gate, LanguageChoice, PolicySettings, Rule,
    SettingsError, Task,
};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::speech::Boundary;
pub use crate::speech::Samples;
use crate::whisper::{MelFilters, Tokenizer, WhisperConfig};

/// One stream under a policy: audio in, passes out, words back.
pub trait Policy: Send {
    /// Appends a chunk (samples in -1..1) and scrolls what no longer fits. One call a chunk: passes follow chunk edges.
    fn insert(&mut self, chunk: &[f32]);

    /// What the voice detector heard ([`Gate::Voice`]): the start of speech, told before the chunk in which it became
    /// certain, or its end, told behind that chunk: then the next pass is the utterance's last.
    fn speech(&mut self, boundary: &Boundary);

    /// Starts a pass over all audio held, or says why there is none (nothing there, too short, nothing to hear):
    /// then the outcome stands in its place. `is_last`: the stream (or what precedes a flush or a hole) ends here.
    #[allow(clippy::result_large_err)]
    fn begin(&mut self, is_last: bool) -> Result<Pass, Outcome>;

    /// Takes over what a finished pass decided. After a last pass the stream is fresh, at the position it had reached.
    fn commit(&mut self, pass: Pass) -> Outcome;

    /// Takes over settings that may change while playing (language, task, prompts, interim): from the next utterance on,
    /// `interim` and `audio_ctx` at once.
    fn update(&mut self, settings: PolicySettings) -> Result<(), SettingsError>;

    /// The machine cannot keep up, or can again: what [`AudioCtx::Overload`] is for.
    fn shorten(&mut self, shorten: bool);

    /// Forgets audio, tokens and context, and goes on at stream position `position` (after a flush, a hole).
    fn reset(&mut self, position: Samples);

    /// All that it is, between two passes. The samples inserted so far must have been of 16 bits.
    fn save(&self) -> SavedPolicy;

    /// Goes on where another was saved, with that one's settings.
    ///
    /// # Errors
    /// That one cannot go on here; this one is to be thrown away.
    fn resume(&mut self, saved: SavedPolicy) -> Result<(), NotResumed>;

    /// Memory held between two passes, in what can grow: audio, log-mel, tokens, text.
    fn bytes(&self) -> usize;
}

/// A fresh stream under the policy that `settings` name. What depends on the model (a language other than English on an
/// `.en` model, a prompt that does not fit) is checked here, beside [`PolicySettings::check`].
pub fn open(
    settings: PolicySettings,
    config: &WhisperConfig,
    tokenizer: Arc<Tokenizer>,
    filters: Arc<MelFilters>,
) -> Result<Box<dyn Policy>, SettingsError> {
    Ok(match settings.rule {
        Rule::AlignAtt => Box::new(AlignAtt::new(settings, config, tokenizer, filters)?),
        Rule::LocalAgreement => {
            Box::new(LocalAgreement::new(settings, config, tokenizer, filters)?)
        }
    })
}

/// A committed word, whole (under `compat=simulstreaming`: a fragment as the reference emits it).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
