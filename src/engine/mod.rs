//! Threads and sharing: one model per process, a session per stream, who runs next, metrics. No GStreamer.
//!
//! The element opens a [`Session`] per stream and pushes samples; the session's worker answers in [`Event`]s. Speech is
//! detected on the thread that pushes, at once; what was detected also goes through the desk, in order with the passes.
//!
//! ```text
//! Session ── push, drain, flush, close ──> Desk (one mutex: inbox, epoch, meter) <── next job ── Worker ──> Listener
//!                                                                                                  │
//!                            models (one load a key) ── Lease ──> Model (network, Scheduler) <── Runner (policy)
//! ```
//!
//! **Threads.** A worker for each session, which waits, thinks (the policy) and tells; a driver for each model, which alone
//! runs the network, for all its sessions (see `scheduler`); a loader while a model loads. Arithmetic runs on the
//! process's thread pool. None of them polls.
//!
//! **Locks.** A session has one mutex, its desk's. Nobody holds it while running the network, waiting for a model or an
//! answer, or calling a listener; it is always taken last, so it has no order with the caller's own locks. A scheduler
//! has one for its board, the model cache two (see [`models`]), the count of streams one; none is held together with a
//! desk's. Who waits for an answer sleeps without any lock, parked: the scheduler unparks it, and so does the desk when
//! the pass is cancelled.

mod desk;
pub mod dump;
mod hearing;
mod inbox;
pub mod models;
mod pacing;
pub mod pass;
mod runner;
mod saved;
mod scheduler;
pub mod session;
pub mod stats;
mod streams;
#[cfg(test)]
mod tests;
mod worker;

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use desk::Drain;
pub use models::ModelKey;
pub use saved::{NotResumed, Saved, SavedError};
pub use session::{Listener, Pace, Session, SessionSettings, Stopped};
pub use stats::Stats;

use crate::policy::{Caution, Detected, Guards, PartialWord, Release, Samples, SettingsError};
use crate::speech::{Detection, Interruption, VadError};
use crate::whisper::{Loading, WhisperError};

/// Locks, whatever became of a thread that held the lock: no state here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a caught panic said.
fn fault_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no description".into())
}

/// What a session tells its owner: [`Noticed`](Event::Noticed) and most [`Interrupting`](Event::Interrupting) from the thread
/// that pushes; all others from the session's worker (or loader) thread, one at a time and in order.
#[derive(Debug)]
pub enum Event {
    /// The model is being loaded; not sent when it was there already.
    Loading(Loading),
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
        /// End of the audio that the pass had heard which decided them.
        heard: Samples,
    },
    /// The utterance ended with nothing new to say (its last words came before); `heard` as there.
    UtteranceEnd { utterance: u64, heard: Samples },
    /// What is said so far, after each pass and when speech starts (only with `interim`): `committed` is the utterance's
    /// text, never revised, `words` the unstable tail behind it.
    Partial {
        utterance: u64,
        committed: String,
        words: Vec<PartialWord>,
        heard: Samples,
    },
    /// Speech was detected to start or end: told at once, on the thread that pushes, while passes over what came before
    /// may still be under way.
    Noticed(Detection),
    /// The same, in order with the words.
    Speech {
        detection: Detection,
        utterance: u64,
    },
    /// Speech is an interruption: told at once, on the thread that pushes or, where words decided it, on the worker.
    Interrupting(Interruption),
    /// The same, in order with the words.
    Interrupted {
        interruption: Interruption,
        utterance: u64,
    },
    /// The language was detected.
    Language(Detected),
    /// A pass (or the decision to run none) is over: nothing later starts before `quiet_until`;
    /// `heard` is the end of the audio it covered.
    Progress {
        quiet_until: Samples,
        heard: Samples,
    },
    /// What the guards cut in the pass that just ended; not sent when they cut nothing.
    Guarded(Guards),
    /// All pushed before [`Session::ask_drain`] is decided and told; [`Drain::number`] is the drain's.
    Drained { number: u64 },
    /// Settings given to [`Session::update`] that the loaded model cannot follow (another language than English on an
    /// `.en` model, say). The session goes on with those it had.
    Refused(SettingsError),
    /// The model was not made for what the settings ask of it. Said once.
    Cautioned(Caution),
    /// Audio was dropped because the machine cannot keep up (live pace only): `samples` from `start` on.
    Dropped { start: Samples, samples: u64 },
    /// The machine cannot keep up with all streams of the model, or can again (live pace only): what is done about it
    /// from now on.
    Degraded(Degradation),
    /// The stream is not recorded any more; it goes on. Sent once.
    NotRecorded(dump::DumpError),
    /// The session cannot go on. Sent once; every later push returns [`Stopped::Failed`].
    Failed(EngineError),
}

/// What is done so that the machine keeps up with the live streams of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Degradation {
    /// 0: nothing, it keeps up. Then longer chunks (1, 2), and, for streams that allow it, shorter windows (3).
    pub level: u32,
    /// Audio before each pass of this stream.
    pub chunk: std::time::Duration,
    /// Only the part of the window that holds audio is encoded.
    pub shortened: bool,
    /// Share of the passes that came late, and of the time that the network ran, 0 to 1, when the level changed.
    pub late: f64,
    pub busy: f64,
}

impl From<WhisperError> for EngineError {
    fn from(error: WhisperError) -> EngineError {
        EngineError::Model(std::sync::Arc::new(error))
    }
}

/// What ends a session.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Vad(#[from] VadError),
    #[error(transparent)]
    Model(#[from] std::sync::Arc<WhisperError>),
    #[error(
        "{running} streams run on this model already, and max-streams allows {limit}; stop one first, raise max-streams (0 sets no limit), or start the stream on another machine"
    )]
    TooManyStreams { running: u32, limit: u32 },
    #[error(
        "a thread for the stream could not be started ({0}); the process has too many threads or too little memory, so stop some streams first"
    )]
    Thread(std::io::Error),
    #[error(
        "alignment-heads names head {head} of layer {layer}, but the model has {layers} decoder layers of {heads} heads, counted from 0; name heads it has, or unset the property to use the model's own"
    )]
    Heads {
        layer: usize,
        head: usize,
        layers: usize,
        heads: usize,
    },
    #[error("the saved stream cannot go on here: {0}")]
    NotResumed(#[from] NotResumed),
    #[error(
        "alignment-heads names no head; name at least one as layer:head, or unset the property to use the model's own"
    )]
    NoHeads,
    #[error(
        "the stream's worker stopped on an internal fault ({0}); restart the element to go on, and please report the fault"
    )]
    Fault(String),
}
