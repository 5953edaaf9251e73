//! The server with all its doors open, what it holds, and who speaks in it without doing any harm.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{audio, plain};
use crate::program::{PATIENCE, Program};

/// A way in.
pub struct Door {
    /// As the server announces its port.
    pub port: &'static str,
    /// Where a WebSocket is opened; none: bytes as they are.
    pub path: Option<&'static str>,
}

const fn web(port: &'static str, path: &'static str) -> Door {
    let path = Some(path);
    Door { port, path }
}

pub const DOORS: [Door; 12] = [
    Door {
        port: "line",
        path: None,
    },
    Door {
        port: "audiosocket",
        path: None,
    },
    web("websocket", "/"),
    web("vosk", "/"),
    web("http", "/ws"),
    web("http", "/vosk"),
    web("http", "/ajax/audio?pcm=16000"),
    web("http", "/v1/listen?encoding=linear16&sample_rate=16000"),
    web("http", "/twilio"),
    web("http", "/mod_audio_stream"),
    web("http", "/mod_audio_fork"),
    web("http", "/calls/watched/events"),
];

pub struct Server {
    program: Program,
    ports: HashMap<String, u16>,
}

impl Server {
    pub fn start(options: &[&str]) -> Server {
        let all =
            "--line 0 --ws 0 --http 0 --vosk 0 --audiosocket 0 --language fr --set pace=exact";
        let args: Vec<&str> = all.split(' ').chain(options.iter().copied()).collect();
        let server = env!("CARGO_BIN_EXE_whisperstream-server");
        let program = Program::start(server, &args, &[("WHISPERSTREAM_LOG", "error")]);
        let ports = (0..5).map(|_| {
            let line = program.line();
            let (name, address) = line.split_once(' ').unwrap();
            let port = address.trim_end_matches('/').rsplit(':').next();
            (name.to_owned(), port.unwrap().parse().unwrap())
        });
        let ports = ports.collect();
        Server { program, ports }
    }

    pub fn port(&self, name: &str) -> u16 {
        self.ports[name]
    }

    pub async fn connect(&self, door: &Door) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port(door.port)))
            .await
            .unwrap()
    }

    /// A plain request of the HTTP port, and all of the answer.
    pub async fn get(&self, path: &str, headers: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port("http")))
            .await
            .unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // What is refused while it is still being sent may end in a reset.
        let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer));
        let _ = read.await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn calls(&self) -> u64 {
        let answer = self.get("/health", "").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let health: Value = serde_json::from_str(body).unwrap();
        health["calls"].as_u64().unwrap()
    }

    /// Waits until `is` is true; it must become so.
    pub async fn until(&self, what: &str, mut is: impl AsyncFnMut(&Server) -> bool) {
        let waiting = async {
            while !is(self).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let over = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            over.is_ok(),
            "{what} does not come: {}",
            self.program.errors()
        );
    }

    pub async fn is_empty(&self) {
        self.until("the end of all calls", async |server| {
            server.calls().await == 0
        })
        .await;
    }

    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.program.child.id());
        fs::read_dir(folder).unwrap().count()
    }

    /// Resident, in MB.
    pub fn memory(&self) -> f64 {
        let path = format!("/proc/{}/status", self.program.child.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().split_whitespace().next().unwrap();
        kilobytes.parse::<f64>().unwrap() / 1e3
    }

    /// A client of the line door and one of the WebSocket speak while something happens; what both were told.
    pub async fn told_meanwhile<T>(&self, happens: impl Future<Output = T>) -> ([String; 2], T) {
        let audio = audio("fr-court");
        let (head, tail) = audio.split_at(audio.len() / 4 * 2);
        let mut line = TcpStream::connect(("127.0.0.1", self.port("line")))
            .await
            .unwrap();
        let address = format!("ws://127.0.0.1:{}/?id=watched", self.port("websocket"));
        let (mut web, _) = connect_async(address).await.unwrap();
        line.write_all(head).await.unwrap();
        web.send(Message::binary(head.to_vec())).await.unwrap();
        self.until("both calls", async |server| server.calls().await >= 2)
            .await;
        let happened = happens.await;
        line.write_all(tail).await.unwrap();
        line.shutdown().await.unwrap();
        web.send(Message::binary(tail.to_vec())).await.unwrap();
        web.send(Message::text("end")).await.unwrap();
        let mut lines = String::new();
        let listen = async {
            line.read_to_string(&mut lines).await.unwrap();
            let mut finals = Vec::new();
            while let Some(Ok(message)) = web.next().await {
                let Ok(text) = message.to_text() else { break };
                let said: Value = serde_json::from_str(text).unwrap_or_default();
                if said["type"] == "final" {
                    finals.push(said["text"].as_str().unwrap().to_owned());
                }
            }
            finals.join(" ")
        };
        let finals = tokio::time::timeout(PATIENCE, listen).await.expect("words");
        let texts = lines
            .lines()
            .map(|line| line.splitn(3, ' ').nth(2).unwrap());
        let texts = texts.collect::<Vec<_>>().join(" ");
        ([plain(&texts), plain(&finals)], happened)
    }
}
