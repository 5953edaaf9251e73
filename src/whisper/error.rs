//! What can go wrong between a model directory and a row of logits.

use std::path::PathBuf;

/// Each variant is one whole sentence that says what was wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum WhisperError {
    #[error("the pass was cancelled")]
    Cancelled,
    #[error(
        "the model path {0:?} does not exist; give a directory that holds a Hugging Face Whisper model"
    )]
    NoSuchPath(PathBuf),
    // further variants: owner of this room
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
