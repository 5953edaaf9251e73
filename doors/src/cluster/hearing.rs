//! One leg at a worker: from the checkpoint of the one before, or from the beginning, to its end or to another's.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt;
use gst::glib;
use gstwhisperstream::engine::Saved;
use tokio::sync::watch;

use super::Cluster;
use super::message::{Audio, Begin, FORMAT};
use super::names::Leg;
use super::owners::Claim;
use super::reader::{Reader, Save, messages};
use super::recent::{HELD, Recent};
use super::shared::{Lag, Order, Outcome, Shared};
use super::telling::Telling;
use super::text::{self, Checkpoint, Fenced, Writer};
use super::wire::{Counts, Progress, Told, ns};
use crate::call::{Control, Ears, Figures as Counted, Setting, Wanted};
use crate::exchange::Caller;

/// So often a gateway hears how far a leg is.
const PROGRESS: Duration = Duration::from_millis(200);

/// The beginning of a leg's audio comes within this, or its gateway is asked whether the leg is still there.
const FIRST: Duration = Duration::from_secs(5);

/// What a call ends with whose beginning is lost.
const TOO_LATE: &str = "no worker came for so long that the beginning of the call's audio is no longer kept; start more workers, or let \
    it be kept for longer (--nats-audio-age)";

/// Hears a leg that was claimed.
pub async fn hear(
    shared: &Shared,
    claim: &Claim,
    lag: &Lag,
    orders: watch::Receiver<Order>,
) -> Outcome {
    let leg = claim.leg.clone();
    let outcome = match Hearing::open(shared, claim).await {
        Ok(hearing) => hearing.run(lag, orders).await,
        Err(outcome) => outcome,
    };
    let stores = &shared.cluster.stores;
    match outcome {
        Outcome::Fenced => {
            shared.figures.fenced.inc();
        }
        // The claim is its holder's.
        Outcome::HandedOver => {}
        Outcome::Over | Outcome::Gone => {
            let _ = stores.owners.delete(super::names::leg_key(&leg)).await;
        }
    }
    outcome
}

struct Hearing<'a> {
    shared: &'a Shared,
    leg: Leg,
    term: u64,
    begin: Begin,
    writer: Writer,
    /// As the audio's events were told when this began: up to here they are known.
    told: Counts,
    start: Start,
    call: crate::exchange::Call,
}

/// Where the audio goes on.
struct Start {
    counts: Counts,
    next: u64,
    sequence: Option<u64>,
    recent: Recent,
    is_replay: bool,
}

