//! Deepgram's live transcription, `/v1/listen`: audio in binary messages, orders and results in JSON.

pub(crate) mod query;
mod results;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{self, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ring::digest;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use self::query::Query;
use self::results::{Model, Results};
use super::link::{self, Heard, Mouth, PING_EVERY, Stuck, cut};
use super::text::seconds;
use crate::call::{Event, Source};
use crate::exchange::{Call, Caller, Exchange, Refusal};
use crate::http::Peer;

/// Longest message of a client.
const LONGEST: usize = 1 << 20;
/// `Finalize` that may be under way at a time; the next waits.
const FINALIZING: usize = 16;
/// So often it is looked whether a silence has become long enough.
const TICK: Duration = Duration::from_millis(100);

pub fn routes() -> Router<Exchange> {
    Router::new().route("/v1/listen", get(listen))
}

async fn listen(
    State(exchange): State<Exchange>,
    Peer(peer): Peer,
    extract::Query(pairs): extract::Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let request = uuid::Uuid::new_v4().to_string();
    let query = match Query::of(&pairs) {
        Ok(query) => query,
        Err(bad) => {
            tracing::info!(
                door = "deepgram",
                peer = peer.map(tracing::field::display),
                "refused a query: {bad}"
            );
            let code = "INVALID_QUERY_PARAMETER";
            return refused(StatusCode::BAD_REQUEST, code, &bad.to_string(), &request);
        }
    };
    let caller = Caller {
        door: "deepgram",
        peer,
        id: Some(request.clone()),
    };
    let model = model(&exchange);
    match exchange.open(caller, query.wanted.clone()).await {
        Ok(call) => {
            let results = Results::new(&query, request.clone(), model.clone());
            let mut response = upgrade
                .max_message_size(LONGEST)
                .max_frame_size(LONGEST)
                // A browser can bring its key in no other way.
                .protocols(["token", "bearer"])
                .on_upgrade(move |socket| talk(socket, call, query, results, model));
            name(&mut response, "dg-request-id", &request);
            response
        }
        Err(refusal) => {
            let (status, code) = match &refusal {
                Refusal::Full(_) | Refusal::Crowded(_) => {
                    (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS")
                }
                refusal if refusal.is_passing() => {
                    (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
                }
                _ => (StatusCode::BAD_REQUEST, "INVALID_QUERY_PARAMETER"),
            };
            refused(status, code, &refusal.to_string(), &request)
        }
    }
}

/// An answer instead of a WebSocket, as Deepgram words it.
fn refused(status: StatusCode, code: &str, why: &str, request: &str) -> Response {
    let body = json!({"err_code": code, "err_msg": why, "request_id": request});
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, kind, body.to_string()).into_response();
    name(&mut response, "dg-request-id", request);
    name(&mut response, "dg-error", why);
    response
}

fn name(response: &mut Response, header: &'static str, value: &str) {
    let plain: String = value
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
        .collect();
    if let Ok(value) = HeaderValue::from_str(&plain) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(header), value);
    }
}

/// The model that the operator chose.
fn model(exchange: &Exchange) -> Model {
    let settings = exchange.policy().settings.iter().rev();
    let chosen = settings.clone().find(|setting| setting.name == "model");
    let name = chosen.map_or("whisper-nano", |setting| {
        let path = setting.value.trim_end_matches('/');
        path.rsplit('/').next().unwrap_or(path)
    });
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let mut id = [0; 16];
    id.iter_mut()
        .zip(hash.as_ref())
        .for_each(|(to, from)| *to = *from);
    Model {
        name: name.into(),
        id: uuid::Builder::from_custom_bytes(id).into_uuid().to_string(),
    }
}

