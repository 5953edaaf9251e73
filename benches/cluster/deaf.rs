//! Workers that hear nothing: they own calls, read their audio and write what must be written, and measure how old the audio is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context, Message};
use futures::StreamExt;
use serde_json::json;

use super::Failure;
use super::programs::Nats;

/// Calls of one, as of a real one.
pub const CALLS: usize = 50;

/// What all of them measure.
pub struct Tally {
    /// The clock of the senders, who write it into their audio.
    pub began: Instant,
    /// Only now is measured.
    pub is_open: AtomicBool,
    ages: Mutex<Vec<Age>>,
    claims: Mutex<Vec<f64>>,
    pub bytes: AtomicUsize,
    /// Messages that did not come, or not in their order.
    pub lost: AtomicUsize,
    pub owned: AtomicUsize,
    /// Calls that could not be ended as they should.
    pub broken: AtomicUsize,
}

/// Of a message as it comes, in ms.
#[derive(Clone, Copy, Debug)]
pub struct Age {
    pub since_stored: f64,
    pub since_sent: f64,
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            began: Instant::now(),
            is_open: AtomicBool::new(false),
            ages: Mutex::default(),
            claims: Mutex::default(),
            bytes: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            owned: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
        }
    }

    /// What came since the last time.
    pub fn ages(&self) -> Vec<Age> {
        std::mem::take(&mut *lock(&self.ages))
    }

    /// How long claims took since the last time, in ms.
    pub fn claims(&self) -> Vec<f64> {
        std::mem::take(&mut *lock(&self.claims))
    }

    fn read(&self, message: &Message) {
        if !self.is_open.load(Ordering::Relaxed) {
            return;
        }
        self.bytes
            .fetch_add(message.payload.len(), Ordering::Relaxed);
        let Ok(info) = message.info() else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_nanos() as i128);
        let stored = info.published.unix_timestamp_nanos();
        let Some(sent) = message.payload.first_chunk::<8>() else {
            return;
        };
        let sent = u64::from_le_bytes(*sent) as f64;
        lock(&self.ages).push(Age {
            since_stored: (now - stored) as f64 / 1e6,
            since_sent: (self.began.elapsed().as_nanos() as f64 - sent) / 1e6,
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One worker, on a connection of its own.
#[derive(Clone)]
struct Deaf {
    name: String,
    jetstream: Context,
    audio: Stream,
    owners: Store,
    tally: Arc<Tally>,
}

/// Lets one more take calls, until it has all it may have.
pub async fn start(nats: &Nats, number: usize, tally: &Arc<Tally>) -> Result<(), Failure> {
    let client = async_nats::connect(&nats.url).await?;
    let jetstream = jetstream::new(client.clone());
    let deaf = Deaf {
        name: format!("deaf{number}"),
        audio: jetstream.get_stream("whisperstream-audio").await?,
        owners: jetstream.get_key_value("whisperstream-owners").await?,
        jetstream,
        tally: Arc::clone(tally),
    };
    let mut offers = client
        .queue_subscribe("whisperstream.offer", "workers".into())
        .await?;
    client.flush().await?;
    tokio::spawn(async move {
        let mut calls = 0;
        while calls < CALLS
            && let Some(offer) = offers.next().await
        {
            let leg = String::from_utf8_lossy(&offer.payload).into_owned();
            let claimed = deaf.claim(&leg).await.is_ok();
            if let Some(reply) = offer.reply {
                let answer: &'static [u8] = if claimed { b"taken" } else { b"no" };
                let _ = client.publish(reply, answer.into()).await;
            }
            if claimed {
                calls += 1;
                let deaf = deaf.clone();
                tokio::spawn(async move {
                    if deaf.hear(&leg).await.is_err() {
                        deaf.tally.broken.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        let _ = offers.unsubscribe().await;
    });
    Ok(())
}

impl Deaf {
    async fn claim(&self, leg: &str) -> Result<(), Failure> {
        let key = format!("leg.{leg}");
        let entry = self.owners.entry(&key).await?.ok_or("no such leg")?;
        let begun = Instant::now();
        let owned = json!({ "owner": self.name, "term": 1 }).to_string();
        self.owners
            .update(&key, owned.into(), entry.revision)
            .await?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        lock(&self.tally.claims).push(took);
        self.tally.owned.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn hear(&self, leg: &str) -> Result<(), Failure> {
        self.tell(
            leg,
            json!({ "type": "owner", "worker": self.name, "term": 1 }),
        )
        .await?;
        let config = push::OrderedConfig {
            deliver_subject: self.jetstream.client().new_inbox(),
            filter_subject: format!("whisperstream.audio.{leg}"),
            deliver_policy: DeliverPolicy::All,
            ..push::OrderedConfig::default()
        };
        let consumer = self.audio.create_consumer(config).await?;
        let mut messages = consumer.messages().await?;
        let mut next = 0;
        while let Some(message) = messages.next().await {
            let message = message?;
            let header = |name: &str| {
                let headers = message.headers.as_ref();
                headers.and_then(|it| it.get(name)).map(|it| it.as_str())
            };
            let number = header("Whisperstream-Number").and_then(|it| it.parse::<u64>().ok());
            if number != Some(next) {
                self.tally.lost.fetch_add(1, Ordering::Relaxed);
            }
            next = number.map_or(next, |number| number + 1);
            match header("Whisperstream-Kind") {
                Some("audio") => {
                    self.tally.read(&message);
                    if next.is_multiple_of(2) {
                        self.progress(leg, next).await?;
                    }
                }
                Some("end") => {
                    self.tell(leg, json!({ "type": "ended" })).await?;
                    break;
                }
                Some("cancel") => break,
                _ => {}
            }
        }
        drop(messages);
        self.owners.delete(format!("leg.{leg}")).await?;
        Ok(())
    }

    async fn tell(&self, leg: &str, told: serde_json::Value) -> Result<(), Failure> {
        let message = PublishMessage::build()
            .header("Whisperstream-Told", r#"{"kinds":{},"words":0}"#)
            .payload(told.to_string().into());
        let subject = format!("whisperstream.text.{leg}");
        self.jetstream.send_publish(subject, message).await?.await?;
        Ok(())
    }

    /// As often as a real one, every 200 ms, tells how far it is.
    async fn progress(&self, leg: &str, pieces: u64) -> Result<(), Failure> {
        let heard =
            json!({ "heard": pieces * 100_000_000, "passes": pieces / 5, "network": pieces });
        let subject = format!("whisperstream.live.{leg}");
        let client = self.jetstream.client();
        client.publish(subject, heard.to_string().into()).await?;
        Ok(())
    }
}
