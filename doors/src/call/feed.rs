//! The end of a call into which a door pushes audio.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use tokio::sync::Notify;

use super::media::Intake;
use super::queue::Tell;
use super::{Control, Format, Source, Wanted};

/// When which part of the stream had arrived, oldest first, for as long as words of it may be told.
pub(super) type Arrivals = Arc<Mutex<VecDeque<(Duration, Instant)>>>;

/// Arrivals closer together than this are one.
pub(super) const GRAIN: Duration = Duration::from_millis(20);
/// A minute of arrivals; a word comes sooner or its lag is told from there.
const MOST: usize = 3_000;

/// What of the stream has come.
#[derive(Clone, Default)]
pub(super) struct Heard {
    pub arrivals: Arrivals,
    /// ns
    received: Arc<AtomicU64>,
}

impl Heard {
    /// Audio of some length, up to `end` in the stream, came at that instant.
    pub fn note(&self, end: Duration, length: Duration, when: Instant) {
        let ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        self.received.fetch_add(ns, Ordering::Relaxed);
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let before_last = arrivals
            .len()
            .checked_sub(2)
            .and_then(|i| arrivals.get(i))
            .map_or(Duration::ZERO, |(end, _)| *end);
        match arrivals.back_mut() {
            Some(last) if end.saturating_sub(before_last) < GRAIN => *last = (end, when),
            _ => arrivals.push_back((end, when)),
        }
        if arrivals.len() > MOST {
            arrivals.pop_front();
        }
    }

    pub fn received(&self) -> Duration {
        Duration::from_nanos(self.received.load(Ordering::Relaxed))
    }
}

/// From the arrival of the audio at `position` to now.
pub(super) fn lag(arrivals: &Arrivals, position: Duration) -> Option<Duration> {
    let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    let at = arrivals.partition_point(|(end, _)| *end < position);
    let (_, when) = arrivals.get(at).or(arrivals.back())?;
    Some(when.elapsed())
}

/// The call is over; its events say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// Pushes audio into a call. Dropped without [`end`](Self::end), it ends the call as if the client had hung up: what is said
/// is still told.
pub struct Feed {
    entry: Option<gst_app::AppSrc>,
    format: Option<Format>,
    /// The bytes of a frame that is not whole yet.
    odd: Vec<u8>,
    /// Frames pushed since `origin`.
    frames: u64,
    origin: Duration,
    heard: Heard,
    /// Of a container's bytes.
    intake: Intake,
    tell: Tell,
    room: Arc<Notify>,
    /// Keeps the pipeline while audio may come.
    _control: Control,
}

/// Longest buffer: back-pressure is felt after each.
const PIECE: Duration = Duration::from_millis(100);

impl Feed {
    pub(super) fn new(
        entry: Option<gst_app::AppSrc>,
        wanted: &Wanted,
        tell: Tell,
        heard: Heard,
        intake: Intake,
        control: Control,
    ) -> Feed {
        let room = Arc::new(Notify::new());
        if let Some(entry) = &entry {
            let wake = Arc::clone(&room);
            let callbacks =
                gst_app::AppSrcCallbacks::builder().need_data(move |_, _| wake.notify_one());
            entry.set_callbacks(callbacks.build());
        }
        Feed {
            entry,
            format: match wanted.source {
                Source::Raw(format) => Some(format),
                _ => None,
            },
            odd: Vec::new(),
            frames: 0,
            origin: wanted.start,
            heard,
            intake,
            tell,
            room,
            _control: control,
        }
    }

    /// How much of the client's stream has been pushed (of raw audio).
    pub fn position(&self) -> Duration {
        let rate = u64::from(self.format.map_or(1, |format| format.rate).max(1));
        let (whole, rest) = (self.frames / rate, self.frames % rate);
        self.origin + Duration::from_secs(whole) + Duration::from_nanos(rest * 1_000_000_000 / rate)
    }

    /// Goes on at `position`, if that is ahead: what lies between was not sent, and is silence for the clock.
    pub fn jump(&mut self, position: Duration) {
        if position > self.position() {
            (self.origin, self.frames) = (position, 0);
            self.odd.clear();
        }
    }

