//! The streaming thread: buffers, holes and segments in, samples to the session, time to the timeline.

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, WhisperStream, lock};
use super::listener::language_tags;
use super::output::Format;
use super::timeline::{Join, duration_of, inside};
use crate::engine::{Session, Stopped};
use crate::policy::Samples;

/// Bytes of a sample.
const BYTES: u64 = 2;

/// What the streaming thread knows of its stream. Locked briefly, never over a push.
#[derive(Default)]
pub struct Input {
    /// Upstream's segment, or the one made up for it.
    pub segment: Option<gst::FormattedSegment<ClockTime>>,
    pub seqnum: Option<gst::Seqnum>,
    /// Upstream's segment is in time: buffers' timestamps mean something.
    is_timed: bool,
    /// The pace is decided.
    pub settled: bool,
    pub is_paced_live: bool,
    pub upstream_live: bool,
    pub upstream_latency: ClockTime,
    /// The first half of a sample whose second half is still to come.
    pub carry: Option<u8>,
    has_caps: bool,
    /// Position up to which passes are over, and of the last `stats` message.
    pub heard: Samples,
    pub stats_at: Samples,
    /// Position up to which downstream was told what is heard.
    pub ticked: Samples,
    told: Told,
}

/// Warnings that were given.
#[derive(Default)]
struct Told {
    odd: bool,
    raw: bool,
    backwards: bool,
}

impl Input {
    /// FLUSH_STOP: forgets the segment, not what was learned about upstream.
    pub fn flush(&mut self) {
        self.segment = None;
        self.carry = None;
    }
}

