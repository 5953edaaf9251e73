//! Asterisk's AudioSocket: a phone call's audio in frames over TCP.
//!
//! A frame is a kind (one byte), the length of its payload (two bytes, big-endian) and the payload. There is no channel for
//! text: what is said goes to who watches the call, whose id is the UUID of the first frame.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::accept::accept;
use crate::call::{Encoding, Event, Feed, Format, Source, Wanted};
use crate::exchange::{Call, Caller, Events, Exchange, Phase};
use crate::network::Network;

/// So long the first frame may take.
const HELLO: Duration = Duration::from_secs(10);
/// An Asterisk that sends nothing for so long is gone: it sends a frame every 20 ms.
const SILENCE: Duration = Duration::from_secs(60);
/// A peer that does not take an error frame is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

const HANG_UP: u8 = 0x00;
const UUID: u8 = 0x01;
const DTMF: u8 = 0x03;
const ERROR: u8 = 0xff;

/// The rates of the kinds of audio, S16LE mono, from 0x10 on. Hz
const RATES: [u32; 9] = [
    8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000,
];

/// Serves calls until the exchange closes, from these networks (none: from all). Each has a task of its own.
pub async fn serve(listener: TcpListener, exchange: Exchange, from: Vec<Network>) {
    let exchange = &exchange;
    accept(listener, exchange, "audiosocket", |socket, peer| {
        let is_welcome = from.is_empty() || from.iter().any(|from| from.contains(peer.ip()));
        let exchange = exchange.clone();
        async move {
            match is_welcome {
                true => client(socket, peer, exchange).await,
                // It hears nothing, as if nobody listened here.
                false => tracing::debug!(
                    door = "audiosocket",
                    %peer,
                    "a connection from an address that --audiosocket-from does not name"
                ),
            }
        }
    })
    .await;
}

/// Why a call ends before its time, in a sentence for the log; the wire has a number for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    #[error(
        "the first frame is of kind {kind:#04x} and has {length} bytes; it must be the UUID (0x01, 16 bytes)"
    )]
    NoUuid { kind: u8, length: usize },
    #[error(
        "the rate changed from {from} to {to} Hz within the call; it must stay, as Asterisk keeps it"
    )]
    RateChanged { from: u32, to: u32 },
    #[error("the other end reports error {0:#04x}")]
    Reported(u8),
    #[error("{0}")]
    Refused(crate::exchange::Refusal),
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    /// What goes into an error frame; `None`: none is sent.
    fn code(&self) -> Option<u8> {
        match self {
            Fault::Broken(_) | Fault::Silent(_) | Fault::Reported(_) => None,
            Fault::NoUuid { .. } | Fault::RateChanged { .. } => Some(0x02),
            Fault::Refused(_) | Fault::Failed(_) => Some(0x04),
        }
    }
}

async fn client(mut socket: TcpStream, peer: SocketAddr, exchange: Exchange) {
    let Err(fault) = talk(&mut socket, peer, &exchange).await else {
        return;
    };
    tracing::info!(door = "audiosocket", %peer, "a call is given up: {fault}");
    if let Some(code) = fault.code() {
        // Not a hang-up frame: the caller's dialplan shall go on.
        let bye = async {
            socket.write_all(&[ERROR, 0, 1, code]).await?;
            socket.shutdown().await
        };
        let _ = timeout(PATIENCE, bye).await;
    }
}

pub(crate) struct Frames<R> {
    pub(crate) from: BufReader<R>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// The next frame; `None`: there is none any more.
    pub(crate) async fn next(
        &mut self,
        patience: Duration,
    ) -> Result<Option<(u8, Vec<u8>)>, Fault> {
        let read = async {
            let mut head = [0; 3];
            if self.from.read(&mut head[..1]).await? == 0 {
                return Ok(None);
            }
            self.from.read_exact(&mut head[1..]).await?;
            let [kind, high, low] = head;
            let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            self.from.read_exact(&mut payload).await?;
            io::Result::Ok(Some((kind, payload)))
        };
        tokio::select! {
            read = timeout(patience, read) => match read {
                Ok(frame) => Ok(frame?),
                Err(_) => Err(Fault::Silent(patience)),
            },
            _ = self.phase.wait_for(|phase| *phase == Phase::Closing) => Ok(None),
        }
    }
}

