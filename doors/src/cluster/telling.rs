//! What is told of a leg, from the call into the text's subject, and its checkpoints.

use std::time::Duration;

use gst::glib;

use super::message::Begin;
use super::reader::{LAST, Save, Snapshots, lock};
use super::recent::lighten;
use super::shared::{Lag, Outcome, Shared};
use super::text::{Checkpoint, Fenced, Writer};
use super::wire::{Counts, Told};
use crate::call::Event;
use crate::exchange::Events;

/// A leg of which nothing is told is written anew after this.
const ANEW: Duration = Duration::from_secs(240);

/// From the call into the text's subject.
pub struct Telling<'a> {
    pub shared: &'a Shared,
    pub begin: Begin,
    pub term: u64,
    pub writer: Writer,
    /// Up to here it was told by others.
    pub told: Counts,
    pub counts: Counts,
    pub lag: &'a Lag,
    pub save: &'a Save,
    pub snapshots: &'a Snapshots,
}

impl Telling<'_> {
    pub async fn run(&mut self, mut events: Events) -> Outcome {
        let mut anew = tokio::time::interval(ANEW);
        anew.reset();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = anew.tick() => {
                    // What is old is dropped by the server; of a call that is silent for long, too.
                    let owner = Told::Owner {
                        worker: self.shared.worker.clone(),
                        term: self.term,
                    };
                    let told = self.writer.counts.clone();
                    if self.writer.write(&owner, &told).await.is_err() {
                        return Outcome::Fenced;
                    }
                    self.save.notify_one();
                    continue;
                }
            };
            let Some(event) = event else { break };
            if let Event::Other(structure) = &event
                && structure.name() == "whisperstream/saved"
            {
                match self.saved(structure).await {
                    Ok(Some(outcome)) => return outcome,
                    Ok(None) => continue,
                    Err(Fenced) => return Outcome::Fenced,
                }
            }
            let Some(mut told) = Told::of(&event) else {
                continue;
            };
            // A pipeline says of itself again what the one before had said.
            if self.term > 1 && matches!(told, Told::Warning { .. }) {
                continue;
            }
            let count = self.counts.count(&mut told);
            self.counts.came = self.lag.came();
            if told.is_last() {
                // Whoever hears of it may call again at once.
                self.lag.ends();
            }
            if count <= self.told.of(&told) {
                self.shared.figures.untold.inc();
            } else {
                let all = self.counts.or_more(&self.told);
                if self.writer.write(&told, &all).await.is_err() {
                    return Outcome::Fenced;
                }
            }
            match told {
                Told::Final(_) => self.save.notify_one(),
                told if told.is_last() => return Outcome::Over,
                _ => {}
            }
        }
        Outcome::Over
    }

    /// All that was told before it is stored: so may the state be.
    async fn saved(&mut self, structure: &gst::StructureRef) -> Result<Option<Outcome>, Fenced> {
        let marker: String = structure.get("marker").unwrap_or_default();
        let Some(snapshot) = lock(self.snapshots).remove(&marker) else {
            return Ok(None);
        };
        let is_last = marker.starts_with(LAST);
        if let Ok(state) = structure.get::<glib::Bytes>("state") {
            let (state, refill) = lighten(&state, &snapshot.recent);
            let mut begin = self.begin.clone();
            begin.settings.extend(snapshot.settings);
            let checkpoint = Checkpoint {
                begin,
                term: self.term,
                counts: self.counts.clone(),
                next: snapshot.next,
                sequence: snapshot.sequence,
                refill,
            };
            if self.writer.checkpoint(&checkpoint, state).await? {
                self.shared.figures.checkpoints.inc();
            }
        }
        Ok(is_last.then_some(Outcome::HandedOver))
    }
}
