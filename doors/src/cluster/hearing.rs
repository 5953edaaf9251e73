//! One leg at a worker: from the checkpoint of the one before, or from the beginning, to its end or to another's.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use futures::{FutureExt, Stream, StreamExt};
use gst::glib;
use gstwhisperstream::engine::Saved;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::message::{Audio, Begin, FORMAT};
use super::names::Leg;
use super::owners::Claim;
use super::text::{self, Checkpoint, Fenced, Refill, Writer};
use super::wire::{Counts, Progress, Told, ns};
use super::{Cluster, Figures};
use crate::call::{Control, Ears, Event, Feed, Figures as Counted, Setting, Wanted};
use crate::exchange::{Caller, Events, Exchange};

/// Audio from one checkpoint to the next, at most.
const FAR: Duration = Duration::from_secs(10);
/// And at least: behind an utterance's end.
const NEAR: Duration = Duration::from_secs(2);
/// Longest audio that a state holds, and some.
const HELD: usize = 35 * 16_000;
/// So often a gateway hears how far a leg is.
const PROGRESS: Duration = Duration::from_millis(200);
/// Without a word of the gateway's this long, it is asked whether it is there.
const SILENT: Duration = Duration::from_secs(20);
/// A gateway that is there says so within this.
const THERE: Duration = Duration::from_secs(2);
/// What the marker of a leg's last save begins with.
const LAST: &str = "handover";
/// A leg of which nothing is told is written anew after this.
const ANEW: Duration = Duration::from_secs(240);
/// Audio that came so long ago is not asked of the server again.
const OLD: Duration = Duration::from_secs(20);
/// A message that is further ahead than this is not early: those before it are lost.
const REORDERED: u64 = 64;

/// What all legs of a worker share.
pub struct Shared {
    pub cluster: Cluster,
    pub exchange: Exchange,
    pub figures: Figures,
    pub worker: String,
    /// A leg whose gateway is gone for so long ends.
    pub abandon: Duration,
}

/// How a leg is no longer heard here.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its last word was told.
    Over,
    /// Another worker has it.
    Fenced,
    /// It is there for whoever has room.
    HandedOver,
    /// It was nobody's business to hear it: there is nothing to be heard.
    Gone,
}

/// What a leg is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Hear,
    /// Write a checkpoint and leave it to others.
    HandOver,
    /// Another has it: stop at once.
    Stop,
}

/// How far behind a leg is, for lists.
#[derive(Debug, Default)]
pub struct Lag {
    /// Audio that came, and audio that was heard, in ns of the stream.
    came: AtomicU64,
    heard: AtomicU64,
}

impl Lag {
    pub fn get(&self) -> Duration {
        let came = self.came.load(Ordering::Relaxed);
        Duration::from_nanos(came.saturating_sub(self.heard.load(Ordering::Relaxed)))
    }
}

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
            for (stream, kind) in [(&stores.audio, "audio"), (&stores.state, "state")] {
                let subject = shared.cluster.names.of(kind, &leg);
                let _ = stream.purge().filter(subject).await;
            }
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
        let mut found = opened.map_err(|Fenced| Outcome::Fenced)?;
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
                let begin = first(cluster, leg).await.ok_or(Outcome::Gone)?;
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
            Err(reason) => {
                let failed = Told::Failed { reason };
                match found.writer.write(&failed, &told).await {
                    Ok(()) => Err(Outcome::Over),
                    Err(Fenced) => Err(Outcome::Fenced),
                }
            }
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
        let save = Save::default();
        let snapshots = std::sync::Mutex::new(HashMap::new());
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

/// How the leg begins, if its audio is there.
async fn first(cluster: &Cluster, leg: &Leg) -> Option<Begin> {
    let mut messages = Box::pin(messages(cluster, leg, None));
    let message = tokio::time::timeout(Duration::from_secs(5), messages.next()).await;
    let message = message.ok()??;
    match Audio::read(message.headers.as_ref(), &message.payload) {
        Ok((0, Audio::Begin(begin))) => Some(begin),
        _ => None,
    }
}