impl WhisperStream {
    pub(super) fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let session = self.ready_to_hear()?;
        let (segment, is_timed) = {
            let input = lock(&self.input);
            (input.segment.clone(), input.is_timed)
        };
        let map = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Read,
                (
                    "A buffer of {} bytes could not be mapped for reading",
                    buffer.size()
                )
            );
            gst::FlowError::Error
        })?;
        let count = map.len() as u64 / BYTES;
        let (samples, pts) = match (buffer.pts().filter(|_| is_timed), segment) {
            (Some(pts), Some(segment)) => match inside(&segment, pts, count) {
                Some((samples, pts)) => (samples, Some(pts)),
                None => return Ok(gst::FlowSuccess::Ok),
            },
            (pts, _) => (0..count, pts),
        };
        let start = (samples.start * BYTES) as usize;
        let end = match samples.end == count {
            // An odd byte behind the last sample is the beginning of the next.
            true => map.len(),
            false => (samples.end * BYTES) as usize,
        };
        let Some(bytes) = map.get(start..end).filter(|bytes| !bytes.is_empty()) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        if buffer.flags().contains(gst::BufferFlags::DISCONT) && is_timed {
            lock(&self.input).carry = None;
        }
        let join = lock(&self.timeline).join(pts);
        self.join(&session, join)?;
        let samples = self.samples(bytes, is_timed);
        let mut rest = samples.as_slice();
        while !rest.is_empty() {
            let (slice, behind) = rest.split_at(self.to_next_tick().min(rest.len()));
            lock(&self.timeline).advance(slice.len() as Samples);
            session.push(slice).map_err(flow)?;
            self.keep_up();
            self.tick(&session);
            rest = behind;
        }
        self.last_flow()
    }

    /// A GAP event: time passes, and the event goes no further.
    pub(super) fn gap(&self, gap: &gst::event::Gap) -> bool {
        let Ok(session) = self.ready_to_hear() else {
            return false;
        };
        let (pts, duration) = gap.get();
        let (is_timed, stop) = {
            let input = lock(&self.input);
            (
                input.is_timed,
                input.segment.as_ref().and_then(|segment| segment.stop()),
            )
        };
        if !is_timed {
            return true;
        }
        let duration = match (duration, stop) {
            // Nothing of it is in the segment.
            (_, Some(stop)) if pts >= stop => return true,
            (Some(duration), Some(stop)) => Some(duration.min(stop - pts)),
            (duration, _) => duration,
        };
        let join = lock(&self.timeline).hole(pts, duration);
        let joined = self.join(&session, join).is_ok();
        self.keep_up();
        joined
    }

    /// A SEGMENT: what came before is decided, then time starts afresh.
    pub(super) fn segment(&self, event: &gst::event::Segment) -> bool {
        if self.end() == Err(gst::FlowError::Flushing) {
            return false;
        }
        let segment = event.segment();
        if segment.rate() < 0.0 {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                (
                    "The segment plays backwards (rate {}): speech cannot be transcribed in reverse; seek with a \
                     positive rate",
                    segment.rate()
                )
            );
            return false;
        }
        let timed = segment.downcast_ref::<ClockTime>().cloned();
        let is_timed = timed.is_some();
        let segment = timed.unwrap_or_else(|| self.made_up(Some(segment)));
        self.begin(segment, is_timed, event.seqnum())
    }

    /// Starts `segment` on both sides.
    fn begin(
        &self,
        segment: gst::FormattedSegment<ClockTime>,
        is_timed: bool,
        seqnum: gst::Seqnum,
    ) -> bool {
        if !self.negotiate(true) {
            return false;
        }
        let start = segment.start().unwrap_or_default();
        {
            let mut timeline = lock(&self.timeline);
            let position = timeline.position();
            timeline.start(position, start);
        }
        {
            let mut input = lock(&self.input);
            input.segment = Some(segment.clone());
            input.seqnum = Some(seqnum);
            input.is_timed = is_timed;
            input.carry = None;
        }
        let lateness = lock(&self.settings).lateness();
        let mut speaker = lock(&self.speaker);
        let pushed = speaker.out.set_segment(segment, seqnum, lateness);
        drop(speaker);
        self.take_up();
        let mut speaker = lock(&self.speaker);
        if let Some(tags) = speaker.stream.language.as_deref().and_then(language_tags) {
            speaker.out.tag(tags);
        }
        pushed
    }

    /// A TIME segment in place of one in bytes, or of none: time is the count of samples.
    fn made_up(&self, bytes: Option<&gst::Segment>) -> gst::FormattedSegment<ClockTime> {
        let start = bytes
            .and_then(|segment| segment.downcast_ref::<gst::format::Bytes>())
            .and_then(|segment| segment.start())
            .map_or(ClockTime::ZERO, |bytes| duration_of(*bytes / BYTES));
        let before = lock(&self.input).segment.clone();
        let end = lock(&self.timeline).end();
        let mut segment = gst::FormattedSegment::new();
        segment.set_start(start);
        segment.set_time(start);
        segment.set_position(start);
        // Without a flush between them, the running time goes on.
        segment.set_base(
            before
                .and_then(|before| before.to_running_time(end))
                .unwrap_or_default(),
        );
        segment
    }

    /// Everything in place for data: caps, segment, pace, session.
    fn ready_to_hear(&self) -> Result<std::sync::Arc<Session>, gst::FlowError> {
        if self.is_flushing() {
            return Err(gst::FlowError::Flushing);
        }
        let session = self.settled_session()?;
        let (has_caps, has_segment) = {
            let input = lock(&self.input);
            (input.has_caps, input.segment.is_some())
        };
        if !has_caps && !std::mem::replace(&mut lock(&self.input).told.raw, true) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                ("The data has no caps: it is taken as raw PCM, S16LE, 16000 Hz, mono. If it is anything else, put \
                     a parser or decodebin, audioconvert and audioresample before whisperstream")
            );
        }
        if !has_segment {
            self.begin(self.made_up(None), false, gst::Seqnum::next());
        }
        if !self.negotiate(false) {
            return Err(gst::FlowError::NotNegotiated);
        }
        Ok(session)
    }

    /// Sink caps: only one shape passes the pad's template, so there is nothing to read from them.
    pub(super) fn caps(&self) -> bool {
        lock(&self.input).has_caps = true;
        self.drain() != Err(gst::FlowError::Flushing) && self.negotiate(true)
    }

    /// Chooses the src caps with downstream: when there are none, when `now`, or when downstream asks for it.
    fn negotiate(&self, now: bool) -> bool {
        let asked = self.srcpad().check_reconfigure();
        if !(now || asked) && self.srcpad().has_current_caps() {
            return true;
        }
        let ours = self.srcpad().pad_template_caps();
        let theirs = self.srcpad().peer_query_caps(None);
        let mut caps = ours.intersect_with_mode(&theirs, gst::CapsIntersectMode::First);
        caps.truncate();
        if caps.is_empty() || Format::of(&caps).is_none() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("Downstream takes {theirs}, but whisperstream gives text/x-raw, format=utf8 or application/x-json; \
                     link an element that takes one of them")
            );
            return false;
        }
        caps.fixate();
        lock(&self.speaker).out.set_caps(&caps)
    }

    /// Makes room in time for what comes.
    fn join(&self, session: &Session, join: Join) -> Result<(), gst::FlowError> {
        match join {
            Join::Follows => {}
            Join::Fill(samples) => {
                gst::debug!(
                    CAT,
                    imp = self,
                    "{} of silence fill a hole",
                    duration_of(samples)
                );
                lock(&self.input).carry = None;
                lock(&self.timeline).advance(samples);
                session.push_silence(samples).map_err(flow)?;
                self.tick(session);
            }
            Join::Jump(pts) => {
                gst::debug!(CAT, imp = self, "time jumps to {pts}");
                self.end()?;
                lock(&self.input).carry = None;
                lock(&self.timeline).jump(pts);
                lock(&self.speaker).finish(pts);
                self.tell_untold();
            }
            Join::Back(by) => {
                self.end()?;
                lock(&self.timeline).turn_back(by);
                if !std::mem::replace(&mut lock(&self.input).told.backwards, true) {
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Failed,
                        ("Timestamps ran backwards by {by} without a new segment; the text goes on from where it \
                             was. Put a clocksync or an identity single-segment=true before whisperstream if upstream \
                             restarts its clock")
                    );
                }
            }
        }
        Ok(())
    }

    /// Bytes as samples; an odd byte waits for its other half.
    fn samples(&self, bytes: &[u8], is_timed: bool) -> Vec<i16> {
        let mut input = lock(&self.input);
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        let mut rest = bytes;
        if let (Some(low), Some((&high, behind))) = (input.carry, bytes.split_first()) {
            samples.push(i16::from_le_bytes([low, high]));
            input.carry = None;
            rest = behind;
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        samples.extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
        if let Some(&low) = odd.first() {
            input.carry = Some(low);
            // A byte stream is cut anywhere; timestamped audio is not.
            if is_timed && !std::mem::replace(&mut input.told.odd, true) {
                drop(input);
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Format,
                    (
                        "A buffer holds {} bytes, not a whole number of 16-bit samples: its last byte is taken as the \
                         first half of the next buffer's first sample. Put rawaudioparse before whisperstream if \
                         upstream cuts its data anywhere",
                        bytes.len()
                    )
                );
            }
        }
        samples
    }

    /// Live, the output follows the input even while no pass ends. Never waits for the worker.
    fn keep_up(&self) {
        if !lock(&self.input).is_paced_live {
            return;
        }
        let received = lock(&self.timeline).end();
        let untold = self.speaker.try_lock().map(|mut speaker| {
            speaker.keep_up(received);
            self.untold(&mut speaker)
        });
        let untold = untold.unwrap_or_default();
        untold.into_iter().for_each(|message| self.post(message));
    }

    /// What downstream said to the last push, if that is known without waiting.
    fn last_flow(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self.speaker.try_lock() {
            Ok(mut speaker) => speaker.out.take_flow(),
            Err(_) => Ok(gst::FlowSuccess::Ok),
        }
    }
}

fn flow(stopped: Stopped) -> gst::FlowError {
    match stopped {
        Stopped::Flushing => gst::FlowError::Flushing,
        // The ERROR message was posted by the worker.
        Stopped::Failed => gst::FlowError::Error,
    }
}
