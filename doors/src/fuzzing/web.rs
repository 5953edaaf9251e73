//! What comes over HTTP and WebSockets, from clients and from servers.

use std::cell::OnceCell;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{headed, told};
use crate::call::{Setting, Source, check_client};
use crate::client;
use crate::client::screen::Screen;
use crate::client::transcript::{Manner, Transcript};
use crate::client::websocket::Told;
use crate::dialects::tracks::{Out, Tracks};
use crate::dialects::{deepgram, forks, link, twilio, vosk};
use crate::page::{audio, container};
use crate::security;
use crate::websocket::{message, query};

pub fn websocket_command(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    told(message::Command::read(&text).map(|command| match command {
        message::Command::Flush { marker } => format!("flush {}", marker.is_some()),
        message::Command::End => "end".into(),
    }))
}

pub fn websocket_query(bytes: &[u8]) -> String {
    let asked = query::Asked::read(&String::from_utf8_lossy(bytes));
    told(asked.map(|(asked, wanted)| {
        let channels = asked.format.channels as usize;
        assert!(wanted.legs.is_empty() || wanted.legs.len() == channels);
        assert!((8_000..=48_000).contains(&asked.format.rate));
        format!("{:?} {} legs", asked.format.encoding, wanted.legs.len())
    }))
}

pub fn page_query(bytes: &[u8]) -> String {
    told(pairs(bytes).and_then(|pairs| {
        let asked = audio::Asked::read(pairs)?;
        Ok(match asked.wanted.source {
            Source::Raw(_) => "raw".into(),
            _ => "container".into(),
        })
    }))
}

pub fn page_head(bytes: &[u8]) -> String {
    match container::Kind::of(bytes) {
        Some(kind) => kind.name().into(),
        None => container::unknown(bytes),
    }
}

/// The first line is an address, the others are headers.
pub fn token(bytes: &[u8]) -> String {
    let (uri, headers) = headed(bytes);
    let uri: Uri = match uri.parse() {
        Ok(uri) => uri,
        Err(err) => return format!("no address: {err}"),
    };
    let mut map = HeaderMap::new();
    for line in headers.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|it| HeaderName::from_bytes(it).ok());
        let value = parts.next().and_then(|it| HeaderValue::from_bytes(it).ok());
        if let (Some(name), Some(value)) = (name, value) {
            map.append(name, value);
        }
    }
    let brought = security::brought(&uri, &map);
    let rest = security::without_token(&uri);
    format!("token {} stripped {}", brought.is_some(), rest.is_some())
}

pub fn deepgram_query(bytes: &[u8]) -> String {
    told(pairs(bytes).and_then(|pairs| {
        let query = deepgram::query::Query::of(&pairs).map_err(|bad| bad.to_string())?;
        let channels = query.channels as usize;
        assert!(query.wanted.legs.is_empty() || query.wanted.legs.len() == channels);
        Ok(format!("{} settings", query.wanted.settings.len()))
    }))
}

pub fn deepgram_order(bytes: &[u8]) -> String {
    use deepgram::Message;
    told(
        Message::read(&String::from_utf8_lossy(bytes)).and_then(|message| match message {
            Message::KeepAlive => Ok("keep alive".into()),
            Message::Finalize => Ok("finalize".into()),
            Message::CloseStream => Ok("close".into()),
            Message::Configure { keyterms, features } => {
                let terms = keyterms.unwrap_or_default();
                let terms = deepgram::query::keyterms(terms.iter().map(String::as_str));
                let is_set = terms.map_err(|bad| bad.to_string())?.is_some();
                Ok(format!("configure {is_set} {}", features.is_some()))
            }
        }),
    )
}

pub fn vosk(bytes: &[u8]) -> String {
    let order = match vosk::order(&String::from_utf8_lossy(bytes)) {
        Ok(order) => order,
        Err(fault) => return fault_of_vosk(fault),
    };
    let Some(config) = order.config else {
        return "an order".into();
    };
    let rate = config.rate().map(|rate| rate.is_some());
    match (rate, config.settings()) {
        (Ok(rate), Ok(settings)) => format!("rate {rate} settings {}", settings.len()),
        (Err(fault), _) | (_, Err(fault)) => fault_of_vosk(fault),
    }
}

fn fault_of_vosk(fault: vosk::Fault) -> String {
    match fault {
        vosk::Fault::Says(_, says) => says,
        vosk::Fault::Stuck(stuck) => stuck.to_string(),
    }
}

