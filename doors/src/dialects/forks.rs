//! FreeSWITCH's mod_audio_stream and mod_audio_fork: a channel's audio over a WebSocket, results back as JSON.
//!
//! FreeSWITCH is the client. It may send a text first (metadata), then binary S16LE, mono or stereo. What it is told becomes
//! events of its own: any JSON with mod_audio_stream, `transcription` messages with mod_audio_fork.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{interval, timeout};

use super::link::{self, Ear, Fault, Heard, Mouth, PING_EVERY, Stuck, cut, wrong};
use crate::call::{Control, Encoding, Event, Feed, Format, Setting, Source, Wanted, is_setting};
use crate::exchange::{Call, Caller, Events, Exchange};
use crate::http::Peer;

/// Longest message of a client, bytes.
const LONGEST: usize = 1 << 20;
/// Flushes that may be under way at a time; the next waits.
const FLUSHING: usize = 16;

pub fn routes() -> Router<Exchange> {
    Router::new()
        .route("/mod_audio_stream", get(stream))
        .route("/mod_audio_fork", get(fork))
}

/// Which of the two modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    Stream,
    Fork,
}

impl Module {
    fn door(self) -> &'static str {
        match self {
            Module::Stream => "mod_audio_stream",
            Module::Fork => "mod_audio_fork",
        }
    }

    /// What is told, in the module's form.
    fn wrap(self, event: Value) -> String {
        match self {
            Module::Stream => event.to_string(),
            Module::Fork => json!({"type": "transcription", "data": event}).to_string(),
        }
    }

    fn error(self, says: &str) -> String {
        match self {
            Module::Stream => json!({"type": "error", "error": says}),
            Module::Fork => json!({"type": "error", "data": {"error": says}}),
        }
        .to_string()
    }
}

type Pairs = Query<Vec<(String, String)>>;

async fn stream(
    State(exchange): State<Exchange>,
    Peer(peer): Peer,
    Query(pairs): Pairs,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(Module::Stream, exchange, peer, pairs, upgrade)
}

async fn fork(
    State(exchange): State<Exchange>,
    Peer(peer): Peer,
    Query(pairs): Pairs,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    // `audio.drachtio.org`, unless MOD_AUDIO_FORK_SUBPROTOCOL_NAME says otherwise there: what is asked for is spoken.
    let asked = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
    let asked = asked
        .and_then(|names| names.to_str().ok())
        .unwrap_or_default();
    let names: Vec<_> = asked
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect();
    open(
        Module::Fork,
        exchange,
        peer,
        pairs,
        upgrade.protocols(names),
    )
}

fn open(
    module: Module,
    exchange: Exchange,
    peer: Option<SocketAddr>,
    pairs: Vec<(String, String)>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST);
    upgrade.on_upgrade(move |socket| serve(module, socket, exchange, peer, pairs))
}

async fn serve(
    module: Module,
    socket: WebSocket,
    exchange: Exchange,
    peer: Option<SocketAddr>,
    pairs: Vec<(String, String)>,
) {
    let (mut ear, mut mouth) = link::ends(socket, exchange.phase());
    let door = module.door();
    let started = match start(module, &mut ear, &mut mouth, &exchange, peer, pairs).await {
        Ok(Some(started)) => started,
        Ok(None) => return,
        Err(fault) => {
            let peer = peer.map(tracing::field::display);
            tracing::info!(door, peer, "a channel is sent away: {}", fault.says);
            if leave(module, &mut mouth, fault).await.is_ok() {
                let _ = timeout(link::LINGER, ear.ignore()).await;
            }
            return;
        }
    };
    let (call, legs, first) = started;
    let id = call.id.clone();
    let Call {
        feed,
        events,
        control,
        ..
    } = call;
    let (notes, noted) = mpsc::channel(16);
    let places = Arc::new(Semaphore::new(FLUSHING));
    let freed = Arc::clone(&places);
    let hear = async move {
        let heard = Hearing {
            feed,
            control,
            places,
            notes,
        };
        heard.hear(&mut ear, first).await;
        ear.ignore().await;
    };
    let tell = Telling {
        module,
        mouth,
        freed,
        legs,
        flushed: 0,
    };
    if let Err(stuck) = link::converse(hear, tell.tell(events, noted, &id)).await {
        tracing::info!(door, call = %id, "a channel is let go: {stuck}");
    }
}

async fn leave(module: Module, mouth: &mut Mouth, fault: Fault) -> Result<(), Stuck> {
    mouth.say(module.error(&fault.says)).await?;
    mouth.close_for(fault.code, &fault.says).await
}

