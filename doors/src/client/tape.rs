//! What was heard and may be needed again, bounded.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{RATE, duration};

/// Bytes of a sample.
const SAMPLE: usize = 2;

/// Between whoever hears and whoever sends. Positions are samples of the stream.
pub struct Tape {
    inner: Mutex<Inner>,
    /// There is something new to send.
    news: Notify,
    /// There is room again.
    room: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct Inner {
    bytes: VecDeque<u8>,
    /// Position of the first sample held.
    base: u64,
    /// What nobody will ask for again ends here.
    kept_from: u64,
    /// Sent up to here by the last connection; and by the one there is, if there is one.
    sent: u64,
    sending: Option<u64>,
    /// Where a flush was asked for, in order.
    flushes: VecDeque<u64>,
    ended: bool,
    failure: Option<String>,
}

/// What to send next.
#[derive(Debug, PartialEq)]
pub enum Next {
    Audio(Vec<u8>),
    Flush,
    End,
    /// What should come next is not on the tape any more.
    Gone,
}

/// Flushes that are remembered; nobody presses Enter more often.
const FLUSHES: usize = 1024;

impl Tape {
    /// Holds `most` of audio.
    pub fn new(most: Duration) -> Tape {
        let samples = most.as_millis() as u64 * RATE / 1000;
        Tape {
            inner: Mutex::default(),
            news: Notify::new(),
            room: Condvar::new(),
            capacity: usize::try_from(samples).unwrap_or(usize::MAX / 4).max(1) * SAMPLE,
        }
    }

    /// Records. Where it is full the oldest goes; or, with `wait`, this waits until some of it is not needed any more, but
    /// not for a server that has heard all of it. False: nothing more is wanted.
    pub fn record(&self, mut bytes: &[u8], wait: bool) -> bool {
        let mut inner = self.lock();
        while !bytes.is_empty() {
            let full = inner.bytes.len() >= self.capacity;
            if inner.ended {
                return false;
            }
            if full && wait && inner.sending != Some(inner.end()) {
                inner = self
                    .room
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if full {
                inner.drop_front((bytes.len() / SAMPLE).clamp(1, 1600));
            }
            let free = self.capacity.saturating_sub(inner.bytes.len());
            let (now, later) = bytes.split_at(bytes.len().min(free));
            inner.bytes.extend(now);
            bytes = later;
            self.news.notify_waiters();
        }
        !inner.ended
    }

    /// Nothing more comes. `failure`: why.
    pub fn end(&self, failure: Option<String>) {
        let mut inner = self.lock();
        if !inner.ended {
            inner.ended = true;
            inner.failure = failure;
        }
        drop(inner);
        self.room.notify_all();
        self.news.notify_waiters();
    }

    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// All that was recorded so far is wanted at once.
    pub fn flush(&self) {
        let mut inner = self.lock();
        let end = inner.end();
        if inner.flushes.len() < FLUSHES && inner.flushes.back() != Some(&end) {
            inner.flushes.push_back(end);
        }
        drop(inner);
        self.news.notify_waiters();
    }

    /// Nothing before `position` is needed again.
    pub fn forget(&self, position: Duration) {
        let position = samples(position);
        let mut inner = self.lock();
        inner.kept_from = inner.kept_from.max(position);
        let old = position.saturating_sub(inner.base);
        inner.drop_front(usize::try_from(old).unwrap_or(usize::MAX));
        let kept = inner.kept_from;
        inner.flushes.retain(|flush| *flush > kept);
        drop(inner);
        self.room.notify_all();
    }

    /// Where a connection begins that should begin at `position`, and how much of that is lost.
    pub fn rewind(&self, position: Duration) -> (Duration, Duration) {
        let mut inner = self.lock();
        let wanted = samples(position);
        // To whole milliseconds, in which servers are told of it.
        let base = inner.base.div_ceil(RATE / 1000) * (RATE / 1000);
        let start = if wanted < inner.base { base } else { wanted };
        let start = start.min(inner.end().max(wanted));
        inner.sent = start;
        (duration(start), duration(start - wanted))
    }

    /// What follows `position`, a tenth of a second at most. Waits for it.
    pub async fn next(&self, position: u64, flushed: Option<u64>) -> Next {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // Whatever comes from here on wakes it up.
            news.as_mut().enable();
            if let Some(next) = self.lock().next(position, flushed) {
                return next;
            }
            news.await;
        }
    }

    /// Audio before `position` has left.
    pub fn note_sent(&self, position: u64) {
        let mut inner = self.lock();
        inner.sent = position;
        inner.sending = Some(position);
        drop(inner);
        self.room.notify_all();
    }

