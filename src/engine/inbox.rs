//! The audio of a stream that waits for a pass, and where its passes are cut. No threads, no clock of its own.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{NotResumed, Pace};
use crate::policy::Samples;
use crate::speech::{Boundary, Detection, Interruption};
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
        cut: Cut,
    },
    /// Nothing to hear, but something to tell: the stream has come to this mark.
    Mark(Mark),
    /// Audio was dropped behind `end`, the last sample taken: end the utterance, then call [`Inbox::mend`].
    Hole { end: Samples },
}

/// Why a chunk ends where it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cut {
    /// It is full (or, live, all there is).
    Full,
    /// Somebody wants to know what is being said, at this position; chunks go on as if nothing had been.
    Look,
    /// Speech has ended.
    SpeechEnd(Detection),
    /// A drain waits for this pass; there may be no samples.
    Last,
}

/// Something that became known of the audio, and up to which position it was heard for that. Between two samples, in
/// order with the passes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    Speech(Detection),
    Look(Samples),
    Interruption(Interruption),
}

impl Mark {
    fn at(&self) -> Samples {
        match self {
            Mark::Speech(detection) => detection.at,
            Mark::Look(at) => *at,
            Mark::Interruption(interruption) => interruption.at,
        }
    }

    /// Marks that end a chunk.
    fn cut(&self) -> Option<Cut> {
        match *self {
            Mark::Look(_) => Some(Cut::Look),
            Mark::Speech(detection) => match detection.boundary {
                Boundary::End { .. } => Some(Cut::SpeechEnd(detection)),
                Boundary::Start { .. } => None,
            },
            Mark::Interruption(_) => None,
        }
    }

    fn move_to(&mut self, position: Samples) {
        match self {
            Mark::Speech(detection) => detection.at = position,
            Mark::Look(at) => *at = position,
            Mark::Interruption(interruption) => interruption.at = position,
        }
    }
}

/// What [`Inbox::take`] takes next.
enum Next {
    Cut(Samples, Cut),
    Mark,
}

/// What waited when a stream was saved: less than a chunk, and nothing to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedInbox {
    start: Samples,
    grid: Samples,
    waiting: u64,
    samples: Vec<i16>,
}

impl SavedInbox {
    /// Stream position behind the last sample.
    pub(super) fn end(&self) -> Samples {
        self.start.saturating_add(self.waiting)
    }

    /// Leaves the samples out.
    pub(super) fn take_audio(&mut self) {
        self.samples = Vec::new();
    }

    /// Gives them back.
    pub(super) fn fill(&mut self, samples: Vec<i16>) {
        self.samples = samples;
    }
}

