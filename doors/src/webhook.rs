//! A webhook: what calls say, posted as JSON to an address (`--webhook`).
//!
//! Each request carries what has come up meanwhile, oldest first: `{"events":[{"call":...,"door":...,"event":{...}},...]}`.
//! An answer that is no success is tried again, ever later; no call waits for it. What does not fit into the queue, or is
//! refused for good, is dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::call::Event;
use crate::exchange::{Exchange, Listing, Observer};
use crate::metrics::Metrics;

#[derive(Args, Clone, Debug, Default)]
pub struct WebhookOptions {
    /// Address to which each call's utterances and ends are posted as JSON
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// Sent along, as `Authorization: Bearer TOKEN`
    #[arg(
        long,
        env = "STREAM_WEBHOOK_TOKEN",
        hide_env_values = true,
        requires = "webhook",
        value_name = "TOKEN"
    )]
    pub webhook_token: Option<String>,
}

/// How it is posted.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub url: String,
    pub token: Option<String>,
    /// Before the second try; each further one waits twice as long, up to `longest`.
    pub first_wait: Duration,
    pub longest: Duration,
    /// Tries of a request before what it carries is dropped.
    pub tries: u32,
    /// Events that wait at most.
    pub queue: usize,
}

/// Events in a request at most.
const BATCH: usize = 64;
/// A receiver has so long to answer.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("--webhook {0:?} is no address: it takes one as in https://example.org/calls")]
    Address(String),
}

impl Webhook {
    pub fn new(url: impl Into<String>) -> Webhook {
        Webhook {
            url: url.into(),
            token: None,
            first_wait: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            tries: 10,
            queue: 4_096,
        }
    }

    /// What the options ask for, if they do.
    pub fn load(options: &WebhookOptions) -> Result<Option<Webhook>, WebhookError> {
        let Some(url) = &options.webhook else {
            return Ok(None);
        };
        let is_address = url.parse::<axum::http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if !is_address {
            return Err(WebhookError::Address(url.clone()));
        }
        Ok(Some(Webhook {
            token: options.webhook_token.clone(),
            ..Webhook::new(url)
        }))
    }

    /// Posts what the calls of an exchange say from now on.
    pub fn start(self, exchange: &Exchange) -> Posting {
        let (to, from) = mpsc::channel(self.queue.max(1));
        let waiting = watch::Sender::new(0);
        exchange.observe(Arc::new(Collector {
            to,
            waiting: waiting.clone(),
        }));
        let posting = Posting {
            waiting: waiting.subscribe(),
        };
        tokio::spawn(self.post(from, waiting, exchange.clone()));
        posting
    }

    async fn post(
        self,
        mut from: mpsc::Receiver<String>,
        waiting: watch::Sender<usize>,
        exchange: Exchange,
    ) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .into();
        let mut batch = Vec::new();
        while from.recv_many(&mut batch, BATCH).await > 0 {
            let count = batch.len();
            let body = format!("{{\"events\":[{}]}}", batch.join(","));
            batch.clear();
            let posted = self.deliver(&agent, Arc::new(body)).await;
            let metrics = exchange.metrics();
            match posted {
                Ok(()) => metrics.posted(count),
                Err(why) => {
                    tracing::error!(events = count, "the webhook took no events: {why}");
                    metrics.unposted(count);
                }
            }
            waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(count));
        }
    }

    /// Tries until it is taken, refused for good, or tried often enough.
    async fn deliver(&self, agent: &ureq::Agent, body: Arc<String>) -> Result<(), String> {
        let mut wait = self.first_wait;
        for tried in 1.. {
            let why = match self.send(agent, Arc::clone(&body)).await {
                Ok(200..=299) => return Ok(()),
                // It will not like it the next time either.
                Ok(status @ 400..=499) if !matches!(status, 408 | 425 | 429) => {
                    return Err(format!("it answered {status}"));
                }
                Ok(status) => format!("it answered {status}"),
                Err(why) => why,
            };
            if tried >= self.tries {
                return Err(format!("{why}, {tried} times"));
            }
            tracing::warn!(tried, "the webhook is tried again in {wait:?}: {why}");
            sleep(wait).await;
            wait = (wait * 2).min(self.longest);
        }
        Ok(())
    }

    async fn send(&self, agent: &ureq::Agent, body: Arc<String>) -> Result<u16, String> {
        let mut request = agent
            .post(&self.url)
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let sent = tokio::task::spawn_blocking(move || request.send(body.as_bytes())).await;
        match sent {
            Ok(Ok(answer)) => Ok(answer.status().as_u16()),
            Ok(Err(err)) => Err(err.to_string()),
            Err(_) => Err("the request broke off".into()),
        }
    }
}

/// What is under way to the receiver.
pub struct Posting {
    waiting: watch::Receiver<usize>,
}

impl Posting {
    /// Until all is posted or dropped, `most` at most; whether it is.
    pub async fn finish(mut self, most: Duration) -> bool {
        let done = self.waiting.wait_for(|waiting| *waiting == 0);
        timeout(most, done).await.is_ok()
    }
}

struct Collector {
    to: mpsc::Sender<String>,
    waiting: watch::Sender<usize>,
}

#[derive(Serialize)]
struct Told<'a> {
    call: &'a str,
    door: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    event: &'a Event,
}

impl Observer for Collector {
    fn told(&self, call: &Listing, event: &Event, metrics: &Metrics) {
        if !matches!(event, Event::Final(_) | Event::Failed { .. } | Event::Ended) {
            return;
        }
        let told = Told {
            call: &call.id,
            door: call.door,
            peer: call.peer.map(|peer| peer.to_string()),
            event,
        };
        let Ok(json) = serde_json::to_string(&told) else {
            return;
        };
        self.waiting.send_modify(|waiting| *waiting += 1);
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = self.to.try_send(json) {
            self.waiting
                .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
            metrics.unposted(1);
        }
    }
}
