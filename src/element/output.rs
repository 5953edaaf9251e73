//! The one way out: text buffers, GAP events and everything serialized with them leave the element here, in order.
//!
//! [`Output`] lives inside the lock that serializes the worker and the streaming thread. It keeps one promise: buffers
//! and GAPs together cover the segment from its start, without overlap, never go back, and never pass its stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::ClockTime;
use gst::prelude::*;

use super::imp::CAT;
use super::json::{Piece, Stream};
use super::meta;

/// A buffer that lies wholly behind what was covered already lasts at least this long: two frames of the network.
const SHORTEST: ClockTime = ClockTime::from_mseconds(40);

/// What the src pad carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Utf8,
    Json,
}

impl Format {
    pub fn of(caps: &gst::CapsRef) -> Option<Format> {
        match caps.structure(0)?.name().as_str() {
            "text/x-raw" => Some(Format::Utf8),
            "application/x-json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// What was pushed, and what may be pushed next.
pub struct Output {
    pad: gst::Pad,
    format: Option<Format>,
    /// Upstream's segment, or the one made up for it: without `lateness`.
    segment: Option<gst::FormattedSegment<ClockTime>>,
    seqnum: Option<gst::Seqnum>,
    lateness: ClockTime,
    /// Buffers and GAPs cover the segment up to here.
    covered: ClockTime,
    discont: bool,
    /// Tags that wait for the segment.
    tags: Vec<gst::Event>,
    /// How the last push went.
    flow: Result<gst::FlowSuccess, gst::FlowError>,
    /// Words whose buffer had to start later than they did.
    clamped: Arc<AtomicU64>,
}

impl Output {
    pub fn new(pad: gst::Pad, clamped: Arc<AtomicU64>) -> Output {
        Output {
            pad,
            format: None,
            segment: None,
            seqnum: None,
            lateness: ClockTime::ZERO,
            covered: ClockTime::ZERO,
            discont: true,
            tags: Vec::new(),
            flow: Ok(gst::FlowSuccess::Ok),
            clamped,
        }
    }

    /// As new, for the next READY→PAUSED.
    pub fn reset(&mut self) {
        *self = Output::new(self.pad.clone(), Arc::clone(&self.clamped));
    }

    /// Forgets the segment: FLUSH_STOP.
    pub fn flush(&mut self) {
        self.segment = None;
        self.covered = ClockTime::ZERO;
        self.discont = true;
        self.flow = Ok(gst::FlowSuccess::Ok);
    }

    pub fn segment(&self) -> Option<&gst::FormattedSegment<ClockTime>> {
        self.segment.as_ref()
    }

    /// Up to where the segment is covered.
    pub fn covered(&self) -> ClockTime {
        self.covered
    }

    /// What lies before `covered` was pushed by another, which this one takes the place of.
    pub fn go_on_from(&mut self, covered: ClockTime) {
        self.covered = self.covered.max(covered);
    }

    /// How the last push went; an error is told once, end of stream for good.
    pub fn take_flow(&mut self) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self.flow {
            Err(gst::FlowError::Eos) => self.flow,
            _ => std::mem::replace(&mut self.flow, Ok(gst::FlowSuccess::Ok)),
        }
    }

    /// Settles on `caps` and says so downstream, behind the start of a stream, which a careless source leaves out.
    pub fn set_caps(&mut self, caps: &gst::Caps) -> bool {
        if self.pad.current_caps().as_ref() == Some(caps) {
            return true;
        }
        self.format = Format::of(caps);
        if (self.pad.sticky_event::<gst::event::StreamStart>(0)).is_none() {
            let start = gst::event::StreamStart::builder(&self.pad.path_string())
                .flags(gst::StreamFlags::SPARSE)
                .group_id(gst::GroupId::next())
                .build();
            self.pad.push_event(start);
        }
        self.pad.push_event(gst::event::Caps::new(caps))
    }

    /// Starts a segment: what follows is covered from its start on.
    pub fn set_segment(
        &mut self,
        segment: gst::FormattedSegment<ClockTime>,
        seqnum: gst::Seqnum,
        lateness: ClockTime,
    ) -> bool {
        self.covered = segment.start().unwrap_or_default();
        self.segment = Some(segment);
        self.seqnum = Some(seqnum);
        self.lateness = lateness;
        self.discont = true;
        let pushed = self.push_segment();
        for tag in std::mem::take(&mut self.tags) {
            self.pad.push_event(tag);
        }
        pushed
    }

    /// Applies a changed `lateness`: the same segment again, with another base.
    pub fn set_lateness(&mut self, lateness: ClockTime) {
        if lateness != self.lateness && self.segment.is_some() {
            self.lateness = lateness;
            self.push_segment();
        }
    }

    /// Pushes one buffer of text. Where it would start before what was pushed, it starts later.
    pub fn text(&mut self, piece: &Piece, stream: &Stream) {
        let (Some(format), Some(segment)) = (self.format, &self.segment) else {
            gst::warning!(
                CAT,
                obj = self.pad,
                "text without caps or segment: {piece:?}"
            );
            return;
        };
        let text = piece.text();
        if text.trim().is_empty() {
            return;
        }
        let payload = match format {
            Format::Utf8 => text,
            Format::Json => piece.json(stream, |time| {
                let time = segment.to_stream_time(time).unwrap_or(time);
                time.nseconds() as f64 / 1e9
            }),
        };
        let covered = self.covered;
        let late = piece
            .words
            .iter()
            .filter(|word| word.start < covered)
            .count();
        self.clamped.fetch_add(late as u64, Ordering::Relaxed);
        // Jitter, a GAP or audio without timestamps may have led behind the segment's stop.
        let stop = segment.stop().unwrap_or(ClockTime::MAX);
        let latest = stop.saturating_sub(SHORTEST);
        let start = piece.start.min(latest).max(covered);
        let end = piece.end.max(start.saturating_add(SHORTEST)).min(stop);
        self.cover(start);
        let mut buffer = gst::Buffer::from_mut_slice(payload.into_bytes());
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(start);
            buffer.set_duration(end.saturating_sub(start));
            if std::mem::take(&mut self.discont) {
                buffer.set_flags(gst::BufferFlags::DISCONT);
            }
            meta::attach(buffer, &piece.words);
        }
        self.covered = end;
        gst::log!(
            CAT,
            obj = self.pad,
            "{start} to {end}, {late} words clamped"
        );
        self.flow = self.pad.push(buffer);
    }

    /// Pushes a GAP from what is covered to `until`: no text will start before.
    pub fn cover(&mut self, until: ClockTime) {
        let Some(segment) = &self.segment else {
            return;
        };
        let until = segment.stop().map_or(until, |stop| until.min(stop));
        if until <= self.covered {
            return;
        }
        let gap = gst::event::Gap::builder(self.covered)
            .duration(until - self.covered)
            .seqnum_if_some(self.seqnum)
            .build();
        self.covered = until;
        self.pad.push_event(gap);
    }

    /// Pushes tags, behind the segment.
    pub fn tag(&mut self, tags: gst::Event) -> bool {
        if self.segment.is_none() {
            self.tags.push(tags);
            return true;
        }
        self.pad.push_event(tags)
    }

    /// Pushes any other serialized event.
    pub fn event(&mut self, event: gst::Event) -> bool {
        self.pad.push_event(event)
    }

    fn push_segment(&self) -> bool {
        let (Some(segment), Some(seqnum)) = (&self.segment, self.seqnum) else {
            return false;
        };
        let mut late = segment.clone();
        let base = segment.base().unwrap_or_default();
        late.set_base(base.saturating_add(self.lateness));
        self.pad
            .push_event(gst::event::Segment::builder(&late).seqnum(seqnum).build())
    }
}
