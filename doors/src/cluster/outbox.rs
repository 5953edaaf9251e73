//! A leg's audio on its way to JetStream: cut into pieces, numbered, kept until it is stored.
//!
//! Bounded: while JetStream is away the pieces wait here, and when there are too many so does who brings more, up to the
//! client's socket. All go in their order: what follows a piece that was not stored is sent again, and the worker drops what
//! it has.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

use super::message::{Audio, BEHIND, Bytes, PIECE};
use super::{AGAIN, Cluster};
use crate::metrics::ClusterFigures;

/// Bytes that wait at most: a minute of audio.
pub const MOST: usize = 60 * 32_000;
/// Pieces on their way at a time.
const WINDOW: usize = 32;
/// A piece that does not fill is sent as it is after this.
const LINGER: Duration = Duration::from_millis(120);
/// So often a leg says that it is there, when it says nothing else.
const KEEP: Duration = Duration::from_secs(10);
/// A sample at 16 kHz, in ns.
const SAMPLE: u64 = 62_500;

#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

struct Inner {
    pieces: Mutex<Pieces>,
    /// Something left, or it is over.
    room: Condvar,
    /// Something came.
    came: Notify,
    /// The beginning is stored, or will not be.
    begun: watch::Sender<Option<bool>>,
    figures: ClusterFigures,
}

#[derive(Default)]
struct Pieces {
    /// Not known to be stored, oldest first; the last one has number `next - 1`.
    waiting: VecDeque<Audio>,
    next: u64,
    bytes: usize,
    /// The piece that fills.
    piece: Vec<u8>,
    began: Option<Instant>,
    /// Samples taken so far, those of `piece` among them.
    samples: u64,
    /// Running time behind them, in ns.
    time: u64,
    /// Nothing may follow.
    is_closed: bool,
    /// Nothing is sent any more.
    is_over: bool,
}

impl Pieces {
    /// Ends the piece that fills.
    fn seal(&mut self) {
        self.began = None;
        if self.piece.is_empty() {
            return;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.piece));
        let samples = (bytes.len() / 2) as u64;
        self.push(Audio::Samples {
            sample: self.samples.saturating_sub(samples),
            time: self.time.saturating_sub(samples * SAMPLE),
            bytes,
        });
    }

    fn push(&mut self, audio: Audio) {
        self.waiting.push_back(audio);
        self.next += 1;
    }

    /// Takes whole samples that begin at `at`, in ns.
    fn take(&mut self, mut audio: &[u8], at: u64) {
        if self.time.abs_diff(at) > SAMPLE {
            self.seal();
            self.time = at;
        }
        self.bytes += audio.len();
        while !audio.is_empty() {
            let filled = (self.samples as usize + PIECE - BEHIND) % PIECE;
            let (head, rest) = audio.split_at(audio.len().min((PIECE - filled) * 2));
            self.piece.extend_from_slice(head);
            let samples = (head.len() / 2) as u64;
            self.samples += samples;
            self.time = self.time.saturating_add(samples * SAMPLE);
            match filled + head.len() / 2 >= PIECE {
                true => self.seal(),
                false => {
                    self.began.get_or_insert_with(Instant::now);
                }
            }
            audio = rest;
        }
    }

    /// The oldest are stored; returns how many bytes that were.
    fn stored(&mut self) -> usize {
        let bytes = match self.waiting.pop_front() {
            Some(Audio::Samples { bytes, .. }) => bytes.len(),
            _ => 0,
        };
        self.bytes = self.bytes.saturating_sub(bytes);
        bytes
    }
}

/// What is told of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// JetStream does not take it, for this reason.
    Began(String),
    /// It does again; it lasted so long.
    Over(Duration),
}

