//! The webhook, with receivers that are not at their best.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use doors::webhook::{Webhook, WebhookOptions};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::client::{SOON, server};
use crate::common::{audio, plain, spoken};

/// Answers with these, one by one, then well; keeps what it took.
#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<VecDeque<u16>>>,
    took: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> (Receiver, Webhook) {
        let receiver = Receiver::default();
        receiver.answers.lock().unwrap().extend(answers);
        let routes = Router::new()
            .route("/calls", post(take))
            .with_state(receiver.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/calls", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let webhook = Webhook {
            first_wait: Duration::from_millis(10),
            ..Webhook::new(url)
        };
        (receiver, webhook)
    }

    fn took(&self) -> Vec<Value> {
        self.took.lock().unwrap().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(headers["content-type"], "application/json");
    receiver.asked.lock().unwrap().push(headers);
    let answer = receiver.answers.lock().unwrap().pop_front().unwrap_or(204);
    if (200..300).contains(&answer) {
        let events = body["events"].as_array().unwrap().clone();
        receiver.took.lock().unwrap().extend(events);
    }
    StatusCode::from_u16(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_receiver_gets_every_utterance_once_and_in_order() {
    let server = server().await;
    let (receiver, webhook) = Receiver::start(&[500, 503, 429, 302, 408]).await;
    let webhook = Webhook {
        token: Some("s3cret".into()),
        ..webhook
    };
    let posting = webhook.start(&server.exchange);
    let mut client = server.client("?language=fr&id=one").await;
    client.audio(&audio("fr-pauses"), 6_400).await;
    client.text("end").await;
    client.until("close").await;
    assert!(posting.finish(SOON).await, "all is posted");

    let took = receiver.took();
    assert!(
        took.iter()
            .all(|told| told["call"] == "one" && told["door"] == "websocket"),
        "{took:?}"
    );
    let finals: Vec<_> = took
        .iter()
        .filter(|told| told["event"]["type"] == "final")
        .collect();
    assert!(finals.len() >= 2, "{took:?}");
    let said: Vec<_> = finals
        .iter()
        .map(|told| told["event"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(plain(&said.join(" ")), spoken("fr-pauses"));
    assert_eq!(took.last().unwrap()["event"]["type"], "ended");
    let asked = receiver.asked.lock().unwrap();
    assert!(
        asked.len() >= 6
            && asked
                .iter()
                .all(|headers| headers["authorization"] == "Bearer s3cret")
    );
    let metrics = server.exchange.metrics().text();
    assert!(
        metrics.contains(&format!(
            "whisperstream_webhook_events_total {}",
            took.len()
        )),
        "{metrics}"
    );
    assert!(
        metrics.contains("whisperstream_webhook_dropped_total 0"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_dropped_and_counted_and_no_call_waits() {
    let server = server().await;
    // It says no for good; then nobody is there any more.
    let (receiver, refusing) = Receiver::start(&[400; 1_000]).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let gone = Webhook {
        first_wait: Duration::from_millis(1),
        tries: 3,
        ..Webhook::new(format!("http://{address}/"))
    };
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let full = Webhook {
        queue: 1,
        ..Webhook::new(format!("http://{}/", silent.local_addr().unwrap()))
    };
    let refused = refusing.start(&server.exchange);
    let lost = gone.start(&server.exchange);
    let _stuck = full.start(&server.exchange);
    for _ in 0..8 {
        let mut client = server.client("").await;
        client.text("end").await;
        client.until("close").await;
    }
    assert!(
        refused.finish(SOON).await && lost.finish(SOON).await,
        "they give up"
    );
    assert_eq!(receiver.took(), Vec::<Value>::new());
    let metrics = server.exchange.metrics().text();
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("whisperstream_webhook_dropped_total "))
        .and_then(|count| count.parse::<u32>().ok())
        .unwrap();
    // Eight ends each; of those for the silent one, one is under way and one waits, or the batch took both.
    assert!((21..=23).contains(&dropped), "{dropped} dropped");
}

#[test]
fn what_is_no_address_is_refused_in_a_sentence() {
    for url in [
        "",
        "example",
        "ftp://example.org/",
        "http://",
        "/calls",
        "https//x",
    ] {
        let options = WebhookOptions {
            webhook: Some(url.into()),
            webhook_token: None,
        };
        let err = Webhook::load(&options).expect_err(url).to_string();
        assert!(
            err.starts_with("--webhook ") && err.contains("is no address"),
            "{err}"
        );
    }
}
