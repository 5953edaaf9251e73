//! Twilio's Media Streams, and Telnyx's, which are much the same: each side of a phone call in base64 chunks of JSON.
//!
//! There is no channel for text: what is said goes to who watches the call. Back goes only `clear`, where somebody interrupts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::interval;

use super::link::{self, Ear, Fault, Heard, Mouth, PING_EVERY, Stuck, cut, wrong};
use super::settings_of;
use super::tracks::{Chunk, Out, Tracks};
use crate::call::{Encoding, Event, Feed, Format, Setting, Source, Wanted, is_setting};
use crate::exchange::{Call, Caller, Events, Exchange, Refusal};
use crate::http::Peer;

/// Longest message of a client, bytes.
const LONGEST: usize = 256 << 10;

pub fn routes() -> Router<Exchange> {
    Router::new().route("/twilio", get(open))
}

async fn open(
    State(exchange): State<Exchange>,
    Peer(peer): Peer,
    Query(pairs): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST);
    upgrade.on_upgrade(move |socket| serve(socket, exchange, peer, pairs))
}

async fn serve(
    socket: WebSocket,
    exchange: Exchange,
    peer: Option<SocketAddr>,
    pairs: Vec<(String, String)>,
) {
    let (mut ear, mut mouth) = link::ends(socket, exchange.phase());
    let started = match start(&mut ear, &mut mouth, &exchange, peer, &pairs).await {
        Ok(Some(started)) => started,
        Ok(None) => return,
        Err(Fault { code, says }) => {
            let peer = peer.map(tracing::field::display);
            tracing::info!(door = "twilio", peer, "a stream is sent away: {says}");
            if mouth.close_for(code, &says).await.is_ok() {
                let _ = tokio::time::timeout(link::LINGER, ear.ignore()).await;
            }
            return;
        }
    };
    let (call, stream) = started;
    let id = call.id.clone();
    let Call { feed, events, .. } = call;
    let told = stream.clone();
    let (faults, fault) = tokio::sync::oneshot::channel();
    let hear = async move {
        if let Err(fault) = hear(&mut ear, feed, &exchange, stream).await {
            let _ = faults.send(fault);
        }
        ear.ignore().await;
    };
    let tell = tell(mouth, events, told, fault, &id);
    if let Err(stuck) = link::converse(hear, tell).await {
        tracing::info!(door = "twilio", call = %id, "a stream is let go: {stuck}");
    }
}

/// What is known of a stream from its start.
#[derive(Clone)]
pub(crate) struct Stream {
    /// Its own id, which goes into what is sent back.
    id: String,
    /// The id of the call here.
    call: String,
    /// Telnyx writes `stream_id`.
    is_telnyx: bool,
    /// The sides that are told apart; the first is the caller.
    pub(crate) tracks: Vec<&'static str>,
    pub(crate) silence: u8,
}

/// Waits for the start, and opens the call; `None`: it left before.
async fn start(
    ear: &mut Ear,
    mouth: &mut Mouth,
    exchange: &Exchange,
    peer: Option<SocketAddr>,
    pairs: &[(String, String)],
) -> Result<Option<(Call, Stream)>, Fault> {
    let mut ping = interval(PING_EVERY);
    // As many as may come before it; then it does not.
    for _ in 0..100 {
        let heard = loop {
            tokio::select! {
                heard = ear.next() => break heard,
                _ = ping.tick() => {
                    if mouth.ping().await.is_err() {
                        return Ok(None);
                    }
                }
            }
        };
        match frame(heard)? {
            None => return Ok(None),
            Some(Frame::Start(started)) => {
                return started.open(exchange, peer, pairs).await.map(Some);
            }
            Some(Frame::Stop) => return Ok(None),
            Some(Frame::Media(_)) => return Err(wrong("media came before start")),
            Some(_) => {}
        }
    }
    Err(wrong("no start came"))
}

