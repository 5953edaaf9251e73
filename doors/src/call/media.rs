//! Audio in a container: what a browser records, or any file.
//!
//! A live container may begin at any time of its own clock and tells nothing of when its bytes came. Behind the decoder a
//! call's clock is laid over it: zero where the first audio is, and for each stretch the instant at which its bytes arrived.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::feed::{GRAIN, Heard, clock};
use super::pipeline::{add, link, make};
use super::queue::Tell;
use super::{Event, OpenError};

/// When which of the pushed bytes came.
#[derive(Clone, Default)]
pub(super) struct Intake {
    inner: Arc<Mutex<Bytes>>,
}

#[derive(Default)]
struct Bytes {
    pushed: u64,
    /// Taken out of the source by the parser of the container.
    taken: u64,
    /// Bytes up to here came then, oldest first; those that are taken are forgotten.
    marks: VecDeque<(u64, Instant)>,
}

impl Intake {
    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pushed(&self, bytes: usize) {
        let (mut inner, now) = (self.lock(), Instant::now());
        inner.pushed += bytes as u64;
        let end = inner.pushed;
        // Tiny pieces share a mark, so that a client cannot make many.
        match inner.marks.back_mut() {
            Some((last, when)) if now.duration_since(*when) < GRAIN => *last = end,
            _ => inner.marks.push_back((end, now)),
        }
    }

    fn took(&self, bytes: usize) {
        let mut inner = self.lock();
        inner.taken += bytes as u64;
        let taken = inner.taken;
        while inner.marks.len() > 1 && inner.marks.front().is_some_and(|(end, _)| *end < taken) {
            inner.marks.pop_front();
        }
    }

    /// When the last byte came that the parser has seen.
    fn when(&self) -> Instant {
        self.lock()
            .marks
            .front()
            .map_or_else(Instant::now, |(_, when)| *when)
    }
}

/// `appsrc ! decodebin`, linked to `entry` when the first audio stream shows itself.
pub(super) fn build(
    pipeline: &gst::Pipeline,
    entries: &[gst::Element],
    start: Duration,
    heard: &Heard,
    intake: &Intake,
    tell: &Tell,
) -> Result<gst_app::AppSrc, OpenError> {
    let [entry] = entries else {
        return Err(OpenError::Refused(
            "the channels of a container cannot be legs".into(),
        ));
    };
    let source = gst_app::AppSrc::builder()
        .format(gst::Format::Bytes)
        .stream_type(gst_app::AppStreamType::Stream)
        .max_bytes(64 * 1024)
        .build();
    let decoder = make("decodebin")?;
    let chain = [source.clone().upcast(), decoder.clone()];
    for element in &chain {
        add(pipeline, element)?;
    }
    link(&chain)?;
    let taken = intake.clone();
    if let Some(pad) = source.static_pad("src") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                taken.took(buffer.size());
            }
            gst::PadProbeReturn::Ok
        });
    }
    let sink = entry
        .static_pad("sink")
        .ok_or_else(|| OpenError::Lacks("an element without a sink pad".into()))?;
    lay_clock(&sink, start, heard, intake);

    decoder.connect("autoplug-continue", false, |values| {
        let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
        Some(caps.is_some_and(|caps| is_welcome(&caps)).to_value())
    });
    let (to, told) = (sink.clone(), tell.clone());
    decoder.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        if is_kind(&caps, "audio/x-raw") && !to.is_linked() && pad.link(&to).is_err() {
            told.tell(Event::Failed {
                reason: format!("the audio in it cannot be converted: {caps}"),
            });
        }
    });
    let told = tell.clone();
    decoder.connect("unknown-type", false, move |values| {
        let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
        if let Some(reason) = caps.and_then(|caps| lacking(&caps)) {
            told.tell(Event::Failed { reason });
        }
        None
    });
    let told = tell.clone();
    decoder.connect_no_more_pads(move |_| {
        if !sink.is_linked() {
            told.tell(Event::Failed {
                reason: "there is no audio in it".into(),
            });
        }
    });
    Ok(source)
}

