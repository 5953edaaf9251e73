//! A leg's audio, from its subject into the call.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::Message;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Cluster;
use super::follow::follow;
use super::message::Audio;
use super::names::Leg;
use super::recent::Recent;
use super::shared::{Lag, Order, Shared};
use super::wire::ns;
use crate::call::{Control, Feed, Setting};

/// Audio from one checkpoint to the next, at most.
const FAR: Duration = Duration::from_secs(10);
/// And at least: behind an utterance's end.
const NEAR: Duration = Duration::from_secs(2);
/// Without a word of the gateway's this long, it is asked whether it is there.
const SILENT: Duration = Duration::from_secs(20);
/// What the marker of a leg's last save begins with.
pub const LAST: &str = "handover";
/// A message that is further ahead than this is not early: those before it are lost.
const REORDERED: u64 = 64;

/// A leg's messages from one place of the stream on.
pub fn messages<'a>(
    cluster: &'a Cluster,
    leg: &Leg,
    from: Option<u64>,
) -> impl Stream<Item = Message> + use<'a> {
    let subject = cluster.names.of("audio", leg);
    follow(&cluster.client, &cluster.stores.audio, subject, from)
}

/// What was read when a state was asked for.
pub struct Snapshot {
    pub next: u64,
    pub sequence: u64,
    pub recent: Recent,
    pub settings: Vec<(String, String)>,
}

pub type Snapshots = Mutex<HashMap<String, Snapshot>>;

pub fn lock(snapshots: &Snapshots) -> MutexGuard<'_, HashMap<String, Snapshot>> {
    snapshots.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An utterance is over: a good moment for a checkpoint.
pub type Save = Notify;

/// From the audio's subject into the call.
pub struct Reader<'a> {
    pub shared: &'a Shared,
    pub leg: &'a Leg,
    pub feed: Option<Feed>,
    pub control: Control,
    pub lag: &'a Lag,
    pub next: u64,
    pub recent: Recent,
    pub save: &'a Save,
    pub snapshots: &'a Snapshots,
    pub saves: u64,
    /// Audio since the last one.
    pub since_save: Duration,
    /// Of the stream, behind what was read.
    pub end: Duration,
    /// Up to here the audio had come to the worker before, in ns.
    pub heard_before: u64,
}

impl Reader<'_> {
    /// Reads until the leg has to be handed over, or its end; then waits for what is told. Returns when nobody wants to know.
    pub async fn run(&mut self, from: Option<u64>, mut orders: watch::Receiver<Order>) {
        let shared = self.shared;
        let mut messages = Box::pin(messages(&shared.cluster, self.leg, from));
        let mut settings = Vec::new();
        let mut last_word = Instant::now();
        let (mut sequence, mut absent) = (from.unwrap_or(1), None::<Instant>);
        let hand_over = async {
            let _ = orders.wait_for(|order| *order != Order::Hear).await;
        };
        let mut hand_over = Box::pin(hand_over.fuse());
        while self.feed.is_some() {
            let quiet = tokio::time::sleep_until(last_word + SILENT);
            tokio::select! {
                biased;
                () = &mut hand_over => {
                    self.ask_state(LAST.into(), sequence, &settings);
                    break;
                }
                () = self.save.notified() => {
                    self.ask_state(String::new(), sequence, &settings);
                }
                message = messages.next() => {
                    let Some(message) = message else { break };
                    last_word = Instant::now();
                    absent = None;
                    let Ok(info) = message.info() else { continue };
                    sequence = info.stream_sequence + 1;
                    let place = info.stream_sequence;
                    if !self.read(&message, place, &mut settings).await {
                        return;
                    }
                    if self.since_save >= FAR {
                        self.ask_state(String::new(), sequence, &settings);
                    }
                }
                () = quiet => {
                    match shared.cluster.is_there(&self.leg.gateway, Some(self.leg)).await {
                        Some(false) => {
                            let absent = absent.get_or_insert_with(Instant::now).elapsed();
                            if absent >= shared.abandon {
                                tracing::warn!(
                                    call = self.leg.call,
                                    "nothing comes from the call's gateway, and it has not been there for {} s: the call ends",
                                    absent.as_secs()
                                );
                                self.end();
                                break;
                            }
                        }
                        Some(true) => {
                            absent = None;
                            last_word = Instant::now();
                        }
                        None => absent = None,
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
        // What is told from here on ends it.
        std::future::pending().await
    }

    /// `false`: nobody wants to know any more.
    async fn read(
        &mut self,
        message: &Message,
        place: u64,
        settings: &mut Vec<(String, String)>,
    ) -> bool {
        let figures = &self.shared.figures;
        let (number, audio) = match Audio::read(message.headers.as_ref(), &message.payload) {
            Ok(read) => read,
            Err(err) => {
                figures.bad.inc();
                tracing::warn!(
                    call = self.leg.call,
                    "a message of the call is left out: {err}"
                );
                return true;
            }
        };
        if number < self.next || number < self.next.saturating_add(REORDERED) && number != self.next
        {
            // Sent twice, or before one that is sent again.
            return true;
        }
        if number > self.next {
            figures.bad.inc();
            tracing::warn!(
                call = self.leg.call,
                "{} messages of the call's audio are missing; it goes on behind them",
                number - self.next
            );
        }
        self.next = number.saturating_add(1);
        let Some(feed) = &mut self.feed else {
            return true;
        };
        match audio {
            Audio::Samples { time, bytes, .. } => {
                let length = Duration::from_nanos((bytes.len() / 2) as u64 * 62_500);
                self.recent.push(place, bytes.len() / 2, time);
                self.since_save += length;
                let at = Duration::from_nanos(time);
                self.end = at.saturating_add(length);
                self.lag.comes(ns(self.end));
                if ns(self.end) <= self.heard_before {
                    figures.repeats(length);
                }
                // If it is over, the events say why.
                let _ = feed.push_at(at, &bytes).await;
            }
            Audio::Flush { marker } => {
                let _ = feed.flush(&marker);
            }
            Audio::Set { name, value } => {
                let setting = Setting::new(&name, &value);
                if let Err(err) = self.control.set(&setting) {
                    tracing::warn!(call = self.leg.call, "{err}");
                }
                settings.push((name, value));
            }
            Audio::End => self.end(),
            Audio::Cancel => return false,
            Audio::Keep | Audio::Begin(_) => {}
        }
        true
    }

    fn end(&mut self) {
        if let Some(feed) = self.feed.take() {
            feed.end();
        }
    }

    /// Asks for the state behind all that was read.
    fn ask_state(&mut self, prefix: String, sequence: u64, settings: &[(String, String)]) {
        let Some(feed) = &self.feed else { return };
        // Utterances may be short, and states are not; one of a leg that stands still is for the server's sake.
        let is_soon = self.since_save < NEAR && !self.recent.is_old();
        if prefix.is_empty() && is_soon {
            return;
        }
        self.saves += 1;
        self.since_save = Duration::ZERO;
        let marker = format!("{prefix}{}", self.saves);
        let snapshot = Snapshot {
            next: self.next,
            sequence,
            recent: self.recent.clone(),
            settings: settings.to_vec(),
        };
        lock(self.snapshots).insert(marker.clone(), snapshot);
        let _ = feed.save(&marker);
    }
}