impl<'a> Hearing<'a> {
    async fn open(shared: &'a Shared, claim: &Claim) -> Result<Hearing<'a>, Outcome> {
        let (cluster, leg, term) = (&shared.cluster, &claim.leg, claim.entry.term);
        let opened = Writer::open(cluster, leg, &shared.worker, term).await;
        let found = opened.map_err(|Fenced| Outcome::Fenced)?;
        if found.is_over {
            return Err(Outcome::Gone);
        }
        let told = found.writer.counts.clone();
        let saved = match text::checkpoint(cluster, leg).await {
            Some((checkpoint, state)) => resumed(cluster, leg, checkpoint, &state).await,
            None => None,
        };
        let (begin, start, state) = match saved {
            Some((checkpoint, state, recent)) => {
                let start = Start {
                    counts: checkpoint.counts,
                    next: checkpoint.next,
                    sequence: Some(checkpoint.sequence),
                    recent,
                    is_replay: true,
                };
                (checkpoint.begin, start, Some(state))
            }
            None => {
                let begin = match first(shared, leg).await {
                    First::Begins(begin) => begin,
                    First::IsLost => return Err(fails(found.writer, &told, TOO_LATE.into()).await),
                    First::IsLeft => return Err(Outcome::Gone),
                };
                let start = Start {
                    counts: Counts::default(),
                    next: 1,
                    sequence: None,
                    recent: Recent::default(),
                    is_replay: term > 1,
                };
                (begin, start, None)
            }
        };
        if start.is_replay {
            shared.figures.replays.inc();
        }
        let opened = match begin.format {
            FORMAT => {
                let caller = Caller {
                    door: "cluster",
                    peer: None,
                    id: Some(leg.id()),
                };
                let wanted = wanted(&begin, state);
                match shared.exchange.open(caller, wanted).await {
                    // Another worker may have room.
                    Err(refusal) if refusal.is_passing() => return Err(Outcome::HandedOver),
                    opened => opened.map_err(|err| err.to_string()),
                }
            }
            other => Err(format!(
                "the gateway writes messages in format {other}, and this worker reads format {FORMAT}; let both have the same version"
            )),
        };
        match opened {
            Ok(call) => Ok(Hearing {
                shared,
                leg: leg.clone(),
                term,
                begin,
                writer: found.writer,
                told,
                start,
                call,
            }),
            Err(reason) => Err(fails(found.writer, &told, reason).await),
        }
    }

    async fn run(self, lag: &Lag, mut orders: watch::Receiver<Order>) -> Outcome {
        let Hearing {
            shared,
            leg,
            term,
            begin,
            writer,
            told,
            start,
            call,
        } = self;
        lag.begins(begin.start.max(start.counts.came));
        let save = Save::default();
        let snapshots = Mutex::new(HashMap::new());
        let mut reader = Reader {
            shared,
            leg: &leg,
            feed: Some(call.feed),
            control: call.control.clone(),
            lag,
            next: start.next,
            recent: start.recent,
            save: &save,
            snapshots: &snapshots,
            saves: 0,
            since_save: Duration::ZERO,
            end: Duration::from_nanos(begin.start),
            heard_before: if start.is_replay { told.came } else { 0 },
        };
        let mut telling = Telling {
            shared,
            begin,
            term,
            writer,
            told,
            counts: start.counts,
            lag,
            save: &save,
            snapshots: &snapshots,
        };
        let reading = reader.run(start.sequence, orders.clone());
        let progress = progress(shared, &leg, &call.control, lag);
        let stop = async {
            // Its sender lives as long as the worker.
            let _ = orders.wait_for(|order| *order == Order::Stop).await;
        };
        tokio::select! {
            outcome = telling.run(call.events) => outcome,
            () = reading => Outcome::Over,
            () = progress => Outcome::Over,
            () = stop => Outcome::Fenced,
        }
    }
}

fn wanted(begin: &Begin, state: Option<glib::Bytes>) -> Wanted {
    let settings = begin.settings.iter();
    // What is heard twice must be heard the same.
    let settings = settings
        .filter(|(name, _)| name != "pace")
        .map(|(name, value)| Setting::new(name, value))
        .chain([Setting::new("pace", "exact")]);
    Wanted {
        settings: settings.collect(),
        legs: begin.leg.iter().cloned().collect(),
        lines: begin.lines,
        start: Duration::from_nanos(begin.start),
        ears: state.map_or(Ears::Here, Ears::Resumed),
        ..Wanted::default()
    }
}

/// A leg that cannot be heard ends with its reason.
async fn fails(mut writer: Writer, told: &Counts, reason: String) -> Outcome {
    match writer.write(&Told::Failed { reason }, told).await {
        Ok(()) => Outcome::Over,
        Err(Fenced) => Outcome::Fenced,
    }
}

/// What is found where a leg begins.
enum First {
    Begins(Begin),
    /// Later audio.
    IsLost,
    /// Nothing, and its gateway has it no more.
    IsLeft,
}

/// How the leg begins. That was stored before the leg was offered.
async fn first(shared: &Shared, leg: &Leg) -> First {
    let mut messages = Box::pin(messages(&shared.cluster, leg, None));
    loop {
        match tokio::time::timeout(FIRST, messages.next()).await {
            Ok(Some(message)) => {
                return match Audio::read(message.headers.as_ref(), &message.payload) {
                    Ok((0, Audio::Begin(begin))) => First::Begins(begin),
                    _ => First::IsLost,
                };
            }
            Ok(None) => return First::IsLost,
            Err(_) => {
                let gateway = shared.cluster.is_there(&leg.gateway, Some(leg)).await;
                if gateway == Some(false) {
                    return First::IsLeft;
                }
                tracing::warn!(
                    call = leg.call,
                    "the beginning of the call's audio does not come yet"
                );
            }
        }
    }
}

/// What a checkpoint holds, with its samples. `None`: it cannot be gone on with, and the leg begins at its beginning.
async fn resumed(
    cluster: &Cluster,
    leg: &Leg,
    checkpoint: Checkpoint,
    state: &[u8],
) -> Option<(Checkpoint, glib::Bytes, Recent)> {
    let mut recent = Recent::default();
    let Some(refill) = &checkpoint.refill else {
        return Some((checkpoint, glib::Bytes::from(state), recent));
    };
    let mut saved = match Saved::from_bytes(state) {
        Ok(saved) => saved,
        Err(err) => {
            tracing::warn!(call = leg.call, "the leg begins anew: {err}");
            return None;
        }
    };
    let mut samples: Vec<i16> = Vec::new();
    let wanted = refill.skip.saturating_add(refill.samples);
    if wanted > 2 * HELD {
        return None;
    }
    if refill.samples > 0 {
        let mut messages = Box::pin(messages(cluster, leg, Some(refill.sequence)));
        let mut next = None;
        while samples.len() < wanted {
            let message = tokio::time::timeout(Duration::from_secs(5), messages.next()).await;
            let message = message.ok()??;
            let sequence = message.info().ok()?.stream_sequence;
            let Ok((number, audio)) = Audio::read(message.headers.as_ref(), &message.payload)
            else {
                continue;
            };
            if next.is_some_and(|next| number != next) {
                continue;
            }
            next = number.checked_add(1);
            if let Audio::Samples { bytes, time, .. } = audio {
                recent.push(sequence, bytes.len() / 2, time);
                let read = bytes.as_chunks::<2>().0.iter().copied();
                samples.extend(read.map(i16::from_le_bytes));
            }
        }
    }
    let from = refill.skip.min(samples.len());
    let wanted = samples.get(from..from + refill.samples)?.to_vec();
    saved.fill(wanted);
    let state = glib::Bytes::from_owned(saved.to_bytes());
    Some((checkpoint, state, recent))
}

/// Tells the gateway how far the leg is, without end.
async fn progress(shared: &Shared, leg: &Leg, control: &Control, lag: &Lag) {
    let subject = shared.cluster.names.of("live", leg);
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Progress::default();
    loop {
        ticks.tick().await;
        let figures = control.stats().first().map(|(_, stats)| Counted::of(stats));
        let figures = figures.unwrap_or_default();
        let now = Progress {
            heard: lag.hears(ns(control.heard())),
            passes: figures.passes,
            network: ns(figures.network),
        };
        if now != last {
            let contents = serde_json::to_vec(&now).unwrap_or_default();
            // The next one says the same and more.
            let _ = shared
                .cluster
                .client
                .publish(subject.clone(), contents.into())
                .await;
            last = now;
        }
    }
}
