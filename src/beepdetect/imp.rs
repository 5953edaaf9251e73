//! The element as GObject and GStreamer see it: audio goes through, and what is heard in it is told.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;

use super::clock::{Clock, Join};
use super::properties::{self, Properties};
use crate::speech::tones::{Detector, Tone};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "beepdetect",
        gst::DebugColorFlags::empty(),
        Some("Tones on the line"),
    )
});

#[derive(Default)]
pub struct BeepDetect {
    properties: Mutex<Properties>,
    /// Never held over a push or a post.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    segment: gst::FormattedSegment<ClockTime>,
    ear: Option<Ear>,
}

/// One run of audio without a cut.
struct Ear {
    detector: Detector,
    rate: u32,
    /// From the first buffer on.
    clock: Option<Clock>,
}

/// What is to be told once nothing is locked.
type Told = Vec<gst::Structure>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn caps() -> gst::Caps {
    gst_audio::AudioCapsBuilder::new_interleaved()
        .format(gst_audio::AudioFormat::S16le)
        .rate_list([8_000, 16_000])
        .channels(1)
        .build()
}

#[glib::object_subclass]
impl ObjectSubclass for BeepDetect {
    const NAME: &'static str = "GstBeepDetect";
    type Type = super::BeepDetect;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for BeepDetect {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::all);
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if lock(&self.properties).set(pspec.name(), value).is_none() {
            gst::warning!(
                CAT,
                imp = self,
                "{} cannot be set to {value:?}",
                pspec.name()
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        lock(&self.properties)
            .get(pspec.name())
            .unwrap_or_else(|| pspec.default_value().clone())
    }
}

impl GstObjectImpl for BeepDetect {}

impl ElementImpl for BeepDetect {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Beep detector",
                "Filter/Analyzer/Audio",
                "Tells of answering machines' beeps, special information tones, fax, ring-back, busy and dial tones",
                "the whisperstream authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps()).ok()
            };
            let sink = template("sink", gst::PadDirection::Sink);
            let src = template("src", gst::PadDirection::Src);
            sink.into_iter().chain(src).collect()
        });
        TEMPLATES.as_ref()
    }
}

impl BaseTransformImpl for BeepDetect {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = true;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        lock(&self.properties).check()?;
        *lock(&self.state) = State::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_audio::AudioInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "not audio: {incaps}"))?;
        self.cut();
        let settings = lock(&self.properties).settings(info.rate());
        let detector =
            Detector::new(settings).map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
        lock(&self.state).ear = Some(Ear {
            detector,
            rate: info.rate(),
            clock: None,
        });
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::Segment(new) => {
                self.cut();
                let segment = new.segment().downcast_ref::<ClockTime>().cloned();
                lock(&self.state).segment = segment.unwrap_or_default();
            }
            EventView::Gap(gap) => {
                let (pts, duration) = gap.get();
                self.hole(pts, duration);
            }
            EventView::Eos(_) | EventView::StreamStart(_) | EventView::SegmentDone(_) => self.cut(),
            EventView::FlushStop(_) => {
                let mut state = lock(&self.state);
                state.segment = gst::FormattedSegment::default();
                if let Some(ear) = &mut state.ear {
                    ear.forget();
                }
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn transform_ip_passthrough(
        &self,
        buffer: &gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let map = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Read,
                ["a buffer of audio cannot be read"]
            );
            gst::FlowError::Error
        })?;
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        self.hear(buffer.pts(), discont, &map);
        Ok(gst::FlowSuccess::Ok)
    }
}

impl BeepDetect {
    fn hear(&self, pts: Option<ClockTime>, discont: bool, bytes: &[u8]) {
        if !bytes.len().is_multiple_of(2) {
            gst::warning!(
                CAT,
                imp = self,
                "{} bytes are no whole samples: the last is left out",
                bytes.len()
            );
        }
        let mut told = Told::new();
        {
            let mut state = lock(&self.state);
            let State { segment, ear } = &mut *state;
            if let Some(ear) = ear {
                ear.join(segment, pts, &mut told, |clock| clock.join(pts, discont));
                ear.samples(segment, bytes, &mut told);
            }
        }
        self.tell(told);
    }

