//! Why a file of weights is not taken.

use std::path::Path;

use crate::whisper::WhisperError;

/// What is wrong with the bytes of a file; the sentence around it names the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not what its format says.
    Damaged(String),
    /// It is whole, but nothing that is read here: what, and what to do about it.
    Unread(String),
    /// It asks for what no weights need.
    Forbidden(String),
    /// Somebody wrote to it while it was read.
    Changed,
    /// Its disk says so.
    Unreadable(String),
    /// So many bytes of memory are not to be had.
    NoRoom(usize),
}

impl Flaw {
    pub fn of(self, path: &Path) -> WhisperError {
        let path = path.to_owned();
        match self {
            Flaw::Damaged(reason) => WhisperError::BadWeights { path, reason },
            Flaw::Unread(reason) => WhisperError::UnreadWeights { path, reason },
            Flaw::Forbidden(what) => WhisperError::ForbiddenWeights { path, what },
            Flaw::Changed => WhisperError::ChangedWeights { path },
            Flaw::Unreadable(reason) => WhisperError::Unreadable { path, reason },
            Flaw::NoRoom(needed) => WhisperError::NoMemory {
                path,
                needed,
                free: None,
            },
        }
    }

    /// Without the file, for a reader between that knows errors of its own.
    pub fn reason(&self) -> String {
        match self {
            Flaw::Damaged(reason) | Flaw::Unread(reason) | Flaw::Unreadable(reason) => {
                reason.clone()
            }
            Flaw::Forbidden(what) => format!("it names {what}"),
            Flaw::Changed => "it was changed while it was read".to_owned(),
            Flaw::NoRoom(bytes) => format!("{bytes} bytes of memory are not to be had"),
        }
    }
}

impl From<String> for Flaw {
    fn from(reason: String) -> Flaw {
        Flaw::Damaged(reason)
    }
}

impl From<&str> for Flaw {
    fn from(reason: &str) -> Flaw {
        Flaw::Damaged(reason.to_owned())
    }
}
