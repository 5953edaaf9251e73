//! A server's life: the model loads, doors open, and in the end calls are let finish.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::net::TcpListener;

use crate::call::{self, Call, Control, Event, OpenError, Setting, Source, Wanted};
use crate::exchange::Exchange;
use crate::signals::Signals;

/// Why a server does not start, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the model cannot be used: {0}")]
    Model(String),
    #[error("{path} cannot be read for warming up: {reason}")]
    WarmUp { path: PathBuf, reason: String },
    #[error(
        "port {port} of {host} is in use: stop the program that has it, or choose another port with {flag}"
    )]
    InUse {
        host: String,
        port: u16,
        flag: &'static str,
    },
    #[error("{flag} {port} cannot be opened on {host}: {reason}")]
    Bind {
        host: String,
        port: u16,
        flag: &'static str,
        reason: io::Error,
    },
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
}

/// Opens a port. `flag` is what its user wrote, to be named if it fails.
pub async fn bind(host: &str, port: u16, flag: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind((host, port)).await.map_err(|reason| {
        let host = host.to_owned();
        match reason.kind() {
            io::ErrorKind::AddrInUse => ServerError::InUse { host, port, flag },
            _ => ServerError::Bind {
                host,
                port,
                flag,
                reason,
            },
        }
    })
}

/// Keeps the model in memory while no call is there.
#[must_use]
pub struct Warm {
    _control: Control,
}

/// Loads the model, with a progress bar, and hears the beginning of `file` up to its first words, so that the first client waits
/// for nothing.
pub async fn warm_up(settings: &[Setting], file: Option<&Path>) -> Result<Warm, ServerError> {
    let mut settings = settings.to_vec();
    // Nobody wants a recording of this.
    settings.retain(|setting| setting.name != "dump-dir");
    let wanted = Wanted {
        settings,
        ..Wanted::default()
    };
    let bar = progress();
    // Too short for a pass; the model loads all the same.
    let heard = hear(wanted.clone(), vec![0; 3_200], &bar).await?;
    bar.finish_and_clear();
    let control = heard.map_err(ServerError::Model)?;
    if let Some(path) = file {
        let unfit = |reason: String| ServerError::WarmUp {
            path: path.into(),
            reason,
        };
        let audio = tokio::fs::read(path)
            .await
            .map_err(|err| unfit(err.to_string()))?;
        let wanted = Wanted {
            source: Source::Media,
            ..wanted
        };
        let _ = hear(wanted, audio, &ProgressBar::hidden())
            .await?
            .map_err(unfit)?;
    }
    let parked = control.clone();
    let _ = tokio::task::spawn_blocking(move || parked.park()).await;
    Ok(Warm { _control: control })
}

/// Hears audio up to its first words or its end. The inner error is the call's.
async fn hear(
    wanted: Wanted,
    audio: Vec<u8>,
    bar: &ProgressBar,
) -> Result<Result<Control, String>, ServerError> {
    let opened = tokio::task::spawn_blocking(move || call::open(&wanted)).await;
    let Call {
        mut feed,
        mut events,
        control,
    } = opened.map_err(|err| ServerError::Model(err.to_string()))??;
    let feeding = async move {
        // If it fails, the events say why.
        let _ = feed.push(&audio).await;
        feed.end();
        std::future::pending().await
    };
    let hearing = async {
        loop {
            match events.next().await {
                Some(Event::Loading { percent }) => bar.set_position(percent),
                Some(Event::Failed { reason }) => return Err(reason),
                Some(Event::Words(_) | Event::Ended) | None => return Ok(()),
                Some(_) => {}
            }
        }
    };
    let heard = tokio::select! {
        heard = hearing => heard,
        never = feeding => never,
    };
    Ok(heard.map(|()| control))
}

/// On a terminal; elsewhere the log says enough.
fn progress() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("loading the model {bar:30} {percent} %") {
        bar.set_style(style);
    }
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        tracing::info!("loading the model");
    }
    bar
}

/// Says where a door is, as soon as it is open: one line on standard output.
pub fn announce(door: &str, address: impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    // Who closed standard output does not want to know.
    let _ = writeln!(out, "{door:<12} {address}");
    let _ = out.flush();
}

/// Serves until SIGINT or SIGTERM, then lets calls finish for `grace`. A second signal ends them at once.
pub async fn until_stopped(exchange: &Exchange, grace: Duration) -> Result<(), ServerError> {
    let mut signals = Signals::new().map_err(ServerError::Signals)?;
    signals.next().await;
    let calls = exchange.calls().len();
    tracing::info!(
        calls,
        "no more calls are taken; those there have {} s to finish",
        grace.as_secs_f64()
    );
    tokio::select! {
        () = exchange.close(grace) => {}
        () = signals.next() => exchange.close(Duration::ZERO).await,
    }
    // Whoever watched a call reads its end.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}
