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
    // The SIP stack logs every message whole at `info`, and NATS's client each step of its own.
    let level = format!(
        "{},rsipstack=warn,async_nats=warn",
        level.unwrap_or(Level::Info).filter()
    );
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

/// Different things to say that are remembered.
const REMEMBERED: usize = 1024;

/// Keeps a flood out of the log: what strangers, or every call, can have said as often as they like is said once in a while.
#[derive(Debug)]
pub struct Hush<Key> {
    /// Between two lines that say the same.
    quiet: Duration,
    told: HashMap<Key, Told>,
}

#[derive(Debug)]
struct Told {
    last: Instant,
    untold: u64,
}

impl<Key: Eq + Hash> Hush<Key> {
    /// The same is told again when this time has gone by.
    pub fn new(quiet: Duration) -> Hush<Key> {
        Hush {
            quiet,
            told: HashMap::new(),
        }
    }

    /// Whether `key` is to be told now: then, how many came since it was told last.
    pub fn tells(&mut self, key: Key) -> Option<u64> {
        self.tells_at(key, Instant::now())
    }

    fn tells_at(&mut self, key: Key, now: Instant) -> Option<u64> {
        if self.told.len() >= REMEMBERED && !self.told.contains_key(&key) {
            self.told
                .retain(|_, told| now.saturating_duration_since(told.last) < self.quiet);
            if self.told.len() >= REMEMBERED {
                self.told.clear();
            }
        }
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
                if now.saturating_duration_since(told.last) < self.quiet {
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

    const QUIET: Duration = Duration::from_secs(1);

    #[test]
    fn a_flood_is_told_once_a_second() {
        let (mut hush, now) = (Hush::new(QUIET), Instant::now());
        assert_eq!(hush.tells_at("full", now), Some(0));
        assert_eq!(hush.tells_at("full", now), None);
        assert_eq!(hush.tells_at("full", now + QUIET / 2), None);
        assert_eq!(hush.tells_at("closing", now), Some(0));
        assert_eq!(hush.tells_at("full", now + QUIET), Some(2));
        assert_eq!(hush.tells_at("full", now + QUIET * 2), Some(0));
    }

    #[test]
    fn a_flood_of_different_things_is_not_remembered_for_ever() {
        let (mut hush, now) = (Hush::new(QUIET), Instant::now());
        for number in 0..10 * REMEMBERED as u32 {
            assert_eq!(hush.tells_at(number, now + QUIET / 100 * number), Some(0));
            assert!(hush.told.len() <= REMEMBERED);
        }
        let last = 10 * REMEMBERED as u32 - 1;
        assert_eq!(hush.tells_at(last, now + QUIET / 100 * last), None);
    }
}
