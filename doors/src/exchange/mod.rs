//! All calls of the process: who may come in, who is there, what was counted, and how it ends.

mod peers;
mod refusal;
mod taken;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use peers::Peers;
pub use refusal::Refusal;
pub use taken::{Call, Events};
use taken::{Place, start};

use crate::call::{self, Afar, Ears, Event, OpenError, Setting, Wanted};
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

/// Knows who hears calls that are not heard in this process.
pub trait Elsewhere: Send + Sync {
    /// For the call of that id, for as long as it is there.
    fn call(&self, id: &str) -> Arc<dyn Afar>;
}

struct Inner {
    policy: Policy,
    elsewhere: OnceLock<Arc<dyn Elsewhere>>,
    observers: RwLock<Vec<Arc<dyn Observer>>>,
    metrics: Metrics,
    phase: watch::Sender<Phase>,
    overload: AtomicU32,
    calls: Mutex<HashMap<String, Entry>>,
    /// Refusals in the log, by door and cause.
    told: Mutex<Hush<(&'static str, &'static str)>>,
    /// The element's warnings in the log.
    warned: Mutex<Hush<String>>,
    peers: Mutex<Peers>,
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
/// How often the log says the same of refused calls, and of those that are there: some warnings, such as that the demo model
/// runs, come with every call.
const REFUSED_AGAIN: Duration = Duration::from_secs(1);
const WARNED_AGAIN: Duration = Duration::from_secs(3600);

impl Exchange {
    pub fn new(policy: Policy) -> Exchange {
        let policy = Policy {
            max_calls: room::bounded(policy.max_calls),
            ..policy
        };
        Exchange {
            inner: Arc::new(Inner {
                peers: Mutex::new(Peers::new(policy.max_per_peer)),
                policy,
                elsewhere: OnceLock::new(),
                observers: RwLock::default(),
                metrics: Metrics::default(),
                phase: watch::Sender::new(Phase::Open),
                overload: AtomicU32::new(0),
                calls: Mutex::default(),
                told: Mutex::new(Hush::new(REFUSED_AGAIN)),
                warned: Mutex::new(Hush::new(WARNED_AGAIN)),
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

    /// Lets all calls from now on be heard by others; once.
    pub fn hear_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        let _ = self.inner.elsewhere.set(elsewhere);
    }

    /// Whether a call would be taken now.
    pub fn has_room(&self) -> bool {
        let is_open = *self.inner.phase.borrow() == Phase::Open;
        is_open && lock(&self.inner.calls).len() < self.inner.policy.max_calls
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
        if let Some(elsewhere) = self.inner.elsewhere.get() {
            wanted.ears = Ears::Afar(elsewhere.call(&place.id));
        }
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
        let (max, full_at) = (policy.max_calls, policy.full_at);
        let mut calls = lock(&self.inner.calls);
        if calls.len() >= max {
            return Err(Refusal::Full(max));
        }
        // The level is of the calls there are: with none it is history.
        let level = self.inner.overload.load(Ordering::Relaxed);
        if full_at > 0 && level >= full_at && !calls.is_empty() {
            return Err(Refusal::Overloaded);
        }
        if calls.contains_key(&id) {
            return Err(Refusal::Taken(id));
        }
        let since = Instant::now();
        if let Some(peer) = caller.peer
            && !lock(&self.inner.peers).come(peer, since)
        {
            return Err(Refusal::Crowded(policy.max_per_peer));
        }
        let (events, _) = broadcast::channel(WATCHED);
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

fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (1..=128).contains(&id.len()) && id.chars().all(fits)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
