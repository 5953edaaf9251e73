//! The whole server: connections to any of its ports, from the first byte to the end of the call that they brought about.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use doors::dialects::{audiosocket, vosk};
use doors::exchange::{Exchange, Policy};
use doors::security::Security;
use doors::server::{Warm, warm_up};
use doors::{http, line, websocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::bytes;
use crate::targets::quick;

/// Whoever hung up is let go within this time.
const FAREWELL: Duration = Duration::from_secs(60);
/// A port that says nothing for so long waits for more.
const SILENCE: Duration = Duration::from_secs(1);
/// Audio of one input at most: what is longer only takes longer.
const MOST_AUDIO: usize = 4 * 32_000;

pub struct Server {
    pub runtime: Runtime,
    pub exchange: Exchange,
    /// By name.
    ports: [(&'static str, SocketAddr); 5],
    /// The model stays in memory, so that no call loads it anew.
    _warm: Warm,
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// All its doors, in this process, opened once.
pub fn server() -> &'static Server {
    SERVER.get_or_init(|| {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build();
        let runtime = runtime.expect("threads start");
        let settings = quick();
        let exchange = Exchange::new(Policy {
            settings: settings.clone(),
            full_at: 0,
            ..Policy::default()
        });
        let ports = runtime.block_on(open(&exchange));
        let warm = runtime.block_on(warm_up(&settings, None));
        Server {
            runtime,
            exchange,
            ports: ports.expect("ports open"),
            _warm: warm.expect("the model loads"),
        }
    })
}

async fn open(exchange: &Exchange) -> std::io::Result<[(&'static str, SocketAddr); 5]> {
    let (http_at, http_port) = bind().await?;
    let (ws_at, ws_port) = bind().await?;
    let (vosk_at, vosk_port) = bind().await?;
    let (line_at, line_port) = bind().await?;
    let (audiosocket_at, audiosocket_port) = bind().await?;
    for (listener, routes) in [
        (http_port, http::router(exchange.clone())),
        (ws_port, websocket::router(exchange.clone())),
        (vosk_port, vosk::root(exchange.clone())),
    ] {
        tokio::spawn(async move { http::serve_with(listener, routes, &Security::default()).await });
    }
    let lines = line::Line {
        json: true,
        ..line::Line::default()
    };
    tokio::spawn(line::serve(line_port, exchange.clone(), lines));
    tokio::spawn(audiosocket::serve(
        audiosocket_port,
        exchange.clone(),
        Vec::new(),
    ));
    Ok([
        ("http", http_at),
        ("ws", ws_at),
        ("vosk", vosk_at),
        ("line", line_at),
        ("audiosocket", audiosocket_at),
    ])
}

async fn bind() -> std::io::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok((listener.local_addr()?, listener))
}

/// The first line names a port, the bytes behind it are sent to it.
pub fn wire(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (name, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let answer = exchange_bytes(name, rest.get(1..).unwrap_or_default(), None);
    if answer.starts_with(b"HTTP/1.1 ") {
        return status(&answer);
    }
    let text = String::from_utf8_lossy(&answer);
    // A line is told whole, or not at all; AudioSocket's answers are no text.
    if name == b"line" {
        let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert!(text.lines().all(is_json), "{text}");
    }
    format!("{} bytes", answer.len().min(9))
}

/// A WebSocket: the first line is its address, each further one a text message; those that begin with `#` are bytes, or speech
/// of so many, a ping, a pause or a farewell.
pub fn session(bytes: &[u8]) -> String {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let path = lines.next().unwrap_or_default();
    let mut sent = [
        b"GET /".as_slice(),
        path.strip_prefix(b"/").unwrap_or(path),
        b" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ]
    .concat();
    let mut audio = 0;
    for line in lines.take(64) {
        let (kind, payload) = match line.strip_prefix(b"#") {
            None => (1, line.to_vec()),
            Some(b"ping") => (9, b"ping".to_vec()),
            Some(b"close") => (8, vec![3, 232]),
            Some(rest) => match rest.strip_prefix(b"speech ") {
                Some(count) => {
                    let count = String::from_utf8_lossy(count).trim().parse().unwrap_or(0);
                    let count = MOST_AUDIO.saturating_sub(audio).min(count);
                    audio += count;
                    (2, bytes::speech(count))
                }
                None => (2, rest.to_vec()),
            },
        };
        frame(&mut sent, kind, &payload);
    }
    // For those that forgot it: what is cut off is the business of `wire`. Few wait for the door to have said all before, since that
    // takes a second of silence.
    let mut farewell = Vec::new();
    frame(&mut farewell, 8, &[3, 232]);
    let waits = bytes.len().is_multiple_of(16);
    if !waits {
        sent.append(&mut farewell);
    }
    let answer = exchange_bytes(b"http", &sent, waits.then_some(&farewell));
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n");
    let told = &answer[end.map_or(answer.len(), |end| end + 4)..];
    match answer.starts_with(b"HTTP/1.1 101 ") {
        true => format!("101 {}", judge(told)),
        false => status(&answer),
    }
}

/// A frame of a client, its mask zero.
fn frame(to: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    to.push(0x80 | kind);
    match payload.len() {
        length @ 0..126 => to.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            to.push(0x80 | 126);
            to.extend((length as u16).to_be_bytes());
        }
        length => {
            to.push(0x80 | 127);
            to.extend((length as u64).to_be_bytes());
        }
    }
    to.extend([0; 4]);
    to.extend(payload);
}

/// What the server's frames say: each text is JSON, and nothing comes behind the farewell.
fn judge(mut frames: &[u8]) -> String {
    let (mut said, mut is_over) = (Vec::new(), false);
    while let [first, second, rest @ ..] = frames {
        let (length, rest) = match second {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
                None => break,
            },
            127 => panic!("a message of more than 64 kB"),
            short => (usize::from(*short), rest),
        };
        // It is cut off where the client was gone.
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames = rest;
        assert!(!is_over, "told behind the farewell: {payload:?}");
        match first & 0x0f {
            1 => {
                let text = std::str::from_utf8(payload).expect("it is text");
                let value: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
                let names = value.as_object().expect("it is an object").keys();
                let kind = value["type"].as_str().map(str::to_owned);
                said.push(kind.unwrap_or_else(|| names.cloned().collect::<Vec<_>>().join("+")));
            }
            8 => {
                is_over = true;
                let code = payload
                    .first_chunk::<2>()
                    .map(|code| u16::from_be_bytes(*code));
                said.push(format!("bye {}", code.map_or("without a code", code_name)));
            }
            9 | 10 => {}
            kind => panic!("a frame of kind {kind}"),
        }
    }
    said.dedup();
    said.join(" ")
}

fn code_name(code: u16) -> &'static str {
    match code {
        1000 => "normal",
        1002 => "protocol",
        1003 | 1007 => "data",
        1008 => "policy",
        1009 => "size",
        1011 => "failed",
        1013 => "later",
        _ => "other",
    }
}

fn status(answer: &[u8]) -> String {
    let line = answer.split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    assert!(
        !line.contains(" 500 "),
        "{}",
        String::from_utf8_lossy(answer)
    );
    line
}

/// All that the port answers until it closes, and until the call is over.
fn exchange_bytes(port: &[u8], bytes: &[u8], farewell: Option<&[u8]>) -> Vec<u8> {
    let server = server();
    let known = server.ports.iter();
    let address = known
        .filter(|(name, _)| name.as_bytes() == port)
        .map(|(_, address)| *address)
        .next();
    let Some(address) = address else {
        return Vec::new();
    };
    server.runtime.block_on(async {
        let talk = timeout(FAREWELL, talk(address, bytes, farewell));
        let answer = talk.await.expect("the server lets go of whoever hung up");
        let since = Instant::now();
        while !server.exchange.calls().is_empty() {
            assert!(since.elapsed() < FAREWELL, "the call does not end");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        answer
    })
}

/// Sends all; a `farewell` only when the port has said nothing for a while.
async fn talk(address: SocketAddr, bytes: &[u8], farewell: Option<&[u8]>) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(socket) = TcpStream::connect(address).await else {
        panic!("nobody listens any more");
    };
    let (mut from, mut to) = socket.into_split();
    let is_silent = Notify::new();
    let write = async {
        // It may have heard enough.
        _ = to.write_all(bytes).await;
        if let Some(farewell) = farewell {
            is_silent.notified().await;
            _ = to.write_all(farewell).await;
        }
        _ = to.shutdown().await;
        std::future::pending().await
    };
    let read = async {
        loop {
            match timeout(SILENCE, from.read_buf(&mut answer)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(_)) => {}
                Err(_) => is_silent.notify_one(),
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    answer
}