/// A leg's messages from one place of the stream on, without end; also behind a restart of the server.
fn messages<'a>(
    cluster: &'a Cluster,
    leg: &'a Leg,
    from: Option<u64>,
) -> impl Stream<Item = Message> + 'a {
    let open = move |from: Option<u64>| async move {
        loop {
            let config = push::OrderedConfig {
                deliver_subject: cluster.client.new_inbox(),
                filter_subject: cluster.names.of("audio", leg),
                deliver_policy: match from {
                    Some(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
                    None => DeliverPolicy::All,
                },
                ..push::OrderedConfig::default()
            };
            if let Ok(consumer) = cluster.stores.audio.create_consumer(config).await
                && let Ok(messages) = consumer.messages().await
            {
                return messages;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    futures::stream::unfold((None, from), move |(messages, mut from)| async move {
        let mut messages = match messages {
            Some(messages) => messages,
            None => open(from).await,
        };
        loop {
            match messages.next().await {
                Some(Ok(message)) => {
                    if let Ok(info) = message.info() {
                        from = Some(info.stream_sequence + 1);
                    }
                    return Some((message, (Some(messages), from)));
                }
                // It begins anew by itself where it was.
                Some(Err(_)) => {}
                None => messages = open(from).await,
            }
        }
    })
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

/// Where the last half minute of samples is.
#[derive(Clone, Debug, Default)]
struct Recent {
    pieces: VecDeque<Piece>,
    samples: usize,
    /// Time behind the last of them, in ns.
    end: u64,
    /// When the last of them came.
    when: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Piece {
    sequence: u64,
    samples: usize,
}

impl Recent {
    fn push(&mut self, sequence: u64, samples: usize, time: u64) {
        // What lies before a hole is of no use: the hole was filled with samples that are nowhere.
        if time != self.end {
            self.pieces.clear();
            self.samples = 0;
        }
        self.end = time.saturating_add(samples as u64 * 62_500);
        self.when = Some(Instant::now());
        self.pieces.push_back(Piece { sequence, samples });
        self.samples += samples;
        while let Some(first) = self.pieces.front()
            && self.samples - first.samples > HELD
        {
            self.samples -= first.samples;
            self.pieces.pop_front();
        }
    }

    /// The server may have dropped them before they are wanted.
    fn is_old(&self) -> bool {
        self.when.is_none_or(|when| when.elapsed() > OLD)
    }

    /// Where the last so many samples are, if all of them came.
    fn last(&self, samples: usize) -> Option<Refill> {
        if self.is_old() {
            return None;
        }
        let mut rest = samples;
        for piece in self.pieces.iter().rev() {
            if rest <= piece.samples {
                return Some(Refill {
                    sequence: piece.sequence,
                    skip: piece.samples - rest,
                    samples,
                });
            }
            rest -= piece.samples;
        }
        (samples == 0).then_some(Refill {
            sequence: 0,
            skip: 0,
            samples: 0,
        })
    }
}

/// What was read when a state was asked for.
struct Snapshot {
    next: u64,
    sequence: u64,
    recent: Recent,
    settings: Vec<(String, String)>,
}

type Snapshots = std::sync::Mutex<HashMap<String, Snapshot>>;

fn lock(snapshots: &Snapshots) -> std::sync::MutexGuard<'_, HashMap<String, Snapshot>> {
    snapshots
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An utterance is over: a good moment for a checkpoint.
type Save = Notify;

/// From the audio's subject into the call.
struct Reader<'a> {
    shared: &'a Shared,
    leg: &'a Leg,
    feed: Option<Feed>,
    control: Control,
    lag: &'a Lag,
    next: u64,
    recent: Recent,
    save: &'a Save,
    snapshots: &'a Snapshots,
    saves: u64,
    /// Audio since the last one.
    since_save: Duration,
    /// Of the stream, behind what was read.
    end: Duration,
    /// Up to here the audio had come to the worker before, in ns.
    heard_before: u64,
}

impl Reader<'_> {
    /// Reads until the leg has to be handed over, or its end; then waits for what is told. Returns when nobody wants to know.
    async fn run(&mut self, from: Option<u64>, mut orders: watch::Receiver<Order>) {
        let shared = self.shared;
        let mut messages = Box::pin(messages(&shared.cluster, self.leg, from));
        let mut settings = Vec::new();
        let mut last_word = Instant::now();
        let (mut sequence, mut was_asked) = (from.unwrap_or_default(), false);
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
                    was_asked = false;
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
                    if was_asked && last_word.elapsed() > shared.abandon.max(SILENT) {
                        tracing::warn!(call = self.leg.call, "nothing came from the call's gateway for {} s, and it is not there: the call ends", last_word.elapsed().as_secs());
                        self.end();
                        break;
                    }
                    let is_there = self.asks_gateway().await;
                    was_asked = !is_there;
                    if is_there {
                        last_word = Instant::now();
                    } else {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }
        // What is told from here on ends it.
        std::future::pending().await
    }

    async fn asks_gateway(&self) -> bool {
        let Cluster { client, names, .. } = &self.shared.cluster;
        let asked = client.request(names.gateway(&self.leg.gateway), bytes::Bytes::new());
        matches!(tokio::time::timeout(THERE, asked).await, Ok(Ok(_)))
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
                self.lag.came.store(ns(self.end), Ordering::Relaxed);
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

/// From the call into the text's subject.
struct Telling<'a> {
    shared: &'a Shared,
    begin: Begin,
    term: u64,
    writer: Writer,
    /// Up to here it was told by others.
    told: Counts,
    counts: Counts,
    lag: &'a Lag,
    save: &'a Save,
    snapshots: &'a Snapshots,
}

impl Telling<'_> {
    async fn run(&mut self, mut events: Events) -> Outcome {
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
            self.counts.came = self.lag.came.load(Ordering::Relaxed);
            if count <= self.told.of(&told) {
                self.shared.figures.untold.inc();
            } else if self.writer.write(&told, &self.counts).await.is_err() {
                return Outcome::Fenced;
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

/// Leaves out the samples that can be read again.
fn lighten(state: &[u8], recent: &Recent) -> (Vec<u8>, Option<Refill>) {
    let saved = Saved::from_bytes(state).ok();
    let light = saved.and_then(|saved| {
        let range = saved.audio();
        let samples = usize::try_from(range.end.saturating_sub(range.start)).ok()?;
        let refill = recent.last(samples)?;
        Some((saved.without_audio().to_bytes(), Some(refill)))
    });
    light.unwrap_or_else(|| (state.to_vec(), None))
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
            heard: ns(control.heard()),
            passes: figures.passes,
            network: ns(figures.network),
        };
        lag.heard.store(now.heard, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_samples_are_found_unless_a_hole_lies_among_them() {
        let mut recent = Recent::default();
        for piece in 0..4 {
            recent.push(10 + piece, 1_600, piece * 100_000_000);
        }
        let at = |sequence, skip, samples| {
            Some(Refill {
                sequence,
                skip,
                samples,
            })
        };
        assert_eq!(recent.last(0), at(0, 0, 0));
        assert_eq!(recent.last(1), at(13, 1_599, 1));
        assert_eq!(recent.last(1_600), at(13, 0, 1_600));
        assert_eq!(recent.last(1_601), at(12, 1_599, 1_601));
        assert_eq!(recent.last(6_400), at(10, 0, 6_400));
        assert_eq!(recent.last(6_401), None);
        recent.push(20, 1_600, 900_000_000);
        assert_eq!(recent.last(1_600), at(20, 0, 1_600));
        assert_eq!(recent.last(1_601), None);
        for piece in 0..1_000 {
            recent.push(30 + piece, 1_600, 1_000_000_000 + piece * 100_000_000);
        }
        assert!(recent.samples <= HELD + 1_600 && recent.pieces.len() < 400);
        assert!(recent.last(HELD).is_some());
    }
}
