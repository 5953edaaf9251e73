//! The audio of a channel, through all of its recordings.
//!
//! FreeSWITCH writes a raw file; this reads what is appended. Before the recording's time limit the next one is begun, and
//! what both have is heard once ([`seam`]).

use std::io;
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::growing::{APPEARS, Growing, MOST};
use super::link::LinkError;
use super::options::{Options, Record};
use super::presence::Presence;
use super::recorder::Recorder;
use super::{layout, seam};
use crate::call::Format;
use crate::exchange::Refusal;

/// How often the file is looked at.
pub const LOOK: Duration = Duration::from_millis(100);
/// Seconds of a recording's end that are kept to find the seam in.
const TAIL: usize = 6;
/// Looks without anything new behind which a recording that was stopped is at its end.
const QUIET: u32 = 4;

/// Why a channel is not heard, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Unheard {
    #[error("the call cannot be recorded: {0}")]
    Link(#[from] LinkError),
    #[error(
        "FreeSWITCH records the call to {theirs}, but no {ours} appeared within {} s: is that the same folder (--record-dir here, --record-dir-fs there; a service with PrivateTmp=true has a /tmp of its own), and may FreeSWITCH write there?",
        APPEARS.as_secs()
    )]
    NoFile { theirs: String, ours: String },
    #[error(
        "the recording {path} cannot be read: {err}; run this program as FreeSWITCH's user, or in its group"
    )]
    Read { path: String, err: io::Error },
    #[error("the call is not heard: {0}")]
    Refused(#[from] Refusal),
}

pub struct Recording {
    recorder: Recorder,
    current: Growing,
    /// The one that follows, and how many bytes of it the current one has too, by the clock.
    next: Option<(Growing, usize)>,
    quiet: u32,
    format: Format,
    /// The end of what was read.
    tail: Vec<u8>,
    /// What was read and not given out yet.
    ahead: Vec<u8>,
}

impl Recording {
    /// Begins to record.
    pub async fn start(channel: Channel, options: &Options) -> Result<Recording, Unheard> {
        let mut recorder = Recorder::new(channel, options);
        Ok(Recording {
            current: recorder.begin().await?,
            recorder,
            next: None,
            quiet: 0,
            format: Format::default(),
            tail: Vec::new(),
            ahead: Vec::new(),
        })
    }

    /// Whether both directions may be in one.
    pub fn is_mixed(&self) -> bool {
        self.recorder.mixed
    }

    /// Waits for audio and finds out what it is. `None`: the call ended before any came.
    pub async fn format(&mut self, presence: &mut Presence) -> Result<Option<Format>, Unheard> {
        let rate = self.recorder.channel.get("read_rate").await?;
        let rate = rate.and_then(|rate| rate.parse().ok());
        let asked = match self.recorder.record {
            Record::Stereo => 2,
            _ => 1,
        };
        let possible = layout::possible(asked, asked == 1, rate);
        let mut growth = layout::Growth::since(self.current.began());
        loop {
            let length = self.current.length().await?;
            growth.note(Instant::now(), length);
            if (length > 0 && possible.len() == 1) || growth.rate().is_some() {
                break;
            }
            if presence.is_over() {
                // What was gathered is written when the file is closed.
                tokio::time::sleep(LOOK * QUIET).await;
                growth.note(Instant::now(), self.current.length().await?);
                break;
            }
            presence.wait(LOOK).await;
        }
        while self.ahead.len() < MOST && self.current.read(&mut self.ahead).await? > 0 {}
        if self.ahead.is_empty() {
            return Ok(None);
        }
        self.tail.clone_from(&self.ahead);
        self.format = layout::decide(&possible, growth.guess(), &self.ahead);
        if possible.first() != Some(&self.format) {
            tracing::warn!(
                call = self.recorder.channel.uuid(),
                "FreeSWITCH records {} Hz with {} channel(s) instead of what was asked for, and is heard so",
                self.format.rate,
                self.format.channels
            );
            self.recorder.mixed |= self.format.channels < asked;
        }
        Ok(Some(self.format))
    }