/// Waits for the metadata, or the audio if there is none, and opens the call.
async fn start(
    module: Module,
    ear: &mut Ear,
    mouth: &mut Mouth,
    exchange: &Exchange,
    peer: Option<SocketAddr>,
    pairs: Vec<(String, String)>,
) -> Result<Option<(Call, usize, Option<Heard>)>, Fault> {
    let mut channel = Channel::default();
    for (name, value) in pairs {
        if super::is_the_ports(&name) {
            continue;
        }
        channel.set(&name, &value, true)?;
    }
    let mut ping = interval(PING_EVERY);
    let first = loop {
        tokio::select! {
            heard = ear.next() => break heard,
            _ = ping.tick() => {
                if mouth.ping().await.is_err() {
                    return Ok(None);
                }
            }
        }
    };
    let first = match first {
        None => return Ok(None),
        Some(Heard::Text(text)) => {
            channel.metadata(&text)?;
            None
        }
        audio => audio,
    };
    let legs = channel.legs();
    let caller = Caller {
        door: module.door(),
        peer,
        id: channel.id.take(),
    };
    let wanted = Wanted {
        source: Source::Raw(Format {
            encoding: Encoding::S16le,
            rate: channel.rate,
            channels: if channel.stereo { 2 } else { 1 },
        }),
        settings: channel.settings,
        legs: legs.clone(),
        ..Wanted::default()
    };
    let call = exchange
        .open(caller, wanted)
        .await
        .map_err(|refusal| Fault {
            code: match refusal.is_passing() {
                true => close_code::AGAIN,
                false => close_code::POLICY,
            },
            says: refusal.to_string(),
        })?;
    Ok(Some((call, legs.len().max(1), first)))
}

/// What the channel sends, by the address and the metadata.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    id: Option<String>,
    /// Hz
    rate: u32,
    stereo: bool,
    names: [String; 2],
    pub(crate) settings: Vec<Setting>,
}

impl Default for Channel {
    fn default() -> Self {
        Channel {
            id: None,
            rate: 8_000,
            stereo: false,
            // The channel's own party is on the left.
            names: ["inbound".into(), "outbound".into()],
            settings: Vec::new(),
        }
    }
}

impl Channel {
    pub(crate) fn legs(&self) -> Vec<String> {
        match self.stereo {
            true => self.names.to_vec(),
            false => Vec::new(),
        }
    }

    /// Takes one field. What is not known is refused if it was `meant` for us; metadata are the application's own.
    pub(crate) fn set(&mut self, name: &str, value: &str, meant: bool) -> Result<(), Fault> {
        let known = name.to_ascii_lowercase().replace(['_', '-'], "");
        match known.as_str() {
            "uuid" | "id" | "callid" | "callsid" => self.id = Some(value.to_owned()),
            "rate" | "samplerate" | "samplingrate" => {
                self.rate = match value {
                    "8k" | "8000" => 8_000,
                    "16k" | "16000" => 16_000,
                    other => {
                        let rate = other.parse().ok();
                        let rate = rate.filter(|rate| (4_000..=192_000).contains(rate));
                        rate.ok_or_else(|| {
                            wrong(format!(
                                "{name} cannot be {:?}: it takes 8k, 16k or hertz from 4000 to 192000",
                                cut(other, 40)
                            ))
                        })?
                    }
                }
            }
            "mix" | "mixtype" | "channels" => {
                self.stereo = match value {
                    "mono" | "mixed" | "1" => false,
                    "stereo" | "2" => true,
                    other => {
                        return Err(wrong(format!(
                            "{name} cannot be {:?}: it takes mono, mixed or stereo, or 1 or 2",
                            cut(other, 40)
                        )));
                    }
                }
            }
            "legs" => {
                let names: Vec<_> = value.split(',').map(str::trim).collect();
                let [left, right] = names.as_slice() else {
                    return Err(wrong("legs takes two names, as in legs=caller,agent"));
                };
                self.names = [cut(left, 64).into(), cut(right, 64).into()];
            }
            _ => {
                let property = name.replace('_', "-");
                if meant || is_setting(&property) {
                    self.settings.push(Setting::new(property, value));
                }
            }
        }
        Ok(())
    }

    /// The first text: JSON, `name=value` pairs, a channel's UUID, or something that is not for us.
    pub(crate) fn metadata(&mut self, text: &str) -> Result<(), Fault> {
        let text = text.trim();
        if let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text) {
            for (name, value) in fields {
                if let Some(value) = scalar(&value) {
                    self.set(&name, &value, false)?;
                }
            }
        } else if uuid::Uuid::try_parse(text).is_ok() {
            self.id = Some(text.to_owned());
        } else {
            for (name, value) in text
                .split(['&', ';', ' ', '\n'])
                .filter_map(|it| it.split_once('='))
            {
                self.set(name.trim(), value.trim(), false)?;
            }
        }
        Ok(())
    }
}

/// A value as a setting takes it; lists and objects are none.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// What the hearing side has the telling side say.
enum Note {
    Error(String),
}

