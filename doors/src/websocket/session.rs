//! One client from `ready` to the close frame.
//!
//! Two tasks in one: the first hears the client and pushes its audio, the second tells what is said and alone writes to the
//! socket. When the client is gone, the second reads the call to its end all the same: others may watch it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite;

use crate::call::Event;
use crate::exchange::{Call, Events, Phase};

use super::acks::Acks;
use super::message::{
    self, Command, FAILED, GOING_AWAY, NORMAL, NOT_TEXT, PROTOCOL, Reply, Said, TOO_BIG, json, ms,
};
use super::query::Asked;
use super::retake::{Renewal, Retake};
use super::{DOOR, LARGEST};

/// Between two pings: often enough for every proxy.
const PING: Duration = Duration::from_secs(20);
/// A client that sends nothing for so long, no pong either, is gone.
const DEAD: Duration = Duration::from_secs(60);
/// A client that takes nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(30);
/// The client has so long to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(5);
/// Flushes that may wait for their answer; then the client is heard no further.
const FLUSHES: usize = 16;

/// How the conversation ends for the client.
enum Last {
    /// It said all; or the server shuts down.
    Ended(u16),
    /// It did something that cannot be gone on from.
    Fault(u16, String),
}

/// From the hearing to the telling half.
enum Note {
    Error(String),
    Fault(u16, String),
    Closing,
}

pub(super) async fn talk(socket: WebSocket, call: Call, asked: Asked, peer: Option<SocketAddr>) {
    let (to, from) = socket.split();
    let (notes, noted) = mpsc::channel(4);
    // Nothing can or need be written any more.
    let (mute, muted) = watch::channel(false);
    let flushes = Arc::new(Semaphore::new(FLUSHES));
    let Call {
        id,
        feed,
        events,
        phase,
        ..
    } = call;
    let silence = events.setting("vad-min-silence");
    let silence = Duration::from_millis(silence.and_then(|ms| ms.parse().ok()).unwrap_or(500));
    // Only one leg has a place that is silent for all, and only an exact pace has decisions that can be had again.
    let renews = asked.acks && asked.ears == 1 && events.setting("pace") == Some("exact");
    let (renew, renewals) = mpsc::channel(1);
    let intake = Retake::new(feed, renews.then_some(renewals), asked.format, asked.start);
    let hear = Hear {
        from,
        notes,
        phase,
        flushes: Arc::clone(&flushes),
        flushed: 0,
    };
    let tell = Tell {
        to: Some(to),
        mute,
        flushes,
        flushed: HashMap::new(),
        acks: asked.acks.then(|| Acks::new(silence, asked.start)),
        renew: renews.then_some(renew),
        flushes_told: 0,
        asked,
        last: Last::Ended(NORMAL),
    };
    let hear = async {
        if let Err(gone) = hear.run(intake, muted).await {
            let peer = peer.map(tracing::field::display);
            tracing::info!(door = DOOR, call = %id, peer, "the client is gone: {gone}");
        }
    };
    tokio::join!(hear, tell.run(&id, events, noted));
}

