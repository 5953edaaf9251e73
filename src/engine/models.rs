//! One copy of a model per process, however many ask; freed with its last user.

use crate::whisper::{Device, ModelSource};

/// What makes two users share one model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelKey {
    pub source: ModelSource,
    pub device: Device,
}
