//! The request pad `far_end`: what the other side of the call is told (a bot's prompt), so that its echo interrupts nobody.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, WhisperStream, lock};
use super::pads;
use super::timeline::samples_in;
use crate::policy::Samples;

/// Its name, and its template's.
pub const NAME: &str = "far_end";

impl WhisperStream {
    /// Makes the pad; there is one at most.
    pub(super) fn new_far_end(&self, template: &gst::PadTemplate) -> Option<gst::Pad> {
        if self.obj().static_pad(NAME).is_some() {
            gst::warning!(CAT, imp = self, "there is a far_end already");
            return None;
        }
        let pad = gst::Pad::builder_from_template(template)
            .name(NAME)
            .chain_function(|pad, parent, buffer| {
                WhisperStream::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |element| element.hear_far(pad, &buffer),
                )
            })
            // Nothing of it goes further.
            .event_function(|_, parent, event| {
                WhisperStream::catch_panic_pad_function(
                    parent,
                    || false,
                    |element| {
                        if let (gst::EventView::FlushStop(_), Some(session)) =
                            (event.view(), element.session())
                        {
                            session.forget_far();
                        }
                        true
                    },
                )
            })
            .query_function(|pad, parent, query| match query.view_mut() {
                gst::QueryViewMut::Caps(_) | gst::QueryViewMut::AcceptCaps(_) => {
                    gst::Pad::query_default(pad, parent, query)
                }
                _ => false,
            })
            .build();
        // Where the element runs already.
        let _ = pad.set_active(true);
        self.obj().add_pad(&pad).ok()?;
        Some(pad)
    }

    pub(super) fn release_far_end(&self, pad: &gst::Pad) {
        let _ = pad.set_active(false);
        let _ = self.obj().remove_pad(pad);
        if let Some(session) = self.session() {
            session.forget_far();
        }
    }

    /// Both ends are laid side by side by their running times; without any, the far end is heard as it comes.
    fn hear_far(
        &self,
        pad: &gst::Pad,
        buffer: &gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (Some(session), Ok(bytes)) = (self.session(), buffer.map_readable()) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let (pairs, _) = bytes.as_chunks::<2>();
        let samples: Vec<i16> = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        let (position, near) = self.near_end();
        let far = buffer.pts().and_then(|pts| running_time(pad, pts));
        let position = match (near, far) {
            (Some(near), Some(far)) if far >= near => {
                position.saturating_add(samples_in(far - near))
            }
            (Some(near), Some(far)) => position.saturating_sub(samples_in(near - far)),
            _ => position,
        };
        session.hear_far(position, &samples);
        Ok(gst::FlowSuccess::Ok)
    }

    /// Samples of this stream so far, and the running time behind them.
    fn near_end(&self) -> (Samples, Option<gst::ClockTime>) {
        let segment = lock(&self.input).segment.clone();
        let timeline = lock(&self.timeline);
        let running = segment.and_then(|segment| segment.to_running_time(timeline.end()));
        (timeline.position(), running)
    }
}

fn running_time(pad: &gst::Pad, pts: gst::ClockTime) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?.clone();
    segment.to_running_time(pts)
}

pub fn template() -> Option<gst::PadTemplate> {
    let caps = pads::sink_caps();
    gst::PadTemplate::new(
        NAME,
        gst::PadDirection::Sink,
        gst::PadPresence::Request,
        &caps,
    )
    .ok()
}