/// Tells why, and closes.
pub(super) async fn refuse(socket: &mut WebSocket, code: u16, sentence: &str) {
    let error = json(&Reply::Error { message: sentence });
    let farewell = async {
        socket.send(Message::text(error)).await?;
        socket.send(close(code, sentence)).await?;
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    let _ = timeout(FAREWELL, farewell).await;
}

fn close(code: u16, reason: &str) -> Message {
    // A control frame has room for 123 bytes of it.
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Message::Close(Some(CloseFrame {
        code,
        reason: reason.get(..end).unwrap_or_default().into(),
    }))
}

struct Hear {
    from: SplitStream<WebSocket>,
    notes: mpsc::Sender<Note>,
    phase: watch::Receiver<Phase>,
    flushes: Arc<Semaphore>,
    flushed: u64,
}

/// What comes next from a client.
enum Next {
    Message(Message),
    Fault(axum::Error),
    /// The call is over, or the client takes nothing any more.
    Muted,
    Closing,
    /// The call begins anew.
    Renewed(Renewal),
}

impl Hear {
    /// Until the client is gone or nothing more is told to it. `Err`: it left in the middle, and how.
    async fn run(
        mut self,
        mut intake: Retake,
        mut muted: watch::Receiver<bool>,
    ) -> Result<(), String> {
        loop {
            let next = tokio::select! {
                message = timeout(DEAD, self.from.next()) => match message {
                    Err(_) => return Err(format!("it sent nothing for {} s", DEAD.as_secs())),
                    Ok(None) => return Err("it closed the connection".into()),
                    Ok(Some(Err(err))) => Next::Fault(err),
                    Ok(Some(Ok(message))) => Next::Message(message),
                },
                _ = muted.wait_for(|muted| *muted) => Next::Muted,
                _ = self.phase.wait_for(|phase| *phase == Phase::Closing), if intake.is_open() => Next::Closing,
                renewal = intake.renewed() => Next::Renewed(renewal),
            };
            match next {
                Next::Message(Message::Binary(audio)) => {
                    if intake.is_open() {
                        // The call may end for reasons of its own, and a client that is gone can be gone while it waits here.
                        tokio::select! {
                            // That it has ended is told by its events.
                            () = intake.push(&audio) => {}
                            _ = muted.wait_for(|muted| *muted) => {}
                        }
                    } else {
                        self.complain("no audio is heard after the end of the stream")
                            .await;
                    }
                }
                Next::Message(Message::Text(text)) => match Command::read(&text) {
                    Ok(Command::Flush { marker }) => {
                        self.flush(&mut intake, marker, &mut muted).await
                    }
                    Ok(Command::End) => {
                        if intake.is_open() {
                            intake.finish();
                        }
                    }
                    Err(bad) => self.complain(&bad.to_string()).await,
                },
                Next::Message(Message::Close(_)) => {
                    let in_the_middle = intake.is_open();
                    drop(intake);
                    // Its answer is sent by reading on.
                    self.farewell().await;
                    return match in_the_middle {
                        true => Err("it hung up".into()),
                        false => Ok(()),
                    };
                }
                Next::Message(Message::Ping(_) | Message::Pong(_)) => {}
                Next::Fault(err) => return self.fault(intake, err, muted).await,
                Next::Muted => {
                    drop(intake);
                    self.farewell().await;
                    return Ok(());
                }
                Next::Closing => {
                    let _ = self.notes.send(Note::Closing).await;
                    if intake.is_open() {
                        intake.finish();
                    }
                }
                Next::Renewed(renewal) => tokio::select! {
                    () = intake.retake(renewal) => {}
                    _ = muted.wait_for(|muted| *muted) => {}
                },
            }
        }
    }

    async fn flush(
        &mut self,
        intake: &mut Retake,
        marker: Option<String>,
        muted: &mut watch::Receiver<bool>,
    ) {
        if !intake.is_open() {
            return self
                .complain("nothing is left to flush after the end of the stream")
                .await;
        }
        let place = loop {
            let renewal = tokio::select! {
                place = self.flushes.acquire() => break place,
                // The answers that are waited for may be this one's to give.
                renewal = intake.renewed() => renewal,
                _ = muted.wait_for(|muted| *muted) => return,
            };
            tokio::select! {
                () = intake.retake(renewal) => {}
                _ = muted.wait_for(|muted| *muted) => return,
            }
        };
        let Ok(place) = place else { return };
        place.forget();
        self.flushed += 1;
        // Numbered, so that flushes with the same marker are told apart.
        let marker = marker
            .map(|marker| format!(":{marker}"))
            .unwrap_or_default();
        intake.flush(&format!("{}{marker}", self.flushed));
    }

    async fn complain(&self, sentence: &str) {
        let _ = self.notes.send(Note::Error(sentence.into())).await;
    }

    /// The socket cannot be read any more: if that is the client's doing, it is told.
    async fn fault(
        mut self,
        intake: Retake,
        err: axum::Error,
        mut muted: watch::Receiver<bool>,
    ) -> Result<(), String> {
        let (code, sentence) = match fault(err) {
            Fault::Gone(how) => return Err(how),
            Fault::Peers(code, sentence) => (code, sentence),
        };
        let _ = self.notes.send(Note::Fault(code, sentence.clone())).await;
        drop(intake);
        let _ = timeout(PATIENCE, muted.wait_for(|muted| *muted)).await;
        // What the client still sends would, unread, make the system withdraw what it was told.
        self.farewell().await;
        sleep(Duration::from_millis(500)).await;
        Err(sentence)
    }

    async fn farewell(&mut self) {
        let _ = timeout(FAREWELL, async {
            while let Some(Ok(_)) = self.from.next().await {}
        })
        .await;
    }
}

enum Fault {
    /// The connection is no more.
    Gone(String),
    /// The client broke the protocol: the close code, and a sentence.
    Peers(u16, String),
}

fn fault(err: axum::Error) -> Fault {
    use tungstenite::error::{CapacityError, Error, ProtocolError};
    let text = err.to_string();
    match err.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(CapacityError::MessageTooLong { .. })) => Fault::Peers(
            TOO_BIG,
            format!("a message has {LARGEST} bytes at most: send the audio in smaller ones"),
        ),
        Some(Error::Utf8(_)) => Fault::Peers(NOT_TEXT, "a text message was no UTF-8".into()),
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
            Fault::Gone("the connection broke".into())
        }
        Some(Error::Protocol(err)) => {
            Fault::Peers(PROTOCOL, format!("that was no WebSocket frame: {err}"))
        }
        _ => Fault::Gone(text),
    }
}

