//! Logs on stderr: for people, or as JSON lines.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::options::Level;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    #[default]
    Text,
    Json,
}

/// Starts logging. `WHISPERSTREAM_LOG` chooses levels (`debug`, `doors::line=trace`); without it, `info`.
pub fn start(form: Form) {
    start_at(form, None);
}

/// The same, with the level that was asked for on the command line in place of `info`.
pub fn start_at(form: Form, level: Option<Level>) {
    // The SIP stack logs every message whole at `info`.
    let level = format!("{},rsipstack=warn", level.unwrap_or(Level::Info).filter());
    let filter =
        EnvFilter::try_from_env("WHISPERSTREAM_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process (a test) changes nothing.
    let _ = match form {
        Form::Text => logs
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .compact()
            .try_init(),
        Form::Json => logs.json().flatten_event(true).try_init(),
    };
}

/// Between two lines that say the same.
const QUIET: Duration = Duration::from_secs(1);

/// Keeps a flood out of the log: what strangers can have said as often as they like is said once a second.
#[derive(Debug)]
pub struct Hush<Key> {
    told: HashMap<Key, Told>,
}

#[derive(Debug)]
struct Told {
    last: Instant,
    untold: u64,
}

impl<Key> Default for Hush<Key> {
    fn default() -> Self {
        Hush {
            told: HashMap::new(),
        }
    }
}

impl<Key: Eq + Hash> Hush<Key> {
    /// Whether `key` is to be told now: then, how many came since it was told last. Keys are never forgotten: let there be few.
    pub fn tells(&mut self, key: Key) -> Option<u64> {
        self.tells_at(key, Instant::now())
    }

    fn tells_at(&mut self, key: Key, now: Instant) -> Option<u64> {
        match self.told.entry(key) {
            Entry::Vacant(place) => {
                place.insert(Told {
                    last: now,
                    untold: 0,
                });
                Some(0)
            }
            Entry::Occupied(mut told) => {
                let told = told.get_mut();
                if now.saturating_duration_since(told.last) < QUIET {
                    told.untold += 1;
                    return None;
                }
                told.last = now;
                Some(std::mem::take(&mut told.untold))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_a_second() {
        let (mut hush, now) = (Hush::default(), Instant::now());
        assert_eq!(hush.tells_at("full", now), Some(0));
        assert_eq!(hush.tells_at("full", now), None);
        assert_eq!(hush.tells_at("full", now + QUIET / 2), None);
        assert_eq!(hush.tells_at("closing", now), Some(0));
        assert_eq!(hush.tells_at("full", now + QUIET), Some(2));
        assert_eq!(hush.tells_at("full", now + QUIET * 2), Some(0));
    }
}
