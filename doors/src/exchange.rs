//! All calls of the process: who may come in, who is there, what was counted, and how it ends.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use crate::call::{self, BadSetting, Event, Feed, Figures, OpenError, Setting, Wanted};
use crate::logs::Hush;
use crate::metrics::Metrics;
use crate::room;

/// How a process takes calls.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Properties of the element for every call; what a client brings comes behind.
    pub settings: Vec<Setting>,
    /// Calls at a time; 0: as many as the machine bears. No more in any case than the process has descriptors for.
    pub max_calls: usize,
    /// Calls at a time, and new ones a second, of one address (of one network of 64 bits, with IPv6); 0: as many as there are
    /// places. A telephone exchange brings all its calls from one.
    pub max_per_peer: usize,
    /// From which step of `whisperstream/overload` on new calls are refused, so that those there are do not suffer; 0: never.
    pub full_at: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            settings: Vec::new(),
            max_calls: 0,
            max_per_peer: 0,
            full_at: 2,
        }
    }
}

/// Why a call is not taken, in a sentence for the client.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("all {0} places are taken; try again later")]
    Full(usize),
    #[error("all {0} places that one address may have are taken; try again later")]
    Crowded(usize),
    #[error("the machine has as much to do as it bears; try again later")]
    Overloaded,
    #[error("the server is shutting down")]
    Closing,
    #[error("a call {0:?} is already there; choose another id")]
    Taken(String),
    #[error("{0:?} is no id of a call: 1 to 128 letters, digits, '-', '_', '.' or ':'")]
    BadId(String),
    #[error(transparent)]
    Setting(#[from] BadSetting),
    #[error(transparent)]
    Open(OpenError),
}

impl Refusal {
    /// The client did nothing wrong and may try again.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Refusal::Full(_) | Refusal::Crowded(_) | Refusal::Overloaded | Refusal::Closing
        )
    }

    /// Its label in the metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Refusal::Full(_) => "full",
            Refusal::Crowded(_) => "peer",
            Refusal::Overloaded => "overload",
            Refusal::Closing => "closing",
            Refusal::Taken(_) | Refusal::BadId(_) => "id",
            Refusal::Setting(_) => "setting",
            Refusal::Open(_) => "pipeline",
        }
    }
}

/// Who calls, for logs, lists and metrics.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The door's name: `line`, `websocket`, ...
    pub door: &'static str,
    pub peer: Option<SocketAddr>,
    /// The id the client gave; unset: a fresh one.
    pub id: Option<String>,
}

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Open,
    /// No new calls; those there are may finish.
    Draining,
    /// Calls are ended now: their tails are told.
    Closing,
}

/// Shared by all doors of a process.
#[derive(Clone)]
pub struct Exchange {
    inner: Arc<Inner>,
}

/// Is told what all calls say, on the threads that tell it: it must not wait.
pub trait Observer: Send + Sync {
    fn told(&self, call: &Listing, event: &Event, metrics: &Metrics);
}

struct Inner {
    policy: Policy,
    observers: RwLock<Vec<Arc<dyn Observer>>>,
    metrics: Metrics,
    phase: watch::Sender<Phase>,
    overload: AtomicU32,
    calls: Mutex<HashMap<String, Entry>>,
    /// Refusals in the log, by door and cause.
    told: Mutex<Hush<(&'static str, &'static str)>>,
    /// Peers whose calls were over at once, and when they had come: who comes and goes in no time is not to come all the time.
    flown: Mutex<Vec<(IpAddr, Instant)>>,
    /// Counts calls that are there, so that their end can be awaited.
    count: watch::Sender<usize>,
}

struct Entry {
    listing: Listing,
    events: broadcast::Sender<Arc<Event>>,
}

/// A call that is there.
#[derive(Clone, Debug)]
pub struct Listing {
    pub id: String,
    pub door: &'static str,
    pub peer: Option<SocketAddr>,
    pub since: Instant,
}

/// Events of a call that a slow watcher may miss before it is told that it did.
const WATCHED: usize = 1024;
/// A place counts as taken for so long, where there are so many for each peer.
const MOMENT: Duration = Duration::from_secs(1);

