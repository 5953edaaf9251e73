//! The line door: raw S16LE 16 kHz mono over TCP in, one line a release out, as SimulStreaming's server has it.
//!
//! `"%1.0f %1.0f %s\n"`: start and end in milliseconds, then the text; or the element's JSON lines. At half-close the tail is
//! told before the socket closes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::accept::accept;
use crate::call::{Event, Wanted};
use crate::exchange::{Call, Caller, Exchange, Phase};

/// How the door talks.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// JSON lines instead of text.
    pub json: bool,
    /// A client that takes none of its text for so long is let go.
    pub patience: Duration,
}

impl Default for Line {
    fn default() -> Self {
        Line {
            json: false,
            patience: Duration::from_secs(30),
        }
    }
}

/// Serves clients until the exchange closes. Each has a task of its own.
pub async fn serve(listener: TcpListener, exchange: Exchange, line: Line) {
    let exchange = &exchange;
    accept(listener, exchange, "line", |socket, peer| {
        // A line is sent when it is there, not when the one before it was acknowledged.
        let _ = socket.set_nodelay(true);
        client(socket, peer, exchange.clone(), line)
    })
    .await;
}

async fn client(mut socket: TcpStream, peer: SocketAddr, exchange: Exchange, line: Line) {
    let caller = Caller {
        door: "line",
        peer: Some(peer),
        id: None,
    };
    let wanted = Wanted {
        lines: true,
        ..Wanted::default()
    };
    let call = match exchange.open(caller, wanted).await {
        Ok(call) => call,
        Err(_) => {
            // The protocol has no word for it: the connection closes before any line. The log has the reason.
            let _ = socket.shutdown().await;
            return;
        }
    };
    let id = call.id.clone();
    if let Err(err) = talk(&mut socket, call, line).await {
        tracing::info!(door = "line", call = %id, %peer, "the client is gone: {err}");
    }
}

async fn talk(socket: &mut TcpStream, call: Call, line: Line) -> io::Result<()> {
    let (mut from, mut to) = socket.split();
    let Call {
        mut feed,
        mut events,
        mut phase,
        ..
    } = call;
    let hear = async move {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut bytes) => read?,
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => 0,
            };
            let Some(audio) = bytes.get(..read).filter(|audio| !audio.is_empty()) else {
                feed.end();
                return io::Result::Ok(());
            };
            if feed.push(audio).await.is_err() {
                return Ok(());
            }
        }
    };
    let tell = async move {
        while let Some(event) = events.next().await {
            if let Event::Line(json) = event {
                let text = match line.json {
                    true => Some(json),
                    false => plain(&json),
                };
                if let Some(text) = text {
                    write(&mut to, text.as_bytes(), line.patience).await?;
                }
            }
        }
        to.shutdown().await
    };
    // Whoever fails first ends both; when the client has said all, the tail is still told.
    tokio::try_join!(hear, tell).map(|_| ())
}

async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    text: &[u8],
    patience: Duration,
) -> io::Result<()> {
    match tokio::time::timeout(patience, to.write_all(text)).await {
        Ok(written) => written,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it took no text for {} s", patience.as_secs()),
        )),
    }
}

#[derive(Deserialize)]
struct Piece {
    start: f64,
    end: f64,
    text: String,
}

/// A line of the element's JSON as the reference prints it.
fn plain(json: &str) -> Option<String> {
    let piece: Piece = serde_json::from_str(json).ok()?;
    let text = piece.text.lines().next()?;
    Some(format!(
        "{:1.0} {:1.0} {text}\n",
        piece.start * 1000.0,
        piece.end * 1000.0
    ))
}
