//! Clients of each door, with no more than the door asks of them.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::Failure;
use super::server::Server;

/// Text as it came: what is said, where it ends in the stream, and when it came.
pub struct Told {
    pub text: String,
    pub end: Duration,
    pub when: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Line,
    WebSocket,
    Deepgram,
}

impl Door {
    pub const ALL: [Door; 3] = [Door::Line, Door::WebSocket, Door::Deepgram];

    pub fn name(self) -> &'static str {
        match self {
            Door::Line => "line",
            Door::WebSocket => "websocket",
            Door::Deepgram => "deepgram",
        }
    }
}

/// Samples of a recording of the repository, as S16LE.
pub fn audio(name: &str) -> Result<Vec<u8>, Failure> {
    let path = format!("{}/../tests/audio/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let mut wav = hound::WavReader::open(path)?;
    let samples: Result<Vec<i16>, _> = wav.samples().collect();
    Ok(samples?.into_iter().flat_map(i16::to_le_bytes).collect())
}

/// A connection from the `number`th host: all of 127.0.0.0/8 is this machine.
pub async fn connect(number: u8, port: u16) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 1, number), 0).into())?;
    Ok(socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?)
}

/// Sends `audio` from the `host`th host in pieces of 20 ms, at the pace of speech or as fast as it is taken; returns what was
/// told.
pub async fn talk(
    server: &Server,
    door: Door,
    host: u8,
    audio: &[u8],
    paced: Option<Instant>,
) -> Result<Vec<Told>, Failure> {
    let name = match door {
        Door::Line => "line",
        Door::WebSocket => "websocket",
        Door::Deepgram => "http",
    };
    let socket = connect(host, server.port(name)?).await?;
    match door {
        Door::Line => line(socket, audio, paced).await,
        Door::WebSocket => web(socket, "ws://localhost/", door, audio, paced).await,
        Door::Deepgram => {
            let url = "ws://localhost/v1/listen?encoding=linear16&sample_rate=16000&language=fr";
            web(socket, url, door, audio, paced).await
        }
    }
}

/// 20 ms.
const PIECE: usize = 640;

/// Waits until the piece has been spoken.
async fn spoken(since: Option<Instant>, number: usize) {
    if let Some(since) = since {
        let end = since + Duration::from_millis(20) * (number as u32 + 1);
        tokio::time::sleep_until(end.into()).await;
    }
}

async fn line(
    mut socket: TcpStream,
    audio: &[u8],
    paced: Option<Instant>,
) -> Result<Vec<Told>, Failure> {
    socket.set_nodelay(true)?;
    let (from, mut to) = socket.split();
    let send = async {
        for (number, piece) in audio.chunks(PIECE).enumerate() {
            spoken(paced, number).await;
            to.write_all(piece).await?;
        }
        to.shutdown().await
    };
    let read = async {
        let (mut told, mut lines) = (Vec::new(), BufReader::new(from).lines());
        while let Some(line) = lines.next_line().await? {
            let when = Instant::now();
            let mut parts = line.splitn(3, ' ').skip(1);
            let end = parts
                .next()
                .and_then(|end| end.parse().ok())
                .unwrap_or_default();
            told.push(Told {
                text: parts.next().unwrap_or_default().trim().to_owned(),
                end: Duration::from_millis(end),
                when,
            });
        }
        Ok(told)
    };
    let (_, told) = tokio::try_join!(send, read)?;
    Ok(told)
}

async fn web(
    socket: TcpStream,
    url: &str,
    door: Door,
    audio: &[u8],
    paced: Option<Instant>,
) -> Result<Vec<Told>, Failure> {
    let (socket, _) = client_async(url, socket).await?;
    let (mut to, mut from) = socket.split();
    let send = async {
        for (number, piece) in audio.chunks(PIECE).enumerate() {
            spoken(paced, number).await;
            to.send(Message::binary(piece.to_vec())).await?;
        }
        let end = match door {
            Door::Deepgram => r#"{"type":"CloseStream"}"#,
            _ => r#"{"type":"end"}"#,
        };
        to.send(Message::text(end)).await
    };
    let read = async {
        let mut told = Vec::new();
        while let Some(message) = from.next().await {
            let when = Instant::now();
            let text = match message? {
                Message::Text(text) => text,
                Message::Close(_) => break,
                _ => continue,
            };
            if let Some((text, end)) = serde_json::from_str(&text)
                .ok()
                .and_then(|json| said(door, &json))
            {
                told.push(Told { text, end, when });
            }
        }
        Ok(told)
    };
    let (_, told) = tokio::try_join!(send, read)?;
    Ok(told)
}

/// What is decided in a message, and where it ends.
fn said(door: Door, json: &Value) -> Option<(String, Duration)> {
    if door == Door::Deepgram {
        let words = json.pointer("/channel/alternatives/0/words")?.as_array()?;
        let text = json
            .pointer("/channel/alternatives/0/transcript")?
            .as_str()?;
        let end = words.last()?.get("end")?.as_f64()?;
        let is_final = json.get("is_final")?.as_bool()?;
        return is_final.then(|| (text.to_owned(), Duration::from_secs_f64(end.max(0.0))));
    }
    if json.get("type")? != "final" {
        return None;
    }
    let end = json.get("end_ms")?.as_f64()?;
    Some((
        json.get("text")?.as_str()?.to_owned(),
        Duration::from_secs_f64(end.max(0.0) / 1000.0),
    ))
}

/// Words alone, one space between.
pub fn words(told: &[Told]) -> String {
    let text: Vec<&str> = told
        .iter()
        .flat_map(|told| told.text.split_whitespace())
        .collect();
    text.join(" ")
}

/// Reads whatever comes, until the other side closes.
pub async fn read_away(mut socket: TcpStream) {
    let mut bytes = [0; 4096];
    while matches!(socket.read(&mut bytes).await, Ok(1..)) {}
}
