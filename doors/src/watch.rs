//! Watching calls: a list of those there are, and the events of each, by WebSocket or server-sent events.
//!
//! For peers whose protocol has no room for text (Twilio, AudioSocket, RTP), and for whoever looks on.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{SinkExt, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::call::Event;
use crate::exchange::Exchange;

/// Watchers at a time.
const MOST: usize = 1_000;
/// Longest wait for a call that is not there yet.
const LONGEST_WAIT: u32 = 300;
/// Between two signs of life.
const PING: Duration = Duration::from_secs(20);
/// A watcher that takes nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(30);
/// A watcher has so long to answer the close frame.
const FAREWELL: Duration = Duration::from_secs(5);
/// Largest message that a watcher may send; it has nothing to say.
const LARGEST: usize = 4_096;

pub fn routes() -> Router<Exchange> {
    let places = Arc::new(Semaphore::new(MOST));
    let watch = move |exchange, call, query, upgrade| {
        events(exchange, call, query, upgrade, Arc::clone(&places))
    };
    Router::new()
        .route("/calls", get(list))
        .route("/calls/{id}/events", get(watch))
}

const JSON: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

#[derive(Serialize)]
struct Listed {
    id: String,
    door: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    /// Since it came in.
    seconds: f64,
}

async fn list(State(exchange): State<Exchange>) -> Response {
    let calls = exchange.calls().into_iter().map(|call| Listed {
        id: call.id,
        door: call.door,
        peer: call.peer.map(|peer| peer.to_string()),
        seconds: (call.since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
    });
    let list = json(&calls.collect::<Vec<_>>());
    ([(header::CACHE_CONTROL, "no-store"), JSON], list).into_response()
}

#[derive(Deserialize)]
struct Asked {
    /// Seconds to wait for the call if it is not there yet.
    #[serde(default)]
    wait: u32,
}

async fn events(
    State(exchange): State<Exchange>,
    Path(id): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    places: Arc<Semaphore>,
) -> Response {
    let wait = match query {
        Ok(Query(Asked { wait })) if wait <= LONGEST_WAIT => wait,
        _ => {
            let sentence = format!("wait takes whole seconds, {LONGEST_WAIT} at most");
            return error(StatusCode::BAD_REQUEST, sentence);
        }
    };
    let Ok(place) = places.try_acquire_owned() else {
        let sentence = format!("{MOST} watch already; try again later");
        return error(StatusCode::SERVICE_UNAVAILABLE, sentence);
    };
    let wait = Duration::from_secs(wait.into());
    let Some(from) = exchange.watch_soon(&id, wait).await else {
        let id: String = id.chars().take(128).collect();
        let sentence = format!("there is no call {id:?}; /calls lists those there are");
        return error(StatusCode::NOT_FOUND, sentence);
    };
    let watched = Watched {
        from,
        over: false,
        _place: place,
    };
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(LARGEST)
            .max_frame_size(LARGEST)
            .on_upgrade(|socket| tell(socket, watched)),
        // A plain request.
        Err(_) => {
            let events = stream::unfold(watched, |mut watched| async {
                let json = watched.next().await?;
                Some((
                    Ok::<_, axum::Error>(sse::Event::default().data(json)),
                    watched,
                ))
            });
            let events = Sse::new(events).keep_alive(KeepAlive::new().interval(PING));
            // Or proxies gather events before they pass them on.
            ([("x-accel-buffering", "no")], events).into_response()
        }
    }
}

fn error(status: StatusCode, message: String) -> Response {
    let body = serde_json::json!({"type": "error", "message": message});
    (status, [JSON], body.to_string()).into_response()
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Own {
    /// So many events were not told, because the watcher was too slow.
    Missed { events: u64 },
}

/// What is left to tell of a call.
struct Watched {
    from: Receiver<Arc<Event>>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Watched {
    /// The next event as JSON; the last is of type `ended` or `failed`.
    async fn next(&mut self) -> Option<String> {
        while !self.over {
            match self.from.recv().await {
                Ok(event) if is_told(&event) => {
                    self.over = matches!(*event, Event::Ended | Event::Failed { .. });
                    return Some(json(&*event));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(events)) => return Some(json(&Own::Missed { events })),
                // Its door left it without a word.
                Err(RecvError::Closed) => {
                    self.over = true;
                    return Some(json(&Event::Ended));
                }
            }
        }
        None
    }
}

/// Of some, only the call's own door wants to know.
fn is_told(event: &Event) -> bool {
    !matches!(
        event,
        Event::Line(_) | Event::Figures { .. } | Event::Other(_)
    )
}

fn json(said: &impl Serialize) -> String {
    serde_json::to_string(said).unwrap_or_default()
}

async fn tell(socket: WebSocket, mut watched: Watched) {
    let (mut to, mut from) = socket.split();
    // What a watcher says is not heard, but that it leaves is.
    let gone = async move { while let Some(Ok(_)) = from.next().await {} };
    let told = async move {
        loop {
            let message = match timeout(PING, watched.next()).await {
                Ok(Some(json)) => Message::text(json),
                Ok(None) => break,
                Err(_) => Message::Ping(Default::default()),
            };
            match timeout(PATIENCE, to.send(message)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
        let _ = timeout(PATIENCE, to.send(Message::Close(None))).await;
        // Meanwhile the other half reads until the watcher has closed, too.
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        () = gone => {}
        () = told => {}
    }
}
