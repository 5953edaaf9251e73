//! `/ajax/audio`: what a browser records goes in, words come out.
//!
//! Without `?v=2` the frames are those that old pages know: `{"partial":"..."}`, `{"final":"..."}`, `{"error":"..."}`. With
//! it they are the call's events, words with times. A text frame `stop` ends the audio: the tail is told, then the server
//! closes. `flush` has all said so far told now.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{Extensions, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::container::{self, Kind};
use crate::call::{Encoding, Event, Feed, Format, Setting, Source, Wanted};
use crate::exchange::{Call, Caller, Events, Exchange, Phase};

const DOOR: &str = "page";
/// A chunk of 250 ms has some 4 kB.
const LARGEST: usize = 1024 * 1024;
/// Who takes none of its words for so long is let go.
const PATIENCE: Duration = Duration::from_secs(30);
/// A browser answers pings by itself; who sends nothing at all for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(20);
/// What a client has to answer a closing frame.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the query asks for.
pub(crate) struct Asked {
    /// Frames with all there is.
    is_rich: bool,
    pub(crate) wanted: Wanted,
}

impl Asked {
    pub(crate) fn read(query: Vec<(String, String)>) -> Result<Asked, String> {
        let mut asked = Asked {
            is_rich: false,
            wanted: Wanted {
                source: Source::Media,
                settings: vec![Setting::new("interim", "true")],
                ..Wanted::default()
            },
        };
        for (name, value) in query {
            match name.as_str() {
                "v" => {
                    asked.is_rich = match value.as_str() {
                        "1" => false,
                        "2" => true,
                        _ => return Err(format!("v={value:?} is no version: 1 and 2 are there")),
                    }
                }
                "pcm" => {
                    let rate = value
                        .parse()
                        .ok()
                        .filter(|rate| (8_000..=192_000).contains(rate));
                    let rate = rate.ok_or_else(|| {
                        format!("pcm={value:?} is no rate: it takes 8000 to 192000, in Hz")
                    })?;
                    asked.wanted.source = Source::Raw(Format {
                        encoding: Encoding::S16le,
                        rate,
                        channels: 1,
                    });
                }
                _ => asked
                    .wanted
                    .settings
                    .push(Setting::new(name.replace('_', "-"), value)),
            }
        }
        Ok(asked)
    }
}

type Params = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(super) async fn connect(
    State(exchange): State<Exchange>,
    query: Params,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) => {
            let sentence = "this address takes a WebSocket: open it as ws:// or wss:// and send what MediaRecorder makes\n";
            return (StatusCode::UPGRADE_REQUIRED, sentence).into_response();
        }
    };
    let peer = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| *peer);
    let asked = match query {
        Ok(Query(query)) => Asked::read(query),
        Err(err) => Err(format!("the query cannot be read: {err}")),
    };
    // A browser's script sees no HTTP error of a WebSocket: all that is wrong is said inside.
    upgrade
        .max_message_size(4 * LARGEST)
        .max_frame_size(4 * LARGEST)
        .on_upgrade(move |socket| client(socket, peer, exchange, asked))
}

async fn client(
    mut socket: WebSocket,
    peer: Option<SocketAddr>,
    exchange: Exchange,
    asked: Result<Asked, String>,
) {
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => {
            tracing::warn!(
                door = DOOR,
                peer = peer.map(tracing::field::display),
                "refused a call: {error}"
            );
            refuse(&mut socket, &error, false).await;
            return;
        }
    };
    let caller = Caller {
        door: DOOR,
        peer,
        id: None,
    };
    let source = asked.wanted.source.clone();
    match exchange.open(caller, asked.wanted).await {
        Ok(call) => talk(socket, peer, call, &source, asked.is_rich).await,
        Err(refusal) => refuse(&mut socket, &refusal.to_string(), refusal.is_passing()).await,
    }
}

/// `again`: the client did nothing wrong and may come again.
async fn refuse(socket: &mut WebSocket, error: &str, again: bool) {
    let code = match again {
        true => close_code::AGAIN,
        false => close_code::POLICY,
    };
    let frame = json!({"type": "error", "error": error, "again": again});
    let _ = timeout(PATIENCE, async {
        socket.send(Message::text(frame.to_string())).await?;
        socket.send(close(code)).await
    })
    .await;
    let _ = timeout(FAREWELL, read_over(socket)).await;
}

