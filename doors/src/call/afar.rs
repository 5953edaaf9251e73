//! A call whose legs are heard somewhere else: the pipeline ends where its audio would enter the element.

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use super::event::Event;
use super::feed::{Arrivals, lag};
use super::pipeline::make;
use super::queue::Tell;
use super::{BadSetting, OpenError, Setting, Wanted};

/// Where the legs of a call are heard.
#[derive(Clone, Default)]
pub enum Ears {
    /// In this process.
    #[default]
    Here,
    /// In this process, where a stream was saved: the field `state` of a message `whisperstream/saved`. Of one leg only.
    Resumed(gst::glib::Bytes),
    /// Somewhere else.
    Afar(Arc<dyn Afar>),
}

impl std::fmt::Debug for Ears {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Ears::Here => "Here",
            Ears::Resumed(_) => "Resumed",
            Ears::Afar(_) => "Afar",
        })
    }
}

/// Knows who hears the legs of one call. Its methods may wait: no thread of the runtime's calls them.
pub trait Afar: Send + Sync {
    /// Begins: one ear for each teller, which is told what the ear hears and, as its last, [`Event::Ended`] or [`Event::Failed`].
    fn begin(&self, wanted: &Wanted, tellers: Vec<Teller>) -> Result<Vec<Arc<dyn Ear>>, OpenError>;
}

/// Hears one leg. Dropped, it needs to hear no more, and to tell nothing.
pub trait Ear: Send + Sync {
    /// Takes S16LE, 16 kHz, mono of any length that begins at `at` in the stream. Waits while too much is on its way. `false`:
    /// it is over.
    fn hear(&self, audio: &[u8], at: Duration) -> bool;
    /// All said up to here is to be told now, then [`Event::Flushed`].
    fn flush(&self, marker: &str);
    /// No more comes.
    fn end(&self);
    /// Changes a property, from here on.
    fn set(&self, setting: &Setting);
    /// How far the network has heard, at least.
    fn heard(&self) -> Duration;
    /// The element's `stats`, as far as they are known here.
    fn stats(&self) -> gst::Structure;
}

/// Tells what was heard of a leg.
#[derive(Clone)]
pub struct Teller {
    pub(super) tell: Tell,
    pub(super) arrivals: Arrivals,
}

impl Teller {
    /// Tells an event; how long ago the audio of words came is known here.
    pub fn tell(&self, mut event: Event) {
        if let Event::Words(words) | Event::Final(words) = &mut event {
            words.lag = lag(&self.arrivals, words.span.end);
        }
        self.tell.tell(event);
    }
}

/// Where a leg of a call that is heard afar ends in this process: `appsink`.
pub(super) fn sink(ear: &Arc<dyn Ear>) -> Result<gst_app::AppSink, OpenError> {
    let (hears, ends) = (Arc::clone(ear), Arc::clone(ear));
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let Some(buffer) = sample.buffer() else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let audio = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let at = buffer.pts().map_or(Duration::ZERO, Duration::from);
            match hears.hear(&audio, at) {
                true => Ok(gst::FlowSuccess::Ok),
                false => Err(gst::FlowError::Eos),
            }
        })
        .eos(move |_| ends.end());
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        // It is the ear that says how much may wait.
        .max_buffers(1)
        .caps(&super::Format::default().caps())
        .callbacks(callbacks.build())
        .build();
    let flushes = Arc::clone(ear);
    let pad = sink
        .static_pad("sink")
        .ok_or_else(|| OpenError::Lacks("an appsink without a pad".into()))?;
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let flush = info.event().and_then(|event| event.structure());
        if let Some(flush) = flush.filter(|it| it.name() == "whisperstream/flush") {
            flushes.flush(&flush.get::<String>("marker").unwrap_or_default());
        }
        gst::PadProbeReturn::Ok
    });
    Ok(sink)
}

/// An ear, and an element that never runs, which knows what its properties take.
pub(super) struct Heard {
    pub ear: Arc<dyn Ear>,
    pub leg: Option<String>,
    judge: gst::Element,
}

impl Heard {
    pub fn new(ear: Arc<dyn Ear>, leg: Option<String>) -> Result<Heard, OpenError> {
        let judge = make("whisperstream")?;
        Ok(Heard { ear, leg, judge })
    }

    pub fn set(&self, setting: &Setting) -> Result<(), BadSetting> {
        setting.apply(&self.judge)?;
        self.ear.set(setting);
        Ok(())
    }
}
