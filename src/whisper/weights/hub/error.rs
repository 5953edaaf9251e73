//! What can go wrong between an id on the hub and a folder of files.

use std::path::PathBuf;
use std::time::Duration;

/// Each variant is one whole sentence that says what was wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("the download was cancelled")]
    Cancelled,
    #[error(
        "the model {model:?} is neither a path that exists on this machine nor a repository that {endpoint} shows \
         (it answered {status}); check the spelling; if the repository is private or gated, set HF_TOKEN to a token \
         of an account that may read it{token}"
    )]
    NoRepository {
        model: String,
        endpoint: String,
        status: u16,
        token: &'static str,
    },
    #[error(
        "the model {model:?} is gated: {endpoint} gives it only to accounts that were granted it (it answered {status}); \
         ask for it on its page there, and set HF_TOKEN to that account's token{token}"
    )]
    Gated {
        model: String,
        endpoint: String,
        status: u16,
        token: &'static str,
    },
    #[error(
        "the repository {id:?} has no revision {revision:?}; name a branch, a tag or a commit of it behind the @, \
         or leave both out for the branch main"
    )]
    NoRevision { id: String, revision: String },
    #[error(
        "the repository {model:?} has no {file}, only {files}; give the id of a repository that holds a Whisper model \
         as Hugging Face's own library writes it (config.json, model.safetensors)"
    )]
    NoFile {
        model: String,
        file: String,
        files: String,
    },
    #[error(
        "the model {model:?} is neither a path that exists on this machine nor complete in the cache {cache:?} \
         (it lacks {file}), and HF_HUB_OFFLINE forbids to fetch it; correct the path, or unset HF_HUB_OFFLINE"
    )]
    Offline {
        model: String,
        cache: PathBuf,
        file: String,
    },
    #[error(
        "the model {model:?} is neither a path that exists on this machine nor in the cache {cache:?}, \
         and cannot be fetched: {reason}"
    )]
    NotHere {
        model: String,
        cache: PathBuf,
        reason: Box<HubError>,
    },
    #[error(
        "{url} cannot be reached: {reason}; check the network, the proxy and HF_ENDPOINT, or set model to a directory"
    )]
    Unreachable { url: String, reason: String },
    #[error(
        "no data came from {url} for {} s; check the network and start again, what was fetched is kept \
         (HF_HUB_DOWNLOAD_TIMEOUT sets another time, in seconds)",
        .patience.as_secs_f64()
    )]
    Stalled { url: String, patience: Duration },
    #[error(
        "{url} answered {status}; try again later, and check HF_ENDPOINT if it goes on; what was fetched is kept"
    )]
    Status { url: String, status: u16 },
    #[error(
        "the download of {url} broke off at byte {at}: {reason}; check the network and start again, what was fetched is kept"
    )]
    Cut {
        url: String,
        at: u64,
        reason: String,
    },
    #[error(
        "{url} came with the checksum {found}, but {expected} was announced, so it was deleted; start again, \
         and if that does not help, see what the proxy or HF_ENDPOINT makes of the file"
    )]
    Checksum {
        url: String,
        expected: String,
        found: String,
    },
    #[error("{url} answered what a hub does not answer: {reason}; check the proxy and HF_ENDPOINT")]
    BadAnswer { url: String, reason: String },
    #[error(
        "{path:?}, in the cache of models, cannot be written: {reason}; make room or allow it, \
         or set HF_HOME to a folder that can be written"
    )]
    Unwritable { path: PathBuf, reason: String },
    #[error("there is no home directory to keep models in; set HF_HOME to a folder")]
    NoHome,
    #[error("{name} cannot be used: {reason}; correct it or unset it")]
    BadSetting { name: &'static str, reason: String },
}

impl HubError {
    /// Whether another attempt may go better.
    pub fn is_passing(&self) -> bool {
        match self {
            HubError::Cut { .. } | HubError::Unreachable { .. } => true,
            HubError::Status { status, .. } => matches!(status, 408 | 416 | 429 | 500..),
            _ => false,
        }
    }
}