/// What the hearing side has the telling side do.
enum Note {
    Finalize,
    Say(Value),
    /// The client said something that ends the call.
    Fault(&'static str, String),
}

/// What was heard in all, for `Metadata`.
struct Sum {
    digest: digest::Context,
    bytes: u64,
}

async fn talk(socket: WebSocket, call: Call, query: Query, results: Results, model: Model) {
    let id = call.id.clone();
    let (mut ear, mut mouth) = link::ends(socket, call.phase.clone());
    let (notes, mut noted) = mpsc::channel(16);
    let (sums, mut summed) = tokio::sync::oneshot::channel();
    let places = Arc::new(Semaphore::new(FINALIZING));
    let freed = Arc::clone(&places);
    let Call {
        mut feed,
        mut events,
        control,
        ..
    } = call;
    let steer = control.clone();
    let hear = async move {
        let mut sum = Sum {
            digest: digest::Context::new(&digest::SHA256),
            bytes: 0,
        };
        while let Some(heard) = ear.next().await {
            match heard {
                // So clients of before `CloseStream` end.
                Heard::Bytes(audio) if audio.is_empty() => break,
                Heard::Bytes(audio) => {
                    sum.digest.update(&audio);
                    sum.bytes += audio.len() as u64;
                    if feed.push(&audio).await.is_err() {
                        break;
                    }
                }
                Heard::Text(text) => match order(&text, &steer, &id) {
                    Order::Close => break,
                    Order::Nothing => {}
                    Order::Finalize => {
                        let Ok(place) = places.acquire().await else {
                            break;
                        };
                        place.forget();
                        // The order of these two is what makes the answer's words wait.
                        if notes.send(Note::Finalize).await.is_err() || feed.flush("").is_err() {
                            break;
                        }
                    }
                    Order::Say(message) => {
                        if notes.send(Note::Say(message)).await.is_err() {
                            break;
                        }
                    }
                    Order::Fault(says) => {
                        let _ = notes.send(Note::Fault("SchemaError", says)).await;
                        break;
                    }
                },
            }
        }
        let _ = sums.send(sum);
        feed.end();
        drop(notes);
        ear.ignore().await;
    };
    let is_media = matches!(query.wanted.source, Source::Media);
    let channels = query.channels;
    let request = call.id.clone();
    let tell = async move {
        let mut teller = Teller {
            results,
            freed,
            control,
        };
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ping = interval(PING_EVERY);
        let mut fault = None;
        let mut notes_come = true;
        loop {
            tokio::select! {
                biased;
                note = noted.recv(), if notes_come => match note {
                    Some(Note::Finalize) => teller.results.finalize(),
                    Some(Note::Say(message)) => mouth.say(message.to_string()).await?,
                    Some(Note::Fault(code, says)) => fault = Some((code, says)),
                    None => notes_come = false,
                },
                event = events.next() => match event {
                    None | Some(Event::Ended) => break,
                    Some(Event::Failed { reason }) => {
                        let code = if is_media { "DATA-0000" } else { "NET-0000" };
                        fault = Some((code, reason));
                        break;
                    }
                    Some(event) => teller.event(event, &mut mouth).await?,
                },
                _ = tick.tick() => teller.tick(&mut mouth).await?,
                _ = ping.tick() => mouth.ping().await?,
            }
        }
        for message in teller.results.rest() {
            mouth.say(message.to_string()).await?;
        }
        if let Some((code, says)) = fault {
            tracing::info!(door = "deepgram", call = %request, "the call ends: {says}");
            let error = json!({"type": "Error", "variant": code, "description": says});
            mouth.say(error.to_string()).await?;
            let status = match code {
                "DATA-0000" | "SchemaError" => close_code::POLICY,
                _ => close_code::ERROR,
            };
            return mouth.close_for(status, &format!("{code}: {says}")).await;
        }
        let sum = summed.try_recv().ok();
        let message = metadata(&request, sum, channels, &teller.control, &model);
        mouth.say(message.to_string()).await?;
        mouth.close().await
    };
    if let Err(stuck) = link::converse(hear, tell).await {
        tracing::info!(door = "deepgram", "a client is let go: {stuck}");
    }
}

/// The telling side's own.
struct Teller {
    results: Results,
    freed: Arc<Semaphore>,
    control: crate::call::Control,
}

impl Teller {
    async fn event(&mut self, event: Event, mouth: &mut Mouth) -> Result<(), Stuck> {
        let mut answered = false;
        for message in self.results.tell(event, &mut answered) {
            mouth.say(message.to_string()).await?;
        }
        if answered {
            self.freed.add_permits(1);
        }
        Ok(())
    }

