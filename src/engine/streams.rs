//! How many streams run on each model in this process, and the limit that a new one may set.

use std::collections::HashMap;
use std::sync::Mutex;

use once_cell::sync::Lazy;

use super::{EngineError, ModelKey, lock};

static RUNNING: Lazy<Mutex<HashMap<ModelKey, u32>>> = Lazy::new(Mutex::default);

/// A running stream. Dropped, it makes room for another.
#[derive(Debug)]
pub struct Place {
    key: ModelKey,
}

impl Place {
    /// One more stream on `key`'s model, unless `limit` (0: none) run already.
    pub fn take(key: &ModelKey, limit: u32) -> Result<Place, EngineError> {
        let key = key.canonical();
        let mut running = lock(&RUNNING);
        let count = running.entry(key.clone()).or_default();
        if limit > 0 && *count >= limit {
            return Err(EngineError::TooManyStreams {
                running: *count,
                limit,
            });
        }
        *count += 1;
        Ok(Place { key })
    }

    /// Whether it is one on `key`'s model.
    pub fn is_on(&self, key: &ModelKey) -> bool {
        self.key == key.canonical()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = lock(&RUNNING);
        if let Some(count) = running.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::{Backend, ModelSource};

    fn key(name: &str) -> ModelKey {
        ModelKey {
            source: ModelSource::Path(name.into()),
            backend: Backend::default(),
        }
    }

    #[test]
    fn one_more_than_the_limit_is_refused_until_one_goes() {
        let (here, there) = (key("/limit/here"), key("/limit/there"));
        let first = Place::take(&here, 2).unwrap();
        let second = Place::take(&here, 2).unwrap();
        let refused = Place::take(&here, 2).unwrap_err().to_string();
        assert!(
            refused.contains("2 streams") && refused.contains("max-streams"),
            "{refused}"
        );
        assert!(
            Place::take(&there, 1).is_ok(),
            "another model has its own count"
        );
        assert!(Place::take(&here, 0).is_ok(), "0 is no limit");
        drop(first);
        assert!(Place::take(&here, 2).is_ok());
        drop(second);
    }

    #[test]
    fn a_limit_counts_streams_that_set_none() {
        let key = key("/limit/unset");
        let _unlimited = Place::take(&key, 0).unwrap();
        assert!(Place::take(&key, 1).is_err());
    }
}