    fn hole(&self, pts: ClockTime, duration: Option<ClockTime>) {
        let mut told = Told::new();
        {
            let mut state = lock(&self.state);
            let State { segment, ear } = &mut *state;
            if let (Some(ear), Some(duration)) = (ear, duration)
                && ear.clock.is_some()
            {
                let behind = Some(pts.saturating_add(duration));
                ear.join(segment, behind, &mut told, |clock| {
                    clock.hole(pts, duration)
                });
            }
        }
        self.tell(told);
    }

    /// Ends what goes on.
    fn cut(&self) {
        let mut told = Told::new();
        {
            let mut state = lock(&self.state);
            let State { segment, ear } = &mut *state;
            if let Some(ear) = ear {
                ear.cut(segment, &mut told);
            }
        }
        self.tell(told);
    }

    /// On the bus, and downstream in front of what comes next.
    fn tell(&self, told: Told) {
        let properties = *lock(&self.properties);
        for structure in told {
            let kind = structure.get::<&str>("kind").ok();
            let kind = kind.and_then(crate::speech::tones::Kind::named);
            if !kind.is_some_and(|kind| properties.tells(kind)) {
                continue;
            }
            gst::info!(CAT, imp = self, "{structure:?}");
            let message = gst::message::Element::builder(structure.clone()).src(&*self.obj());
            let _ = self.obj().post_message(message.build());
            let event = gst::event::CustomDownstream::new(structure);
            self.obj().src_pad().push_event(event);
        }
    }
}

impl Ear {
    /// Forgets all that was heard.
    fn forget(&mut self) {
        self.detector.reset();
        self.clock = None;
    }

    /// Joins what comes now to what came before. Behind a cut, time goes on from `pts`.
    fn join(
        &mut self,
        segment: &gst::FormattedSegment<ClockTime>,
        pts: Option<ClockTime>,
        told: &mut Told,
        join: impl FnOnce(&mut Clock) -> Join,
    ) {
        let begin = pts.or(segment.start()).unwrap_or(ClockTime::ZERO);
        let clock = self
            .clock
            .get_or_insert_with(|| Clock::new(self.rate, begin));
        match join(clock) {
            Join::Follows => {}
            Join::Fill(samples) => {
                self.detector
                    .silence(samples, |tone| told.push(structure(&tone, clock, segment)));
                clock.advance(samples);
            }
            Join::Cut => {
                self.cut(segment, told);
                self.clock = Some(Clock::new(self.rate, begin));
            }
        }
    }

    fn samples(
        &mut self,
        segment: &gst::FormattedSegment<ClockTime>,
        bytes: &[u8],
        told: &mut Told,
    ) {
        let Some(clock) = &mut self.clock else {
            return;
        };
        let samples = bytes
            .chunks_exact(2)
            .filter_map(|pair| pair.try_into().ok())
            .map(i16::from_le_bytes);
        self.detector
            .extend(samples, |tone| told.push(structure(&tone, clock, segment)));
        clock.advance((bytes.len() / 2) as u64);
    }

    fn cut(&mut self, segment: &gst::FormattedSegment<ClockTime>, told: &mut Told) {
        if let Some(clock) = &self.clock {
            self.detector
                .finish(|tone| told.push(structure(&tone, clock, segment)));
        }
        self.forget();
    }
}

/// What is told of a tone.
fn structure(
    tone: &Tone,
    clock: &Clock,
    segment: &gst::FormattedSegment<ClockTime>,
) -> gst::Structure {
    let timestamp = clock.at(tone.start);
    // Outside the segment, or where the segment is not of time, there is only the timestamp.
    let ns = |time: Option<ClockTime>| time.unwrap_or(timestamp).nseconds();
    gst::Structure::builder("beepdetect/tone")
        .field("kind", tone.kind.name())
        .field("frequency", tone.frequency)
        .field("level", tone.level)
        .field("timestamp", timestamp.nseconds())
        .field("stream-time", ns(segment.to_stream_time(timestamp)))
        .field("running-time", ns(segment.to_running_time(timestamp)))
        .field("duration", clock.length(tone.length).nseconds())
        .field("final", tone.is_final)
        .build()
}
