//! The client's command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ClientError;
use super::address::Address;
use crate::call::Setting;

#[derive(Args, Clone, Debug)]
pub struct ClientOptions {
    /// A file to be heard, of any format that GStreamer decodes; without one: the microphone
    pub file: Option<PathBuf>,
    /// The server: ws://HOST:43008/, wss://HOST/ (WebSocket) or tcp://HOST:43007 (line door) [default: of the variables IP_ADDR or STREAM_HOST, and STREAM_WS_PORT or STREAM_PORT; else ws://localhost:43008/]
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
    /// A file as fast as the server takes it, not at the pace at which it was spoken
    #[arg(long, requires = "file")]
    pub fast: bool,
    /// JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// Spoken language (WebSocket): a code, a name, a tag, or auto
    #[arg(long, alias = "lan", env = "STREAM_LANG", value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// A property of the element for this call (WebSocket); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<Setting>,
    /// Lets the client in (WebSocket, Authorization: Bearer)
    #[arg(
        long,
        env = "STREAM_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// Certificates (PEM) to trust beside those of the public authorities (wss)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Seconds of audio that are kept for a server that comes back
    #[arg(long, default_value_t = 120.0, value_name = "SECONDS")]
    pub buffer: f64,
    /// Seconds after which a server that was there and is gone is given up; 0: never
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub give_up: f64,
    #[arg(long, hide = true, env = "IP_ADDR")]
    ip_addr: Option<String>,
    #[arg(long, alias = "host", hide = true, env = "STREAM_HOST")]
    stream_host: Option<String>,
    #[arg(long, alias = "port", hide = true, env = "STREAM_PORT")]
    stream_port: Option<u16>,
    #[arg(long, alias = "ws", hide = true, env = "STREAM_WS_PORT")]
    stream_ws_port: Option<u16>,
}

impl ClientOptions {
    /// Where the server is. The WebSocket, unless only the line door's port is known.
    pub(super) fn address(&self) -> Result<Address, ClientError> {
        if let Some(to) = &self.to {
            return Address::read(to);
        }
        let given = |host: &Option<String>| host.clone().filter(|host| !host.trim().is_empty());
        let host = given(&self.ip_addr)
            .or(given(&self.stream_host))
            // Where a server listens on all addresses, it is reached on this one.
            .filter(|host| host != "0.0.0.0" && host != "::")
            .unwrap_or_else(|| "localhost".into());
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host,
        };
        match (self.stream_ws_port, self.stream_port) {
            (None, Some(port)) => Address::read(&format!("tcp://{host}:{port}")),
            (port, _) => Address::read(&format!("ws://{host}:{}/", port.unwrap_or(43008))),
        }
    }

    pub(super) fn buffer(&self) -> Result<Duration, ClientError> {
        match (1.0..=3600.0).contains(&self.buffer) {
            true => Ok(Duration::from_secs_f64(self.buffer)),
            false => Err(ClientError::Buffer(self.buffer)),
        }
    }
}
