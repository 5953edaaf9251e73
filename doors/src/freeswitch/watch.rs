//! Which calls are heard: those named, or all that are answered.

use std::collections::HashSet;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::channel::{Channel, answered};
use super::link::{Happening, LinkError, Party};
use super::recording::Unheard;
use super::{Bridge, Failure, conversation};
use crate::exchange::Phase;

/// Until all calls named have ended; for `--all`, until the exchange closes.
pub async fn run(bridge: Bridge) -> Result<(), Failure> {
    let all = bridge.options.task.all;
    // Before anything is asked, so that nothing falls between.
    let mut happenings = bridge.link.happenings();
    let mut phase = bridge.exchange.phase();
    let mut calls = Calls::new(bridge.clone());
    match all {
        true => {
            let address = bridge.link.address();
            tracing::info!("hearing every answered call of FreeSWITCH at {address}");
            calls.sync().await;
        }
        false => calls.named().await?,
    }
    while all || !calls.tasks.is_empty() {
        let happening = tokio::select! {
            happening = happenings.recv() => happening,
            Some(done) = calls.tasks.join_next() => {
                if let Ok(Some(uuid)) = done {
                    calls.forget(&uuid);
                }
                continue;
            }
            _ = phase.wait_for(|phase| *phase != Phase::Open) => break,
        };
        match happening {
            Ok(Happening::Answered(party)) if all => calls.take(party),
            Ok(Happening::HungUp(uuid)) => calls.forget(&uuid),
            Ok(Happening::Up) | Err(RecvError::Lagged(_)) if all => calls.sync().await,
            Ok(Happening::Refused(err)) => {
                calls.end().await;
                return Err(err.into());
            }
            Err(RecvError::Closed) => break,
            _ => {}
        }
    }
    calls.end().await;
    Ok(())
}

struct Calls {
    bridge: Bridge,
    /// A call whose recording could not be begun because FreeSWITCH was away is given back, to be taken again.
    tasks: JoinSet<Option<String>>,
    /// Those that were taken and have not hung up.
    known: HashSet<String>,
}

impl Calls {
    fn new(bridge: Bridge) -> Calls {
        Calls {
            bridge,
            tasks: JoinSet::new(),
            known: HashSet::new(),
        }
    }

    /// Takes the calls that the options name.
    async fn named(&mut self) -> Result<(), Failure> {
        let there = answered(&self.bridge.link).await.unwrap_or_default();
        for uuid in self.bridge.options.task.uuid.clone() {
            let channel = Channel::new(self.bridge.link.clone(), &uuid);
            if !channel.exists().await? {
                return Err(Failure::Options(format!(
                    "FreeSWITCH has no channel {uuid}: `show channels` lists those it has"
                )));
            }
            let party = there.iter().find(|party| party.uuid == uuid).cloned();
            self.take(party.unwrap_or(Party {
                uuid,
                ..Party::default()
            }));
        }
        Ok(())
    }

    /// Takes the calls that are there, and forgets those that are not.
    async fn sync(&mut self) {
        match answered(&self.bridge.link).await {
            Ok(parties) => {
                self.known
                    .retain(|uuid| parties.iter().any(|party| party.uuid == *uuid));
                parties.into_iter().for_each(|party| self.take(party));
            }
            Err(err) => tracing::warn!("the calls that are there are not known: {err}"),
        }
    }

    fn take(&mut self, party: Party) {
        let only = self.bridge.options.only;
        let is_wanted = only.is_none_or(|only| only.name() == party.direction);
        if !is_wanted || !self.known.insert(party.uuid.clone()) {
            return;
        }
        let bridge = self.bridge.clone();
        self.tasks.spawn(async move {
            let heard = conversation::hear(&bridge, &party).await;
            let err = heard.err()?;
            tracing::error!(call = %party.uuid, "{err}");
            matches!(err, Unheard::Link(LinkError::Silent { .. })).then_some(party.uuid)
        });
    }

    fn forget(&mut self, uuid: &str) {
        self.known.remove(uuid);
    }

    async fn end(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
