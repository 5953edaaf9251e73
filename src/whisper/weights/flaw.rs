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
}

impl Flaw {
    pub fn of(self, path: &Path) -> WhisperError {
        let path = path.to_owned();
        match self {
            Flaw::Damaged(reason) => WhisperError::BadWeights { path, reason },
            Flaw::Unread(reason) => WhisperError::UnreadWeights { path, reason },
            Flaw::Forbidden(what) => WhisperError::ForbiddenWeights { path, what },
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