async fn hear(
    ear: &mut Ear,
    mut feed: Feed,
    exchange: &Exchange,
    stream: Stream,
) -> Result<(), Fault> {
    let mut tracks = Tracks::new(stream.tracks.len(), stream.silence);
    let heard = loop {
        match frame(ear.next().await) {
            Ok(Some(Frame::Media(media))) => {
                let out = match media.take(&stream, &mut tracks) {
                    Ok(out) => out,
                    Err(fault) => break Err(fault),
                };
                if push(&mut feed, out).await.is_err() {
                    break Ok(());
                }
            }
            Ok(Some(Frame::Dtmf(digit))) => {
                let leg = digit
                    .track
                    .as_deref()
                    .map(|track| track.trim_end_matches("_track"));
                let event = Event::Digit {
                    digit: cut(&digit.digit, 8).to_owned(),
                    leg: leg.map(|leg| cut(leg, 32).to_owned()),
                };
                exchange.tell(&stream.call, event);
            }
            Ok(Some(Frame::Mark(mark))) => {
                let name = cut(&mark.name, 80);
                tracing::debug!(door = "twilio", call = %stream.call, "what was played before the mark {name:?} is over");
            }
            Ok(Some(Frame::Start(_))) => break Err(wrong("start came twice")),
            Ok(Some(Frame::Other)) => {}
            Ok(Some(Frame::Stop) | None) => break Ok(()),
            Err(fault) => break Err(fault),
        }
    };
    let _ = push(&mut feed, tracks.rest()).await;
    feed.end();
    heard
}

async fn push(feed: &mut Feed, out: Vec<Out>) -> Result<(), crate::call::Ended> {
    for out in out {
        match out {
            Out::Jump(to) => feed.jump(to),
            Out::Audio(audio) => feed.push(&audio).await?,
        }
    }
    Ok(())
}

async fn tell(
    mut mouth: Mouth,
    mut events: Events,
    stream: Stream,
    mut fault: tokio::sync::oneshot::Receiver<Fault>,
    call: &str,
) -> Result<(), Stuck> {
    let mut ping = interval(PING_EVERY);
    let mut interruptions = 0_u64;
    let failed = loop {
        tokio::select! {
            event = events.next() => match event {
                None | Some(Event::Ended) => break None,
                Some(Event::Failed { reason }) => break Some(Fault { code: close_code::ERROR, says: reason }),
                // The caller interrupts what is played to him; what is heard from the other side is what is played.
                Some(Event::BargeIn { span, .. }) if span.leg.as_deref().is_none_or(|leg| Some(&leg) == stream.tracks.first()) => {
                    interruptions += 1;
                    mouth.say(stream.back("clear", Value::Null)).await?;
                    // It comes back when nothing is played any more.
                    let mark = json!({"name": format!("barge-in-{interruptions}")});
                    mouth.say(stream.back("mark", mark)).await?;
                }
                Some(_) => {}
            },
            _ = ping.tick() => mouth.ping().await?,
        }
    };
    let fault = failed.or(fault.try_recv().ok());
    match fault {
        Some(Fault { code, says }) => {
            tracing::info!(door = "twilio", call, "the stream ends: {says}");
            mouth.close_for(code, &says).await
        }
        None => mouth.close().await,
    }
}

impl Stream {
    /// A message to the other end.
    fn back(&self, event: &str, body: Value) -> String {
        let mut message = json!({"event": event});
        if let Some(fields) = message.as_object_mut() {
            let name = if self.is_telnyx {
                "stream_id"
            } else {
                "streamSid"
            };
            fields.insert(name.into(), self.id.clone().into());
            if !body.is_null() {
                fields.insert(event.into(), body);
            }
        }
        message.to_string()
    }
}

pub(crate) enum Frame {
    Start(Box<Start>),
    Media(Media),
    Dtmf(Dtmf),
    Mark(Mark),
    Stop,
    Other,
}