impl Outbox {
    /// Its first message is the leg's beginning.
    pub fn new(begin: Audio, start: Duration, figures: ClusterFigures) -> Outbox {
        let mut pieces = Pieces {
            time: super::wire::ns(start),
            ..Pieces::default()
        };
        pieces.push(begin);
        Outbox {
            inner: Arc::new(Inner {
                pieces: Mutex::new(pieces),
                room: Condvar::new(),
                came: Notify::new(),
                begun: watch::Sender::new(None),
                figures,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        let pieces = self.inner.pieces.lock();
        pieces.unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes whole samples that begin at `at` in the stream; waits while too many are here. `false`: it is over.
    pub fn audio(&self, audio: &[u8], at: Duration) -> bool {
        let mut pieces = self.lock();
        while pieces.bytes > MOST && !pieces.is_closed {
            let woken = self.inner.room.wait(pieces);
            pieces = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if pieces.is_closed {
            return false;
        }
        let whole = audio.get(..audio.len() / 2 * 2).unwrap_or_default();
        pieces.take(whole, super::wire::ns(at));
        self.inner.figures.buffers(whole.len() as i64);
        drop(pieces);
        self.inner.came.notify_one();
        true
    }

    /// Something in its place behind the audio.
    pub fn ask(&self, audio: Audio) {
        let mut pieces = self.lock();
        if pieces.is_closed {
            return;
        }
        pieces.seal();
        pieces.is_closed = matches!(audio, Audio::End | Audio::Cancel);
        pieces.push(audio);
        drop(pieces);
        self.inner.room.notify_all();
        self.inner.came.notify_one();
    }

    /// Nobody wants to know any more: what waits is dropped, and the worker hears of it.
    pub fn cancel(&self) {
        let mut pieces = self.lock();
        if pieces.is_over || matches!(pieces.waiting.back(), Some(Audio::Cancel)) {
            return;
        }
        pieces.seal();
        pieces.is_closed = true;
        pieces.push(Audio::Cancel);
        drop(pieces);
        self.inner.room.notify_all();
        self.inner.came.notify_one();
    }

    /// Nothing is sent any more.
    pub fn close(&self) {
        let mut pieces = self.lock();
        pieces.is_closed = true;
        pieces.is_over = true;
        pieces.waiting.clear();
        self.inner
            .begun
            .send_if_modified(|begun| begun.is_none() && begun.replace(false).is_none());
        self.inner.figures.buffers(-(pieces.bytes as i64));
        pieces.bytes = 0;
        drop(pieces);
        self.inner.room.notify_all();
        self.inner.came.notify_one();
    }

    /// The message of that number, if it is there; its being over.
    fn message(&self, number: u64) -> Option<Audio> {
        let pieces = self.lock();
        let oldest = pieces.next - pieces.waiting.len() as u64;
        let at = usize::try_from(number.checked_sub(oldest)?).ok()?;
        pieces.waiting.get(at).cloned()
    }

    fn is_done(&self) -> bool {
        let pieces = self.lock();
        pieces.is_over || (pieces.is_closed && pieces.waiting.is_empty())
    }

    /// Sends until all is stored, or it is [closed](Self::close). `tell` is told of trouble on the way.
    pub async fn send(self, cluster: Cluster, subject: String, tell: impl Fn(Trouble) + Send) {
        let mut on_their_way: VecDeque<BoxFuture<'static, _>> = VecDeque::new();
        let (mut next, mut stored) = (0, 0);
        let mut trouble: Option<(Instant, String)> = None;
        let mut spoke = Instant::now();
        while !self.is_done() {
            let mut failed = None;
            while on_their_way.len() < WINDOW
                && let Some(audio) = self.message(next)
            {
                let (headers, contents) = audio.write(next);
                let message = PublishMessage::build().headers(headers).payload(contents);
                spoke = Instant::now();
                match cluster
                    .jetstream
                    .send_publish(subject.clone(), message)
                    .await
                {
                    Ok(answer) => on_their_way.push_back(Box::pin(answer.into_future())),
                    Err(err) => {
                        failed = Some(err);
                        break;
                    }
                }
                next += 1;
            }
            if failed.is_none() {
                let answer = async {
                    match on_their_way.front_mut() {
                        Some(answer) => Some(answer.await),
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    answer = answer => match answer {
                        Some(Ok(_)) => {
                            on_their_way.pop_front();
                            stored += 1;
                            self.stored();
                            if let Some((since, _)) = trouble.take() {
                                tell(Trouble::Over(since.elapsed()));
                            }
                        }
                        Some(Err(err)) => failed = Some(err),
                        None => {}
                    },
                    () = self.inner.came.notified() => {}
                    () = tokio::time::sleep(LINGER) => self.linger(&mut spoke),
                }
            }
            if let Some(err) = failed {
                self.inner.figures.resent.inc();
                let (since, known) = trouble.unzip();
                let reason = reason(&err);
                // One reason may give way to another.
                if known.as_ref() != Some(&reason) {
                    tell(Trouble::Began(reason.clone()));
                }
                trouble = Some((since.unwrap_or_else(Instant::now), reason));
                on_their_way.clear();
                next = stored;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Waits until the leg's beginning is stored, for so long. `false`: it is not.
    pub async fn begun(&self, patience: Duration) -> bool {
        let mut begun = self.inner.begun.subscribe();
        let known = begun.wait_for(Option::is_some);
        let known = tokio::time::timeout(patience, known).await;
        matches!(known, Ok(Ok(begun)) if *begun == Some(true))
    }

    fn stored(&self) {
        self.inner
            .begun
            .send_if_modified(|begun| begun.replace(true).is_none());
        let bytes = self.lock().stored();
        self.inner.figures.buffers(-(bytes as i64));
        self.inner.room.notify_all();
    }

    fn linger(&self, spoke: &mut Instant) {
        let mut pieces = self.lock();
        if pieces.began.is_some_and(|began| began.elapsed() >= LINGER) {
            pieces.seal();
        }
        if spoke.elapsed() >= KEEP && pieces.waiting.is_empty() && !pieces.is_closed {
            *spoke = Instant::now();
            pieces.push(Audio::Keep);
        }
    }
}

fn reason(err: &PublishError) -> String {
    let source = std::error::Error::source(err).map(ToString::to_string);
    match err.kind() {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
            "the NATS server does not answer".into()
        }
        PublishErrorKind::StreamNotFound => "its stream is not there, or has no leader".into(),
        _ => source.unwrap_or_else(|| err.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(outbox: &Outbox) -> Vec<Audio> {
        let pieces = outbox.lock();
        pieces.waiting.iter().skip(1).cloned().collect()
    }

    fn outbox() -> Outbox {
        Outbox::new(Audio::Keep, Duration::ZERO, ClusterFigures::default())
    }

    fn lengths(sent: &[Audio]) -> Vec<(u64, u64, usize)> {
        let pieces = sent.iter().map(|audio| match audio {
            Audio::Samples {
                sample,
                time,
                bytes,
            } => (*sample, time / 1_000_000, bytes.len() / 2),
            _ => (0, 0, 0),
        });
        pieces.collect()
    }

    #[test]
    fn audio_is_cut_behind_where_passes_begin_however_it_comes() {
        let audio: Vec<u8> = (0..16_000_u32).map(|i| i as u8).collect();
        for step in [2, 320, 3_198, 3_200, 16_000] {
            let outbox = outbox();
            for (number, part) in audio.chunks(step).enumerate() {
                let at = Duration::from_nanos((number * step / 2) as u64 * SAMPLE);
                assert!(outbox.audio(part, at));
            }
            let sent = sent(&outbox);
            assert_eq!(
                lengths(&sent),
                [
                    (0, 0, 320),
                    (320, 20, 1_600),
                    (1_920, 120, 1_600),
                    (3_520, 220, 1_600),
                    (5_120, 320, 1_600)
                ],
                "{step}"
            );
            let bytes = sent.iter().flat_map(|audio| match audio {
                Audio::Samples { bytes, .. } => bytes.to_vec(),
                _ => Vec::new(),
            });
            assert_eq!(bytes.collect::<Vec<_>>(), audio[..2 * 6_720]);
        }
    }

    #[test]
    fn holes_and_questions_keep_their_place() {
        let outbox = outbox();
        let ms = Duration::from_millis;
        assert!(outbox.audio(&[0; 640], ms(0)));
        assert!(outbox.audio(&[0; 640], ms(500)));
        outbox.ask(Audio::Flush { marker: "m".into() });
        assert!(outbox.audio(&[0; 640], ms(520)));
        outbox.ask(Audio::End);
        assert!(!outbox.audio(&[0; 640], ms(540)), "it has ended");
        outbox.ask(Audio::Flush { marker: "n".into() });
        let sent = sent(&outbox);
        assert_eq!(sent.len(), 5);
        assert_eq!(
            lengths(&sent),
            [
                (0, 0, 320),
                (320, 500, 320),
                (0, 0, 0),
                (640, 520, 320),
                (0, 0, 0)
            ]
        );
        assert_eq!(sent.last(), Some(&Audio::End));
    }

    #[test]
    fn who_brings_more_than_fits_waits_until_something_is_stored() {
        let figures = ClusterFigures::default();
        let outbox = Outbox::new(Audio::Keep, Duration::ZERO, figures.clone());
        assert!(outbox.audio(&vec![0; MOST + 3_200], Duration::ZERO));
        let waiting = outbox.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let taken = waiting.audio(&[0; 3_200], Duration::from_millis(60_100));
            tell.send(taken).unwrap();
        });
        assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
        for _ in 0..3 {
            outbox.stored();
        }
        assert_eq!(told.recv(), Ok(true));
        assert!(figures.buffered.get() > 59.0);
        outbox.close();
        assert!(!outbox.audio(&[0; 2], Duration::ZERO));
        assert!(figures.buffered.get().abs() < 1e-6);
        thread.join().unwrap();
    }
}
