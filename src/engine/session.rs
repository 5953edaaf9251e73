//! One stream: an inbox of audio, a worker that runs passes, and a way to stop it at any instant.

use std::sync::Arc;
use std::time::Duration;

use super::{EngineError, Event, ModelKey, Stats};
use crate::policy::{PolicySettings, Samples};
use crate::whisper::AlignmentHead;

/// When passes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A pass at every multiple of the chunk, when the first sample behind it arrives; the pusher waits when the
    /// backlog is full; nothing is dropped; the result does not depend on the machine's speed.
    Exact,
    /// A pass as soon as a chunk is there and the worker is free (chunks grow under load); the pusher never waits;
    /// beyond `audio-max-len` of backlog the oldest audio is dropped and announced.
    Live,
}

/// All a session needs to know.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    pub model: ModelKey,
    pub policy: PolicySettings,
    /// Overrides the model's own heads.
    pub alignment_heads: Option<Vec<AlignmentHead>>,
    pub pace: Pace,
}

/// Why a call into a session returned without doing its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// A flush is under way, or the session was shut.
    Flushing,
    /// The session failed; [`Event::Failed`] said why.
    Failed,
}

/// A stream's session. Dropping it stops the worker (without waiting for more than one layer of the network).
pub struct Session {}

/// Who hears a session's events.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;

impl Session {
    /// Checks the settings, starts the worker and asks for the model. Does not wait for it.
    pub fn open(_settings: SessionSettings, _listener: Listener) -> Result<Session, EngineError> {
        todo!()
    }

    /// Appends samples. Exact pace: waits while the backlog is full. Returns the stream position behind them.
    pub fn push(&self, _samples: &[i16]) -> Result<Samples, Stopped> {
        todo!()
    }

    /// Appends `samples` of silence (a small hole in the stream).
    pub fn push_silence(&self, _samples: u64) -> Result<Samples, Stopped> {
        todo!()
    }

    /// Decides and delivers all said so far (the last pass of the utterance), then returns. The next sample pushed
    /// starts a fresh utterance.
    pub fn drain(&self) -> Result<(), Stopped> {
        todo!()
    }

    /// Cancels the running pass and releases every waiting caller; returns at once, takes no lock that a
    /// listener call can hold. Until [`flush_end`](Self::flush_end) every call returns [`Stopped::Flushing`].
    pub fn flush_begin(&self) {
        todo!()
    }

    /// Forgets all audio and text not yet delivered and accepts audio again; positions go on from where they were.
    pub fn flush_end(&self) {
        todo!()
    }

    /// Cancels, releases everyone and joins the worker. Idempotent; at most one layer's time.
    pub fn close(&self) {
        todo!()
    }

    /// Settings that may change while playing.
    pub fn update(&self, _policy: PolicySettings) -> Result<(), EngineError> {
        todo!()
    }

    /// Samples pushed so far.
    pub fn position(&self) -> Samples {
        todo!()
    }

    /// Audio not yet covered by a pass.
    pub fn backlog(&self) -> Duration {
        todo!()
    }

    pub fn stats(&self) -> Stats {
        todo!()
    }
}