/// Reads a message; `None`: there is none any more.
pub(crate) fn frame(heard: Option<Heard>) -> Result<Option<Frame>, Fault> {
    let text = match heard {
        None => return Ok(None),
        Some(Heard::Bytes(_)) => {
            return Err(wrong("a binary message came where all are JSON text"));
        }
        Some(Heard::Text(text)) => text,
    };
    let message: Message = serde_json::from_str(&text)
        .map_err(|err| wrong(format!("the message is none of a media stream: {err}")))?;
    let lacks = |what: &str| wrong(format!("the message {what} has no {what}"));
    let frame = match message.event.as_str() {
        "start" => {
            let mut start = message.start.ok_or_else(|| lacks("start"))?;
            start.is_telnyx = message.stream_id.is_some();
            start.stream = message
                .stream_sid
                .or(message.stream_id)
                .or(start.stream.take());
            Frame::Start(start)
        }
        "media" => Frame::Media(message.media.ok_or_else(|| lacks("media"))?),
        "dtmf" => Frame::Dtmf(message.dtmf.ok_or_else(|| lacks("dtmf"))?),
        "mark" => Frame::Mark(message.mark.ok_or_else(|| lacks("mark"))?),
        "stop" => Frame::Stop,
        _ => Frame::Other,
    };
    Ok(Some(frame))
}

#[derive(Deserialize)]
struct Message {
    event: String,
    #[serde(rename = "streamSid")]
    stream_sid: Option<String>,
    stream_id: Option<String>,
    start: Option<Box<Start>>,
    media: Option<Media>,
    dtmf: Option<Dtmf>,
    mark: Option<Mark>,
}

#[derive(Deserialize)]
pub(crate) struct Start {
    #[serde(rename = "streamSid")]
    stream: Option<String>,
    #[serde(rename = "callSid", alias = "call_control_id")]
    call: Option<String>,
    #[serde(default)]
    tracks: Vec<String>,
    #[serde(rename = "mediaFormat", alias = "media_format")]
    format: Option<MediaFormat>,
    #[serde(default, rename = "customParameters", alias = "custom_parameters")]
    parameters: BTreeMap<String, Value>,
    #[serde(skip)]
    is_telnyx: bool,
}

#[derive(Deserialize)]
struct MediaFormat {
    encoding: Option<String>,
    #[serde(rename = "sampleRate", alias = "sample_rate")]
    rate: Option<Number>,
}

#[derive(Deserialize)]
pub(crate) struct Media {
    track: Option<String>,
    chunk: Option<Number>,
    timestamp: Option<Number>,
    payload: String,
}

#[derive(Deserialize)]
pub(crate) struct Dtmf {
    digit: String,
    track: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Mark {
    name: String,
}

/// Numbers come as strings, mostly.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    fn read(&self, name: &str) -> Result<u64, Fault> {
        match self {
            Number::Number(number) => Ok(*number),
            Number::Text(text) => text.trim().parse().map_err(|_| {
                wrong(format!(
                    "{name} cannot be {:?}: it takes a whole number",
                    cut(text, 40)
                ))
            }),
        }
    }
}

const SIDES: [&str; 2] = ["inbound", "outbound"];

impl Start {
    async fn open(
        self,
        exchange: &Exchange,
        peer: Option<SocketAddr>,
        pairs: &[(String, String)],
    ) -> Result<(Call, Stream), Fault> {
        let (wanted, mut stream) = self.asks(pairs)?;
        let id = self.call.unwrap_or_else(|| stream.id.clone());
        let caller = |id| Caller {
            door: "twilio",
            peer,
            id: Some(id),
        };
        // A second stream of one call goes by its own name.
        let opened = match exchange.open(caller(id), wanted.clone()).await {
            Err(Refusal::Taken(_)) => exchange.open(caller(stream.id.clone()), wanted).await,
            opened => opened,
        };
        let call = opened.map_err(|refusal| Fault {
            code: match refusal.is_passing() {
                true => close_code::AGAIN,
                false => close_code::POLICY,
            },
            says: refusal.to_string(),
        })?;
        stream.call.clone_from(&call.id);
        Ok((call, stream))
    }

