//! A stream between two passes, written down, so that another process can go on with it: the same words at the same times.

use std::ops::Range;

use ring::digest;
use serde::{Deserialize, Serialize};

use super::inbox::SavedInbox;
use super::worker::SavedWorker;
use crate::policy::{self, Samples, SavedPolicy};
use crate::speech::{BargeIn, SavedEar};

/// What a saved stream begins with when it is written down.
const MAGIC: [u8; 4] = *b"WSTS";
/// Of what follows; another one is not read.
const FORMAT: u16 = 1;
/// Bytes in front of the state: magic, format, and the SHA-256 of what follows.
const HEAD: usize = 4 + 2 + digest::SHA256_OUTPUT_LEN;

/// A stream, saved by [`Session::save`](super::Session::save): go on with it by [`Session::resume`](super::Session::resume).
///
/// What is not in it: echo of the far end that was heard so far, figures of passes ([`Stats`](super::Stats) begin anew), and
/// the recording of the stream, which ends there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Who saved it: version and commit.
    build: String,
    pub(super) policy: SavedPolicy,
    pub(super) worker: SavedWorker,
    pub(super) inbox: SavedInbox,
    pub(super) ear: Option<SavedEar>,
    pub(super) barge_in: BargeIn,
    /// What the session's owner keeps with it, of its own.
    #[serde(with = "crate::speech::octets")]
    pub owner: Vec<u8>,
}

impl Saved {
    pub(super) fn new(
        (policy, worker): (SavedPolicy, SavedWorker),
        inbox: SavedInbox,
        ear: Option<SavedEar>,
        barge_in: BargeIn,
    ) -> Saved {
        Saved {
            build: build(),
            policy,
            worker,
            inbox,
            ear,
            barge_in,
            owner: Vec::new(),
        }
    }

    /// Stream position behind the last sample that it has received: where the audio goes on.
    pub fn position(&self) -> Samples {
        self.inbox.end()
    }

    /// Number of the utterance that runs, or is next.
    pub fn utterance(&self) -> u64 {
        self.worker.utterance
    }

    /// The stretch of the stream whose samples it holds.
    pub fn audio(&self) -> Range<Samples> {
        self.policy.audio_start()..self.position()
    }

    /// Leaves its samples out, for those who keep the audio elsewhere: it takes a tenth of the bytes then. They must be
    /// [given back](Self::fill) before it is resumed.
    pub fn without_audio(mut self) -> Saved {
        self.policy.take_audio();
        self.inbox.take_audio();
        self
    }

    /// Gives back the samples of [`audio`](Self::audio).
    pub fn fill(&mut self, mut samples: Vec<i16>) {
        let held = self.policy.missing_audio().min(samples.len());
        self.inbox.fill(samples.split_off(held));
        self.policy.fill(samples);
    }

    /// Written down.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        // It has nothing that cannot be written, and memory takes all.
        let _ = ciborium::into_writer(self, &mut bytes);
        let (head, state) = bytes.split_at_mut(HEAD);
        let sum = digest::digest(&digest::SHA256, state);
        let parts = MAGIC
            .iter()
            .chain(&FORMAT.to_be_bytes())
            .chain(sum.as_ref())
            .copied()
            .collect::<Vec<u8>>();
        head.copy_from_slice(&parts);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. What another build wrote is read, too, but of the voice detector, whose state
    /// only the same build knows: that one begins afresh, so a boundary of speech may lie elsewhere by some frames.
    ///
    /// # Errors
    /// These bytes are something else, damaged, or in a form that is not known here.
    pub fn from_bytes(bytes: &[u8]) -> Result<Saved, SavedError> {
        let magic = bytes.get(..4).ok_or(SavedError::Other)?;
        let format = bytes.get(4..6).and_then(|format| format.try_into().ok());
        let format = u16::from_be_bytes(format.ok_or(SavedError::Other)?);
        if magic != MAGIC {
            return Err(SavedError::Other);
        }
        if format != FORMAT {
            return Err(SavedError::Format { found: format });
        }
        let (sum, state) = (bytes.get(6..HEAD), bytes.get(HEAD..));
        let (Some(sum), Some(state)) = (sum, state) else {
            return Err(SavedError::Damaged);
        };
        if digest::digest(&digest::SHA256, state).as_ref() != sum {
            return Err(SavedError::Damaged);
        }
        let mut saved: Saved = ciborium::from_reader(state).map_err(|_| SavedError::Damaged)?;
        if saved.build != build()
            && let Some(ear) = &mut saved.ear
        {
            ear.forget_detector();
        }
        Ok(saved)
    }
}

fn build() -> String {
    format!("{} {}", env!("CARGO_PKG_VERSION"), env!("COMMIT_ID"))
}

/// Why bytes are no saved stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    #[error("this is no saved stream")]
    Other,
    #[error(
        "the stream was saved in format {found}, and this build reads format {FORMAT}; go on with it in a build that reads that one"
    )]
    Format { found: u16 },
    #[error("the saved stream is damaged: its checksum is another one")]
    Damaged,
}

/// Why a saved stream cannot go on here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotResumed {
    #[error(transparent)]
    Policy(#[from] policy::NotResumed),
    #[error("{held} samples wait in it, where {wanted} are wanted")]
    Audio { held: u64, wanted: u64 },
}
