//! A worker: takes legs that are nobody's, as many as it has room for, and keeps them while its lease is renewed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State as Connection;
use async_nats::jetstream::kv::Operation;
use clap::Args;
use futures::StreamExt;
use tokio::sync::watch;

use super::gateway::{NO, TAKEN};
use super::hearing;
use super::lease::Leases;
use super::names::{Leg, worker_key};
use super::owners::{self, Claim, Entry, NotWritten};
use super::roll::{Row, row};
use super::shared::{Lag, Order, Outcome, Shared};
use super::{Cluster, ClusterError, STARTING, patiently};
use crate::exchange::Exchange;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub struct WorkerOptions {
    /// Seconds without a sign of life after which a worker's calls are taken by others; the same for all workers
    #[arg(long, default_value_t = 6.0, value_name = "SECONDS")]
    pub lease: f64,
    /// Seconds without a sign of life of its gateway after which a call ends
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    pub abandon: f64,
    /// Seconds of audio not yet heard, of any call, from which on no more are taken
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    pub max_lag: f64,
}

/// So often a worker looks for legs that are nobody's.
const TICK: Duration = Duration::from_millis(200);
/// A leg that is new is offered first; who is offered it has so long.
const OFFERED: Duration = Duration::from_millis(500);
/// No offer comes later than this.
const LATE: Duration = Duration::from_millis(50);
/// Keys are written anew so often.
const REFRESH: Duration = Duration::from_secs(3600);
/// Handing over takes so long at most.
const HAND_OVER: Duration = Duration::from_secs(20);

struct Held {
    claim: Claim,
    orders: watch::Sender<Order>,
    lag: Arc<Lag>,
}

/// A leg's key, as this worker has seen it.
#[derive(Clone, Debug)]
struct Seen {
    entry: Entry,
    revision: u64,
    since: Instant,
}

#[derive(Default)]
struct View {
    legs: HashMap<Leg, Seen>,
    /// What the bucket held when this began is known.
    is_complete: bool,
}

pub struct Worker {
    shared: Arc<Shared>,
    lease: Duration,
    max_lag: Duration,
    view: Mutex<View>,
    leases: Mutex<Leases>,
    held: Mutex<HashMap<Leg, Held>>,
    count: watch::Sender<usize>,
    is_draining: watch::Sender<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.5, 3600.0)).unwrap_or(Duration::from_secs(6))
}

impl Worker {
    /// Begins to take calls.
    pub async fn start(
        cluster: Cluster,
        exchange: Exchange,
        options: &WorkerOptions,
    ) -> Result<Arc<Worker>, ClusterError> {
        let figures = exchange.metrics().cluster().clone();
        let (lease, now) = (seconds(options.lease), Instant::now());
        let worker = Arc::new(Worker {
            shared: Arc::new(Shared {
                cluster,
                exchange,
                figures,
                worker: Cluster::name(),
                abandon: seconds(options.abandon),
            }),
            lease,
            max_lag: seconds(options.max_lag),
            view: Mutex::default(),
            leases: Mutex::new(Leases::new(lease, now)),
            held: Mutex::default(),
            count: watch::Sender::new(0),
            is_draining: watch::Sender::new(false),
        });
        patiently(STARTING, |_| true, async || worker.renew().await)
            .await
            .map_err(ClusterError::Asked)?;
        worker.answer_roll().await?;
        tokio::spawn(Arc::clone(&worker).keep());
        tokio::spawn(Arc::clone(&worker).watch());
        tokio::spawn(Arc::clone(&worker).look());
        tokio::spawn(Arc::clone(&worker).listen());
        tokio::spawn(Arc::clone(&worker).refresh());
        Ok(worker)
    }

    pub fn name(&self) -> &str {
        &self.shared.worker
    }

