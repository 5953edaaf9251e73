//! Our WebSocket, and those of old that know only `ready` and `final`.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::address::WebSocketAddress;
use super::source::Source;
use super::tape::{Next, Tape};
use super::transcript::{Manner, Said, Transcript};
use super::{ClientError, ClientOptions, End, RATE, screen};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Patience with a connection that is being made, and with a server that has not said who it is.
const CONNECT: Duration = Duration::from_secs(20);
/// Between two pings, and how long nothing at all may come.
const PING: Duration = Duration::from_secs(20);
const DEAD: Duration = Duration::from_secs(60);
/// A server that does not know `end` has told all when it says nothing for so long.
const QUIET: Duration = Duration::from_secs(5);
/// Largest message of a server.
const LARGEST: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Told {
    Ready {
        sample_rate: Option<u64>,
        start_ms: Option<u64>,
    },
    Final(Said),
    Partial {
        text: String,
        tail: Option<String>,
    },
    Ack {
        ms: u64,
    },
    Flushed {},
    Ended {},
    Error {
        message: String,
    },
    #[serde(other)]
    Other,
}

/// One connection, sent the audio from `start` on.
pub async fn talk(
    options: &ClientOptions,
    address: &WebSocketAddress,
    tls: Option<Arc<rustls::ClientConfig>>,
    tape: &Tape,
    source: &Source,
    start: Duration,
    transcript: &mut Transcript,
) -> End {
    let shown = address.shown();
    let socket = match timeout(CONNECT, connect(options, address, tls, start, transcript)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(end)) => return end,
        Err(_) => return absent(&shown, "it does not answer"),
    };
    let (to, mut from) = socket.split();
    let (ready, offset) = match timeout(CONNECT, greeting(&shown, &mut from)).await {
        Ok(Ok((manner, start_ms))) => {
            transcript.manner(manner);
            let origin = match manner {
                // Its times are of the stream already.
                Manner::Acks => 0,
                Manner::Silent => u64::try_from(start.as_millis()).unwrap_or(u64::MAX),
            };
            (start_ms, origin)
        }
        Ok(Err(end)) => return end,
        Err(_) => return absent(&shown, "it says nothing"),
    };
    let asked = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
    if ready.is_some_and(|ready| ready != asked) {
        return stranger(&shown, "it does not begin where it was asked to");
    }
    source.start();
    let state = State {
        ended: Cell::new(false),
        heard: Cell::new(Instant::now()),
        acks: ready.is_some(),
    };
    let position = (start.as_nanos() * u128::from(RATE) / 1_000_000_000) as u64;
    tokio::select! {
        end = send(to, tape, position, &state) => end,
        end = receive(from, offset, tape, transcript, &state) => end,
    }
}

/// What both directions know.
struct State {
    /// All audio was sent, and that said.
    ended: Cell<bool>,
    heard: Cell<Instant>,
    acks: bool,
}

async fn connect(
    options: &ClientOptions,
    address: &WebSocketAddress,
    tls: Option<Arc<rustls::ClientConfig>>,
    start: Duration,
    transcript: &Transcript,
) -> Result<Socket, End> {
    let mut asked = vec![("acks".to_owned(), "1".to_owned())];
    if !start.is_zero() {
        asked.push(("resume_ms".into(), start.as_millis().to_string()));
    }
    if transcript.shows_partials() {
        asked.push(("partials".into(), "1".into()));
    }
    if let Some(language) = options.language.clone().filter(|l| !l.trim().is_empty()) {
        asked.push(("language".into(), language));
    }
    let set = options.set.iter().cloned();
    asked.extend(set.map(|setting| (setting.name, setting.value)));
    let shown = address.shown();
    let bad = |_| End::Refused(ClientError::Address(shown.clone()));
    let mut request = address.with(&asked).into_client_request().map_err(bad)?;
    if let Some(token) = options.token.as_ref().filter(|token| !token.is_empty()) {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| End::Refused(ClientError::Token(shown.clone())))?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let limits = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let connector = tls.map(Connector::Rustls);
    match connect_async_tls_with_config(request, Some(limits), true, connector).await {
        Ok((socket, _)) => Ok(socket),
        Err(err) => Err(not_connected(&shown, err)),
    }
}

fn not_connected(shown: &str, err: Error) -> End {
    let lost = |reason| End::Lost { reason, met: false };
    let address = || shown.to_owned();
    match err {
        Error::Io(err) => match ClientError::connecting(shown, err) {
            reason @ ClientError::Tls { .. } => End::Refused(reason),
            reason => lost(reason),
        },
        Error::Tls(err) => End::Refused(ClientError::Tls {
            address: address(),
            reason: err.to_string(),
        }),
        Error::Http(response) => match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                End::Refused(ClientError::Token(address()))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                lost(ClientError::Busy(format!("{shown} answers {status}")))
            }
            status => stranger(shown, &format!("it answers {status}")),
        },
        // A server that is killed now says half a word.
        Error::ConnectionClosed | Error::AlreadyClosed => absent(shown, "it hung up"),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => absent(shown, "it hung up"),
        err => stranger(shown, &err.to_string()),
    }
}

fn stranger(shown: &str, reason: &str) -> End {
    End::Refused(ClientError::Stranger {
        address: shown.into(),
        reason: reason.into(),
    })
}

fn absent(shown: &str, reason: &str) -> End {
    End::Lost {
        reason: ClientError::Stranger {
            address: shown.into(),
            reason: reason.into(),
        },
        met: false,
    }
}

