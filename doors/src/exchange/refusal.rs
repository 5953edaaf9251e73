//! Why calls are not taken.

use crate::call::{BadSetting, OpenError};

/// Why a call is not taken, in a sentence for the client.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("all {0} places are taken; try again later")]
    Full(usize),
    #[error("all {0} places that one address may have are taken; try again later")]
    Crowded(usize),
    #[error("the machine has as much to do as it bears; try again later")]
    Overloaded,
    #[error("the server is shutting down")]
    Closing,
    #[error("a call {0:?} is already there; choose another id")]
    Taken(String),
    #[error("{0:?} is no id of a call: 1 to 128 letters, digits, '-', '_', '.' or ':'")]
    BadId(String),
    #[error(transparent)]
    Setting(#[from] BadSetting),
    #[error(transparent)]
    Open(OpenError),
}

impl Refusal {
    /// The client did nothing wrong and may try again.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Refusal::Full(_)
                | Refusal::Crowded(_)
                | Refusal::Overloaded
                | Refusal::Closing
                | Refusal::Open(OpenError::NoRoom(_))
        )
    }

    /// Its label in the metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Refusal::Full(_) => "full",
            Refusal::Crowded(_) => "peer",
            Refusal::Overloaded => "overload",
            Refusal::Closing => "closing",
            Refusal::Taken(_) | Refusal::BadId(_) => "id",
            Refusal::Setting(_) => "setting",
            Refusal::Open(OpenError::NoRoom(_)) => "worker",
            Refusal::Open(_) => "pipeline",
        }
    }
}