    /// What was appended since; empty: nothing.
    pub async fn read(&mut self) -> Result<Vec<u8>, Unheard> {
        if !self.ahead.is_empty() {
            return Ok(std::mem::take(&mut self.ahead));
        }
        let mut bytes = Vec::new();
        let read = self.current.read(&mut bytes).await?;
        if self.next.is_some() {
            self.quiet = if read == 0 { self.quiet + 1 } else { 0 };
            if self.quiet >= QUIET {
                self.go_over().await?;
            }
        }
        self.tail.extend_from_slice(&bytes);
        let second = self.second();
        if self.tail.len() > (TAIL + 2) * second {
            self.tail.drain(..self.tail.len() - TAIL * second);
        }
        Ok(bytes)
    }

    /// Whether the next recording should be begun: some time before FreeSWITCH ends this one.
    pub fn is_due(&self) -> bool {
        let limit = self.recorder.limit;
        let spare = (limit / 10).clamp(Duration::from_secs(2), Duration::from_secs(60));
        self.next.is_none() && self.current.began().elapsed() + spare >= limit
    }

    /// Whether FreeSWITCH has ended this one.
    pub fn is_past(&self) -> bool {
        self.current.began().elapsed() >= self.recorder.limit
    }

    /// Whether this is the file that is read.
    pub fn is(&self, path: &str) -> bool {
        self.next.is_none() && self.current.theirs() == path
    }

    /// Begins the next recording. `running`: the current one still runs, and both overlap.
    pub async fn succeed(&mut self, running: bool) -> Result<(), Unheard> {
        let mut next = self.recorder.begin().await?;
        let mut both = 0;
        if running {
            let since = Instant::now();
            // So much must be in both that the seam can be found.
            while (next.length().await? as usize) < self.second() / 2 && since.elapsed() < APPEARS {
                tokio::time::sleep(LOOK).await;
            }
            let stopped = self.recorder.channel.stop_recording(self.current.theirs());
            if let Err(err) = stopped.await {
                tracing::warn!(call = self.recorder.channel.uuid(), "{err}");
            }
            both = next.length().await? as usize;
        }
        (self.next, self.quiet) = (Some((next, both)), 0);
        Ok(())
    }

    /// The current recording has been read to its end: goes over to the next.
    async fn go_over(&mut self) -> Result<(), Unheard> {
        let Some((mut next, both)) = self.next.take() else {
            return Ok(());
        };
        let mut head = Vec::new();
        // A recording that is gathered before it is written is longer than the clock says.
        let most = (both + self.second()).min(TAIL * self.second());
        while both > 0 && head.len() < most && next.read(&mut head).await? > 0 {}
        let (tail, format) = (std::mem::take(&mut self.tail), self.format);
        let search = move || {
            let both = seam::overlap(&tail, &head, both, format);
            head.split_off(both.min(head.len()))
        };
        let rest = tokio::task::spawn_blocking(search).await;
        self.ahead = rest.unwrap_or_default();
        self.tail.clone_from(&self.ahead);
        tracing::debug!(
            call = self.recorder.channel.uuid(),
            "heard on in {}",
            next.theirs()
        );
        std::mem::replace(&mut self.current, next).remove();
        Ok(())
    }

    /// Bytes of a second.
    fn second(&self) -> usize {
        (self.format.rate * self.format.channels * 2) as usize
    }

    /// Stops recording, if the channel is still there, and removes the files.
    pub async fn end(self, channel_is_there: bool) {
        let files = [Some(self.current), self.next.map(|(next, _)| next)];
        for file in files.into_iter().flatten() {
            if channel_is_there {
                let stop = self.recorder.channel.stop_recording(file.theirs());
                let stopped = tokio::time::timeout(Duration::from_secs(3), stop).await;
                if let Ok(Err(err)) = stopped {
                    tracing::debug!(call = self.recorder.channel.uuid(), "{err}");
                }
            }
            file.remove();
        }
    }
}