impl Exchange {
    pub fn new(policy: Policy) -> Exchange {
        let policy = Policy {
            max_calls: room::bounded(policy.max_calls),
            ..policy
        };
        Exchange {
            inner: Arc::new(Inner {
                policy,
                observers: RwLock::default(),
                metrics: Metrics::default(),
                phase: watch::Sender::new(Phase::Open),
                overload: AtomicU32::new(0),
                calls: Mutex::default(),
                flown: Mutex::default(),
                told: Mutex::default(),
                count: watch::Sender::new(0),
            }),
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Lets somebody know what all calls say from now on.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let observers = self.inner.observers.write();
        observers
            .unwrap_or_else(PoisonError::into_inner)
            .push(observer);
    }

    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// Takes a call, or says why not. `client` holds what a stranger asked for, and is checked as such.
    pub async fn open(&self, caller: Caller, wanted: Wanted) -> Result<Call, Refusal> {
        let door = caller.door;
        let opened = self.admit(caller, wanted).await;
        if let Err(refusal) = &opened {
            self.refused(door, refusal);
        }
        opened
    }

    fn refused(&self, door: &'static str, refusal: &Refusal) {
        let cause = refusal.cause();
        self.inner.metrics.refused(door, cause);
        if let Some(untold) = lock(&self.inner.told).tells((door, cause)) {
            tracing::warn!(door, cause, untold, "refused a call: {refusal}");
        }
    }

    async fn admit(&self, caller: Caller, mut wanted: Wanted) -> Result<Call, Refusal> {
        wanted.settings.iter().try_for_each(call::check_client)?;
        let mut place = self.take_place(caller)?;
        let settings = std::mem::take(&mut wanted.settings);
        wanted.settings = self
            .inner
            .policy
            .settings
            .iter()
            .cloned()
            .chain(settings)
            .collect();
        let call = match start(&wanted).await {
            Ok(call) => call,
            Err(OpenError::Setting(setting)) => return Err(setting.into()),
            Err(err) => return Err(Refusal::Open(err)),
        };
        place.wanted = wanted;
        place.control = Some(call.control.clone());
        let (door, peer, id) = (place.door, place.peer, place.id.clone());
        tracing::info!(door, call = %id, peer = peer.map(tracing::field::display), "a call came in");
        Ok(Call {
            id,
            feed: call.feed,
            events: Events {
                events: call.events,
                place,
                utterances: 0,
                next_utterance: 0,
            },
            control: call.control,
            phase: self.inner.phase.subscribe(),
        })
    }

    fn take_place(&self, caller: Caller) -> Result<Place, Refusal> {
        if *self.inner.phase.borrow() != Phase::Open {
            return Err(Refusal::Closing);
        }
        let id = match caller.id {
            Some(id) if is_id(&id) => id,
            Some(id) => return Err(Refusal::BadId(id.chars().take(128).collect())),
            None => uuid::Uuid::new_v4().to_string(),
        };
        let policy = &self.inner.policy;
        let (max, per_peer, full_at) = (policy.max_calls, policy.max_per_peer, policy.full_at);
        let mut calls = lock(&self.inner.calls);
        if max > 0 && calls.len() >= max {
            return Err(Refusal::Full(max));
        }
        if per_peer > 0
            && let Some(peer) = caller.peer.map(household)
        {
            let peers = calls.values().filter_map(|entry| entry.listing.peer);
            let here = peers.filter(|other| household(*other) == peer).count();
            let mut flown = lock(&self.inner.flown);
            flown.retain(|(_, since)| since.elapsed() < MOMENT);
            let flown = flown.iter().filter(|(other, _)| *other == peer).count();
            if here + flown >= per_peer {
                return Err(Refusal::Crowded(per_peer));
            }
        }
        // The level is of the calls there are: with none it is history.
        let level = self.inner.overload.load(Ordering::Relaxed);
        if full_at > 0 && level >= full_at && !calls.is_empty() {
            return Err(Refusal::Overloaded);
        }
        if calls.contains_key(&id) {
            return Err(Refusal::Taken(id));
        }
        let (events, _) = broadcast::channel(WATCHED);
        let since = Instant::now();
        let listing = Listing {
            id: id.clone(),
            door: caller.door,
            peer: caller.peer,
            since,
        };
        calls.insert(
            id.clone(),
            Entry {
                listing,
                events: events.clone(),
            },
        );
        self.inner.count.send_replace(calls.len());
        self.inner.metrics.came(caller.door);
        Ok(Place {
            exchange: self.clone(),
            id,
            door: caller.door,
            peer: caller.peer,
            since,
            watchers: events,
            control: None,
            counted: HashMap::new(),
            received: Duration::ZERO,
            wanted: Wanted::default(),
            over: false,
        })
    }

    /// The calls that are there, oldest first.
    pub fn calls(&self) -> Vec<Listing> {
        let mut calls: Vec<_> = lock(&self.inner.calls)
            .values()
            .map(|entry| entry.listing.clone())
            .collect();
        calls.sort_by_key(|call| call.since);
        calls
    }

    /// Watches a call: what it tells from now on. `None`: no such call.
    pub fn watch(&self, id: &str) -> Option<broadcast::Receiver<Arc<Event>>> {
        lock(&self.inner.calls)
            .get(id)
            .map(|entry| entry.events.subscribe())
    }

    /// Tells who watches a call what its door alone knows.
    pub fn tell(&self, id: &str, event: Event) {
        if let Some(entry) = lock(&self.inner.calls).get(id) {
            // Nobody may watch.
            let _ = entry.events.send(Arc::new(event));
        }
    }

    /// The same of a call that may come within `wait`.
    pub async fn watch_soon(
        &self,
        id: &str,
        wait: Duration,
    ) -> Option<broadcast::Receiver<Arc<Event>>> {
        let mut count = self.inner.count.subscribe();
        let come = async {
            loop {
                // Whoever comes behind this look changes the count.
                count.mark_unchanged();
                if let Some(events) = self.watch(id) {
                    return Some(events);
                }
                if count.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(wait, come).await.ok().flatten()
    }

    /// How far the process is on its way out, for whoever waits for clients.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.inner.phase.subscribe()
    }

    /// Takes no more calls, lets those there are finish for `grace`, then ends them; returns when all are gone, or 10 s later.
    pub async fn close(&self, grace: Duration) {
        self.inner.phase.send_replace(Phase::Draining);
        if !self.gone_within(grace).await {
            self.inner.phase.send_replace(Phase::Closing);
            self.gone_within(Duration::from_secs(10)).await;
        }
        self.inner.phase.send_replace(Phase::Closing);
    }

    async fn gone_within(&self, time: Duration) -> bool {
        let mut count = self.inner.count.subscribe();
        let gone = count.wait_for(|count| *count == 0);
        tokio::time::timeout(time, gone).await.is_ok()
    }
}

/// What is counted as one peer: an IPv6 host has a whole network of addresses to itself.
fn household(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (1..=128).contains(&id.len()) && id.chars().all(fits)
}

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
    events: call::Events,
    place: Place,
    /// Utterances of the pipelines before this one, and the number that follows the last one told of.
    utterances: u64,
    next_utterance: u64,
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
async fn start(wanted: &Wanted) -> Result<call::Call, OpenError> {
    let wanted = wanted.clone();
    let opened = tokio::task::spawn_blocking(move || call::open(&wanted)).await;
    opened.unwrap_or_else(|_| {
        Err(OpenError::Refused(
            "the call could not be started: please report it".into(),
        ))
    })
}

/// Among the calls, until it is dropped.
struct Place {
    exchange: Exchange,
    id: String,
    door: &'static str,
    peer: Option<SocketAddr>,
    since: Instant,
    watchers: broadcast::Sender<Arc<Event>>,
    control: Option<call::Control>,
    /// What was counted so far: by leg, and of the audio.
    counted: HashMap<Option<String>, Figures>,
    received: Duration,
    /// With all settings.
    wanted: Wanted,
    /// Its last event was told.
    over: bool,
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
            Event::Warning { reason } => tracing::debug!(call = %self.id, "{reason}"),
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
        if let Some(peer) = self.peer.filter(|_| inner.policy.max_per_peer > 0) {
            lock(&inner.flown).push((household(peer), self.since));
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_host_are_one_peer() {
        let household = |peer: &str| household(peer.parse().unwrap()).to_string();
        assert_eq!(household("192.0.2.7:1"), household("192.0.2.7:2"));
        assert_eq!(household("[::ffff:192.0.2.7]:1"), household("192.0.2.7:1"));
        assert_ne!(household("192.0.2.7:1"), household("192.0.2.8:1"));
        assert_eq!(
            household("[2001:db8:0:1::1]:1"),
            household("[2001:db8:0:1:f::2]:1")
        );
        assert_ne!(
            household("[2001:db8:0:1::1]:1"),
            household("[2001:db8:0:2::1]:1")
        );
    }
}