    /// The connection is gone.
    pub fn hung_up(&self) {
        self.lock().sending = None;
    }

    pub fn sent(&self) -> Duration {
        duration(self.lock().sent)
    }

    /// How much audio it holds at most.
    pub fn holds(&self) -> Duration {
        duration((self.capacity / SAMPLE) as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.base + (self.bytes.len() / SAMPLE) as u64
    }

    fn drop_front(&mut self, samples: usize) {
        let held = self.bytes.len() / SAMPLE;
        let n = samples.min(held);
        self.bytes.drain(..n * SAMPLE);
        self.base += n as u64;
    }

    fn next(&self, position: u64, flushed: Option<u64>) -> Option<Next> {
        if position < self.base {
            return Some(Next::Gone);
        }
        let done = flushed.map_or(0, |flushed| flushed + 1);
        let flush = self
            .flushes
            .iter()
            .find(|flush| **flush >= position && **flush >= done);
        if flush == Some(&position) {
            return Some(Next::Flush);
        }
        let until = flush.map_or(self.end(), |flush| self.end().min(*flush));
        let n = until.saturating_sub(position).min(RATE / 10);
        if n > 0 {
            let start = usize::try_from(position - self.base).ok()? * SAMPLE;
            let bytes = self.bytes.iter().skip(start).take(n as usize * SAMPLE);
            return Some(Next::Audio(bytes.copied().collect()));
        }
        self.ended.then_some(Next::End)
    }
}

/// Time as samples, to the nearest.
fn samples(time: Duration) -> u64 {
    let half = 500_000_000 / RATE;
    u64::try_from((time.as_nanos() + u128::from(half)) * u128::from(RATE) / 1_000_000_000)
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn what_was_recorded_is_read_from_anywhere_again() {
        let tape = Tape::new(ms(1_000));
        let audio: Vec<u8> = (0..6_400u32).map(|n| (n % 251) as u8).collect();
        assert!(tape.record(&audio, false));
        assert_eq!(
            tape.next(0, None).await,
            Next::Audio(audio[..3_200].to_vec())
        );
        assert_eq!(
            tape.next(1_600, None).await,
            Next::Audio(audio[3_200..].to_vec())
        );
        tape.forget(ms(100));
        assert_eq!(tape.next(1_599, None).await, Next::Gone);
        assert_eq!(
            tape.next(1_600, None).await,
            Next::Audio(audio[3_200..].to_vec())
        );
        tape.end(None);
        assert_eq!(tape.next(3_200, None).await, Next::End);
        assert!(!tape.record(&audio, false));
    }

    #[test]
    fn the_oldest_goes_and_that_is_told() {
        let tape = Tape::new(ms(1_000));
        for _ in 0..15 {
            tape.record(&[0; 3_200], false);
        }
        let (start, lost) = tape.rewind(ms(200));
        assert_eq!((start, lost), (ms(500), ms(300)));
        assert_eq!(tape.rewind(ms(700)), (ms(700), ms(0)));
        assert_eq!(tape.holds(), ms(1_000));
    }

    #[tokio::test]
    async fn a_flush_comes_behind_its_audio_and_again_after_a_rewind() {
        let tape = Tape::new(ms(1_000));
        tape.record(&[1; 3_200], false);
        tape.flush();
        tape.flush();
        tape.record(&[2; 3_200], false);
        for _ in 0..2 {
            assert_eq!(tape.next(0, None).await, Next::Audio(vec![1; 3_200]));
            assert_eq!(tape.next(1_600, None).await, Next::Flush);
            assert_eq!(
                tape.next(1_600, Some(1_600)).await,
                Next::Audio(vec![2; 3_200])
            );
        }
    }

    #[test]
    fn a_file_waits_for_room() {
        let tape = std::sync::Arc::new(Tape::new(ms(100)));
        let other = std::sync::Arc::clone(&tape);
        let writer = std::thread::spawn(move || other.record(&[0; 6_400], true));
        while tape.rewind(ms(0)).1 != ms(0) || tape.lock().bytes.len() < 3_200 {
            std::thread::yield_now();
        }
        tape.forget(ms(100));
        assert!(writer.join().unwrap());
        assert_eq!(tape.rewind(ms(100)), (ms(100), ms(0)));
        // And one that nobody wants is not waited for.
        let other = std::sync::Arc::clone(&tape);
        let writer = std::thread::spawn(move || other.record(&[0; 6_400], true));
        tape.end(None);
        assert!(!writer.join().unwrap());
    }
}
