//! What strangers do at a door. Each returns the connections that it holds on to.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::server::{Door, Server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Connects, and says nothing; says half of what it must, and nothing more.
    HalfOpen,
    /// Headers, then frames, a byte at a time.
    ByteByByte,
    /// Lengths that are lies, headers and messages beyond all measure.
    Oversized,
    /// TLS where it is plain, a browser where it is none, noise.
    WrongProtocol,
    /// Connects many times; half of them reset, half stay.
    Flood,
    /// Asks and asks, and reads none of the answers.
    NeverReads,
}

impl Attack {
    pub const ALL: [Attack; 6] = [
        Attack::HalfOpen,
        Attack::ByteByByte,
        Attack::Oversized,
        Attack::WrongProtocol,
        Attack::Flood,
        Attack::NeverReads,
    ];
}

/// Connections of a flood.
const FLOOD: usize = 100;

/// The beginning of a TLS session: a record with a hello for TLS 1.2 in it, whose list of ciphers is long.
fn hello() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend((0..506_u32).map(|i| (i * 37) as u8));
    hello
}

/// The request for a WebSocket.
pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// What a peer says first, and the head of the frame behind it.
fn opening(door: &Door) -> (Vec<u8>, Vec<u8>) {
    match (door.path, door.port) {
        // A binary message of 320 bytes.
        (Some(path), _) => (upgrade(path).into(), vec![0x82, 0xfe, 1, 0x40, 0, 0, 0, 0]),
        (None, "audiosocket") => {
            let id = uuid::Uuid::new_v4();
            let hello = [&[1, 0, 16], id.as_bytes().as_slice()].concat();
            (hello, vec![0x10, 1, 0x40])
        }
        (None, _) => (vec![0; 31], Vec::new()),
    }
}

/// Opens the door as it should be opened.
async fn opened(server: &Server, door: &Door) -> TcpStream {
    let mut socket = server.connect(door).await;
    socket.write_all(&opening(door).0).await.unwrap();
    let mut head = Vec::new();
    while door.path.is_some() && !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    socket
}

/// Writes as much as is taken; that it is refused or held up is what was wanted.
async fn pour(socket: &mut TcpStream, bytes: &[u8], times: usize) {
    for _ in 0..times {
        let sent = timeout(Duration::from_millis(300), socket.write_all(bytes)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

async fn trickle(socket: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes {
        if socket.write_all(&[*byte]).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

pub async fn attack(server: &Server, door: &Door, attack: Attack) -> Vec<TcpStream> {
    let (first, frame) = opening(door);
    let mut held = Vec::new();
    match attack {
        Attack::HalfOpen => {
            held.push(server.connect(door).await);
            let mut half = server.connect(door).await;
            half.write_all(&first[..first.len() / 2]).await.unwrap();
            held.extend([half, opened(server, door).await]);
        }
        Attack::ByteByByte => {
            let mut headers = server.connect(door).await;
            trickle(&mut headers, &first[..first.len() - 1]).await;
            let mut frames = opened(server, door).await;
            trickle(&mut frames, &[frame.as_slice(), &[0; 101]].concat()).await;
            held.extend([headers, frames]);
        }
        Attack::Oversized => {
            let mut lies = opened(server, door).await;
            let lie: &[u8] = match door.path {
                Some(_) => &[0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255],
                None => &[0x10, 255, 255],
            };
            pour(&mut lies, lie, 1).await;
            pour(&mut lies, &[0; 65_536], 1).await;
            let mut large = server.connect(door).await;
            let header = format!("GET /{} HTTP/1.1\r\nX: ", "a".repeat(4_096));
            pour(&mut large, header.as_bytes(), 1).await;
            if door.port != "line" {
                pour(&mut large, &[b'x'; 65_536], 100).await;
            }
            held.extend([lies, large]);
        }
        Attack::WrongProtocol => {
            for bytes in [
                hello(),
                b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                b"INVITE sip:x SIP/2.0\r\n\r\n".to_vec(),
                (0..5_000_u32)
                    .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
                    .collect(),
            ] {
                let mut socket = server.connect(door).await;
                pour(&mut socket, &bytes, 1).await;
                held.push(socket);
                let mut socket = opened(server, door).await;
                pour(&mut socket, &bytes, 1).await;
                held.push(socket);
            }
        }
        Attack::Flood => {
            for number in 0..FLOOD {
                let socket = server.connect(door).await;
                match number % 2 {
                    0 => socket.set_zero_linger().unwrap(),
                    _ => held.push(socket),
                }
            }
        }
        Attack::NeverReads => {
            let mut deaf = opened(server, door).await;
            match door.path {
                // Pings and texts, each of which has an answer.
                Some(_) => {
                    let frames = [0x89, 0x81, 0, 0, 0, 0, b'x', 0x81, 0x81, 0, 0, 0, 0, b'x'];
                    pour(&mut deaf, &frames.repeat(4_096), 40).await;
                }
                None => pour(&mut deaf, &[0; 320], 100).await,
            }
            held.push(deaf);
            if door.path.is_some() {
                let mut asks = server.connect(door).await;
                let request = "GET /page/page.js HTTP/1.1\r\nHost: x\r\n\r\n";
                pour(&mut asks, request.repeat(100).as_bytes(), 20).await;
                held.push(asks);
            }
        }
    }
    held
}
