//! The element as GObject and GStreamer see it: what each callback does is in the siblings.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use glib::subclass::Signal;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;

use super::input::Input;
use super::output::Output;
use super::pads;
use super::properties;
use super::saved::Resumed;
use super::session::{Held, Marker};
use super::settings::Settings;
use super::speaker::Speaker;
use super::timeline::Timeline;

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "whisperstream",
        gst::DebugColorFlags::empty(),
        Some("Live transcription"),
    )
});

/// See [`super`] for the threads and the order of the locks.
pub struct WhisperStream {
    pub(super) settings: Mutex<Settings>,
    /// Held over pushes. Everything that leaves in order leaves under it.
    pub(super) speaker: Mutex<Speaker>,
    pub(super) timeline: Mutex<Timeline>,
    pub(super) input: Mutex<Input>,
    pub(super) held: Mutex<Held>,
    /// A stream to go on with, until its first segment.
    pub(super) resumed: Mutex<Option<Resumed>>,
    /// Markers of `flush-speech` that wait for their turn.
    pub(super) markers: Mutex<Vec<Marker>>,
    /// Between FLUSH_START and FLUSH_STOP, and outside PAUSED and PLAYING.
    pub(super) flushing: AtomicBool,
    /// From PAUSED→READY on: no FLUSH_STOP ends that.
    pub(super) stopping: AtomicBool,
    pub(super) clamped: Arc<AtomicU64>,
    pub(super) observed_delay_ms: AtomicU32,
    /// Number of the running utterance, as far as passes have come.
    pub(super) utterance: AtomicU64,
    /// The warning that the demo model runs was given.
    pub(super) demo_told: AtomicBool,
    /// The warning about the processor's instructions was given.
    pub(super) processor_told: AtomicBool,
}

/// Locks, whatever became of a thread that held the lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for WhisperStream {
    const NAME: &'static str = "GstWhisperStream";
    type Type = super::WhisperStream;
    type ParentType = gst_base::BaseTransform;

    fn new() -> Self {
        let clamped = Arc::<AtomicU64>::default();
        // The base class's pad takes its place as soon as there is an object (`constructed`).
        let nowhere = gst::Pad::builder(gst::PadDirection::Src).build();
        let output = Output::new(nowhere, Arc::clone(&clamped));
        WhisperStream {
            settings: Mutex::default(),
            speaker: Mutex::new(Speaker::new(output)),
            timeline: Mutex::default(),
            input: Mutex::default(),
            held: Mutex::default(),
            resumed: Mutex::default(),
            markers: Mutex::default(),
            flushing: AtomicBool::new(true),
            stopping: AtomicBool::new(true),
            clamped,
            observed_delay_ms: AtomicU32::new(0),
            utterance: AtomicU64::new(0),
            demo_told: AtomicBool::new(false),
            processor_told: AtomicBool::new(false),
        }
    }
}

impl ObjectImpl for WhisperStream {
    fn constructed(&self) {
        self.parent_constructed();
        let clamped = Arc::clone(&self.clamped);
        *lock(&self.speaker) = Speaker::new(Output::new(self.srcpad(), clamped));
        pads::watch_caps(&self.sinkpad());
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::all);
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.change(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.read(pspec)
    }

    fn signals() -> &'static [Signal] {
        static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
            vec![
                // All said so far is decided and delivered; then come the message and the downstream event
                // whisperstream/flushed with the marker. Returns at once.
                Signal::builder("flush-speech")
                    .param_types([String::static_type()])
                    .action()
                    .class_handler(|args| {
                        let element = args.first()?.get::<super::WhisperStream>().ok()?;
                        let marker = args.get(1)?.get::<Option<String>>().ok()?;
                        element.imp().flush_speech_soon(marker.unwrap_or_default());
                        None
                    })
                    .build(),
            ]
        });
        SIGNALS.as_ref()
    }
}

impl GstObjectImpl for WhisperStream {}

impl ElementImpl for WhisperStream {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Streaming transcriber",
                "Audio/Text/Filter",
                "Transcribes speech while it is spoken, with Whisper under the AlignAtt policy",
                "the whisperstream authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(pads::templates);
        TEMPLATES.as_ref()
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        self.new_far_end(template)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        self.release_far_end(pad);
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => {
                self.start().map_err(|message| {
                    self.post_error_message(message);
                    gst::StateChangeError
                })?;
            }
            // Before the pads are shut: that takes the stream lock, which a waiting chain call holds.
            gst::StateChange::PausedToReady => self.release_for_good(),
            _ => {}
        }
        let changed = self.parent_change_state(transition);
        match transition {
            gst::StateChange::ReadyToPaused if changed.is_err() => {
                self.release_for_good();
                self.stop();
            }
            gst::StateChange::PausedToReady => self.stop(),
            _ => {}
        }
        changed
    }

    fn send_event(&self, event: gst::Event) -> bool {
        match pads::flush_marker(&event) {
            Some(marker) => {
                self.flush_speech_soon(marker);
                true
            }
            None => self.parent_send_event(event),
        }
    }
}

/// The base class brings the pads and their locks. Negotiation, time and pushing are ours: text leaves from the worker,
/// in order with every event, not as the output of one input buffer.
impl BaseTransformImpl for WhisperStream {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        _caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        Some(pads::transform_caps(direction, filter))
    }

    fn submit_input_buffer(
        &self,
        _is_discont: bool,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.chain(buffer)
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        Ok(GenerateOutputSuccess::NoOutput)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        self.on_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        self.on_src_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        self.on_query(direction, query)
    }
}

impl WhisperStream {
    pub(super) fn sinkpad(&self) -> gst::Pad {
        self.obj().sink_pad().clone()
    }

    pub(super) fn srcpad(&self) -> gst::Pad {
        self.obj().src_pad().clone()
    }

    /// Whether nothing may be pushed now.
    pub(super) fn is_flushing(&self) -> bool {
        self.flushing.load(Ordering::SeqCst)
    }
}
