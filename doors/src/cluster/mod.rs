//! Calls that belong to no process: they live on NATS JetStream, and who hears them may die.
//!
//! ```text
//! client ⇄ gateway ── audio ──▶ JetStream ── audio ──▶ worker: whisperstream pace=exact
//!             ▲──── text ──── JetStream ◀── text, checkpoints ──┘
//! ```
//!
//! A *leg* is one channel of a call. Its audio, what is told of it and its last checkpoint have a subject each ([`names`]); a
//! key of a bucket says which worker owns it. Passes are deterministic in the audio: a worker that takes over begins at the
//! checkpoint, hears again what came since, and keeps to itself what was told before it. What is on the wire, in words:
//! `docs/cluster.md`.

mod ear;
mod follow;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod hearing;
mod lease;
mod message;
mod names;
mod options;
mod outbox;
mod owners;
mod reader;
mod recent;
mod remote_call;
mod roll;
mod shared;
mod store;
mod telling;
mod text;
mod wire;
mod worker;

pub use gateway::Gateway;
pub use options::NatsOptions;
pub use roll::{Row, list};
pub use worker::{Worker, WorkerOptions};

use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use async_nats::jetstream::{self, Context};

use names::{Leg, Names};
use store::Stores;

/// Why a process has no cluster, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "--nats-prefix {0:?} is none: it takes 1 to 32 letters, digits, '-' or '_', and must be the same for gateways and workers"
    )]
    Prefix(String),
    #[error("{flag} {path} cannot be used: {reason}")]
    File {
        flag: &'static str,
        path: String,
        reason: String,
    },
    #[error(
        "no NATS server could be reached at {address}: {reason}; see that it runs there, and that the address and the credentials are right"
    )]
    Connect { address: String, reason: String },
    #[error(
        "the NATS server at {0} has no JetStream; start it with --jetstream (or a jetstream block in its configuration)"
    )]
    NoJetStream(String),
    #[error("{what} {name:?} on the NATS server cannot be used: {reason}")]
    Store {
        what: &'static str,
        name: String,
        reason: String,
    },
    #[error("nothing can be asked of the NATS server: {0}")]
    Asked(String),
}

/// A connection to the cluster, shared by all of a process.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    jetstream: Context,
    names: Names,
    stores: Stores,
}

/// A gateway's answers to who asks whether it is there, and how long it has for them.
const HERE: &[u8] = b"here";
const GONE: &[u8] = b"gone";
const THERE: Duration = Duration::from_secs(2);

/// An answer of JetStream's comes within this, or is asked for again.
const ANSWER: Duration = Duration::from_secs(2);
/// A server that chooses a leader or waits for its disk is waited for this long before a process says that it cannot start.
const STARTING: Duration = Duration::from_secs(20);
/// Before it is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Asks until there is an answer, or a failure that does not pass, or `patience` is over.
async fn patiently<T, E>(
    patience: Duration,
    passes: impl Fn(&E) -> bool,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(err) if passes(&err) && begun.elapsed() < patience => {
                tokio::time::sleep(AGAIN).await;
            }
            answer => return answer,
        }
    }
}

impl Cluster {
    /// Connects, and makes or checks the streams and the bucket. `who` is named in the server's list of connections.
    pub async fn connect(options: &NatsOptions, who: &str) -> Result<Cluster, ClusterError> {
        let names = Names::new(&options.nats_prefix)
            .ok_or_else(|| ClusterError::Prefix(options.nats_prefix.clone()))?;
        let address = options.address();
        let connected = options.client(who).await?.connect(options.servers()).await;
        let client = connected.map_err(|err| ClusterError::Connect {
            address: address.clone(),
            reason: err.to_string(),
        })?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ANSWER);
        let stores = Stores::open(&jetstream, &names, options)
            .await
            .map_err(|err| match err {
                ClusterError::NoJetStream(_) => ClusterError::NoJetStream(address),
                other => other,
            })?;
        Ok(Cluster {
            client,
            jetstream,
            names,
            stores,
        })
    }

    /// Whether a gateway is there, and still has that leg, if one is named; `None`: who could say so does not answer.
    async fn is_there(&self, gateway: &str, leg: Option<&Leg>) -> Option<bool> {
        let question = leg.map(Leg::path).unwrap_or_default();
        let asked = self
            .client
            .request(self.names.gateway(gateway), question.into());
        match tokio::time::timeout(THERE, asked).await {
            Ok(Ok(answer)) => Some(answer.payload.as_ref() == HERE),
            Ok(Err(err)) if err.kind() == RequestErrorKind::NoResponders => Some(false),
            _ => None,
        }
    }

    /// A fresh name for a process.
    fn name() -> String {
        let id = uuid::Uuid::new_v4().simple().to_string();
        id.chars().take(12).collect()
    }
}
