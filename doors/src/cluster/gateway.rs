//! The side of the clients: their audio goes out, and what is told of it comes back to their doors.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use futures::StreamExt;
use tokio::runtime::Handle;

use super::follow::follow;
use super::message::{Audio, Begin, FORMAT};
use super::names::{Leg, leg_key};
use super::outbox::{Outbox, Trouble};
use super::owners::{self, Entry, NotWritten};
use super::wire::{Progress, Told, ns};
use super::{Cluster, ClusterError, GONE, HERE, patiently};
use crate::call::{Event, OpenError, Teller, Wanted};
use crate::exchange::Exchange;
use crate::metrics::ClusterFigures;

/// An offer is answered within this.
const OFFER: Duration = Duration::from_millis(700);
/// So many refusals in a row mean that nobody has room.
const REFUSALS: usize = 3;
/// From one to the next offer: what a worker knows of its own room may be that old.
const PAUSE: Duration = Duration::from_millis(250);

/// A worker's answers to an offer.
pub(super) const TAKEN: &[u8] = b"taken";
pub(super) const NO: &[u8] = b"no";

/// A process whose calls are heard by workers.
pub struct Gateway {
    pub(super) cluster: Cluster,
    pub(super) id: String,
    /// How long a call waits for a worker.
    pub(super) wait: Duration,
    pub(super) figures: ClusterFigures,
    pub(super) runtime: Handle,
    routes: Mutex<HashMap<Leg, Arc<Route>>>,
}

/// Where what is told of a leg goes.
pub(super) struct Route {
    pub leg: Leg,
    teller: Teller,
    name: Option<String>,
    /// Legs of the call that have not ended.
    left: Arc<AtomicUsize>,
    pub progress: Mutex<Progress>,
    /// A worker has it.
    pub is_owned: AtomicBool,
    /// Its last word was told.
    pub is_over: AtomicBool,
    pub outbox: Outbox,
}

