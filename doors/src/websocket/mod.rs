//! The WebSocket door: audio in binary messages, words in JSON.
//!
//! ```text
//! < {"type":"ready","sample_rate":16000,"call":"..."}
//! > binary S16LE, 16 kHz, mono, cut anywhere
//! < {"type":"final","beg_ms":340,"end_ms":1520,"text":"bonjour je","utterance":0,"words":[...]}
//! > flush
//! < {"type":"final",...} {"type":"flushed"}
//! ```
//!
//! Clients of old know these; all else is sent on request, by the query of the address ([`query`]).

mod acks;
pub(crate) mod message;
pub(crate) mod query;
mod retake;
mod session;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;

use crate::exchange::{Caller, Exchange, Refusal};
use crate::http::Peer;
use query::Asked;

/// The door's name in logs and metrics.
const DOOR: &str = "websocket";

/// Largest message of a client: half a minute of audio.
pub const LARGEST: usize = 1 << 20;

/// On a port of its own: at its root, where clients of old call, and at `/ws`.
pub fn router(exchange: Exchange) -> Router {
    Router::new()
        .route("/", get(upgrade))
        .merge(routes())
        .with_state(exchange)
}

/// Beside other doors: at `/ws`.
pub fn routes() -> Router<Exchange> {
    Router::new().route("/ws", get(upgrade))
}

async fn upgrade(
    State(exchange): State<Exchange>,
    peer: Peer,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .max_message_size(LARGEST)
        .max_frame_size(LARGEST)
        .on_upgrade(move |socket| client(socket, exchange, peer, query.unwrap_or_default()))
}

async fn client(mut socket: WebSocket, exchange: Exchange, Peer(peer): Peer, query: String) {
    let (asked, wanted) = match Asked::read(&query) {
        Ok(read) => read,
        Err(bad) => {
            exchange.metrics().refused(DOOR, "setting");
            tracing::warn!(
                door = DOOR,
                peer = peer.map(tracing::field::display),
                "refused a call: {bad}"
            );
            return session::refuse(&mut socket, bad.code(), &bad.to_string()).await;
        }
    };
    let caller = Caller {
        door: DOOR,
        peer,
        id: asked.id.clone(),
    };
    match exchange.open(caller, wanted).await {
        Ok(call) => session::talk(socket, call, asked, peer).await,
        Err(refusal) => {
            let code = match refusal {
                Refusal::Closing => message::GOING_AWAY,
                Refusal::Full(_) | Refusal::Crowded(_) | Refusal::Overloaded => message::TRY_AGAIN,
                Refusal::Taken(_) | Refusal::BadId(_) | Refusal::Setting(_) => message::POLICY,
                Refusal::Open(_) => message::FAILED,
            };
            session::refuse(&mut socket, code, &refusal.to_string()).await;
        }
    }
}
