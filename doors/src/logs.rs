//! Logs on stderr: for people, or as JSON lines.

use std::io::IsTerminal;

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
