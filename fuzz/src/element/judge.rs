//! Whether what leaves the element may leave it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::ClockTime;

#[derive(Clone, Default)]
pub struct Judge(Arc<Mutex<Seen>>);

/// What came by now.
#[derive(Clone, Default)]
pub struct Seen {
    has_started: bool,
    has_caps: bool,
    segment: Option<gst::FormattedSegment<ClockTime>>,
    seqnum: Option<gst::Seqnum>,
    /// The end of what came last.
    end: ClockTime,
    is_over: bool,
    is_flushing: bool,
    /// What must not have come.
    pub faults: Vec<String>,
    /// Kinds of what came, in order.
    pub told: String,
}

impl Judge {
    /// A pad that sees all; it may want JSON.
    pub fn pad(&self, wants_json: bool) -> gst::Pad {
        let caps = match wants_json {
            true => "application/x-json",
            false => "text/x-raw,format=utf8",
        };
        let caps: gst::Caps = caps.parse().expect("they are caps");
        let template = gst::PadTemplate::new(
            "sink",
            gst::PadDirection::Sink,
            gst::PadPresence::Always,
            &caps,
        )
        .expect("it is a template");
        let (data, events) = (self.clone(), self.clone());
        gst::Pad::builder_from_template(&template)
            .chain_function(move |_, _, buffer| {
                data.lock().buffer(&buffer);
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(move |_, _, event| {
                events.lock().event(&event);
                true
            })
            .build()
    }

    /// What is under way now may be late: it is upstream that flushes.
    pub fn flush_starts(&self) {
        self.lock().is_flushing = true;
    }

    pub fn verdict(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn note(&mut self, kind: char) {
        if !self.told.ends_with(kind) && self.told.len() < 32 {
            self.told.push(kind);
        }
    }

    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    fn buffer(&mut self, buffer: &gst::BufferRef) {
        self.note('b');
        let (Some(pts), Some(duration)) = (buffer.pts(), buffer.duration()) else {
            return self.fault(format!("a buffer without a time: {buffer:?}"));
        };
        self.stretch("a buffer", pts, Some(duration));
        let map = buffer.map_readable().expect("it can be read");
        if map.is_empty() || std::str::from_utf8(&map).is_err() {
            self.fault(format!("no text: {:?}", map.as_slice()));
        }
    }

    /// A buffer or a GAP.
    fn stretch(&mut self, what: &str, start: ClockTime, length: Option<ClockTime>) {
        if !self.has_started || !self.has_caps {
            self.fault(format!("{what} came before STREAM_START or CAPS"));
        }
        if self.is_over {
            self.fault(format!("{what} came behind EOS"));
        }
        let Some(segment) = &self.segment else {
            return self.fault(format!("{what} came before SEGMENT"));
        };
        let end = start.saturating_add(length.unwrap_or_default());
        let from = segment.start().unwrap_or_default();
        let to = segment.stop();
        if start < from || to.is_some_and(|to| end > to) {
            let said =
                format!("{what} from {start} to {end} is outside the segment {from} to {to:?}");
            return self.fault(said);
        }
        if start != self.end {
            let said = format!(
                "{what} at {start} does not follow what ended at {}",
                self.end
            );
            return self.fault(said);
        }
        self.end = end;
    }

    fn event(&mut self, event: &gst::EventRef) {
        use gst::EventView;
        match event.view() {
            EventView::StreamStart(_) => {
                self.note('s');
                (self.has_started, self.is_over) = (true, false);
            }
            EventView::Caps(_) => {
                self.note('c');
                self.has_caps = true;
            }
            EventView::Segment(segment) => {
                self.note('t');
                let segment = segment.segment().downcast_ref::<ClockTime>().cloned();
                // A segment that is said again, since `lateness` moved, goes on.
                let is_again = self.segment.is_some() && self.seqnum == Some(event.seqnum());
                self.seqnum = Some(event.seqnum());
                match segment {
                    Some(segment) => {
                        if !is_again {
                            self.end = segment.start().unwrap_or_default();
                        }
                        self.segment = Some(segment);
                    }
                    None => self.fault("a segment that is not in time".into()),
                }
            }
            EventView::Gap(gap) => {
                self.note('g');
                let (start, length) = gap.get();
                self.stretch("a GAP", start, length);
            }
            EventView::FlushStop(_) => {
                self.note('f');
                (self.segment, self.is_over, self.is_flushing) = (None, false, false);
            }
            EventView::Eos(_) => {
                self.note('e');
                self.is_over = true;
            }
            _ => {}
        }
    }
}
