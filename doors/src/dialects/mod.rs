//! The wire formats of others, so that clients made for them work unchanged.
//!
//! | door | where | whose clients |
//! |---|---|---|
//! | [`deepgram`] | `/v1/listen` | Deepgram's SDKs |
//! | [`vosk`] | `/vosk`, and the root of a port of its own | those of Vosk's server |
//!
//! Each translates between its wire and a call, and nothing else; what differs from the original is in `docs/dialects.md`.

pub mod deepgram;
mod link;
mod text;
pub mod vosk;

use std::net::SocketAddr;

use crate::exchange::Exchange;
use crate::http;
use crate::server::{self, ServerError};
use axum::Router;
use clap::Args;
use tokio::net::TcpListener;

/// Those that are reached over HTTP.
pub fn routes() -> Router<Exchange> {
    Router::new()
        .merge(deepgram::routes())
        .merge(vosk::routes())
}

/// Ports of doors that have their own.
#[derive(Args, Clone, Debug, Default)]
pub struct Ports {
    /// Port of the door for clients of Vosk's server
    #[arg(long, env = "VOSK_SERVER_PORT", value_name = "PORT")]
    pub vosk: Option<u16>,
}

impl Ports {
    /// Whether any is asked for.
    pub fn any(&self) -> bool {
        self.vosk.is_some()
    }

    /// Opens the doors that are asked for; returns the address of each.
    pub async fn open(
        &self,
        host: &str,
        exchange: &Exchange,
    ) -> Result<Vec<SocketAddr>, ServerError> {
        let mut open = Vec::new();
        if let Some(port) = self.vosk {
            let (listener, address) = bind(host, port, "--vosk").await?;
            server::announce("vosk", format!("ws://{address}"));
            open.push(address);
            let routes = vosk::root(exchange.clone());
            tokio::spawn(http::serve(listener, routes));
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