    async fn tick(&mut self, mouth: &mut Mouth) -> Result<(), Stuck> {
        if !self.results.waits() {
            return Ok(());
        }
        for message in self.results.heard(self.control.heard()) {
            mouth.say(message.to_string()).await?;
        }
        Ok(())
    }
}

/// What a text message asks for.
enum Order {
    Nothing,
    Finalize,
    Close,
    Say(Value),
    Fault(String),
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Message {
    KeepAlive,
    Finalize,
    CloseStream,
    Configure {
        #[serde(default)]
        keyterms: Option<Vec<String>>,
        #[serde(default)]
        features: Option<BTreeMap<String, Value>>,
    },
}

impl Message {
    /// Or why it is none, in a sentence.
    pub(crate) fn read(text: &str) -> Result<Message, String> {
        serde_json::from_str(text).map_err(|err| {
            format!("the message is none that is known here (KeepAlive, Finalize, CloseStream, Configure): {err}")
        })
    }
}

fn order(text: &str, control: &crate::call::Control, request: &str) -> Order {
    match Message::read(text) {
        Ok(Message::KeepAlive) => Order::Nothing,
        Ok(Message::Finalize) => Order::Finalize,
        Ok(Message::CloseStream) => Order::Close,
        Ok(Message::Configure { keyterms, features }) => {
            if let Some(features) = features.filter(|features| !features.is_empty()) {
                let names: Vec<_> = features.keys().map(|name| cut(name, 40)).collect();
                tracing::debug!(
                    door = "deepgram",
                    call = request,
                    "features are not changed within a call: {names:?}"
                );
            }
            Order::Say(configure(keyterms, control, request))
        }
        Err(says) => Order::Fault(says),
    }
}

fn configure(
    keyterms: Option<Vec<String>>,
    control: &crate::call::Control,
    request: &str,
) -> Value {
    let Some(terms) = keyterms else {
        return json!({"type": "ConfigureSuccess", "request_id": request});
    };
    let failure = |code: &str, why: String| json!({"type": "ConfigureFailure", "request_id": request, "code": code, "description": why});
    let setting = match query::keyterms(terms.iter().map(String::as_str)) {
        Ok(Some(setting)) => setting,
        Ok(None) => crate::call::Setting::new("keyterms", ""),
        Err(err) => return failure("CONFIGURE_KEYTERM_LIMIT_EXCEEDED", err.to_string()),
    };
    match control.set(&setting) {
        Ok(()) => json!({"type": "ConfigureSuccess", "request_id": request, "keyterms": terms}),
        Err(err) => failure("CONFIGURE_INTERNAL_ERROR", err.to_string()),
    }
}

fn metadata(
    request: &str,
    sum: Option<Sum>,
    channels: u32,
    control: &crate::call::Control,
    model: &Model,
) -> Value {
    let hash = sum.map(|sum| sum.digest.finish());
    let hex = hash.map(|hash| {
        hash.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    });
    let created = gst::glib::DateTime::now_utc().and_then(|now| now.format_iso8601());
    json!({
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": request,
        "sha256": hex.unwrap_or_default(),
        "created": created.map(|text| text.to_string()).unwrap_or_default(),
        "duration": seconds(control.heard()),
        "channels": channels,
        "models": [model.id],
        "model_info": {model.id.clone(): {"name": model.name, "version": env!("CARGO_PKG_VERSION"), "arch": "whisper"}},
    })
}