struct Hearing {
    feed: Feed,
    control: Control,
    places: Arc<Semaphore>,
    notes: mpsc::Sender<Note>,
}

impl Hearing {
    async fn hear(mut self, ear: &mut Ear, first: Option<Heard>) {
        let mut heard = match first {
            None => ear.next().await,
            first => first,
        };
        while let Some(message) = heard {
            let goes_on = match message {
                Heard::Bytes(audio) => self.feed.push(&audio).await.is_ok(),
                Heard::Text(text) => self.text(text.trim()).await,
            };
            if !goes_on {
                break;
            }
            heard = ear.next().await;
        }
        self.feed.end();
    }

    /// A text within the stream: an order, settings, or something that is not for us. Whether the call goes on.
    async fn text(&mut self, text: &str) -> bool {
        let fields = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        let order = fields.get("type").and_then(Value::as_str);
        if order.unwrap_or(text) == "flush" {
            let Ok(place) = self.places.acquire().await else {
                return false;
            };
            place.forget();
            let marker = fields.get("marker").and_then(Value::as_str);
            return self
                .feed
                .flush(cut(marker.unwrap_or_default(), 200))
                .is_ok();
        }
        for (name, value) in &fields {
            let name = name.replace('_', "-");
            let Some(value) = scalar(value).filter(|_| is_setting(&name)) else {
                continue;
            };
            let setting = Setting::new(name, value);
            let set = crate::call::check_client(&setting).and_then(|()| self.control.set(&setting));
            if let Err(err) = set
                && self.notes.send(Note::Error(err.to_string())).await.is_err()
            {
                return false;
            }
        }
        true
    }
}

struct Telling {
    module: Module,
    mouth: Mouth,
    freed: Arc<Semaphore>,
    /// How many legs answer a flush, and how many have.
    legs: usize,
    flushed: usize,
}

impl Telling {
    async fn tell(
        mut self,
        mut events: Events,
        mut noted: mpsc::Receiver<Note>,
        call: &str,
    ) -> Result<(), Stuck> {
        let mut ping = interval(PING_EVERY);
        let mut notes_come = true;
        loop {
            tokio::select! {
                // What was wrong with a command is said before what came of those behind it.
                biased;
                note = noted.recv(), if notes_come => match note {
                    Some(Note::Error(says)) => self.mouth.say(self.module.error(&says)).await?,
                    None => notes_come = false,
                },
                event = events.next() => match event {
                    None | Some(Event::Ended) => return self.mouth.close().await,
                    Some(Event::Failed { reason }) => {
                        tracing::info!(door = self.module.door(), call, "the call ends: {reason}");
                        let fault = Fault { code: close_code::ERROR, says: reason };
                        return leave(self.module, &mut self.mouth, fault).await;
                    }
                    Some(event) => self.event(event).await?,
                },
                _ = ping.tick() => self.mouth.ping().await?,
            }
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), Stuck> {
        match &event {
            Event::Loading { .. } | Event::Loaded | Event::Figures { .. } | Event::Other(_) => {
                return Ok(());
            }
            Event::Line(_) | Event::Warning { .. } | Event::Overload { .. } => return Ok(()),
            Event::Flushed { .. } => {
                self.flushed += 1;
                if self.flushed < self.legs {
                    return Ok(());
                }
                self.flushed = 0;
                self.freed.add_permits(1);
            }
            // What is being played stops before anybody reads why.
            Event::BargeIn { .. } if self.module == Module::Fork => {
                self.mouth
                    .say(json!({"type": "killAudio"}).to_string())
                    .await?;
            }
            _ => {}
        }
        match serde_json::to_value(&event) {
            Ok(json) => self.mouth.say(self.module.wrap(json)).await,
            // It is one that is not told.
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_may_be_json_pairs_or_a_uuid() {
        let read = |text: &str| {
            let mut channel = Channel::default();
            channel.metadata(text).ok().map(|()| channel)
        };
        let id = "1b671a64-40d5-491e-99b0-da01ff1f3341";
        let json =
            format!(r#"{{"callSid":"{id}","sampleRate":16000,"mixType":"stereo","x":{{}}}}"#);
        let channel = read(&json).unwrap();
        assert_eq!((channel.id.as_deref(), channel.rate), (Some(id), 16_000));
        assert_eq!(channel.legs(), ["inbound", "outbound"]);
        let channel = read("uuid=a rate=16k").unwrap();
        assert_eq!((channel.id.as_deref(), channel.rate), (Some("a"), 16_000));
        assert_eq!(read(id).unwrap().id.as_deref(), Some(id));
        assert_eq!(read("whatever the dialplan says").unwrap().id, None);
        assert!(read(r#"{"sampleRate":1}"#).is_none());
    }
}
