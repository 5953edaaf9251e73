//! The audio of a stream that waits for a pass, and where its passes are cut. No threads, no clock of its own.

use std::collections::VecDeque;
use std::time::Instant;

use super::Pace;
use crate::policy::Samples;
use crate::whisper::{FRAME, SAMPLE_RATE};

/// What a pusher brings.
pub(super) enum Audio<'a> {
    Samples(&'a [i16]),
    Silence(u64),
}

impl Audio<'_> {
    fn len(&self) -> u64 {
        match self {
            Audio::Samples(samples) => samples.len() as u64,
            Audio::Silence(samples) => *samples,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets `n` samples at the front.
    fn skip(&mut self, n: u64) {
        match self {
            Audio::Samples(samples) => {
                let n = usize::try_from(n).unwrap_or(usize::MAX).min(samples.len());
                *samples = samples.get(n..).unwrap_or(&[]);
            }
            Audio::Silence(samples) => *samples = samples.saturating_sub(n),
        }
    }

    /// Moves `n` samples from the front to the back of `queue`.
    fn pour(&mut self, n: usize, queue: &mut VecDeque<i16>) {
        match self {
            Audio::Samples(samples) => queue.extend(samples.iter().take(n)),
            Audio::Silence(_) => queue.resize(queue.len() + n, 0),
        }
        self.skip(n as u64);
    }
}

/// What there is to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Take {
    /// A pass over what the stream holds with `samples` behind it.
    Chunk {
        samples: Vec<f32>,
        /// Stream position behind them.
        end: Samples,
        /// When the last of them arrived.
        arrived: Option<Instant>,
        /// A drain waits for this pass; `samples` may be empty.
        is_last: bool,
    },
    /// Audio was dropped behind `end`, the last sample taken: end the utterance, then call [`Inbox::mend`].
    Hole { end: Samples },
}

/// Bounded in both paces: exact refuses what does not fit, live drops the oldest.
pub(super) struct Inbox {
    pace: Pace,
    chunk: usize,
    capacity: usize,
    queue: VecDeque<i16>,
    /// Position of the queue's first sample.
    start: Samples,
    /// Position behind the last sample taken; less than `start` where audio was dropped.
    taken: Samples,
    /// Positions up to which a drain waits, in order.
    drains: VecDeque<Samples>,
    arrivals: VecDeque<(Samples, Instant)>,
    dropped: u64,
}

/// Two pushes closer together than this share their time of arrival (10 ms).
const ARRIVAL_GRAIN: u64 = SAMPLE_RATE as u64 / 100;

