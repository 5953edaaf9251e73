//! Pads: templates, and which event and query goes where.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;

use super::far_end;
use super::imp::{CAT, WhisperStream, lock};
use super::saved::save_marker;

/// The caps that the sink takes.
pub fn sink_caps() -> gst::Caps {
    gst_audio::AudioCapsBuilder::new_interleaved()
        .format(gst_audio::AudioFormat::S16le)
        .rate(crate::whisper::SAMPLE_RATE as i32)
        .channels(1)
        .build()
}

/// The caps that the src gives, the preferred first.
pub fn src_caps() -> gst::Caps {
    gst::Caps::builder_full()
        .structure(
            gst::Structure::builder("text/x-raw")
                .field("format", "utf8")
                .build(),
        )
        .structure(gst::Structure::new_empty("application/x-json"))
        .build()
}

pub fn templates() -> Vec<gst::PadTemplate> {
    [
        ("sink", gst::PadDirection::Sink, sink_caps()),
        ("src", gst::PadDirection::Src, src_caps()),
    ]
    .into_iter()
    .filter_map(|(name, direction, caps)| {
        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
    })
    .chain(far_end::template())
    .collect()
}

/// Caps that do not fit are refused by the pad before its event function is asked; a probe is where they can be named.
pub fn watch_caps(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Caps(event) = event.view()
        {
            name_wrong_caps(pad, event.caps());
        }
        gst::PadProbeReturn::Ok
    });
}

/// Caps on the other side: text for audio, audio for text.
pub fn transform_caps(direction: gst::PadDirection, filter: Option<&gst::Caps>) -> gst::Caps {
    let other = match direction {
        gst::PadDirection::Sink => src_caps(),
        _ => sink_caps(),
    };
    match filter {
        Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
        None => other,
    }
}

fn name_wrong_caps(pad: &gst::Pad, caps: &gst::CapsRef) {
    let wanted = sink_caps();
    let Some(element) = pad.parent_element() else {
        return;
    };
    if !caps.can_intersect(&wanted) {
        gst::element_error!(
            element,
            gst::CoreError::Negotiation,
            ("The caps {caps} cannot be taken: whisperstream hears only {wanted}; put \
                 \"audioconvert ! audioresample\" before it")
        );
    }
}

/// The marker of an event that asks for all said so far.
pub fn flush_marker(event: &gst::EventRef) -> Option<String> {
    let structure = event.structure()?;
    let is_custom = matches!(
        event.type_(),
        gst::EventType::CustomDownstream | gst::EventType::CustomUpstream
    );
    (is_custom && structure.name() == "whisperstream/flush")
        .then(|| structure.get("marker").unwrap_or_default())
}

/// Whether the event tells of something that was heard in the audio, and so has its place among the words.
fn is_heard(event: &gst::EventRef) -> bool {
    let structure = event.structure();
    event.type_() == gst::EventType::CustomDownstream
        && structure.is_some_and(|structure| structure.name().starts_with("beepdetect/"))
}