/// Until the client closes.
async fn read_over(mut from: impl Stream<Item = Result<Message, axum::Error>> + Unpin) {
    while let Some(Ok(_)) = from.next().await {}
}

fn close(code: u16) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: "".into(),
    }))
}

/// Why a client is sent away.
struct Trouble {
    code: u16,
    error: String,
}

async fn talk(
    socket: WebSocket,
    peer: Option<SocketAddr>,
    call: Call,
    source: &Source,
    is_rich: bool,
) {
    let id = call.id;
    let (to, from) = socket.split();
    let (troubles, trouble) = mpsc::channel(1);
    // Set when nobody reads any more: then nothing more is heard, either.
    let (gone, is_gone) = watch::channel(false);
    let mut ear = Ear {
        from,
        feed: call.feed,
        phase: call.phase,
        is_gone,
        head: match source {
            Source::Media => Head::Awaited(Vec::new()),
            _ => Head::Raw,
        },
    };
    let kind = watch::Sender::new(None);
    let known = kind.subscribe();
    let hear = async move {
        if let Err(trouble) = ear.hear(&kind).await {
            let _ = troubles.send(trouble).await;
        }
        let Ear {
            from,
            feed,
            mut is_gone,
            ..
        } = ear;
        // What was said is told, and read over what else comes: a socket that is shut on unread bytes takes back what the
        // client was told last.
        feed.end();
        let over = async {
            let _ = is_gone.wait_for(|gone| *gone).await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            () = read_over(from) => {}
            () = over => {}
        }
    };
    let mouth = Mouth {
        to,
        is_rich,
        gone,
        kind: known,
    };
    let tell = mouth.tell(&id, call.events, trouble);
    let ((), troubled) = tokio::join!(hear, tell);
    if let Some(error) = troubled {
        tracing::warn!(door = DOOR, call = %id, peer = peer.map(tracing::field::display), "the client was sent away: {error}");
    }
}

/// How the stream begins.
enum Head {
    /// Not enough of it to know.
    Awaited(Vec<u8>),
    Known,
    Raw,
}

struct Ear {
    from: SplitStream<WebSocket>,
    feed: Feed,
    phase: watch::Receiver<Phase>,
    is_gone: watch::Receiver<bool>,
    head: Head,
}

