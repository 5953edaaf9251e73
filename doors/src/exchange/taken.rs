//! A call that is there: what its door has of it, and its place among the others.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::{Exchange, Listing, Phase, lock};
use crate::call::{self, Event, Feed, Figures, OpenError, Wanted};

/// A call that was taken. Its parts go their own ways.
pub struct Call {
    pub id: String,
    pub feed: Feed,
    pub events: Events,
    pub control: call::Control,
    /// At [`Phase::Closing`] the door ends the call: its feed first, so that the tail is told.
    pub phase: watch::Receiver<Phase>,
}

/// What the call tells. Who watches it is told by the way, so a door reads to the end even when its client is gone. The call
/// counts as there until this is dropped: drop it when the client has all.
pub struct Events {
    pub(super) events: call::Events,
    pub(super) place: Place,
    /// Utterances of the pipelines before this one, and the number that follows the last one told of.
    pub(super) utterances: u64,
    pub(super) next_utterance: u64,
}

impl Events {
    /// The next event; [`Event::Ended`] or [`Event::Failed`] is the last.
    pub async fn next(&mut self) -> Option<Event> {
        let mut event = self.events.next().await?;
        if let Some(span) = event.span_mut() {
            span.utterance = span.utterance.saturating_add(self.utterances);
            self.next_utterance = self.next_utterance.max(span.utterance.saturating_add(1));
        }
        // Two of them only its door can make sense of.
        if !matches!(event, Event::SpeechTold(_) | Event::Quiet(_)) {
            self.place.note(&event);
        }
        Some(event)
    }

    /// The value that the call was opened with, if it was set at all.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let mut settings = self.place.wanted.settings.iter().rev();
        let setting = settings.find(|setting| setting.name == name)?;
        Some(&setting.value)
    }

    /// Begins anew at `start` of the client's stream, as if the call had come in there: what was fed before is not heard any
    /// more, and the audio from there on belongs into the feed that this returns. The call stays the same for all who watch it.
    /// If it fails, all goes on as before.
    pub async fn renew(&mut self, start_at: Duration) -> Result<Feed, OpenError> {
        let wanted = Wanted {
            start: start_at,
            ..self.place.wanted.clone()
        };
        let call = start(&wanted).await?;
        self.place.count_the_rest();
        self.place.counted.clear();
        self.place.received = Duration::ZERO;
        self.place.control = Some(call.control);
        self.events = call.events;
        self.utterances = self.next_utterance;
        Ok(call.feed)
    }
}

/// Opens a pipeline, off the runtime's own threads.
pub(super) async fn start(wanted: &Wanted) -> Result<call::Call, OpenError> {
    let wanted = wanted.clone();
    let opened = tokio::task::spawn_blocking(move || call::open(&wanted)).await;
    opened.unwrap_or_else(|_| {
        Err(OpenError::Refused(
            "the call could not be started: please report it".into(),
        ))
    })
}

/// Among the calls, until it is dropped.
pub(super) struct Place {
    pub(super) exchange: Exchange,
    pub(super) id: String,
    pub(super) door: &'static str,
    pub(super) peer: Option<SocketAddr>,
    pub(super) since: Instant,
    pub(super) watchers: broadcast::Sender<Arc<Event>>,
    pub(super) control: Option<call::Control>,
    /// What was counted so far: by leg, and of the audio.
    pub(super) counted: HashMap<Option<String>, Figures>,
    pub(super) received: Duration,
    /// With all settings.
    pub(super) wanted: Wanted,
    /// Its last event was told.
    pub(super) over: bool,
}

impl Place {
    fn count(&mut self, leg: Option<String>, now: Figures) {
        let before = self.counted.insert(leg, now).unwrap_or_default();
        let received = self
            .control
            .as_ref()
            .map_or(self.received, |control| control.received());
        let metrics = &self.exchange.inner.metrics;
        metrics.figures(&now.since(&before), received.saturating_sub(self.received));
        self.received = received;
    }

    /// What came since the last figures.
    fn count_the_rest(&mut self) {
        let stats = self
            .control
            .as_ref()
            .map(|control| control.stats())
            .unwrap_or_default();
        for (leg, stats) in stats {
            self.count(leg, Figures::of(&stats));
        }
    }

    fn note(&mut self, event: &Event) {
        let metrics = &self.exchange.inner.metrics;
        match event {
            Event::Words(words) => metrics.words(self.door, words.words.len(), words.lag),
            Event::Overload { level, reason } => {
                self.exchange
                    .inner
                    .overload
                    .store(*level, Ordering::Relaxed);
                tracing::warn!(call = %self.id, step = level, "{reason}");
            }
            Event::Figures { leg, figures } => self.count(leg.clone(), *figures),
            Event::Dropped(span) => tracing::warn!(call = %self.id, ?span, "audio was not heard"),
            Event::Warning { reason } => {
                if let Some(untold) = lock(&self.exchange.inner.warned).tells(reason.clone()) {
                    tracing::warn!(call = %self.id, untold, "{reason}");
                }
            }
            Event::Failed { reason } => {
                tracing::error!(call = %self.id, door = self.door, "the call failed: {reason}")
            }
            _ => {}
        }
        self.observed(event);
        if self.watchers.receiver_count() > 0 {
            let _ = self.watchers.send(Arc::new(event.clone()));
        }
    }
}

impl Place {
    fn observed(&mut self, event: &Event) {
        self.over |= matches!(event, Event::Ended | Event::Failed { .. });
        let inner = &self.exchange.inner;
        let observers = inner.observers.read();
        for observer in observers.unwrap_or_else(PoisonError::into_inner).iter() {
            let call = Listing {
                id: self.id.clone(),
                door: self.door,
                peer: self.peer,
                since: self.since,
            };
            observer.told(&call, event, &inner.metrics);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Its door left it before it was over.
        if !self.over && self.control.is_some() {
            self.observed(&Event::Ended);
        }
        self.count_the_rest();
        let inner = &self.exchange.inner;
        if let Some(peer) = self.peer {
            lock(&inner.peers).leave(peer, self.since, Instant::now());
        }
        let mut calls = lock(&inner.calls);
        calls.remove(&self.id);
        inner.count.send_replace(calls.len());
        drop(calls);
        let seconds = self.since.elapsed().as_secs_f64();
        inner.metrics.went(self.door);
        tracing::info!(door = self.door, call = %self.id, peer = self.peer.map(tracing::field::display), seconds, "a call ended");
    }
}