struct Tell {
    /// Unless the client takes nothing any more.
    to: Option<SplitSink<WebSocket, Message>>,
    mute: watch::Sender<bool>,
    flushes: Arc<Semaphore>,
    /// Elements that have done a flush, by its marker.
    flushed: HashMap<String, usize>,
    acks: Option<Acks>,
    /// Begins the call anew where it is acknowledged.
    renew: Option<mpsc::Sender<Renewal>>,
    /// The number of the last flush that was answered.
    flushes_told: u64,
    asked: Asked,
    last: Last,
}

impl Tell {
    /// Until the call is over.
    async fn run(mut self, id: &str, mut events: Events, mut notes: mpsc::Receiver<Note>) {
        self.say(&Reply::Ready {
            sample_rate: self.asked.format.rate,
            call: id,
            start_ms: ms(self.asked.start),
        })
        .await;
        let mut pings = interval_at(Instant::now() + PING, PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What the client did comes before the end of the call that it brought about.
                biased;
                Some(note) = notes.recv() => match note {
                    Note::Error(sentence) => self.say(&Reply::Error { message: &sentence }).await,
                    Note::Closing => self.last = Last::Ended(GOING_AWAY),
                    Note::Fault(code, sentence) => {
                        self.last = Last::Fault(code, sentence);
                        self.bye().await;
                    }
                },
                event = events.next() => match event {
                    Some(event) => self.event(&event, &mut events).await,
                    None => return self.bye().await,
                },
                _ = pings.tick() => self.send(Message::Ping(Default::default())).await,
            }
        }
    }

    async fn event(&mut self, event: &Event, events: &mut Events) {
        match event {
            Event::Words(words) => {
                let said = Said::from(words);
                let last = words.is_final;
                self.say(&Reply::Final { said, last }).await;
            }
            Event::Final(words) if self.asked.utterances => {
                let said = Said::from(words);
                self.say(&Reply::Utterance { said }).await;
            }
            Event::Partial(partial) if self.asked.partials => {
                self.say(&Reply::Partial {
                    said: Said::from(partial),
                    committed: &partial.committed,
                    tail: &partial.tail,
                })
                .await;
            }
            Event::Flushed { marker } => self.flushed(marker).await,
            Event::Failed { reason } => self.last = Last::Fault(FAILED, reason.clone()),
            event if self.asked.events && message::is_extra(event) => {
                self.send(Message::text(json(event))).await;
            }
            _ => {}
        }
        if let Some(position) = self.acks.as_mut().and_then(|acks| acks.note(event)) {
            self.say(&Reply::Ack { ms: ms(position) }).await;
            self.begin_anew(position, events).await;
        }
    }

    /// What is decided behind `position` is not to depend on what was heard before.
    async fn begin_anew(&mut self, position: Duration, events: &mut Events) {
        // When the client is gone, what it sent is heard to its end.
        let Some(renew) = self.renew.as_ref().filter(|renew| !renew.is_closed()) else {
            return;
        };
        let renewed = tokio::select! {
            renewed = events.renew(position) => renewed,
            // It may take a while where the call is heard elsewhere.
            () = renew.closed() => return,
        };
        match renewed {
            Ok(feed) => drop(renew.send((feed, position)).await),
            Err(err) => tracing::warn!(
                door = DOOR,
                "the call does not begin anew behind an utterance, so that a client that comes back may hear it otherwise: {err}"
            ),
        }
    }

    /// When all legs have done it.
    async fn flushed(&mut self, marker: &str) {
        let number = marker.split(':').next().and_then(|n| n.parse().ok());
        // A call that began anew may do again what the one before did.
        if number.is_some_and(|number: u64| number <= self.flushes_told) {
            return;
        }
        let done = self.flushed.entry(marker.to_owned()).or_default();
        *done += 1;
        if *done < self.asked.ears {
            return;
        }
        self.flushed.remove(marker);
        self.flushes_told = number.unwrap_or(self.flushes_told);
        self.flushes.add_permits(1);
        let marker = marker.split_once(':').map(|(_, marker)| marker);
        self.say(&Reply::Flushed { marker }).await;
    }

    /// The last words, and nothing behind them.
    async fn bye(&mut self) {
        match std::mem::replace(&mut self.last, Last::Ended(NORMAL)) {
            Last::Ended(code) => {
                self.say(&Reply::Ended).await;
                self.send(close(code, "")).await;
            }
            Last::Fault(code, sentence) => {
                self.say(&Reply::Error { message: &sentence }).await;
                self.send(close(code, &sentence)).await;
            }
        }
        self.to = None;
        self.mute.send_replace(true);
    }

    async fn say(&mut self, reply: &Reply<'_>) {
        self.send(Message::text(json(reply))).await;
    }

    async fn send(&mut self, message: Message) {
        let Some(to) = &mut self.to else { return };
        let sent = timeout(PATIENCE, to.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            self.to = None;
            self.mute.send_replace(true);
        }
    }
}
