//! The bucket: which legs there are, and whose they are.

use async_nats::jetstream::kv::{CreateErrorKind, Store, UpdateErrorKind};
use serde::{Deserialize, Serialize};

use super::names::{Leg, leg_key};

/// The value of a leg's key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The worker that has it; none: whoever has room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How many had it before.
    #[serde(default)]
    pub term: u64,
}

impl Entry {
    pub fn write(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub fn read(value: &[u8]) -> Option<Entry> {
        serde_json::from_slice(value).ok()
    }
}

/// A leg that this worker owns.
#[derive(Clone, Debug)]
pub struct Claim {
    pub leg: Leg,
    pub entry: Entry,
    /// Of the key, as this worker wrote it.
    pub revision: u64,
}

/// Why a key was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// Somebody else was faster.
    Taken,
    /// The server did not do it, for the reason it gives.
    Failed(String),
}

impl NotWritten {
    /// It may succeed at another time.
    pub fn passes(&self) -> bool {
        matches!(self, NotWritten::Failed(_))
    }
}

/// Takes a leg whose key has that revision.
pub async fn take(
    owners: &Store,
    leg: &Leg,
    seen: (&Entry, u64),
    worker: &str,
) -> Result<Claim, NotWritten> {
    let (entry, revision) = seen;
    let entry = Entry {
        owner: Some(worker.into()),
        term: entry.term.saturating_add(1),
    };
    let revision = write(owners, leg, &entry, revision).await?;
    Ok(Claim {
        leg: leg.clone(),
        entry,
        revision,
    })
}

/// Leaves a leg to whoever has room.
pub async fn give_up(owners: &Store, claim: &Claim) -> Result<u64, NotWritten> {
    let entry = Entry {
        owner: None,
        ..claim.entry
    };
    write(owners, &claim.leg, &entry, claim.revision).await
}

/// Writes the key of a leg as it is.
pub async fn refresh(owners: &Store, claim: &Claim) -> Result<u64, NotWritten> {
    write(owners, &claim.leg, &claim.entry, claim.revision).await
}

async fn write(owners: &Store, leg: &Leg, entry: &Entry, revision: u64) -> Result<u64, NotWritten> {
    let written = owners.update(leg_key(leg), entry.write(), revision).await;
    written.map_err(|err| match err.kind() {
        UpdateErrorKind::WrongLastRevision => NotWritten::Taken,
        _ => NotWritten::Failed(err.to_string()),
    })
}

/// Makes a key that is not there.
pub async fn make(owners: &Store, key: &str, value: bytes::Bytes) -> Result<u64, NotWritten> {
    owners
        .create(key, value)
        .await
        .map_err(|err| match err.kind() {
            CreateErrorKind::AlreadyExists => NotWritten::Taken,
            _ => NotWritten::Failed(err.to_string()),
        })
}