/// Bounded in both paces: exact refuses what does not fit; live drops the oldest, or refuses too where nobody minds to
/// wait ([`Inbox::wait`]).
pub(super) struct Inbox {
    pace: Pace,
    chunk: usize,
    capacity: usize,
    /// Live: what does not fit waits, instead of pushing out the oldest.
    waits: bool,
    queue: VecDeque<i16>,
    /// Position of the queue's first sample.
    start: Samples,
    /// Position behind the last sample taken; less than `start` where audio was dropped.
    taken: Samples,
    /// Exact chunks are counted from here.
    grid: Samples,
    /// Positions up to which a drain waits, in order.
    drains: VecDeque<Samples>,
    /// What is known of the audio that waits and of what comes next, in order.
    marks: VecDeque<Mark>,
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
            waits: pace == Pace::Exact,
            queue: VecDeque::new(),
            start: 0,
            taken: 0,
            grid: 0,
            drains: VecDeque::new(),
            marks: VecDeque::new(),
            arrivals: VecDeque::new(),
            dropped: 0,
        }
    }

    /// What waits, when no pass is due.
    pub(super) fn save(&self) -> SavedInbox {
        SavedInbox {
            start: self.start,
            grid: self.grid,
            waiting: self.backlog(),
            samples: self.queue.iter().copied().collect(),
        }
    }

    /// Holds what another held.
    pub(super) fn resume(&mut self, saved: SavedInbox) -> Result<(), NotResumed> {
        let (held, wanted) = (saved.samples.len() as u64, saved.waiting);
        if held != wanted || held > self.capacity as u64 {
            return Err(NotResumed::Audio { held, wanted });
        }
        self.queue = saved.samples.into();
        self.start = saved.start;
        self.taken = saved.start;
        self.grid = saved.grid;
        Ok(())
    }

    /// Live, from a source that can wait: holds it back instead of dropping what it brings. Two seconds or four chunks, the
    /// more of both, is what a pass may then find: no window is filled at once by a source that is faster than speech.
    pub(super) fn wait(&mut self) {
        self.waits = true;
        self.capacity = self.capacity.min((4 * self.chunk).max(2 * SAMPLE_RATE));
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
        let fits = match self.waits {
            true => audio.len().min(room),
            false => {
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
        // What was heard in it was heard all the same: speech that started goes on behind the hole.
        self.marks
            .retain(|mark| mark.at() > self.start || !matches!(mark, Mark::Look(_)));
        for mark in &mut self.marks {
            if mark.at() < self.start {
                mark.move_to(self.start);
            }
        }
    }

    /// Notes what is known of the audio that is appended next. Call it before that audio comes.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.push_back(mark);
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
        self.start > self.taken || self.next().is_some()
    }

    /// The next chunk or mark, if it is time for one.
    pub(super) fn take(&mut self) -> Option<Take> {
        if self.start > self.taken {
            return Some(Take::Hole { end: self.taken });
        }
        let (end, cut) = match self.next()? {
            Next::Cut(end, cut) => (end, cut),
            Next::Mark => return self.marks.pop_front().map(Take::Mark),
        };
        match cut {
            Cut::Look | Cut::SpeechEnd(_) => drop(self.marks.pop_front()),
            Cut::Last => self.grid = end,
            Cut::Full => {}
        }
        let n = end.saturating_sub(self.start).min(self.backlog()) as usize;
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
            cut,
        })
    }

    /// What comes first: the end of a full chunk, a mark, or a drain. Of those at one position, a mark that has only to
    /// be told goes before the pass, and the end of speech closes it.
    fn next(&self) -> Option<Next> {
        let mark = self
            .marks
            .front()
            .filter(|mark| mark.at() <= self.position());
        let drain = self.drains.front().map(|&edge| (edge, Cut::Last));
        let full = self.full().map(|end| (end, Cut::Full));
        // A drain takes the place of the full chunk that ends with it.
        let pass = match (drain, full) {
            (Some(drain), Some(full)) if full.0 < drain.0 => Some(full),
            (Some(drain), _) => Some(drain),
            (None, full) => full,
        };
        match (mark, pass) {
            (Some(mark), pass) if pass.is_none_or(|(end, _)| mark.at() <= end) => {
                Some(match mark.cut() {
                    Some(cut) => Next::Cut(mark.at(), cut),
                    None => Next::Mark,
                })
            }
            (_, pass) => pass.map(|(end, cut)| Next::Cut(end, cut)),
        }
    }

    /// Whether a mark ends a chunk within the audio that waits.
    fn is_cut(&self) -> bool {
        let here = |mark: &&Mark| mark.at() <= self.position();
        let mut marks = self.marks.iter().take_while(here);
        marks.any(|mark| mark.cut().is_some())
    }

    /// Where the next full chunk ends, if it is there. Exact: at a multiple of the chunk, whatever else was cut in
    /// between, once a sample behind it is there. Live: all there is, cut at whole encoder frames, so that a later scroll
    /// of the window leaves the log-mel frames where they were; what a drain or a mark
    /// cuts off is one chunk.
    fn full(&self) -> Option<Samples> {
        let chunk = self.chunk as u64;
        match self.pace {
            Pace::Exact => {
                let since = self.start.saturating_sub(self.grid);
                let end = self.start.saturating_add(chunk - since % chunk);
                (self.position() > end).then_some(end)
            }
            Pace::Live if !self.drains.is_empty() || self.is_cut() => None,
            Pace::Live => {
                let waiting = self.backlog();
                let whole = waiting - waiting % FRAME as u64;
                (waiting >= chunk).then(|| self.start.saturating_add(whole.max(chunk)))
            }
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
        self.grid = self.start;
        self.queue.clear();
        self.drains.clear();
        self.marks.clear();
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