    /// Takes no more calls, leaves those there are to others, each behind a checkpoint, and gives up its lease.
    pub async fn drain(&self) {
        self.is_draining.send_replace(true);
        for held in lock(&self.held).values() {
            held.orders.send_replace(Order::HandOver);
        }
        let mut count = self.count.subscribe();
        let gone = count.wait_for(|count| *count == 0);
        let _ = tokio::time::timeout(HAND_OVER, gone).await;
        let owners = &self.shared.cluster.stores.owners;
        let _ = owners.delete(worker_key(self.name())).await;
        let _ = self.shared.cluster.client.flush().await;
    }

    async fn renew(&self) -> Result<(), String> {
        let value = serde_json::json!({ "legs": lock(&self.held).len() });
        let (key, value) = (worker_key(self.name()), value.to_string().into());
        let put = self.shared.cluster.stores.owners.put(key, value).await;
        put.map(drop).map_err(|err| err.to_string())
    }

    /// Renews the lease, and knows thereby that it hears the server.
    async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.lease / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // While it hands over it is still there.
            if *self.is_draining.borrow() && *self.count.borrow() == 0 {
                return;
            }
            match self.renew().await {
                Ok(()) => lock(&self.leases).look(Instant::now()),
                Err(err) => tracing::warn!("the lease could not be renewed: {err}"),
            }
        }
    }

    /// Follows the bucket.
    async fn watch(self: Arc<Self>) {
        let owners = &self.shared.cluster.stores.owners;
        let mut revision = 0;
        loop {
            let watch = match revision {
                0 => owners.watch_with_history(">").await,
                seen => owners.watch_all_from_revision(seen + 1).await,
            };
            if let Ok(mut watch) = watch {
                while let Some(entry) = watch.next().await {
                    // It begins anew by itself where it was.
                    let Ok(entry) = entry else { continue };
                    revision = entry.revision;
                    self.saw(&entry);
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn saw(&self, entry: &async_nats::jetstream::kv::Entry) {
        let now = Instant::now();
        let is_there = entry.operation == Operation::Put;
        if let Some(worker) = entry.key.strip_prefix("worker.") {
            let mut leases = lock(&self.leases);
            match is_there {
                true => leases.renewed(worker, entry.revision, now),
                false => leases.given_up(worker),
            }
            return;
        }
        let Some(leg) = entry.key.strip_prefix("leg.").and_then(Leg::of) else {
            return;
        };
        let read = is_there.then(|| Entry::read(&entry.value)).flatten();
        let is_mine = read
            .as_ref()
            .is_some_and(|read| read.owner.as_deref() == Some(self.name()));
        if !is_mine && let Some(held) = lock(&self.held).get(&leg) {
            // Of before it was taken here, or of after.
            if entry.revision > held.claim.revision {
                held.orders.send_replace(Order::Stop);
            }
        }
        let mut view = lock(&self.view);
        match read {
            Some(entry_read) => {
                let seen = Seen {
                    entry: entry_read,
                    revision: entry.revision,
                    since: now,
                };
                view.legs.insert(leg, seen);
            }
            None => drop(view.legs.remove(&leg)),
        }
    }

    /// Looks for legs that are nobody's any more.
    async fn look(self: Arc<Self>) {
        // What the bucket holds is read by then.
        tokio::time::sleep(self.lease / 4).await;
        lock(&self.view).is_complete = true;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if *self.is_draining.borrow() {
                return;
            }
            let (now, figures) = (Instant::now(), &self.shared.figures);
            let (is_connected, lags) = (self.is_connected(), self.lags());
            figures.lag.set(lags.as_secs_f64());
            let free = self.free(now);
            figures
                .unclaimed
                .set(i64::try_from(free.len()).unwrap_or(i64::MAX));
            if !is_connected {
                continue;
            }
            for (leg, seen) in free {
                if !self.has_room() {
                    break;
                }
                if let Err(NotWritten::Failed(err)) = self.take(leg, &seen).await {
                    tracing::debug!("a call could not be taken: {err}");
                }
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.shared.cluster.client.connection_state() == Connection::Connected
    }

    fn lags(&self) -> Duration {
        let held = lock(&self.held);
        held.values()
            .map(|held| held.lag.get())
            .max()
            .unwrap_or_default()
    }

    /// Whether one more call can be heard here. It is lag that says no, and not how busy the cores are.
    fn has_room(&self) -> bool {
        !*self.is_draining.borrow() && self.shared.exchange.has_room() && self.lags() < self.max_lag
    }

    /// The legs that may be taken, longest free first.
    fn free(&self, now: Instant) -> Vec<(Leg, Seen)> {
        let (view, leases) = (lock(&self.view), lock(&self.leases));
        let held = lock(&self.held);
        let free = |leg: &Leg, seen: &Seen| match &seen.entry.owner {
            None => now.saturating_duration_since(seen.since) > OFFERED || seen.entry.term > 0,
            // Of a life before this one's: names are fresh.
            Some(owner) if owner == self.name() => !held.contains_key(leg),
            Some(owner) => leases.is_over(owner, seen.since, now),
        };
        let mut found: Vec<_> = view
            .legs
            .iter()
            .filter(|(leg, seen)| view.is_complete && free(leg, seen))
            .map(|(leg, seen)| (leg.clone(), seen.clone()))
            .collect();
        found.sort_by_key(|(_, seen)| seen.since);
        found
    }

    async fn take(self: &Arc<Self>, leg: Leg, seen: &Seen) -> Result<(), NotWritten> {
        if lock(&self.held).contains_key(&leg) {
            return Err(NotWritten::Taken);
        }
        let owners = &self.shared.cluster.stores.owners;
        let seen = (&seen.entry, seen.revision);
        let claim = owners::take(owners, &leg, seen, self.name()).await?;
        let (orders, heard) = watch::channel(Order::Hear);
        let lag = Arc::new(Lag::default());
        let held = Held {
            claim: claim.clone(),
            orders,
            lag: Arc::clone(&lag),
        };
        {
            let mut all = lock(&self.held);
            all.insert(leg.clone(), held);
            self.counted(&all);
        }
        if *self.is_draining.borrow()
            && let Some(held) = lock(&self.held).get(&leg)
        {
            held.orders.send_replace(Order::HandOver);
        }
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            let term = claim.entry.term;
            tracing::info!(call = leg.call, leg = leg.number, term, "hears a call");
            let outcome = hearing::hear(&worker.shared, &claim, &lag, heard).await;
            if outcome == Outcome::HandedOver {
                worker.give_up(&leg).await;
            }
            match outcome {
                Outcome::Fenced => tracing::warn!(
                    call = leg.call,
                    term,
                    "another worker has the call; nothing more was written here"
                ),
                outcome => {
                    tracing::info!(call = leg.call, ?outcome, "a call is no longer heard here")
                }
            }
            worker.left(&leg);
        });
        Ok(())
    }

    /// Takes what gateways offer. Only who has room listens: so a gateway learns at once that nobody has.
    async fn listen(self: Arc<Self>) {
        let Cluster { client, names, .. } = &self.shared.cluster;
        loop {
            while !self.has_room() {
                if *self.is_draining.borrow() {
                    return;
                }
                tokio::time::sleep(TICK).await;
            }
            let Ok(mut offers) = client
                .queue_subscribe(names.offer(), "workers".into())
                .await
            else {
                tokio::time::sleep(TICK).await;
                continue;
            };
            while self.has_room() {
                // What is known of room changes without an offer, too.
                let offer = tokio::time::timeout(TICK, offers.next()).await;
                let Ok(Some(offer)) = offer else {
                    if offer.is_ok() {
                        break;
                    }
                    continue;
                };
                let taken = match std::str::from_utf8(&offer.payload).ok().and_then(Leg::of) {
                    Some(leg) => self.take_offered(leg).await,
                    None => false,
                };
                if let Some(reply) = offer.reply {
                    let answer = if taken { TAKEN } else { NO };
                    let _ = client.publish(reply, answer.into()).await;
                }
            }
            // Offers that are on their way here are somebody else's.
            let _ = offers.drain().await;
            while let Ok(Some(offer)) = tokio::time::timeout(LATE, offers.next()).await {
                if let Some(reply) = offer.reply {
                    let _ = client.publish(reply, NO.into()).await;
                }
            }
        }
    }

    /// Whose a leg is from now on, its key says; it may have said so already.
    fn left(&self, leg: &Leg) {
        let mut view = lock(&self.view);
        let mut all = lock(&self.held);
        let claimed = all.remove(leg).map_or(0, |held| held.claim.revision);
        if let Some(seen) = view.legs.get(leg)
            && seen.revision <= claimed
        {
            view.legs.remove(leg);
        }
        self.counted(&all);
    }

    /// How many legs there are, to whoever waits for room or for the last, and to the figures.
    fn counted(&self, all: &HashMap<Leg, Held>) {
        self.count.send_replace(all.len());
        self.shared.figures.legs.set(all.len() as i64);
    }

    async fn give_up(&self, leg: &Leg) {
        let claim = lock(&self.held).get(leg).map(|held| held.claim.clone());
        let Some(claim) = claim else { return };
        if let Err(err) = owners::give_up(&self.shared.cluster.stores.owners, &claim).await {
            tracing::debug!(call = leg.call, ?err, "the call could not be handed over");
        }
    }

    /// Writes the keys of what is held here anew, before the server drops what is old.
    async fn refresh(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(REFRESH);
        ticks.reset();
        loop {
            ticks.tick().await;
            let held: Vec<_> = lock(&self.held).keys().cloned().collect();
            for leg in held {
                let claim = lock(&self.held).get(&leg).map(|held| held.claim.clone());
                let Some(claim) = claim else { continue };
                let owners = &self.shared.cluster.stores.owners;
                let written = owners::refresh(owners, &claim).await;
                if let Some(held) = lock(&self.held).get_mut(&leg) {
                    match written {
                        Ok(revision) => held.claim.revision = revision,
                        Err(NotWritten::Taken) => drop(held.orders.send_replace(Order::Stop)),
                        Err(NotWritten::Failed(_)) => {}
                    }
                }
            }
        }
    }

    async fn take_offered(self: &Arc<Self>, leg: Leg) -> bool {
        let owners = &self.shared.cluster.stores.owners;
        let Ok(Some(entry)) = owners.entry(super::names::leg_key(&leg)).await else {
            return false;
        };
        let Some(read) = Entry::read(&entry.value).filter(|read| read.owner.is_none()) else {
            return false;
        };
        let seen = Seen {
            entry: read,
            revision: entry.revision,
            since: Instant::now(),
        };
        self.take(leg, &seen).await.is_ok()
    }

    /// Says what it hears to whoever asks all workers.
    async fn answer_roll(self: &Arc<Self>) -> Result<(), ClusterError> {
        let Cluster { client, names, .. } = &self.shared.cluster;
        let mut questions = client
            .subscribe(names.roll())
            .await
            .map_err(|err| ClusterError::Asked(err.to_string()))?;
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                let rows: Vec<_> = lock(&worker.held).values().map(|held| held.row()).collect();
                if let Some(reply) = question.reply {
                    let rows = serde_json::to_vec(&rows).unwrap_or_default();
                    let client = &worker.shared.cluster.client;
                    let _ = client.publish(reply, rows.into()).await;
                }
            }
        });
        Ok(())
    }
}

impl Held {
    fn row(&self) -> Row {
        Row {
            lag: Some(self.lag.get().as_secs_f64()),
            ..row(&self.claim.leg, &self.claim.entry)
        }
    }
}
