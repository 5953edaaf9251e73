//! A client's audio on its way into the call, and again into the one that takes its place.
//!
//! At `pace=exact`, for a client that asked for acknowledgements, the call begins anew at each position acknowledged. By
//! then it has been fed some of what follows; that is kept here, and fed again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::call::{Feed, Format};

/// A call that is to take the place of the present one: its feed, and where it begins.
pub type Renewal = (Feed, Duration);

/// Audio kept behind what was fed: all that a call can have been given and not told of yet (its queues hold some 3 s, the
/// longest pause that ends speech is 10 s).
const KEPT: Duration = Duration::from_secs(30);
/// Fed at a time.
const PIECE: Duration = Duration::from_millis(100);

pub struct Retake {
    feed: Option<Feed>,
    /// Unless the call never begins anew.
    renewals: Option<mpsc::Receiver<Renewal>>,
    format: Format,
    /// Where the stream begins.
    start: Duration,
    kept: VecDeque<u8>,
    /// Bytes of the stream before those kept, and before those still to be fed.
    before: u64,
    fed: u64,
    /// Where flushes were asked for, in bytes.
    flushes: VecDeque<(u64, String)>,
    /// No more audio comes.
    complete: bool,
}

impl Retake {
    pub fn new(
        feed: Feed,
        renewals: Option<mpsc::Receiver<Renewal>>,
        format: Format,
        start: Duration,
    ) -> Retake {
        Retake {
            feed: Some(feed),
            renewals,
            format,
            start,
            kept: VecDeque::new(),
            before: 0,
            fed: 0,
            flushes: VecDeque::new(),
            complete: false,
        }
    }

    /// Audio may come.
    pub fn is_open(&self) -> bool {
        !self.complete
    }

    /// Feeds it to the call. That the call has ended is told by its events.
    pub async fn push(&mut self, audio: &[u8]) {
        if self.renewals.is_none() {
            if let Some(feed) = &mut self.feed {
                let _ = feed.push(audio).await;
            }
            return;
        }
        self.kept.extend(audio);
        self.feed_kept().await;
    }

    /// If the call has ended, its events say so.
    pub fn flush(&mut self, marker: &str) {
        if self.renewals.is_some() {
            self.flushes.push_back((self.end(), marker.to_owned()));
        }
        if let Some(feed) = &self.feed {
            let _ = feed.flush(marker);
        }
    }

    /// The client has said all.
    pub fn finish(&mut self) {
        self.complete = true;
        if let Some(feed) = self.feed.take() {
            feed.end();
        }
    }

    /// Waits until the call begins anew. Never, if it does not.
    pub async fn renewed(&mut self) -> Renewal {
        match &mut self.renewals {
            Some(renewals) => match renewals.recv().await {
                Some(renewal) => renewal,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Goes on with the new call: feeds it what it has to hear again.
    pub async fn retake(&mut self, renewal: Renewal) {
        self.take(renewal);
        self.feed_kept().await;
    }

    fn take(&mut self, (feed, start): Renewal) {
        let ms = start.saturating_sub(self.start).as_millis();
        let frames = ms * u128::from(self.format.rate) / 1000;
        let bytes = u64::try_from(frames).unwrap_or(u64::MAX) * self.format.frame() as u64;
        self.fed = bytes.clamp(self.before, self.end());
        self.feed = Some(feed);
        let fed = self.fed;
        self.flushes.retain(|(at, _)| *at > fed);
    }

    fn end(&self) -> u64 {
        self.before + self.kept.len() as u64
    }

    /// All that is there, from where the present call has to be fed on.
    async fn feed_kept(&mut self) {
        while self.fed < self.end() {
            let flush = self
                .flushes
                .iter()
                .map(|(at, _)| *at)
                .find(|at| *at > self.fed);
            let piece = self.bytes(PIECE) as u64;
            let until = self
                .end()
                .min(self.fed + piece)
                .min(flush.unwrap_or(u64::MAX));
            let skip = (self.fed - self.before) as usize;
            let audio: Vec<u8> = self
                .kept
                .iter()
                .skip(skip)
                .take((until - self.fed) as usize)
                .copied()
                .collect();
            let (Some(feed), Some(renewals)) = (&mut self.feed, &mut self.renewals) else {
                break;
            };
            // One that has ended is replaced, or nothing is ever heard again.
            let pushing = async {
                if feed.push(&audio).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                renewal = renewals.recv() => {
                    match renewal {
                        Some(renewal) => self.take(renewal),
                        None => self.renewals = None,
                    }
                    continue;
                }
                () = pushing => self.fed = until,
            }
            let due = self.flushes.iter().filter(|(at, _)| *at == until);
            if let Some(feed) = &self.feed {
                for (_, marker) in due {
                    let _ = feed.flush(marker);
                }
            }
        }
        if self.complete
            && let Some(feed) = self.feed.take()
        {
            feed.end();
        }
        let old = (self.fed - self.before).saturating_sub(self.bytes(KEPT) as u64);
        self.kept.drain(..old as usize);
        self.before += old;
        let before = self.before;
        self.flushes.retain(|(at, _)| *at >= before);
    }

    /// Bytes of so much audio.
    fn bytes(&self, time: Duration) -> usize {
        (time.as_millis() as usize * self.format.rate as usize / 1000).max(1) * self.format.frame()
    }
}
