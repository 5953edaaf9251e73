//! A client: a microphone or a file in, words out, over our WebSocket or the line door; and through a server's restart.
//!
//! Whatever is heard goes onto a [`tape`] first. A connection ([`websocket`], [`line`]) reads from it where the one before
//! has to be gone on from; what comes back goes through a [`transcript`], which knows what was printed already.

mod address;
mod backoff;
mod errors;
pub(crate) mod line;
mod options;
pub(crate) mod screen;
mod source;
mod tape;
mod tls;
pub(crate) mod transcript;
pub(crate) mod websocket;

pub use errors::ClientError;
pub use options::ClientOptions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};

use address::Address;
use backoff::Backoff;
use screen::Screen;
use source::Source;
use tape::Tape;
use transcript::Transcript;

use crate::signals::Signals;

/// How a connection ended.
pub(crate) enum End {
    /// All was heard and told.
    Done,
    /// The server is gone, and why; another may be there soon. `met`: it had answered as a server of ours.
    Lost { reason: ClientError, met: bool },
    /// Trying again is of no use.
    Refused(ClientError),
}

/// Hears, sends, prints, until all is told.
pub async fn run(options: ClientOptions) -> Result<(), ClientError> {
    let address = options.address()?;
    let tls = match &address {
        Address::WebSocket(address) if address.is_secure() => {
            Some(tls::config(options.ca.as_deref())?)
        }
        _ => None,
    };
    let tape = Arc::new(Tape::new(options.buffer()?));
    let source = Source::open(&options, Arc::clone(&tape))?;
    let screen = Screen::new(options.json);
    let mut transcript = Transcript::new(screen);
    let asked = Arc::clone(&tape);
    let enter = tokio::spawn(async move { flush_on_enter(&asked).await });
    let ended = tokio::select! {
        ended = connections(&options, &address, tls, &tape, &source, &mut transcript) => ended,
        () = second_interrupt(&tape) => Err(ClientError::Interrupted),
    };
    enter.abort();
    transcript.close();
    ended?;
    match tape.failure() {
        Some(reason) => Err(ClientError::Source(reason)),
        None => Ok(()),
    }
}

async fn connections(
    options: &ClientOptions,
    address: &Address,
    tls: Option<Arc<rustls::ClientConfig>>,
    tape: &Tape,
    source: &Source,
    transcript: &mut Transcript,
) -> Result<(), ClientError> {
    let mut backoff = Backoff::default();
    let mut was_met = false;
    let mut alone: Option<Instant> = None;
    loop {
        let from = transcript.resume_at();
        let (start, lost) = tape.rewind(from);
        if !lost.is_zero() {
            screen::say(&format!(
                "{:.1} s of audio, from {:.1} s on, are not on the tape any more and may be missing: it holds {:.0} s (--buffer)",
                lost.as_secs_f64(),
                from.as_secs_f64(),
                tape.holds().as_secs_f64()
            ));
        }
        transcript.replay(start);
        let end = match address {
            Address::WebSocket(address) => {
                websocket::talk(
                    options,
                    address,
                    tls.clone(),
                    tape,
                    source,
                    start,
                    transcript,
                )
                .await
            }
            Address::Line(address) => line::talk(address, tape, source, start, transcript).await,
        };
        tape.hung_up();
        match end {
            End::Done => return Ok(()),
            End::Refused(reason) => return Err(reason),
            End::Lost { reason, met } => {
                // A server that was never there is no server that restarts.
                was_met |= met;
                if !was_met {
                    return Err(reason);
                }
                if met {
                    backoff = Backoff::default();
                    alone = None;
                    let risk = tape.sent().saturating_sub(transcript.resume_at());
                    screen::say(&format!(
                        "{reason}; {:.1} s of audio were at risk and are sent again",
                        risk.as_secs_f64()
                    ));
                }
                let since = *alone.get_or_insert_with(Instant::now);
                if options.give_up > 0.0 && since.elapsed().as_secs_f64() > options.give_up {
                    return Err(reason);
                }
                transcript.lost();
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Who presses Enter wants all that was said so far.
async fn flush_on_enter(tape: &Tape) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        tape.flush();
    }
}

/// The first ends the audio, and the tail is told; the second ends all.
async fn second_interrupt(tape: &Tape) {
    let Ok(mut signals) = Signals::new() else {
        return std::future::pending().await;
    };
    for _ in 0..2 {
        signals.next().await;
        tape.end(None);
    }
}

/// Samples of a second of what is sent: S16LE, mono.
pub(crate) const RATE: u64 = 16_000;

/// As time, to the nanosecond.
pub(crate) fn duration(samples: u64) -> Duration {
    Duration::from_nanos(samples.saturating_mul(1_000_000_000 / RATE))
}
