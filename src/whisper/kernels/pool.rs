//! The threads that compute, one for each core: of our own, whatever else in the process uses rayon.

use once_cell::sync::Lazy;
use rayon::{ThreadPool, ThreadPoolBuilder};

static POOL: Lazy<Option<ThreadPool>> = Lazy::new(|| {
    let builder = ThreadPoolBuilder::new().thread_name(|i| format!("whisper-{i}"));
    builder.build().ok()
});

/// Runs `f` on one of the threads; what it splits goes to the others. Entering costs a wake-up, so do it once for a piece of
/// work, not for each of its parts. Without threads (the system gives none) `f` runs here.
pub fn on_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    match &*POOL {
        Some(pool) => pool.install(f),
        None => f(),
    }
}