/// The server's first word.
async fn greeting(
    shown: &str,
    from: &mut SplitStream<Socket>,
) -> Result<(Manner, Option<u64>), End> {
    let mut complaint = None;
    loop {
        match from.next().await {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(Told::Ready {
                    sample_rate,
                    start_ms,
                }) => {
                    if sample_rate.is_some_and(|rate| rate != RATE) {
                        return Err(stranger(shown, "it wants another rate than 16 kHz"));
                    }
                    let manner = match start_ms {
                        Some(_) => Manner::Acks,
                        None => Manner::Silent,
                    };
                    return Ok((manner, start_ms));
                }
                Ok(Told::Error { message }) => complaint = Some(message),
                _ => return Err(stranger(shown, "it does not say that it is ready")),
            },
            Some(Ok(Message::Close(frame))) => {
                let code = frame.as_ref().map_or(1005, |frame| frame.code.into());
                return Err(closed(code, complaint, false));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) => return Err(stranger(shown, "it does not say that it is ready")),
            Some(Err(_)) | None => {
                return Err(match complaint {
                    Some(complaint) => closed(1006, Some(complaint), false),
                    None => absent(shown, "it hung up"),
                });
            }
        }
    }
}

/// What a close code means for us: some are the client's own fault.
fn closed(code: u16, complaint: Option<String>, met: bool) -> End {
    let sentence = complaint.unwrap_or_else(|| format!("it closed with code {code}"));
    match code {
        1002 | 1003 | 1007..=1010 => End::Refused(ClientError::Told(sentence)),
        1013 => End::Lost {
            reason: ClientError::Busy(sentence),
            met: false,
        },
        _ => End::Lost {
            reason: ClientError::Gone(sentence),
            met,
        },
    }
}

/// Until the connection is of no use.
async fn send(
    mut to: SplitSink<Socket, Message>,
    tape: &Tape,
    mut position: u64,
    state: &State,
) -> End {
    let mut flushed = None;
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sent = loop {
        let next = tokio::select! {
            next = tape.next(position, flushed), if !state.ended.get() => next,
            _ = pings.tick() => match to.send(Message::Ping(Default::default())).await {
                Ok(()) => continue,
                Err(err) => break Err(err),
            },
            () = quiet(state), if state.ended.get() && !state.acks => {
                break to.send(Message::Close(None)).await;
            }
        };
        let sent = match next {
            Next::Audio(audio) => {
                let samples = audio.len() as u64 / 2;
                let sent = to.send(Message::binary(audio)).await;
                position += samples;
                tape.note_sent(position);
                sent
            }
            Next::Flush => {
                flushed = Some(position);
                to.send(Message::text("flush")).await
            }
            Next::End => {
                state.ended.set(true);
                state.heard.set(Instant::now());
                // Servers of old know only this; what they make of it is all that there is.
                let last = if state.acks { "end" } else { "flush" };
                to.send(Message::text(last)).await
            }
            Next::Gone => {
                let reason = "what it was to hear next is not on the tape any more";
                return End::Lost {
                    reason: ClientError::Gone(reason.into()),
                    met: true,
                };
            }
        };
        if sent.is_err() {
            break sent;
        }
    };
    drop(sent);
    // Whatever was wrong, the other direction says it: words may still be there to be read.
    let grace = sleep(CONNECT);
    grace.await;
    End::Lost {
        reason: ClientError::Gone("it takes nothing any more".into()),
        met: true,
    }
}

async fn quiet(state: &State) {
    while state.heard.get().elapsed() < QUIET {
        sleep(Duration::from_millis(100)).await;
    }
}

async fn receive(
    mut from: SplitStream<Socket>,
    offset: u64,
    tape: &Tape,
    transcript: &mut Transcript,
    state: &State,
) -> End {
    let mut complaint = None;
    let mut told_all = false;
    let gone = |reason: String| End::Lost {
        reason: ClientError::Gone(reason),
        met: true,
    };
    loop {
        let message = match timeout(DEAD, from.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(err))) => return gone(complaint.unwrap_or_else(|| err.to_string())),
            Ok(None) => return gone(complaint.unwrap_or_else(|| "it hung up".into())),
            Err(_) => return gone(format!("it said nothing for {} s", DEAD.as_secs())),
        };
        let text = match message {
            Message::Text(text) => text,
            Message::Close(frame) => {
                let code = frame.map_or(1005, |frame| u16::from(frame.code));
                let is_done = state.ended.get()
                    && match state.acks {
                        true => told_all && code == 1000,
                        false => true,
                    };
                return match is_done {
                    true => End::Done,
                    false => closed(code, complaint, true),
                };
            }
            _ => continue,
        };
        match serde_json::from_str(&text) {
            Ok(Told::Final(said)) => {
                state.heard.set(Instant::now());
                transcript.said(said.behind(offset));
                if !state.acks {
                    tape.forget(transcript.resume_at());
                }
            }
            Ok(Told::Partial { text, tail }) => transcript.partial(&tail.unwrap_or(text)),
            Ok(Told::Ack { ms }) => {
                transcript.ack(ms);
                tape.forget(transcript.resume_at());
            }
            Ok(Told::Flushed {}) => transcript.flushed(),
            Ok(Told::Ended {}) => told_all = true,
            Ok(Told::Error { message }) => {
                screen::say(&format!("the server says: {message}"));
                complaint = Some(message);
            }
            Ok(Told::Ready { .. } | Told::Other) | Err(_) => {}
        }
    }
}
