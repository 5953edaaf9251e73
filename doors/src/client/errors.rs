//! What can go wrong, in sentences.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "{0:?} is no address of a server: write ws://HOST:43008/, wss://HOST/ or tcp://HOST:43007"
    )]
    Address(String),
    #[error("--buffer {0} is no length of a tape: give 1 to 3600 seconds")]
    Buffer(f64),
    #[error("nobody listens at {0}: start whisperstream-server there, or check host and port")]
    Refused(String),
    #[error("the host of {0} is not known: check its name")]
    Unknown(String),
    #[error("{address} cannot be reached: {reason}")]
    Unreachable { address: String, reason: io::Error },
    #[error("{address} is not answered by a whisperstream server: {reason}")]
    Stranger { address: String, reason: String },
    #[error(
        "{0} does not let us in: the token is missing or wrong; give the right one with --token"
    )]
    Token(String),
    #[error(
        "the encrypted connection to {address} failed: {reason}; if the server has a certificate of its own, give that with --ca FILE"
    )]
    Tls { address: String, reason: String },
    #[error("the certificates in {path} cannot be used: {reason}")]
    Certificates { path: String, reason: String },
    #[error("the server refuses: {0}")]
    Told(String),
    #[error("the server takes no client now: {0}")]
    Busy(String),
    #[error("the server is gone ({0})")]
    Gone(String),
    #[error("{0}")]
    Source(String),
    #[error("ended before all was told")]
    Interrupted,
}

impl ClientError {
    /// Why a connection to `address` did not come about.
    pub fn connecting(address: &str, reason: io::Error) -> ClientError {
        let address = address.to_owned();
        match reason.kind() {
            io::ErrorKind::ConnectionRefused => ClientError::Refused(address),
            io::ErrorKind::InvalidData => ClientError::Tls {
                address,
                reason: reason.to_string(),
            },
            // The resolver's own errors have no kind.
            _ if reason.to_string().contains("lookup address") => ClientError::Unknown(address),
            _ => ClientError::Unreachable { address, reason },
        }
    }
}
