//! The server, as its users start it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Failure;

/// A running server and where its doors are.
pub struct Server {
    child: Child,
    ports: HashMap<String, u16>,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// MB
    pub memory: f64,
    pub threads: usize,
    pub descriptors: usize,
}

impl Server {
    /// Starts it with all doors on ports of the system's choice.
    pub fn start(args: &[&str]) -> Result<Server, Failure> {
        let doors = ["--line", "0", "--ws", "0", "--http", "0"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_whisperstream-server"))
            .args(doors)
            .args(["--language", "fr"])
            .args(args)
            .env("WHISPERSTREAM_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("the server has no output")?;
        let mut ports = HashMap::new();
        for line in BufReader::new(out).lines() {
            let line = line?;
            let name = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            let port = line
                .trim_end_matches('/')
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok());
            if let Some(port) = port {
                ports.insert(name, port);
            }
            if ports.len() == doors.len() / 2 {
                break;
            }
        }
        Ok(Server { child, ports })
    }

    /// The port of a door, by the name in its line.
    pub fn port(&self, door: &str) -> Result<u16, Failure> {
        self.ports
            .get(door)
            .copied()
            .ok_or_else(|| format!("the server has no door {door}: {:?}", self.ports).into())
    }

    /// Calls that are there.
    pub async fn calls(&self) -> Result<usize, Failure> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port("http")?)).await?;
        let request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        let health: Value = serde_json::from_str(body.unwrap_or_default())?;
        let calls = health["calls"]
            .as_u64()
            .ok_or("the server does not say how many calls it has")?;
        Ok(calls as usize)
    }

    pub fn holds(&self) -> Result<Holdings, Failure> {
        let folder = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let field = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or_default()
        };
        Ok(Holdings {
            memory: field("VmRSS:") / 1000.0,
            threads: field("Threads:") as usize,
            descriptors: fs::read_dir(format!("{folder}/fd"))?.count(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Display for Holdings {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(
            to,
            "{:.0} MB, {} threads, {} descriptors",
            self.memory, self.threads, self.descriptors
        )
    }
}