/// Makes the stream's times those of the call.
fn lay_clock(pad: &gst::Pad, start: Duration, heard: &Heard, intake: &Intake) {
    let (heard, intake) = (heard.clone(), intake.clone());
    let state = Mutex::new(Clock::default());
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let pts = buffer.pts().and_then(|pts| state.time(pts));
                let length = buffer.duration().map_or(Duration::ZERO, Duration::from);
                // A decoder that gives no time goes on where the last one ended.
                let pts = pts.map_or(state.end, |time| start + time);
                let buffer = buffer.make_mut();
                buffer.set_pts(clock(pts));
                buffer.set_dts(gst::ClockTime::NONE);
                state.end = pts + length;
                heard.note(state.end, length, intake.when());
            }
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Segment(segment) = event.view() {
                    let is_first = state.segment.is_none();
                    state.segment = segment.segment().downcast_ref().cloned();
                    if !is_first {
                        return gst::PadProbeReturn::Drop;
                    }
                    state.end = start;
                    let plain = gst::FormattedSegment::<gst::ClockTime>::new();
                    *event = gst::event::Segment::new(&plain);
                } else if let gst::EventView::Gap(gap) = event.view() {
                    let (from, length) = gap.get();
                    let Some(time) = state.time(from) else {
                        return gst::PadProbeReturn::Drop;
                    };
                    *event = gst::event::Gap::builder(clock(start + time))
                        .duration(length)
                        .build();
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

#[derive(Default)]
struct Clock {
    /// The decoder's, by which its times are read.
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Running time of the first audio.
    first: Option<gst::ClockTime>,
    end: Duration,
}

impl Clock {
    /// Since the first audio.
    fn time(&mut self, pts: gst::ClockTime) -> Option<Duration> {
        let time = self.segment.as_ref()?.to_running_time(pts)?;
        let first = *self.first.get_or_insert(time);
        Some(time.saturating_sub(first).into())
    }
}

fn is_kind(caps: &gst::Caps, kind: &str) -> bool {
    caps.structure(0)
        .is_some_and(|first| first.name().starts_with(kind))
}

/// What may be taken apart: audio, and the containers that have it. Pictures are nobody's business here, and decoding them
/// would be work that a stranger can order; playlists and session descriptions would make the server open addresses of a
/// stranger's choice.
fn is_welcome(caps: &gst::Caps) -> bool {
    let kinds = [
        "audio/",
        "application/ogg",
        "application/x-id3",
        "application/x-apetag",
        "video/webm",
        "video/x-matroska",
        "video/quicktime",
        "video/mpegts",
        "video/x-flv",
        "video/ogg",
        "video/x-msvideo",
        "video/x-ms-asf",
    ];
    let is_system = caps
        .structure(0)
        .is_some_and(|first| first.get("systemstream").unwrap_or(false));
    is_system || kinds.iter().any(|kind| is_kind(caps, kind))
}

/// What is missing here to read it, and which Debian package brings that.
fn lacking(caps: &gst::Caps) -> Option<String> {
    let first = caps.structure(0)?;
    let version: i32 = first.get("mpegversion").unwrap_or_default();
    let (what, package) = match (first.name().as_str(), version) {
        ("audio/mpeg", 2 | 4) => ("AAC", "gstreamer1.0-libav"),
        ("audio/mpeg", _) => ("MP3", "gstreamer1.0-plugins-good"),
        ("audio/x-opus", _) => ("Opus", "gstreamer1.0-plugins-base"),
        ("audio/x-vorbis", _) => ("Vorbis", "gstreamer1.0-plugins-base"),
        ("audio/x-flac", _) => ("FLAC", "gstreamer1.0-plugins-good"),
        ("video/webm" | "video/x-matroska" | "audio/webm" | "audio/x-matroska", _) => {
            ("WebM", "gstreamer1.0-plugins-good")
        }
        ("video/quicktime" | "audio/x-m4a", _) => ("MP4", "gstreamer1.0-plugins-good"),
        ("application/ogg" | "audio/ogg", _) => ("Ogg", "gstreamer1.0-plugins-base"),
        (name, _) if name.starts_with("audio/") => (name, "gstreamer1.0-libav"),
        _ => return None,
    };
    Some(format!(
        "nothing on the server reads {what}; its operator can install Debian's package {package}, which does"
    ))
}
