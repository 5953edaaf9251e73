//! A flag that ends a running pass early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::WhisperError;

/// Shared between the thread that runs the network and the one that wants it to stop.
/// The network looks at it between layers.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks whoever holds a clone to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Allows work again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called since the last [`reset`](Self::reset).
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// `Err(WhisperError::Cancelled)` once cancelled: for `?` between layers.
    pub fn check(&self) -> Result<(), WhisperError> {
        if self.is_cancelled() {
            Err(WhisperError::Cancelled)
        } else {
            Ok(())
        }
    }
}