impl WhisperStream {
    pub(super) fn on_sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        gst::log!(CAT, imp = self, "{event:?}");
        if let Some(marker) = flush_marker(&event) {
            let drained = self.drain() != Err(gst::FlowError::Flushing);
            let end = lock(&self.timeline).end();
            self.flushed(&marker, end);
            return drained;
        }
        if let Some(marker) = save_marker(&event) {
            return self.save(&marker);
        }
        match event.view() {
            EventView::FlushStart(_) => {
                self.release();
                self.srcpad().push_event(event)
            }
            EventView::FlushStop(_) => {
                self.forget();
                let pushed = self.srcpad().push_event(event);
                self.resume();
                pushed
            }
            EventView::StreamStart(start) => self.behind_text(own_stream_start(start)),
            EventView::Caps(_) => self.caps(),
            EventView::Segment(segment) => self.segment(segment),
            EventView::Gap(gap) => self.gap(gap),
            EventView::Eos(_) => {
                let pushed = self.behind_text(event);
                self.post(self.stats());
                pushed
            }
            EventView::SegmentDone(_) => self.behind_text(event),
            EventView::Tag(tag) => match tag.tag().scope() {
                // Codec and bitrate are the audio's.
                gst::TagScope::Stream => true,
                _ => lock(&self.speaker).out.tag(event),
            },
            _ if is_heard(&event) => self.forward_heard(event),
            _ if event.is_serialized() => lock(&self.speaker).out.event(event),
            _ => self.srcpad().push_event(event),
        }
    }

    /// Decides all said so far, then lets `event` go.
    fn behind_text(&self, event: gst::Event) -> bool {
        match self.end() {
            Err(gst::FlowError::Flushing) => false,
            // A session that failed has said so; the stream may end all the same.
            _ => lock(&self.speaker).out.event(event),
        }
    }

    pub(super) fn on_src_event(&self, event: gst::Event) -> bool {
        if let Some(marker) = flush_marker(&event) {
            self.flush_speech_soon(marker);
            return true;
        }
        match event.view() {
            gst::EventView::Seek(seek) if seek.get().0 < 0.0 => {
                gst::warning!(CAT, imp = self, "speech cannot be transcribed in reverse");
                false
            }
            // Audio skipped because text was late would be words lost.
            gst::EventView::Qos(_) => true,
            _ => self.parent_src_event(event),
        }
    }

    pub(super) fn on_query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        match (direction, query.view_mut()) {
            (gst::PadDirection::Src, gst::QueryViewMut::Latency(query)) => self.latency(query),
            (gst::PadDirection::Src, gst::QueryViewMut::Position(query))
                if query.format() == gst::Format::Time =>
            {
                self.position(query)
            }
            (gst::PadDirection::Src, gst::QueryViewMut::Scheduling(query)) => {
                query.set(gst::SchedulingFlags::SEQUENTIAL, 1, -1, 0);
                query.add_scheduling_modes([gst::PadMode::Push]);
                true
            }
            // What the sink takes does not depend on downstream; a peer that takes no text is named when it matters.
            (gst::PadDirection::Sink, gst::QueryViewMut::Caps(query)) => {
                let caps = transform_caps(gst::PadDirection::Src, query.filter_owned().as_ref());
                query.set_result(&caps);
                true
            }
            // Downstream's buffers hold text: it has none to offer for audio.
            (gst::PadDirection::Sink, gst::QueryViewMut::Allocation(_)) => false,
            _ => BaseTransformImplExt::parent_query(self, direction, query),
        }
    }

    /// Live: upstream's latency and ours. Otherwise what upstream says.
    fn latency(&self, query: &mut gst::query::Latency) -> bool {
        let mut upstream = gst::query::Latency::new();
        if !self.sinkpad().peer_query(&mut upstream) {
            return false;
        }
        let (live, min, max) = upstream.result();
        let ours = lock(&self.settings).latency();
        match live {
            true => query.set(true, min + ours, max.map(|max| max.saturating_add(ours))),
            false => query.set(false, min, max),
        }
        true
    }

    /// How much of the stream was heard.
    fn position(&self, query: &mut gst::query::Position) -> bool {
        let Some(segment) = lock(&self.input).segment.clone() else {
            return self.sinkpad().peer_query(query);
        };
        let end = lock(&self.timeline).end();
        let end = segment.stop().map_or(end, |stop| end.min(stop));
        match segment.to_stream_time(end) {
            Some(position) => {
                query.set(position);
                true
            }
            None => false,
        }
    }
}

/// Text is a stream of its own, of the same group.
fn own_stream_start(audio: &gst::event::StreamStart) -> gst::Event {
    let id = format!("{}/whisperstream", audio.stream_id());
    gst::event::StreamStart::builder(&id)
        .seqnum(audio.seqnum())
        .flags(audio.stream_flags() | gst::StreamFlags::SPARSE)
        .group_id_if_some(audio.group_id())
        .build()
}
