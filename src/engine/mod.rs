//! Threads and sharing: one model per process, a session per stream, who runs next, metrics. No GStreamer.
//!
//! The element opens a [`Session`] per stream and pushes samples; the session's worker answers in [`Event`]s.

pub mod models;
pub mod session;
pub mod stats;

pub use models::ModelKey;
pub use session::{Pace, Session, SessionSettings, Stopped};
pub use stats::Stats;

use crate::policy::{Detected, PartialWord, Release, Samples, SettingsError};
use crate::whisper::WhisperError;

/// What a session tells its owner. Called from the session's worker (or loader) thread, one at a time and in order.
#[derive(Debug)]
pub enum Event {
    /// The model is being loaded, percent done; not sent when it was there already.
    Loading { percent: u8 },
    /// The model is ready.
    Loaded {
        took: std::time::Duration,
        shared: bool,
    },
    /// Decided words. Never revised. In stream order.
    Words {
        release: Release,
        utterance: u64,
        /// The last release of its utterance.
        is_final: bool,
    },
    /// The utterance ended with nothing new to say (its last words came before).
    UtteranceEnd { utterance: u64 },
    /// The unstable tail (only with `interim`); `committed` is the utterance's text so far.
    Partial {
        utterance: u64,
        committed: String,
        words: Vec<PartialWord>,
    },
    /// The language was detected.
    Language(Detected),
    /// A pass (or the decision to run none) is over: nothing later starts before `quiet_until`;
    /// `heard` is the end of the audio it covered.
    Progress {
        quiet_until: Samples,
        heard: Samples,
    },
    /// Audio was dropped because the machine cannot keep up (live pace only): `samples` from `start` on.
    Dropped { start: Samples, samples: u64 },
    /// The session cannot go on. Sent once; every later push returns [`Stopped::Failed`].
    Failed(EngineError),
}

/// What ends a session.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Model(#[from] std::sync::Arc<WhisperError>),
    #[error("the worker thread could not be started: {0}")]
    Thread(std::io::Error),
}