impl Inbox {
    /// `chunk` and `max` (the longest backlog of a live stream) in samples.
    pub(super) fn new(pace: Pace, chunk: usize, max: usize) -> Inbox {
        let chunk = chunk.max(1);
        let capacity = match pace {
            Pace::Exact => (2 * chunk).max(SAMPLE_RATE),
            Pace::Live => max.max(chunk),
        };
        Inbox {
            pace,
            chunk,
            capacity,
            queue: VecDeque::new(),
            start: 0,
            taken: 0,
            drains: VecDeque::new(),
            arrivals: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Cuts live passes at `chunk` samples from now on. Exact ones stay where they are.
    pub(super) fn cut_at(&mut self, chunk: usize) {
        if self.pace == Pace::Live {
            self.chunk = chunk.clamp(1, self.capacity);
        }
    }

    /// Stream position behind the last sample accepted.
    pub(super) fn position(&self) -> Samples {
        self.start.saturating_add(self.queue.len() as u64)
    }

    /// Stream position behind the last sample taken: where the policy stands, or is to stand after a reset.
    pub(super) fn taken(&self) -> Samples {
        self.taken
    }

    /// Samples that wait.
    pub(super) fn backlog(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<i16>()
            + self.arrivals.capacity() * size_of::<(Samples, Instant)>()
    }

    /// Samples dropped since the stream began.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes in what fits (exact) or all of it, at the cost of the oldest (live); what is left in `audio` must wait.
    pub(super) fn append(&mut self, audio: &mut Audio, now: Instant) {
        let room = self.capacity.saturating_sub(self.queue.len()) as u64;
        let fits = match self.pace {
            Pace::Exact => audio.len().min(room),
            Pace::Live => {
                self.drop_oldest(audio, audio.len().saturating_sub(room));
                audio.len()
            }
        };
        if fits == 0 {
            return;
        }
        audio.pour(fits as usize, &mut self.queue);
        let end = self.position();
        let before_last = self.arrivals.iter().rev().nth(1).map_or(0, |mark| mark.0);
        match self.arrivals.back_mut() {
            Some(last) if end - before_last.max(self.start) < ARRIVAL_GRAIN => *last = (end, now),
            _ => self.arrivals.push_back((end, now)),
        }
    }

    /// Drops `n` samples: of the queue first, then of what is about to join it.
    fn drop_oldest(&mut self, audio: &mut Audio, n: u64) {
        let queued = n.min(self.queue.len() as u64);
        self.queue.drain(..queued as usize);
        audio.skip(n - queued);
        self.start = self.start.saturating_add(n);
        self.dropped = self.dropped.saturating_add(n);
        self.forget_arrivals(self.start);
    }

    /// Asks for a last pass at the present position.
    pub(super) fn drain(&mut self) {
        self.drains.push_back(self.position());
    }

    /// The drain whose last pass was taken is done.
    pub(super) fn drained(&mut self) {
        self.drains.pop_front();
    }

    pub(super) fn drains(&self) -> u64 {
        self.drains.len() as u64
    }

    /// Whether [`take`](Self::take) would bring something.
    pub(super) fn is_ready(&self) -> bool {
        let waiting = self.queue.len();
        !self.drains.is_empty()
            || self.start > self.taken
            || match self.pace {
                Pace::Exact => waiting > self.chunk,
                Pace::Live => waiting >= self.chunk,
            }
    }

    /// The next chunk, if it is time for one.
    pub(super) fn take(&mut self) -> Option<Take> {
        if !self.is_ready() {
            return None;
        }
        if self.start > self.taken {
            return Some(Take::Hole { end: self.taken });
        }
        let (n, is_last) = match self.drains.front() {
            Some(edge) => {
                let before = edge.saturating_sub(self.start).min(self.backlog()) as usize;
                match self.pace {
                    Pace::Exact if before > self.chunk => (self.chunk, false),
                    _ => (before, true),
                }
            }
            None => (self.next_chunk(), false),
        };
        let samples: Vec<f32> = self
            .queue
            .drain(..n)
            .map(|s| f32::from(s) / 32768.0)
            .collect();
        self.start += n as u64;
        self.taken = self.start;
        let arrived = self.forget_arrivals(self.taken).filter(|_| n > 0);
        Some(Take::Chunk {
            samples,
            end: self.taken,
            arrived,
            is_last,
        })
    }

    /// Exact: one chunk. Live: all there is, cut at whole encoder frames, so that a later scroll of the window leaves
    /// the log-mel frames where they were.
    fn next_chunk(&self) -> usize {
        let waiting = self.queue.len();
        match self.pace {
            Pace::Exact => self.chunk.min(waiting),
            Pace::Live => (waiting - waiting % FRAME).max(self.chunk.min(waiting)),
        }
    }

    /// Goes on behind the hole; returns its start and length.
    pub(super) fn mend(&mut self) -> (Samples, u64) {
        let hole = (self.taken, self.start.saturating_sub(self.taken));
        self.taken = self.start;
        hole
    }

    /// Forgets what waits, drains included; the position stays.
    pub(super) fn clear(&mut self) {
        self.start = self.position();
        self.taken = self.start;
        self.queue.clear();
        self.drains.clear();
        self.arrivals.clear();
    }

    /// Forgets the arrivals of what lies before `position`; returns when the sample before it came.
    fn forget_arrivals(&mut self, position: Samples) -> Option<Instant> {
        let mut arrived = None;
        while let Some(&(end, at)) = self.arrivals.front() {
            arrived = Some(at);
            if end > position {
                break;
            }
            self.arrivals.pop_front();
            if end == position {
                break;
            }
        }
        arrived
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