impl Gateway {
    /// Lets a process's calls be heard by the cluster's workers. A call that no worker has room for waits so long for one.
    pub async fn start(
        cluster: Cluster,
        exchange: &Exchange,
        wait: Duration,
    ) -> Result<Arc<Gateway>, ClusterError> {
        let gateway = Arc::new(Gateway {
            cluster,
            id: Cluster::name(),
            wait,
            figures: exchange.metrics().cluster().clone(),
            runtime: Handle::current(),
            routes: Mutex::default(),
        });
        let asked = |err: &dyn std::fmt::Display| ClusterError::Asked(err.to_string());
        let Cluster { client, names, .. } = &gateway.cluster;
        let mut questions = client
            .subscribe(names.gateway(&gateway.id))
            .await
            .map_err(|err| asked(&err))?;
        let answers = Arc::clone(&gateway);
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                if let Some(reply) = question.reply {
                    let answer = answers.answer(&question.payload);
                    let client = &answers.cluster.client;
                    let _ = client.publish(reply, answer.into()).await;
                }
            }
        });
        let mut progress = client
            .subscribe(names.all_of("live", &gateway.id))
            .await
            .map_err(|err| asked(&err))?;
        let moves = Arc::clone(&gateway);
        tokio::spawn(async move {
            while let Some(message) = progress.next().await {
                moves.progressed(&message.subject, &message.payload);
            }
        });
        let reads = Arc::clone(&gateway);
        tokio::spawn(async move { reads.read().await });
        exchange.hear_elsewhere(Arc::new(Arc::clone(&gateway)));
        Ok(gateway)
    }

    /// Whether it is there, and still has that leg, if one is named.
    fn answer(&self, question: &[u8]) -> &'static [u8] {
        let leg = std::str::from_utf8(question).ok().and_then(Leg::of);
        match leg {
            Some(leg) if !self.routes().contains_key(&leg) => GONE,
            _ => HERE,
        }
    }

    fn routes(&self) -> MutexGuard<'_, HashMap<Leg, Arc<Route>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, kind: &str, subject: &str) -> Option<Arc<Route>> {
        let leg = self.cluster.names.leg(kind, subject)?;
        self.routes().get(&leg).cloned()
    }

    fn progressed(&self, subject: &str, payload: &[u8]) {
        let progress = serde_json::from_slice(payload).ok();
        if let (Some(route), Some(progress)) = (self.route("live", subject), progress) {
            *route
                .progress
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = progress;
        }
    }

    /// Reads what is told of this gateway's legs, one message after another, also behind a restart of the server.
    async fn read(self: Arc<Self>) {
        let Cluster {
            client,
            names,
            stores,
            ..
        } = &self.cluster;
        let subject = names.all_of("text", &self.id);
        let mut messages = std::pin::pin!(follow(client, &stores.text, subject, None));
        while let Some(message) = messages.next().await {
            self.told(&message.subject, &message.payload);
        }
    }

    fn told(self: &Arc<Self>, subject: &str, payload: &[u8]) {
        let Some(route) = self.route("text", subject) else {
            return;
        };
        match serde_json::from_slice::<Told>(payload) {
            Ok(told) => self.tell(&route, told),
            Err(err) => {
                self.figures.bad.inc();
                tracing::warn!(
                    subject,
                    "what was told of a leg cannot be read: {err}; do gateways and workers have the same version?"
                );
            }
        }
    }

    fn tell(self: &Arc<Self>, route: &Arc<Route>, told: Told) {
        if let Told::Owner { worker, term } = &told {
            route.is_owned.store(true, Ordering::Relaxed);
            tracing::debug!(
                call = route.leg.call,
                worker,
                term,
                "a worker hears the call"
            );
            return;
        }
        let is_last = told.is_last();
        match told {
            // The call ends with the last of its legs.
            Told::Ended if route.left.fetch_sub(1, Ordering::Relaxed) > 1 => {}
            told => {
                if let Some(event) = told.event(route.name.as_deref()) {
                    route.teller.tell(event);
                }
            }
        }
        if is_last {
            self.over(route);
        }
    }

    /// A leg is over: nothing more is sent. What is stored of it goes with its age: old servers let readers of other legs miss
    /// messages when a leg's are deleted, and go through all that is stored to find them.
    fn over(self: &Arc<Self>, route: &Arc<Route>) {
        if route.is_over.swap(true, Ordering::Relaxed) {
            return;
        }
        self.routes().remove(&route.leg);
        route.outbox.close();
    }

    pub(super) fn fail(self: &Arc<Self>, route: &Arc<Route>, reason: String) {
        if !route.is_over.load(Ordering::Relaxed) {
            route.teller.tell(Event::Failed { reason });
            route.outbox.cancel();
        }
    }

    /// The door wants to know no more of a leg.
    pub(super) fn left(self: &Arc<Self>, route: &Arc<Route>) {
        if route.is_over.load(Ordering::Relaxed) {
            return;
        }
        route.outbox.cancel();
        // The worker ends it; if there is none, nobody has to.
        if !route.is_owned.load(Ordering::Relaxed) {
            let (cluster, leg) = (self.cluster.clone(), route.leg.clone());
            self.runtime.spawn(async move {
                let _ = cluster.stores.owners.delete(leg_key(&leg)).await;
            });
        }
        let (gateway, route) = (Arc::clone(self), Arc::clone(route));
        self.runtime.spawn(async move {
            // Long enough for the word to get out; a worker that does not hear it gives the leg up in time.
            tokio::time::sleep(Duration::from_secs(30)).await;
            gateway.over(&route);
        });
    }

    /// One leg's way out and back.
    pub(super) fn lay(
        self: &Arc<Self>,
        leg: Leg,
        number: usize,
        wanted: &Wanted,
        legs: &Legs,
    ) -> Arc<Route> {
        let settings = wanted.settings.iter();
        let begin = Audio::Begin(Begin {
            format: FORMAT,
            settings: settings
                .map(|setting| (setting.name.clone(), setting.value.clone()))
                .collect(),
            leg: wanted.legs.get(number).cloned(),
            lines: wanted.lines,
            start: ns(wanted.start),
        });
        let route = Arc::new(Route {
            leg: leg.clone(),
            teller: legs.teller.clone(),
            name: wanted.legs.get(number).cloned(),
            left: Arc::clone(&legs.left),
            progress: Mutex::default(),
            is_owned: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            outbox: Outbox::new(begin, wanted.start, self.figures.clone()),
        });
        self.routes().insert(leg.clone(), Arc::clone(&route));
        let subject = self.cluster.names.of("audio", &leg);
        let teller = legs.teller.clone();
        let tell = move |trouble| {
            let reason = match trouble {
                Trouble::Began(reason) => format!(
                    "the cluster does not take the call's audio ({reason}); up to a minute of it is kept here, and sent when it can be"
                ),
                Trouble::Over(time) => format!(
                    "the cluster takes the call's audio again, after {:.1} s; nothing is lost",
                    time.as_secs_f64()
                ),
            };
            teller.tell(Event::Warning { reason });
        };
        let sending = route
            .outbox
            .clone()
            .send(self.cluster.clone(), subject, tell);
        self.runtime.spawn(sending);
        route
    }

    /// Makes a leg known to workers; `Ok(false)`: none has room now. A server that does not answer is asked for `patience`.
    pub(super) async fn offer(&self, route: &Route, patience: Duration) -> Result<bool, OpenError> {
        let begun = Instant::now();
        let (leg, owners) = (&route.leg, &self.cluster.stores.owners);
        let made = patiently(patience, NotWritten::passes, async || {
            owners::make(owners, &leg_key(leg), Entry::default().write()).await
        });
        match made.await {
            // Only this gateway makes it: the answer to an earlier try was lost.
            Ok(_) | Err(NotWritten::Taken) => {}
            Err(NotWritten::Failed(reason)) => return Err(away(&reason)),
        }
        let Cluster { client, names, .. } = &self.cluster;
        let mut refusals = 0;
        while refusals < REFUSALS && begun.elapsed() < patience {
            let asked = client.request(names.offer(), leg.path().into());
            match tokio::time::timeout(OFFER, asked).await {
                Ok(Ok(answer)) if answer.payload.as_ref() == TAKEN => return Ok(true),
                // Who is asked may just have taken its last one; another is asked then.
                Ok(Ok(_)) => refusals += 1,
                Ok(Err(err)) if err.kind() == RequestErrorKind::NoResponders => refusals += 1,
                _ => {}
            }
            if route.is_owned.load(Ordering::Relaxed) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(route.is_owned.load(Ordering::Relaxed))
    }
}

pub(super) struct Legs {
    pub teller: Teller,
    pub left: Arc<AtomicUsize>,
}

pub(super) fn away(reason: &str) -> OpenError {
    OpenError::NoRoom(format!(
        "the cluster that hears calls does not answer ({reason}); try again later"
    ))
}
