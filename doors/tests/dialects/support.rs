//! What the tests of all dialects need: a server of their own, peers, audio in the forms of telephony.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use doors::call::Setting;
use doors::exchange::{Exchange, Policy};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything takes on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        doors::init().unwrap();
        doors::logs::start(doors::logs::Form::Text);
    });
}

pub fn exchange_of(policy: Policy) -> Exchange {
    start();
    Exchange::new(policy)
}

/// Calls in French, unless their client says otherwise.
pub fn exchange() -> Exchange {
    exchange_of(Policy {
        settings: vec![Setting::new("language", "fr")],
        ..Policy::default()
    })
}

/// The HTTP doors, on a port of their own.
pub async fn serve(exchange: &Exchange) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = doors::http::router(exchange.clone());
    tokio::spawn(doors::http::serve(listener, routes));
    port
}

/// Waits until no call is there: a call that stays is one that its client cannot end.
pub async fn gone(exchange: &Exchange) {
    let all = async {
        while !exchange.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("the call ends");
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn wav(name: &str) -> PathBuf {
    here(&format!("../tests/audio/{name}.wav"))
}

/// 16 kHz, mono.
pub fn samples(name: &str) -> Vec<i16> {
    let mut wav = hound::WavReader::open(wav(name)).unwrap();
    wav.samples().map(Result::unwrap).collect()
}

/// Half the rate: each pair of samples is one.
pub fn halved(samples: &[i16]) -> Vec<i16> {
    let mean =
        |pair: &[i16]| (pair.iter().map(|s| i32::from(*s)).sum::<i32>() / pair.len() as i32) as i16;
    samples.chunks(2).map(mean).collect()
}

pub fn s16le(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

/// G.711 mu-law.
pub fn mulaw(samples: &[i16]) -> Vec<u8> {
    let code = |sample: &i16| {
        let magnitude = (i32::from(*sample).abs().min(32_635)) + 132;
        let exponent = (31 - magnitude.leading_zeros() as i32) - 7;
        let mantissa = (magnitude >> (exponent + 3)) & 0xf;
        let sign = if *sample < 0 { 0x80 } else { 0 };
        !(sign | (exponent << 4) | mantissa) as u8
    };
    samples.iter().map(code).collect()
}

/// Two sides of a call as one stream; the shorter goes on in silence.
pub fn interleaved(left: &[i16], right: &[i16]) -> Vec<i16> {
    let at = |side: &[i16], i| side.get(i).copied().unwrap_or(0);
    let frames = left.len().max(right.len());
    (0..frames)
        .flat_map(|i| [at(left, i), at(right, i)])
        .collect()
}

pub fn spoken(name: &str) -> String {
    let json = std::fs::read_to_string(wav(name).with_extension("json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    json["text"].as_str().unwrap().to_owned()
}

fn bare(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(['-', '’', '\''], " ");
    let words = text.split_whitespace();
    words
        .map(|word| word.replace(|c: char| !c.is_alphanumeric(), ""))
        .filter(|word| !word.is_empty())
        .collect()
}

/// The share of the words of `name` that `heard` has, in order.
pub fn likeness(heard: &str, name: &str) -> f64 {
    let (heard, said) = (bare(heard), bare(&spoken(name)));
    let mut row = vec![0_usize; heard.len() + 1];
    for word in &said {
        let mut diagonal = 0;
        for i in 0..heard.len() {
            let above = row[i + 1];
            row[i + 1] = match heard[i] == *word {
                true => diagonal + 1,
                false => above.max(row[i]),
            };
            diagonal = above;
        }
    }
    row[heard.len()] as f64 / said.len().max(heard.len()) as f64
}

#[track_caller]
pub fn assert_said(heard: &str, name: &str) {
    let likeness = likeness(heard, name);
    assert!(likeness >= 0.8, "{likeness:.2} of {name}: {heard}");
}

/// Runs a client of the tests in Python, and returns what it printed: JSON, line by line.
pub async fn python(script: &str, args: &[&str]) -> Vec<Value> {
    let mut command = Command::new("sh");
    let venv = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| here("../target"), PathBuf::from);
    command
        .arg("-c")
        .arg("\"$1\" && shift && exec \"$@\"")
        .arg("sh");
    command.arg(here("tests/dialects/peers.sh"));
    command.arg(venv.join("peers/dialects/bin/python"));
    command.arg(here("tests/dialects").join(script)).args(args);
    // A proxy of the environment is not for loopback.
    command.env("no_proxy", "127.0.0.1");
    let ran = tokio::task::spawn_blocking(move || command.output());
    let ran = ran.await.unwrap().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{script} failed: {err}\n{out}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}")))
        .collect()
}

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A WebSocket of a client that is written here.
pub async fn socket(port: u16, path: &str) -> Socket {
    let (socket, _) = connect_async(format!("ws://127.0.0.1:{port}{path}"))
        .await
        .unwrap();
    socket
}

pub async fn say(socket: &mut Socket, text: impl Into<String>) {
    socket.send(Message::text(text.into())).await.unwrap();
}

/// The next text message as JSON; `None`: the connection is closed.
pub async fn hear(socket: &mut Socket) -> Option<Value> {
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await;
        match next.expect("an answer") {
            Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

/// All text messages until the server closes, and with what code and reason it does.
pub async fn rest(socket: &mut Socket) -> (Vec<Value>, Option<(u16, String)>) {
    let mut told = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await;
        match next.expect("an end") {
            Some(Ok(Message::Text(text))) => told.push(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => {
                let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                return (told, frame);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return (told, None),
        }
    }
}