impl Ear {
    async fn hear(&mut self, kind: &watch::Sender<Option<Kind>>) -> Result<(), Trouble> {
        loop {
            let message = tokio::select! {
                message = timeout(SILENCE, self.from.next()) => message,
                _ = self.phase.wait_for(|phase| *phase == Phase::Closing) => return Ok(()),
                _ = self.is_gone.wait_for(|gone| *gone) => return Ok(()),
            };
            let message = match message {
                Ok(Some(Ok(message))) => message,
                // Closed, well or badly.
                Ok(Some(Err(_)) | None) => return Ok(()),
                Err(_) => {
                    let error = format!(
                        "nothing came for {} s, not even an answer to a ping",
                        SILENCE.as_secs()
                    );
                    return trouble(close_code::POLICY, error);
                }
            };
            match message {
                Message::Binary(bytes) if bytes.len() > LARGEST => {
                    let error = format!(
                        "a chunk of {} bytes is too large: at most {LARGEST}, and 250 ms of a recorder have some 4000",
                        bytes.len()
                    );
                    return trouble(close_code::SIZE, error);
                }
                // As some clients say that they are done.
                Message::Binary(bytes) if bytes.is_empty() => return Ok(()),
                Message::Binary(bytes) => {
                    if !self.take(&bytes, kind).await? {
                        return Ok(());
                    }
                }
                Message::Text(text) => match text.trim() {
                    "stop" => return Ok(()),
                    "flush" => {
                        let _ = self.feed.flush("");
                    }
                    text => {
                        let text: String = text.chars().take(40).collect();
                        let error = format!(
                            "the text {text:?} is not understood: \"stop\" ends the audio, \"flush\" has what was said told \
                             now; audio goes in binary frames"
                        );
                        return trouble(close_code::UNSUPPORTED, error);
                    }
                },
                Message::Close(_) => return Ok(()),
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }

    /// Whether the call takes more.
    async fn take(
        &mut self,
        bytes: &[u8],
        kind: &watch::Sender<Option<Kind>>,
    ) -> Result<bool, Trouble> {
        let Head::Awaited(head) = &mut self.head else {
            return Ok(self.feed.push(bytes).await.is_ok());
        };
        head.extend_from_slice(bytes);
        if head.len() < container::ENOUGH {
            return Ok(true);
        }
        let head = std::mem::take(head);
        let Some(known) = Kind::of(&head) else {
            let Err(trouble) = trouble(close_code::INVALID, container::unknown(&head)) else {
                return Ok(false);
            };
            return Err(trouble);
        };
        kind.send_replace(Some(known));
        self.head = Head::Known;
        Ok(self.feed.push(&head).await.is_ok())
    }
}

fn trouble(code: u16, error: String) -> Result<(), Trouble> {
    Err(Trouble { code, error })
}

struct Mouth {
    to: SplitSink<WebSocket, Message>,
    is_rich: bool,
    gone: watch::Sender<bool>,
    kind: watch::Receiver<Option<Kind>>,
}

impl Mouth {
    /// Tells all to the end, also when the client is gone: others may watch the call. Returns what was wrong, if anything.
    async fn tell(
        mut self,
        id: &str,
        mut events: Events,
        mut trouble: mpsc::Receiver<Trouble>,
    ) -> Option<String> {
        if self.is_rich {
            let ready = json!({"type": "ready", "version": 2, "id": id});
            self.send(Message::text(ready.to_string())).await;
        }
        let mut pings = tokio::time::interval(PING);
        let mut last = String::new();
        let mut troubled = None;
        let mut code = close_code::NORMAL;
        loop {
            tokio::select! {
                // What the client did wrong comes before the end of the call that it brought about.
                biased;
                Some(Trouble { code, error }) = trouble.recv() => {
                    self.send(error_frame(&error)).await;
                    self.send(close(code)).await;
                    self.gone.send_replace(true);
                    troubled = Some(error);
                }
                event = events.next() => match event {
                    Some(Event::Failed { reason }) => {
                        let error = self.failed(&reason);
                        self.send(error_frame(&error)).await;
                        troubled.get_or_insert(error);
                        code = close_code::ERROR;
                        break;
                    }
                    Some(event) => {
                        if let Some(frame) = self.frame(&event, &mut last) {
                            self.send(Message::text(frame)).await;
                        }
                    }
                    None => break,
                },
                _ = pings.tick() => self.send(Message::Ping(Default::default())).await,
            }
        }
        self.send(close(code)).await;
        self.gone.send_replace(true);
        troubled
    }

    async fn send(&mut self, message: Message) {
        if !*self.gone.borrow()
            && !matches!(timeout(PATIENCE, self.to.send(message)).await, Ok(Ok(())))
        {
            self.gone.send_replace(true);
        }
    }

    fn failed(&self, reason: &str) -> String {
        match *self.kind.borrow() {
            Some(kind) => format!("the {} stream cannot be heard: {reason}", kind.name()),
            None => reason.into(),
        }
    }

    /// `last` is the partial told last: old pages want to hear only of another.
    fn frame(&self, event: &Event, last: &mut String) -> Option<String> {
        if self.is_rich {
            let is_ours = !matches!(
                event,
                Event::Line(_) | Event::Figures { .. } | Event::Other(_)
            );
            return serde_json::to_string(event).ok().filter(|_| is_ours);
        }
        match event {
            Event::Partial(partial) if partial.text != *last => {
                last.clone_from(&partial.text);
                Some(json!({"partial": partial.text}).to_string())
            }
            Event::Final(words) if !words.words.is_empty() => {
                last.clear();
                Some(json!({"final": words.text}).to_string())
            }
            _ => None,
        }
    }
}

fn error_frame(error: &str) -> Message {
    Message::text(json!({"type": "error", "error": error, "again": false}).to_string())
}
