//! A call as its gateway's exchange sees it: who has its id, and how its legs begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::ear::RemoteEar;
use super::gateway::{Gateway, Legs, Route, away};
use super::names::{Leg, call_key};
use super::owners::{self, NotWritten};
use super::{Cluster, patiently};
use crate::call::{Afar, Ear, OpenError, Teller, Wanted};
use crate::exchange::Elsewhere;

/// A cluster that does not answer is waited for this long before a new call is refused.
const NEW: Duration = Duration::from_secs(10);
/// And so long where a call that is there begins anew: the one before cannot be told of either.
const ANEW: Duration = Duration::from_secs(60);

/// The value of a call's key: the gateway that has its client.
#[derive(Serialize, Deserialize)]
struct Holder {
    gateway: String,
}

impl Elsewhere for Arc<Gateway> {
    fn call(&self, id: &str) -> Arc<dyn Afar> {
        Arc::new(RemoteCall::new(Arc::clone(self), id))
    }
}

/// A call of this gateway's; the call's key is held until it is dropped.
struct RemoteCall {
    gateway: Arc<Gateway>,
    id: String,
    /// The revision of the call's key, when this has made it.
    held: OnceCell<u64>,
    /// How often it began.
    generations: AtomicU64,
}

impl RemoteCall {
    fn new(gateway: Arc<Gateway>, id: &str) -> RemoteCall {
        RemoteCall {
            gateway,
            id: id.into(),
            held: OnceCell::new(),
            generations: AtomicU64::new(0),
        }
    }

    /// Makes the id this gateway's, and returns the key's revision. Another gateway may have had it, and be gone.
    async fn hold(&self) -> Result<u64, OpenError> {
        let Cluster { stores, .. } = &self.gateway.cluster;
        let key = call_key(&self.id);
        let holder = Holder {
            gateway: self.gateway.id.clone(),
        };
        let value: bytes::Bytes = serde_json::to_vec(&holder).unwrap_or_default().into();
        let taken = || {
            OpenError::Refused(format!(
                "a call {:?} is already there, at another gateway; choose another id",
                self.id
            ))
        };
        for _ in 0..3 {
            let made = patiently(NEW, NotWritten::passes, async || {
                owners::make(&stores.owners, &key, value.clone()).await
            });
            match made.await {
                Ok(revision) => return Ok(revision),
                Err(NotWritten::Failed(reason)) => return Err(away(&reason)),
                Err(NotWritten::Taken) => {}
            }
            let entry = patiently(
                NEW,
                |_| true,
                async || stores.owners.entry(key.clone()).await,
            );
            let entry = entry.await.map_err(|err| away(&err.to_string()))?;
            let Some(entry) = entry else { continue };
            // This gateway has no two calls of an id: what is its own is of an earlier one, or of a try whose answer was lost.
            if let Ok(before) = serde_json::from_slice::<Holder>(&entry.value)
                && before.gateway != self.gateway.id
            {
                let answer = self.gateway.cluster.is_there(&before.gateway, None).await;
                tracing::debug!(
                    call = self.id,
                    ?answer,
                    "asked the gateway that has the call"
                );
                if answer == Some(true) {
                    return Err(taken());
                }
            }
            let seen = entry.revision;
            if let Ok(revision) = stores.owners.update(&key, value.clone(), seen).await {
                return Ok(revision);
            }
        }
        Err(taken())
    }

    async fn open(
        &self,
        wanted: &Wanted,
        tellers: Vec<Teller>,
    ) -> Result<Vec<Arc<Route>>, OpenError> {
        if wanted.answer.is_some() {
            return Err(OpenError::Refused(
                "who answered is not told of calls that are heard by a cluster; leave that out"
                    .into(),
            ));
        }
        let revision = self.held.get_or_try_init(|| self.hold()).await?;
        let begun = self.generations.fetch_add(1, Ordering::Relaxed);
        // Each leg of the calls that had the id before has made a key since they held it: no revision is theirs.
        let generation = revision + begun;
        let patience = if begun == 0 { NEW } else { ANEW };
        let left = Arc::new(AtomicUsize::new(tellers.len()));
        let mut routes = Vec::new();
        let mut is_heard = true;
        for (number, teller) in tellers.into_iter().enumerate() {
            let leg = Leg {
                gateway: self.gateway.id.clone(),
                call: self.id.clone(),
                generation,
                number: u32::try_from(number).unwrap_or(u32::MAX),
            };
            let legs = Legs {
                teller,
                left: Arc::clone(&left),
            };
            let route = self.gateway.lay(leg.clone(), number, wanted, &legs);
            routes.push(Arc::clone(&route));
            if !route.outbox.begun(patience).await {
                routes.iter().for_each(|route| self.gateway.left(route));
                return Err(away("it takes no audio"));
            }
            match self.gateway.offer(&route, patience).await {
                Ok(heard) => is_heard &= heard,
                Err(err) => {
                    routes.iter().for_each(|route| self.gateway.left(route));
                    return Err(err);
                }
            }
        }
        // Whoever is in conversation is not sent away: there is room when the one before is left, or another worker comes.
        if is_heard || begun > 0 {
            return Ok(routes);
        }
        if self.gateway.wait.is_zero() {
            routes.iter().for_each(|route| self.gateway.left(route));
            return Err(OpenError::NoRoom(
                "no worker of the cluster has room for the call; try again later".into(),
            ));
        }
        for route in &routes {
            let (gateway, route) = (Arc::clone(&self.gateway), Arc::clone(route));
            self.gateway.runtime.spawn(async move {
                tokio::time::sleep(gateway.wait).await;
                if !route.is_owned.load(Ordering::Relaxed) {
                    let waited = gateway.wait.as_secs_f64();
                    gateway.fail(
                        &route,
                        format!("no worker of the cluster had room for the call in {waited} s; try again later"),
                    );
                }
            });
        }
        Ok(routes)
    }
}

impl Afar for RemoteCall {
    fn begin(&self, wanted: &Wanted, tellers: Vec<Teller>) -> Result<Vec<Arc<dyn Ear>>, OpenError> {
        let routes = self.gateway.runtime.block_on(self.open(wanted, tellers))?;
        let ears = routes
            .into_iter()
            .map(|route| RemoteEar::new(Arc::clone(&self.gateway), route) as Arc<dyn Ear>);
        Ok(ears.collect())
    }
}

impl Drop for RemoteCall {
    fn drop(&mut self) {
        if let Some(&revision) = self.held.get() {
            let (cluster, key) = (self.gateway.cluster.clone(), call_key(&self.id));
            self.gateway.runtime.spawn(async move {
                // Whoever has the id by then keeps it.
                let owners = &cluster.stores.owners;
                let _ = owners.delete_expect_revision(key, Some(revision)).await;
            });
        }
    }
}