    /// The call that is wanted, and the stream as it is known before there is one.
    pub(crate) fn asks(&self, pairs: &[(String, String)]) -> Result<(Wanted, Stream), Fault> {
        let (encoding, silence) = self.encoding()?;
        let asked = pairs.iter().rev().find(|(name, _)| name == "tracks");
        let has = |side: &str| match asked {
            Some((_, asked)) => asked == "both" || asked == side,
            None => self
                .tracks
                .iter()
                .any(|track| track.trim_end_matches("_track") == side),
        };
        let mut tracks: Vec<_> = SIDES.into_iter().filter(|side| has(side)).collect();
        if tracks.is_empty() {
            tracks.push("inbound");
        }
        let legs = match tracks.len() {
            1 => Vec::new(),
            _ => tracks.iter().map(|track| (*track).to_owned()).collect(),
        };
        // What is no property of ours is the application's own business.
        let parameters = self.parameters.iter().filter_map(|(name, value)| {
            let name = name.replace('_', "-");
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            is_setting(&name).then(|| Setting::new(name, value))
        });
        let wanted = Wanted {
            source: Source::Raw(Format {
                encoding,
                rate: 8_000,
                channels: tracks.len() as u32,
            }),
            settings: settings_of(pairs, &["tracks"])
                .into_iter()
                .chain(parameters)
                .collect(),
            legs,
            ..Wanted::default()
        };
        let id = self.stream.clone();
        let stream = Stream {
            id: id.ok_or_else(|| wrong("start names no stream"))?,
            call: String::new(),
            is_telnyx: self.is_telnyx,
            tracks,
            silence,
        };
        Ok((wanted, stream))
    }

    fn encoding(&self) -> Result<(Encoding, u8), Fault> {
        let format = self.format.as_ref();
        let rate = format.and_then(|format| format.rate.as_ref());
        if let Some(rate) = rate.map(|rate| rate.read("sampleRate")).transpose()?
            && rate != 8_000
        {
            return Err(wrong(format!(
                "the sample rate cannot be {rate}: only 8000 is taken here"
            )));
        }
        let encoding = format.and_then(|format| format.encoding.as_deref());
        match encoding
            .unwrap_or("audio/x-mulaw")
            .to_ascii_lowercase()
            .as_str()
        {
            "audio/x-mulaw" | "audio/pcmu" | "pcmu" => Ok((Encoding::Mulaw, 0xff)),
            "audio/x-alaw" | "audio/pcma" | "pcma" => Ok((Encoding::Alaw, 0xd5)),
            other => {
                let says = format!(
                    "the encoding cannot be {:?}: only mu-law and A-law are taken here",
                    cut(other, 40)
                );
                Err(wrong(says))
            }
        }
    }
}

impl Media {
    pub(crate) fn take(self, stream: &Stream, tracks: &mut Tracks) -> Result<Vec<Out>, Fault> {
        let side = self
            .track
            .as_deref()
            .unwrap_or("inbound")
            .trim_end_matches("_track");
        let Some(at) = stream.tracks.iter().position(|track| *track == side) else {
            return Ok(Vec::new());
        };
        let payload = self.payload.trim_end();
        let samples = STANDARD
            .decode(payload)
            .or_else(|_| STANDARD_NO_PAD.decode(payload))
            .map_err(|err| wrong(format!("the payload is no base64: {err}")))?;
        let read =
            |name, number: Option<Number>| number.map(|number| number.read(name)).transpose();
        let number = read("chunk", self.chunk)?;
        let timestamp = read("timestamp", self.timestamp)?;
        let chunk = Chunk { timestamp, samples };
        tracks
            .take(at, number, chunk)
            .map_err(|err| wrong(err.to_string()))
    }
}