/// A line is a message.
pub fn twilio(bytes: &[u8]) -> String {
    let mut said = Vec::new();
    let mut playing: Option<(twilio::Stream, Tracks)> = None;
    for line in bytes.split(|byte| *byte == b'\n').take(256) {
        let text = String::from_utf8_lossy(line).into_owned();
        let outcome = match (
            twilio::frame(Some(link::Heard::Text(text.into()))),
            &mut playing,
        ) {
            (Ok(Some(twilio::Frame::Start(start))), playing @ None) => {
                start.asks(&[]).map(|(_, stream)| {
                    let tracks = Tracks::new(stream.tracks.len(), stream.silence);
                    let count = stream.tracks.len();
                    *playing = Some((stream, tracks));
                    format!("{count} tracks")
                })
            }
            (Ok(Some(twilio::Frame::Media(media))), Some((stream, tracks))) => {
                media.take(stream, tracks).map(|out| sound(&out, stream))
            }
            (Ok(frame), _) => Ok(format!("{}", frame.is_some())),
            (Err(fault), _) => Err(fault),
        };
        said.push(outcome.unwrap_or_else(|fault| fault.says));
    }
    if let Some((stream, mut tracks)) = playing {
        said.push(sound(&tracks.rest(), &stream));
    }
    said.dedup();
    said.join(" | ")
}

fn sound(out: &[Out], stream: &twilio::Stream) -> String {
    let mut said = String::new();
    for out in out {
        match out {
            Out::Jump(to) => {
                assert!(*to <= Duration::from_secs(11 * 24 * 3_600));
                said.push('j');
            }
            Out::Audio(audio) => {
                assert!(audio.len().is_multiple_of(stream.tracks.len()));
                said.push('a');
            }
        }
    }
    said
}

/// Addresses' pairs in the first line, then metadata.
pub fn forks(bytes: &[u8]) -> String {
    let (query, text) = headed(bytes);
    let mut channel = forks::Channel::default();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&query).unwrap_or_default();
    let read = pairs
        .iter()
        .try_for_each(|(name, value)| channel.set(name, value, true))
        .and_then(|()| channel.metadata(&String::from_utf8_lossy(text)));
    match read {
        Ok(()) => format!(
            "{} legs {} settings",
            channel.legs().len(),
            channel.settings.len().min(9)
        ),
        Err(fault) => fault.says,
    }
}

thread_local! {
    static ELEMENT: OnceCell<Option<gst::Element>> = const { OnceCell::new() };
}

/// `name=value`, as a query brings it, set on an element.
pub fn setting(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    // GLib takes no text with a zero in it.
    let setting: Setting = match text.parse() {
        Ok(setting) => setting,
        Err(bad) => return bad.to_string(),
    };
    if let Err(bad) = check_client(&setting) {
        return bad.to_string();
    }
    ELEMENT.with(|element| {
        let element = element.get_or_init(|| {
            crate::init().ok()?;
            crate::call::make("whisperstream").ok()
        });
        match element {
            Some(element) => told(setting.apply(element).map(|()| setting.name.clone())),
            None => "there is no element".into(),
        }
    })
}

/// A line is a message of a server; an empty one is a connection that was lost.
pub fn client_websocket(bytes: &[u8]) -> String {
    let mut transcript = Transcript::new(Screen::new(true));
    let mut said = String::new();
    for line in bytes.split(|byte| *byte == b'\n').take(256) {
        let start = transcript.resume_at();
        if line.is_empty() {
            transcript.replay(start);
            continue;
        }
        said.push(match serde_json::from_slice(line) {
            Ok(Told::Ready { start_ms, .. }) => {
                transcript.manner(start_ms.map_or(Manner::Silent, |_| Manner::Acks));
                'r'
            }
            Ok(Told::Final(words)) => {
                let offset = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
                match transcript.keep(words.behind(offset)) {
                    Some(_) => 'n',
                    None => 'k',
                }
            }
            Ok(Told::Ack { ms }) => {
                transcript.ack(ms);
                'a'
            }
            Ok(_) => 'o',
            Err(_) => 'x',
        });
    }
    said
}

pub fn client_line(bytes: &[u8]) -> String {
    let (origin, line) = headed(bytes);
    let said = client::line::parse(
        &String::from_utf8_lossy(line),
        origin.parse().unwrap_or_default(),
    );
    match said {
        Some(said) => format!("said {}", said.words.len().min(9)),
        None => "nothing".into(),
    }
}

/// A query as the doors get it.
fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    serde_urlencoded::from_bytes(bytes).map_err(|err| err.to_string())
}
