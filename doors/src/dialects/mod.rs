//! The wire formats of others, so that clients made for them work unchanged.
//!
//! | door | where | whose clients |
//! |---|---|---|
//! | [`deepgram`] | `/v1/listen` | Deepgram's SDKs |
//! | [`twilio`] | `/twilio` | Twilio's Media Streams, and Telnyx's |
//! | [`audiosocket`] | a TCP port of its own | Asterisk's AudioSocket |
//! | [`forks`] | `/mod_audio_stream`, `/mod_audio_fork` | the modules of FreeSWITCH of these names |
//! | [`vosk`] | `/vosk`, and the root of a port of its own | those of Vosk's server |
//!
//! Each translates between its wire and a call, and nothing else; what differs from the original is in `docs/dialects.md`.

pub mod audiosocket;
pub mod deepgram;
pub mod forks;
pub(crate) mod link;
mod text;
pub(crate) mod tracks;
pub mod twilio;
pub mod vosk;

use std::net::SocketAddr;

use crate::call::Setting;
use crate::exchange::Exchange;
use crate::http;
use crate::network::Network;
use crate::security::Security;
use crate::server::{self, ServerError};
use axum::Router;
use clap::Args;
use tokio::net::TcpListener;

/// Those that are reached over HTTP.
pub fn routes() -> Router<Exchange> {
    Router::new()
        .merge(deepgram::routes())
        .merge(vosk::routes())
        .merge(twilio::routes())
        .merge(forks::routes())
}

/// What stands in an address and is not the door's `own`: properties of the element.
fn settings_of(pairs: &[(String, String)], own: &[&str]) -> Vec<Setting> {
    let theirs = |name: &str| own.contains(&name) || is_the_ports(name);
    let settings = pairs.iter().filter(|(name, _)| !theirs(name));
    settings
        .map(|(name, value)| Setting::new(name.replace('_', "-"), value))
        .collect()
}

/// The token is the affair of the port, not of a door behind it.
fn is_the_ports(name: &str) -> bool {
    name == "token"
}

/// Ports of doors that have their own.
#[derive(Args, Clone, Debug, Default)]
pub struct Ports {
    /// Port of the door for clients of Vosk's server
    #[arg(long, env = "VOSK_SERVER_PORT", value_name = "PORT")]
    pub vosk: Option<u16>,
    /// Port of the door for Asterisk's AudioSocket
    #[arg(long, value_name = "PORT")]
    pub audiosocket: Option<u16>,
    /// Address or network (10.0.0.0/8) whose AudioSocket is taken, for the protocol knows no token; may be repeated
    /// [default: all]
    #[arg(long, requires = "audiosocket", value_name = "NETWORK")]
    pub audiosocket_from: Vec<Network>,
}

impl Ports {
    /// Whether any is asked for.
    pub fn any(&self) -> bool {
        self.vosk.is_some() || self.audiosocket.is_some()
    }

    /// Opens the doors that are asked for; returns the address of each.
    pub async fn open(
        &self,
        host: &str,
        exchange: &Exchange,
        security: &Security,
    ) -> Result<Vec<SocketAddr>, ServerError> {
        let mut open = Vec::new();
        if let Some(port) = self.vosk {
            let (listener, address) = bind(host, port, "--vosk").await?;
            server::announce("vosk", format!("{}://{address}", security.scheme("ws")));
            open.push(address);
            let routes = vosk::root(exchange.clone());
            let security = security.clone();
            tokio::spawn(async move { http::serve_with(listener, routes, &security).await });
        }
        if let Some(port) = self.audiosocket {
            let (listener, address) = bind(host, port, "--audiosocket").await?;
            server::announce("audiosocket", format!("tcp://{address}"));
            open.push(address);
            let from = self.audiosocket_from.clone();
            tokio::spawn(audiosocket::serve(listener, exchange.clone(), from));
        }
        Ok(open)
    }
}

async fn bind(
    host: &str,
    port: u16,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), ServerError> {
    let listener = server::bind(host, port, flag).await?;
    match listener.local_addr() {
        Ok(address) => Ok((listener, address)),
        Err(reason) => Err(ServerError::Bind {
            host: host.into(),
            port,
            flag,
            reason,
        }),
    }
}
