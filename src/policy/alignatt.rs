//! One stream under AlignAtt.

use std::sync::Arc;

use super::{Outcome, PolicySettings, Samples, SettingsError};
use crate::whisper::{LogMel, MelFilters, Step, Tokenizer, WhisperConfig};

/// One stream's policy state.
pub struct AlignAtt {
    _mel: LogMel,
}

/// What a running pass wants next from the network.
pub enum Ask {
    /// Run these tokens on a decoder of their own (language detection), then answer with [`Pass::answer`].
    Alone { tokens: Vec<u32> },
    /// Run these tokens on the pass's decoder; `probe_row` as in [`crate::whisper::Decoder::step`].
    Step {
        tokens: Vec<u32>,
        probe_row: Option<usize>,
    },
    /// Nothing more: give the pass to [`AlignAtt::commit`].
    Done,
}

/// A pass under way. Dropping it undoes it.
pub struct Pass {}

impl Pass {
    /// The encoder's input, `[bins, 3000]`.
    pub fn mel(&self) -> &[f32] {
        todo!()
    }

    /// What to run first.
    pub fn first(&mut self) -> Ask {
        todo!()
    }

    /// Hands back what the last ask brought; returns the next.
    pub fn answer(&mut self, _step: Step) -> Ask {
        todo!()
    }
}

impl AlignAtt {
    /// A fresh stream. `settings` must have passed [`PolicySettings::check`]; what depends on the model
    /// (a language other than English on an `.en` model, a prompt that does not fit) is checked here.
    pub fn new(
        _settings: PolicySettings,
        _config: &WhisperConfig,
        _tokenizer: Arc<Tokenizer>,
        filters: Arc<MelFilters>,
    ) -> Result<AlignAtt, SettingsError> {
        Ok(AlignAtt {
            _mel: LogMel::new(filters),
        })
    }

    /// Takes over settings that may change while playing (language, task, prompts, interim); from the next utterance on,
    /// `interim` at once.
    pub fn update(&mut self, _settings: PolicySettings) -> Result<(), SettingsError> {
        todo!()
    }

    /// Appends a chunk (samples in -1..1) and scrolls what no longer fits. One call a chunk: passes follow chunk edges.
    pub fn insert(&mut self, _chunk: &[f32]) {
        todo!()
    }

    /// Starts a pass over all audio held, or says why there is none (nothing there, too short, nothing to hear):
    /// then the outcome stands in its place. `is_last`: the stream (or what precedes a flush or a hole) ends here.
    #[allow(clippy::result_large_err)]
    pub fn begin(&mut self, _is_last: bool) -> Result<Pass, Outcome> {
        todo!()
    }

    /// Takes over what a finished pass decided. After a last pass the stream is fresh, at the position it had reached.
    pub fn commit(&mut self, _pass: Pass) -> Outcome {
        todo!()
    }

    /// Forgets audio, tokens and context, and goes on at stream position `position` (after a flush, a hole).
    pub fn reset(&mut self, _position: Samples) {
        todo!()
    }
}
