//! What a stream is between two passes: enough for another process to go on with it, word for word.
//!
//! The next pass of a resumed stream computes what that of the saved one would have: all that a pass starts from is here, to
//! the bit. What is computed from it anew (the log-mel, the special tokens) is not.

use serde::{Deserialize, Serialize};

use super::audio::SavedAudio;
use super::context::Context;
use super::local_agreement::SavedAgreement;
use super::partials::Partials;
use super::settings::{PolicySettings, SettingsError};
use super::utterance::Utterance;
use super::{Samples, alignatt::SavedAlignAtt};

/// A stream, saved by [`super::Policy::save`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedPolicy {
    pub(super) stream: SavedStream,
    pub(super) rule: SavedRule,
}

impl SavedPolicy {
    /// Its settings.
    pub fn settings(&self) -> &PolicySettings {
        &self.stream.settings
    }

    /// Position of the first sample that it holds.
    pub fn audio_start(&self) -> Samples {
        self.stream.audio.start
    }

    /// The samples that it holds, of 16 bits: for whoever keeps them elsewhere and [gives them back](Self::fill).
    pub fn take_audio(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.stream.audio.samples)
    }

    /// Samples to be given back before it can be resumed.
    pub fn missing_audio(&self) -> usize {
        let audio = &self.stream.audio;
        let held = audio.chunks.iter().copied().fold(0, usize::saturating_add);
        held.saturating_sub(audio.samples.len())
    }

    /// Gives back what [`take_audio`](Self::take_audio) took.
    pub fn fill(&mut self, samples: Vec<i16>) {
        self.stream.audio.samples = samples;
    }
}

/// What all policies keep of a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedStream {
    pub settings: PolicySettings,
    pub upcoming: Option<PolicySettings>,
    pub audio: SavedAudio,
    pub context: Context,
    pub language: Option<String>,
    pub listen: bool,
    pub utterance: Utterance,
    pub partials: Partials,
    pub shorten: bool,
}

/// What each has of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum SavedRule {
    AlignAtt(SavedAlignAtt),
    LocalAgreement(SavedAgreement),
}

/// Why a stream cannot go on here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotResumed {
    #[error("its settings do not fit the model here: {0}")]
    Settings(#[from] SettingsError),
    #[error("its language {0:?} is unknown here")]
    Language(String),
    #[error("it followed another policy than the one that its settings name")]
    Rule,
    #[error("{held} samples of audio are there, where it held {wanted}")]
    Audio { held: usize, wanted: usize },
}
