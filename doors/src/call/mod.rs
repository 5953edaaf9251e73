//! A call: audio in, what is said out, around one pipeline.
//!
//! ```text
//! appsrc ! (decoding, resampling) ! whisperstream ! appsink
//! ```
//!
//! No thread of GStreamer ever waits for a client: what is told goes into a queue, and while that is long, or the element
//! has two seconds of audio to hear, [`Feed::push`] waits. So back-pressure reaches the client's socket, nothing is dropped,
//! and what a call holds is bounded.

mod afar;
mod event;
mod feed;
mod media;
mod pipeline;
mod queue;
mod settings;

pub use afar::{Afar, Ear, Ears, Teller};
pub(crate) use event::seconds;
pub use event::{Event, Figures, Partial, Span, Verdict, Word, Words};
pub use feed::{Ended, Feed};
pub use pipeline::{Encoding, Format, Source, make};
pub use queue::Events;
pub use settings::{BadSetting, Setting, check_client, is_setting};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;

/// What a client wants of a call.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub source: Source,
    /// Properties of the element, later ones win.
    pub settings: Vec<Setting>,
    /// Names of the channels, one element each; empty: all channels are mixed into one.
    pub legs: Vec<String>,
    /// Whether [`Event::Line`] is told: the JSON lines of the element's src pad.
    pub lines: bool,
    /// Where in the client's stream the audio begins; all times count from there.
    pub start: Duration,
    /// Who answered is told, too ([`Event::Verdict`]), of the first leg: by `answerdetect`, with these properties of its.
    pub answer: Option<Vec<Setting>>,
    /// Where it is heard.
    pub ears: Ears,
}

/// Why a call did not come about, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Setting(#[from] BadSetting),
    #[error("{0}")]
    Lacks(String),
    /// The element refused to start.
    #[error("{0}")]
    Refused(String),
    /// Nobody has room for it now.
    #[error("{0}")]
    NoRoom(String),
}

/// A running call. The three parts go their own ways: a door pushes, reads and controls at the same time.
pub struct Call {
    pub feed: Feed,
    pub events: Events,
    pub control: Control,
}

/// What can be asked of a call from anywhere. The pipeline stops when the [`Feed`], the [`Events`] and all
/// clones of this are gone.
#[derive(Clone)]
#[must_use]
pub struct Control {
    running: Arc<Running>,
}

struct Running {
    pipeline: gst::Pipeline,
    elements: Vec<gst::Element>,
    afar: Vec<afar::Heard>,
    heard: feed::Heard,
    /// How far the audio has come into each of the elements, in ns of the stream.
    entered: Vec<Arc<AtomicU64>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Stopping may take the time of a layer; a thread of the runtime's must not wait for it.
        let stop = Stop(self.pipeline.clone());
        match tokio::runtime::Handle::try_current() {
            // A runtime that is itself at its end runs nothing any more, but drops it.
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(stop))),
            Err(_) => drop(stop),
        }
    }
}

/// Dropped, it stops the pipeline.
struct Stop(gst::Pipeline);

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(bus) = self.0.bus() {
            bus.unset_sync_handler();
        }
        let _ = self.0.set_state(gst::State::Null);
    }
}

impl Control {
    /// Changes a property while the call runs.
    pub fn set(&self, setting: &Setting) -> Result<(), BadSetting> {
        self.running
            .elements
            .iter()
            .try_for_each(|element| setting.apply(element))?;
        let mut afar = self.running.afar.iter();
        afar.try_for_each(|afar| afar.set(setting))
    }

    /// Ends a call at once whose model is to stay in memory: until the last clone is gone.
    pub fn park(&self) {
        let _ = self.running.pipeline.set_state(gst::State::Ready);
    }

    /// The figures of each leg's element (its property `stats`).
    pub fn stats(&self) -> Vec<(Option<String>, gst::Structure)> {
        let elements = self.running.elements.iter();
        let afar = self.running.afar.iter();
        elements
            .map(|element| (element.property("leg"), element.property("stats")))
            .chain(afar.map(|afar| (afar.leg.clone(), afar.ear.stats())))
            .collect()
    }

    /// Up to which point of the stream the network has heard all there is, at least.
    pub fn heard(&self) -> Duration {
        let legs = self.running.elements.iter().zip(&self.running.entered);
        let heard = legs.map(|(element, entered)| {
            // The audio first: what enters meanwhile is only found waiting.
            let entered = entered.load(Ordering::Relaxed);
            let stats: gst::Structure = element.property("stats");
            entered.saturating_sub(stats.get::<u64>("backlog").unwrap_or_default())
        });
        let afar = self.running.afar.iter().map(|afar| afar.ear.heard());
        let heard = heard.map(Duration::from_nanos).chain(afar);
        heard.min().unwrap_or_default()
    }

    /// How much audio was pushed (of a container: as far as it is decoded).
    pub fn received(&self) -> Duration {
        self.running.heard.received()
    }
}

/// Builds and starts a call. Blocking (some milliseconds; the model loads behind it): see [`crate::exchange::Exchange::open`].
pub fn open(wanted: &Wanted) -> Result<Call, OpenError> {
    let (tell, mut events) = queue::queue();
    let (heard, intake) = (feed::Heard::default(), media::Intake::default());
    let built = pipeline::build(wanted, &tell, &heard, &intake)?;
    let running = Arc::new(Running {
        entered: built.elements.iter().map(watch_entry).collect(),
        pipeline: built.pipeline,
        elements: built.elements,
        afar: built.afar,
        heard: heard.clone(),
    });
    let bus = running
        .pipeline
        .bus()
        .ok_or_else(|| OpenError::Lacks("a pipeline without a bus".into()))?;
    let arrivals = Arc::clone(&heard.arrivals);
    let told = tell.clone();
    let is_afar = !running.afar.is_empty();
    bus.set_sync_handler(move |_, message| {
        match Event::of(message, &arrivals) {
            // All is sent then, and not told.
            Some(Event::Ended) if is_afar => {}
            Some(event) => told.tell(event),
            None => {}
        }
        gst::BusSyncReply::Drop
    });
    if running.pipeline.set_state(gst::State::Playing).is_err() {
        let reason = events.failure().unwrap_or_else(|| {
            "the pipeline of the call did not start and did not say why; GST_DEBUG=3 tells more"
                .into()
        });
        return Err(OpenError::Refused(reason));
    }
    let control = Control { running };
    events._control = Some(control.clone());
    Ok(Call {
        feed: Feed::new(built.entry, wanted, tell, heard, intake, control.clone()),
        events,
        control,
    })
}

/// Keeps note of how far the audio has come that enters an element.
fn watch_entry(element: &gst::Element) -> Arc<AtomicU64> {
    let entered = Arc::new(AtomicU64::new(0));
    let note = Arc::clone(&entered);
    if let Some(pad) = element.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let end = info.buffer().and_then(|buffer| {
                Some(buffer.pts()? + buffer.duration().unwrap_or(gst::ClockTime::ZERO))
            });
            if let Some(end) = end {
                note.store(end.nseconds(), Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
    entered
}