async fn talk(socket: &mut TcpStream, peer: SocketAddr, exchange: &Exchange) -> Result<(), Fault> {
    let mut frames = Frames {
        from: BufReader::new(socket),
        phase: exchange.phase(),
    };
    let Some((kind, payload)) = frames.next(HELLO).await? else {
        return Ok(());
    };
    let id = <[u8; 16]>::try_from(payload.as_slice());
    let (UUID, Ok(id)) = (kind, id) else {
        let length = payload.len();
        return Err(Fault::NoUuid { kind, length });
    };
    let id = uuid::Uuid::from_bytes(id).to_string();
    // The rate is known with the first audio.
    let (rate, first) = loop {
        let Some((kind, payload)) = frames.next(SILENCE).await? else {
            return Ok(());
        };
        match (rate_of(kind), kind) {
            (Some(rate), _) => break (rate, payload),
            (None, HANG_UP) => return Ok(()),
            (None, ERROR) => return Err(reported(&payload)),
            (None, _) => {}
        }
    };
    let caller = Caller {
        door: "audiosocket",
        peer: Some(peer),
        id: Some(id.clone()),
    };
    let wanted = Wanted {
        source: Source::Raw(Format {
            encoding: Encoding::S16le,
            rate,
            channels: 1,
        }),
        ..Wanted::default()
    };
    let call = exchange.open(caller, wanted).await;
    let Call {
        mut feed, events, ..
    } = call.map_err(Fault::Refused)?;
    let hear = async {
        let _ = feed.push(&first).await;
        let heard = hear(&mut frames, &mut feed, rate, exchange, &id).await;
        feed.end();
        heard
    };
    // Who watches the call is told to its end, whatever becomes of the connection.
    let (heard, told) = tokio::join!(hear, read(events));
    heard.and(told)
}

async fn hear<R: AsyncRead + Unpin>(
    frames: &mut Frames<R>,
    feed: &mut Feed,
    rate: u32,
    exchange: &Exchange,
    id: &str,
) -> Result<(), Fault> {
    while let Some((kind, payload)) = frames.next(SILENCE).await? {
        match (kind, rate_of(kind)) {
            (_, Some(to)) if to != rate => return Err(Fault::RateChanged { from: rate, to }),
            (_, Some(_)) => {
                if feed.push(&payload).await.is_err() {
                    return Ok(());
                }
            }
            (HANG_UP, _) => return Ok(()),
            (ERROR, _) => return Err(reported(&payload)),
            (DTMF, _) => {
                let digit = payload.first().filter(|digit| digit.is_ascii_graphic());
                if let Some(digit) = digit {
                    let digit = char::from(*digit).to_string();
                    exchange.tell(id, Event::Digit { digit, leg: None });
                }
            }
            _ => tracing::debug!(
                door = "audiosocket",
                call = id,
                "a frame of kind {kind:#04x} is not known here"
            ),
        }
    }
    Ok(())
}

/// Reads what is told to its end; the exchange tells it to who watches.
async fn read(mut events: Events) -> Result<(), Fault> {
    while let Some(event) = events.next().await {
        if let Event::Failed { reason } = event {
            return Err(Fault::Failed(reason));
        }
    }
    Ok(())
}

pub(crate) fn rate_of(kind: u8) -> Option<u32> {
    let number = usize::from(kind.checked_sub(0x10)?);
    RATES.get(number).copied()
}

pub(crate) fn reported(payload: &[u8]) -> Fault {
    Fault::Reported(payload.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_rates() {
        assert_eq!(rate_of(0x10), Some(8_000));
        assert_eq!(rate_of(0x18), Some(192_000));
        for kind in [0x00, 0x01, 0x03, 0x0f, 0x19, 0xff] {
            assert_eq!(rate_of(kind), None, "{kind:#x}");
        }
    }
}
