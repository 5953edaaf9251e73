//! What a worker writes of a leg: events and checkpoints, each at its place or not at all.

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use serde::{Deserialize, Serialize};

use super::message::Begin;
use super::names::Leg;
use super::wire::{Counts, Told};
use super::{AGAIN, Cluster};

/// How much was told of a leg up to a message, with that message.
const TOLD: &str = "Whisperstream-Told";
/// All of a checkpoint but the stream's state.
const CHECKPOINT: &str = "Whisperstream-Checkpoint";

/// Another worker has the leg: this one has nothing to write any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced;

/// Where a leg goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    pub begin: Begin,
    /// Whose it is.
    pub term: u64,
    /// Told up to here.
    pub counts: Counts,
    /// The message of the audio that is next.
    pub next: u64,
    /// Where it is in the stream of audio, at the earliest.
    pub sequence: u64,
    /// The messages whose samples are to be given back to the state.
    pub refill: Option<Refill>,
}

/// Samples that are in the audio's subject and not in the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refill {
    /// The first message's place in the stream.
    pub sequence: u64,
    /// Samples of it that are not wanted.
    pub skip: usize,
    pub samples: usize,
}

/// Writes one leg's events in their order, each behind the one that this writer knows as the last.
pub struct Writer {
    cluster: Cluster,
    subject: String,
    state: String,
    /// Names what this owner writes.
    name: String,
    written: u64,
    /// The last message of the subject, and of that of checkpoints.
    last: u64,
    last_state: u64,
    pub counts: Counts,
}

/// What is known of a leg when it is taken.
pub struct Found {
    pub writer: Writer,
    /// Its last word was told.
    pub is_over: bool,
}

impl Writer {
    /// Makes the subject this owner's: all that others still have to write is refused from here on.
    pub async fn open(
        cluster: &Cluster,
        leg: &Leg,
        worker: &str,
        term: u64,
    ) -> Result<Found, Fenced> {
        let mut writer = Writer {
            cluster: cluster.clone(),
            subject: cluster.names.of("text", leg),
            state: cluster.names.of("state", leg),
            name: format!("{}/{worker}/{term}", leg.path()),
            written: 0,
            last: 0,
            last_state: 0,
            counts: Counts::default(),
        };
        loop {
            let last = last(&cluster.stores.text, &writer.subject).await;
            writer.last = last.as_ref().map_or(0, |last| last.sequence);
            let mut is_over = false;
            if let Some(last) = last {
                let told = serde_json::from_slice::<Told>(&last.payload);
                if let Ok(Told::Owner { term: other, .. }) = &told
                    && *other > term
                {
                    return Err(Fenced);
                }
                is_over = told.is_ok_and(|told| told.is_last());
                let counts = last.headers.get(TOLD).map(|it| it.as_str().to_owned());
                let counts = counts.and_then(|counts| serde_json::from_str(&counts).ok());
                writer.counts = counts.unwrap_or_default();
            }
            if is_over {
                return Ok(Found { writer, is_over });
            }
            let owner = Told::Owner {
                worker: worker.into(),
                term,
            };
            let counts = writer.counts.clone();
            // The one before may have written meanwhile: then what it wrote is the last.
            if writer.write(&owner, &counts).await.is_ok() {
                return Ok(Found { writer, is_over });
            }
        }
    }

    /// Writes an event; `counts` are those with it. Tries until it is stored.
    pub async fn write(&mut self, told: &Told, counts: &Counts) -> Result<(), Fenced> {
        self.written += 1;
        let id = format!("{}/{}", self.name, self.written);
        let contents: bytes::Bytes = serde_json::to_vec(told).unwrap_or_default().into();
        let header = serde_json::to_string(counts).unwrap_or_default();
        loop {
            let message = PublishMessage::build()
                .message_id(&id)
                .expected_last_subject_sequence(self.last)
                .header(TOLD, header.as_str())
                .payload(contents.clone());
            match self.send(&self.subject, message).await {
                Ok(stored) => {
                    self.last = stored.sequence;
                    self.counts = counts.clone();
                    return Ok(());
                }
                Err(err) if err.kind() == PublishErrorKind::WrongLastSequence => {
                    // It may be this very message, whose answer was lost.
                    let last = last(&self.cluster.stores.text, &self.subject).await;
                    let Some(last) = last else {
                        // What was told is gone: of an old leg, or by somebody's hand.
                        return Err(Fenced);
                    };
                    if last.headers.get(NATS_MESSAGE_ID).map(|it| it.as_str()) != Some(&id) {
                        return Err(Fenced);
                    }
                    self.last = last.sequence;
                    self.counts = counts.clone();
                    return Ok(());
                }
                Err(err) => {
                    tracing::debug!(subject = self.subject, "not stored yet: {err}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Sends a message, and waits until it is stored.
    async fn send(
        &self,
        subject: &str,
        message: PublishMessage,
    ) -> Result<PublishAck, PublishError> {
        let jetstream = &self.cluster.jetstream;
        jetstream
            .send_publish(subject.to_owned(), message)
            .await?
            .await
    }

    /// Writes a checkpoint in the place of the one before, if that is none of a later owner's. One that the server does not take is
    /// left out (`false`): another follows.
    pub async fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        state: Vec<u8>,
    ) -> Result<bool, Fenced> {
        let header = serde_json::to_string(checkpoint).unwrap_or_default();
        let state = bytes::Bytes::from(state);
        for _ in 0..2 {
            let message = PublishMessage::build()
                .header(CHECKPOINT, header.as_str())
                .expected_last_subject_sequence(self.last_state)
                .payload(state.clone());
            match self.send(&self.state, message).await {
                Ok(stored) => {
                    self.last_state = stored.sequence;
                    return Ok(true);
                }
                Err(err) if err.kind() == PublishErrorKind::WrongLastSequence => {
                    let last = last(&self.cluster.stores.state, &self.state).await;
                    let other = last.as_ref().and_then(read_checkpoint);
                    if other.is_some_and(|(other, _)| other.term > checkpoint.term) {
                        return Err(Fenced);
                    }
                    self.last_state = last.map_or(0, |last| last.sequence);
                }
                Err(err) => {
                    tracing::debug!(subject = self.state, "no checkpoint was stored: {err}");
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }
}

/// A leg's last checkpoint, and the stream's state with it.
pub async fn checkpoint(cluster: &Cluster, leg: &Leg) -> Option<(Checkpoint, bytes::Bytes)> {
    read_checkpoint(&last(&cluster.stores.state, &cluster.names.of("state", leg)).await?)
}

fn read_checkpoint(message: &StreamMessage) -> Option<(Checkpoint, bytes::Bytes)> {
    let header = message.headers.get(CHECKPOINT)?;
    let checkpoint = serde_json::from_str(header.as_str()).ok()?;
    Some((checkpoint, message.payload.clone()))
}

/// The last message of a subject, from the stream's leader: no replica that is behind.
async fn last(stream: &Stream, subject: &str) -> Option<StreamMessage> {
    loop {
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => return Some(message),
            Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => return None,
            Err(err) => {
                tracing::debug!(subject, "the last message could not be read yet: {err}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