    /// Pushes bytes, however they were cut. Waits while the call has enough to do or its events are not read: poll
    /// [`super::Events::next`] at the same time.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let Some(format) = self.format else {
            for piece in bytes.chunks(16 * 1024) {
                self.intake.pushed(piece.len());
                self.send(gst::Buffer::from_slice(piece.to_vec())).await?;
            }
            return Ok(());
        };
        let frame = format.frame().max(1);
        let piece =
            (u64::from(format.rate) * PIECE.as_millis() as u64 / 1000).max(1) as usize * frame;
        let mut rest = bytes;
        if !self.odd.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(frame - self.odd.len()));
            self.odd.extend_from_slice(head);
            rest = tail;
            if self.odd.len() < frame {
                return Ok(());
            }
            let whole = std::mem::take(&mut self.odd);
            self.send_frames(whole, frame).await?;
        }
        let (whole, odd) = rest.split_at(rest.len() - rest.len() % frame);
        self.odd = odd.to_vec();
        for piece in whole.chunks(piece) {
            self.send_frames(piece.to_vec(), frame).await?;
        }
        Ok(())
    }

    async fn send_frames(&mut self, bytes: Vec<u8>, frame: usize) -> Result<(), Ended> {
        let start = self.position();
        self.frames += (bytes.len() / frame) as u64;
        let end = self.position();
        let mut buffer = gst::Buffer::from_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(clock(start));
            buffer.set_duration(clock(end.saturating_sub(start)));
        }
        self.heard
            .note(end, end.saturating_sub(start), Instant::now());
        self.send(buffer).await
    }

    async fn send(&mut self, buffer: gst::Buffer) -> Result<(), Ended> {
        let entry = self
            .entry
            .as_ref()
            .filter(|_| !self.tell.is_deaf())
            .ok_or(Ended)?;
        entry.push_buffer(buffer).map_err(|_| Ended)?;
        self.tell.caught_up().await;
        let is_full = || match self.format {
            Some(_) => entry.current_level_time() >= entry.max_time(),
            None => entry.current_level_bytes() >= entry.max_bytes(),
        };
        while is_full() && !self.tell.is_deaf() {
            // It is woken when the queue has run empty; the clock is for one that is shut meanwhile.
            let _ = tokio::time::timeout(Duration::from_millis(50), self.room.notified()).await;
            if entry.current_state() < gst::State::Paused {
                return Err(Ended);
            }
        }
        Ok(())
    }

    /// Pushes whole frames that begin at `at`, whatever came before: who knows the time of each piece of audio.
    pub async fn push_at(&mut self, at: Duration, bytes: &[u8]) -> Result<(), Ended> {
        let Some(format) = self.format else {
            return self.push(bytes).await;
        };
        if at != self.position() {
            (self.origin, self.frames) = (at, 0);
        }
        let frame = format.frame().max(1);
        let whole = bytes.get(..bytes.len() - bytes.len() % frame);
        self.send_frames(whole.unwrap_or_default().to_vec(), frame)
            .await
    }

    /// Asks for the stream as it is behind all that was pushed: a message `whisperstream/saved` with `marker` tells it.
    pub fn save(&self, marker: &str) -> Result<(), Ended> {
        self.ask("whisperstream/save", marker)
    }

    /// Asks that all said up to here be told now; [`super::Event::Flushed`] with `marker` comes behind it.
    pub fn flush(&self, marker: &str) -> Result<(), Ended> {
        self.ask("whisperstream/flush", marker)
    }

    fn ask(&self, what: &str, marker: &str) -> Result<(), Ended> {
        let structure = gst::Structure::builder(what)
            // The strings of GLib end at a zero, and its bindings panic.
            .field("marker", marker.replace('\0', ""))
            .build();
        let entry = self.entry.as_ref().ok_or(Ended)?;
        // Serialized: it takes its place behind the audio that waits in the source.
        match entry.send_event(gst::event::CustomDownstream::new(structure)) {
            true => Ok(()),
            false => Err(Ended),
        }
    }

    /// No more audio comes: the tail is told, then [`super::Event::Ended`].
    pub fn end(mut self) {
        self.hang_up();
    }

    fn hang_up(&mut self) {
        if let Some(entry) = self.entry.take() {
            let _ = entry.end_of_stream();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// The largest stands for every time that GStreamer cannot count.
pub(super) fn clock(time: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(time).unwrap_or(gst::ClockTime::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_its_clock_time() {
        assert_eq!(clock(Duration::from_nanos(7)).nseconds(), 7);
        // GStreamer has this number for no time at all.
        assert_eq!(clock(Duration::from_nanos(u64::MAX)), gst::ClockTime::MAX);
        assert_eq!(clock(Duration::MAX), gst::ClockTime::MAX);
    }
}
