//! The element's session with the engine: opened at READY→PAUSED, released before anything waits for a lock, closed at
//! PAUSED→READY. The model outlives it, so that NULL and PLAYING may alternate as fast as an application likes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, WhisperStream, lock};
use super::input::Input;
use super::messages::{self, Stretch};
use super::settings::{Refusal, Settings};
use super::speaker::{Manner, Utterance};
use super::{Compat, Pace};
use crate::engine::models::{self, Lease, Model};
use crate::engine::{self, Drain, EngineError, Listener, ModelKey, Session, Stats};
use crate::policy::LanguageChoice;
use crate::whisper::{WhisperError, processor_complaint};

/// What is held of the engine.
#[derive(Default)]
pub struct Held {
    session: Option<Arc<Session>>,
    /// Number of the present session; events of others are not heard.
    pub number: u64,
    pace: Option<engine::Pace>,
    key: Option<ModelKey>,
    /// A `progress` message was posted and waits for its end.
    pub loading: bool,
    /// What it said last.
    pub percent: u8,
    /// Keeps the model while no session does. Given back with the element, or when another model is chosen.
    parked: Option<Lease<Model>>,
    /// Settings to return to if the session refuses those it was given last.
    pub accepted: Option<Settings>,
    /// A language that was set while playing: in force from the next utterance on.
    pub next_language: Option<&'static str>,
}

/// What `flush-speech` was called with, and what its answer waits for.
pub struct Marker {
    text: String,
    drain: Drain,
    /// End of the audio that was there then.
    end: ClockTime,
}

impl WhisperStream {
    /// READY→PAUSED: checks the settings and asks for the model; waits for nothing.
    pub(super) fn start(&self) -> Result<(), gst::ErrorMessage> {
        lock(&self.timeline).start(0, ClockTime::ZERO);
        *lock(&self.input) = Input::default();
        self.clamped.store(0, Ordering::Relaxed);
        self.observed_delay_ms.store(0, Ordering::Relaxed);
        lock(&self.speaker).out.reset();
        self.read_resumed()?;
        let pace = match lock(&self.settings).pace {
            Pace::Live => engine::Pace::Live,
            // What upstream is will be known with the first buffer.
            Pace::Auto | Pace::Exact => engine::Pace::Exact,
        };
        self.open(pace)?;
        self.stopping.store(false, Ordering::SeqCst);
        self.flushing.store(false, Ordering::SeqCst);
        if lock(&self.settings).is_demo() && !self.demo_told.swap(true, Ordering::Relaxed) {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("No model is chosen: the bundled demo model whisper-nano runs, which knows about 450 words of \
                     French and English. For real use set the property model to the directory of a Hugging Face \
                     Whisper model (openai/whisper-small, say)")
            );
        }
        if let Some(complaint) = processor_complaint()
            && !self.processor_told.swap(true, Ordering::Relaxed)
        {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{complaint}"));
        }
        Ok(())
    }

    /// Releases whoever waits in the engine: FLUSH_START, PAUSED→READY. Takes no lock that a push can hold.
    pub(super) fn release(&self) {
        self.flushing.store(true, Ordering::SeqCst);
        if let Some(session) = self.session() {
            session.flush_begin();
        }
    }

    /// PAUSED→READY: nobody waits in the engine from now on.
    pub(super) fn release_for_good(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.release();
    }

    /// FLUSH_STOP, before it goes on: forgets what was not said. Nothing is pushed until [`resume`](Self::resume).
    pub(super) fn forget(&self) {
        let position = self.session().map_or(0, |session| session.position());
        lock(&self.timeline).start(position, ClockTime::ZERO);
        *lock(&self.resumed) = None;
        {
            let mut input = lock(&self.input);
            input.flush();
            input.ticked = position;
        }
        lock(&self.speaker).flush(position);
    }

    /// FLUSH_STOP, behind it: audio is welcome again.
    pub(super) fn resume(&self) {
        if let Some(session) = self.session() {
            session.flush_end();
        }
        self.flushing.store(false, Ordering::SeqCst);
        // A stop that came while the flush was ending would be undone by this, and its pads wait for a push that nobody
        // releases. One that comes after this look releases by itself.
        if self.stopping.load(Ordering::SeqCst) {
            self.release();
        }
        self.answer_all_markers();
    }

    /// PAUSED→READY, the pads being shut: ends the session; the model stays.
    pub(super) fn stop(&self) {
        let (session, key, was_loading) = {
            let mut held = lock(&self.held);
            held.number += 1;
            held.pace = None;
            let loading = std::mem::take(&mut held.loading);
            (held.session.take(), held.key.clone(), loading)
        };
        let Some(session) = session else { return };
        if let (Some(key), true) = (key, session.stats().loaded) {
            self.park(key);
        }
        session.close();
        if was_loading {
            self.post_progress(
                gst::ProgressType::Canceled,
                "The model is not needed any more",
            );
        }
        lock(&self.markers).clear();
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        lock(&self.held).session.clone()
    }

    /// Settles, with the first data, on the pace that upstream asks for; brings the session.
    pub(super) fn settled_session(&self) -> Result<Arc<Session>, gst::FlowError> {
        if !lock(&self.input).settled {
            let mut query = gst::query::Latency::new();
            let answered = self.sinkpad().peer_query(&mut query);
            let (is_live, least, _) = query.result();
            let wanted = match lock(&self.settings).pace {
                Pace::Exact => engine::Pace::Exact,
                Pace::Live => engine::Pace::Live,
                Pace::Auto if answered && is_live => engine::Pace::Live,
                Pace::Auto => engine::Pace::Exact,
            };
            if lock(&self.held).pace != Some(wanted) {
                self.open(wanted).map_err(|message| {
                    self.post_error_message(message);
                    gst::FlowError::Error
                })?;
            }
            let mut input = lock(&self.input);
            input.settled = true;
            input.is_paced_live = wanted == engine::Pace::Live;
            let upstream_live = answered && is_live;
            input.upstream_live = upstream_live;
            input.upstream_latency = least;
            gst::info!(
                CAT,
                imp = self,
                "pace {wanted:?}; upstream live: {is_live}, {least}"
            );
            drop(input);
            // Live audio that waits is late; all other can, and none of it need be lost.
            if !upstream_live && let Some(session) = self.session() {
                session.hold_back();
            }
        }
        let session = self.session().ok_or(gst::FlowError::Flushing)?;
        // A flush that came between opening and storing the session has not reached it.
        if self.is_flushing() {
            session.flush_begin();
            return Err(gst::FlowError::Flushing);
        }
        Ok(session)
    }

    fn open(&self, pace: engine::Pace) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let wanted = settings
            .session(pace)
            .map_err(|refusal| refused(&refusal))?;
        let key = wanted.model.clone();
        let number = {
            let mut held = lock(&self.held);
            held.number += 1;
            held.number
        };
        {
            let mut speaker = lock(&self.speaker);
            speaker.flush_words(0);
            speaker.utterance = Utterance::default();
            speaker.session = number;
            speaker.manner = manner(&settings, pace);
            speaker.edits = settings.edits();
            speaker.stream.leg = settings.leg.clone();
            speaker.stream.probability = 1.0;
            speaker.stream.language = match wanted.policy.language_choice() {
                Ok(LanguageChoice::Fixed(language)) => Some(language.code.to_string()),
                _ => None,
            };
        }
        let weak = self.obj().downgrade();
        let listener: Listener = Arc::new(move |event| {
            if let Some(element) = weak.upgrade() {
                element.imp().hear(number, event);
            }
        });
        let resumed = lock(&self.resumed).as_ref().map(|it| it.stream.clone());
        let session = match (resumed, self.session()) {
            (Some(stream), _) => Session::resume(wanted, stream, listener),
            (None, Some(before)) => before.succeed(wanted, listener),
            (None, None) => Session::open(wanted, listener),
        }
        .map_err(|err| error_message(&err))?;
        let before = {
            let mut held = lock(&self.held);
            held.pace = Some(pace);
            held.key = Some(key);
            held.session.replace(Arc::new(session))
        };
        // Closed only now, so that a load under way goes on for the new one.
        if let Some(before) = before {
            before.close();
        }
        Ok(())
    }

    /// Keeps the model in memory without a session.
    fn park(&self, key: ModelKey) {
        let lease = match models::acquire(&key) {
            // Shared: the living model of our own session. Anything else would be a load of its own.
            Ok(request) if request.is_shared() => request.wait(&mut |_| {}).ok(),
            _ => None,
        };
        lock(&self.held).parked = lease;
    }

    /// Session `number` holds the model now; whether its load was told of. A stop that came between has parked the model
    /// anew: that is left alone, or the next start would load it again.
    pub(super) fn loaded(&self, number: u64) -> bool {
        let mut held = lock(&self.held);
        if held.number != number {
            return false;
        }
        let parked = held.parked.take();
        let was_told = std::mem::take(&mut held.loading);
        drop(held);
        drop(parked);
        was_told
    }

    /// Another model is chosen.
    pub(super) fn unpark(&self) {
        let parked = lock(&self.held).parked.take();
        drop(parked);
    }

    /// The stream's policy follows changed settings from the next utterance on.
    pub(super) fn update_policy(&self) -> Result<(), EngineError> {
        let policy = lock(&self.settings).policy();
        match self.session() {
            Some(session) => session.update(policy),
            None => Ok(()),
        }
    }

    pub(super) fn stats(&self) -> gst::Structure {
        let settings = lock(&self.settings).clone();
        let stats = match self.session() {
            Some(session) => session.stats(),
            None => Stats::default(),
        };
        let clamped = self.clamped.load(Ordering::Relaxed);
        messages::stats("whisperstream/stats", &settings, &stats, clamped)
    }

    /// Decides and delivers all said so far, in the streaming thread; speech may go on behind it. `Flushing`: a flush or
    /// a stop came between.
    pub(super) fn drain(&self) -> Result<(), gst::FlowError> {
        self.decide(Session::drain)
    }

    /// As [`drain`](Self::drain), where the stream ends or breaks off.
    pub(super) fn end(&self) -> Result<(), gst::FlowError> {
        self.decide(Session::end)
    }

    fn decide(
        &self,
        decide: fn(&Session) -> Result<(), engine::Stopped>,
    ) -> Result<(), gst::FlowError> {
        let (end, fresh) = {
            let timeline = lock(&self.timeline);
            (timeline.end(), timeline.is_fresh())
        };
        if !fresh && let Some(session) = self.session() {
            decide(&session).map_err(|stopped| match stopped {
                engine::Stopped::Flushing => gst::FlowError::Flushing,
                engine::Stopped::Failed => gst::FlowError::Error,
            })?;
            self.tick_rest(&session);
        }
        lock(&self.speaker).finish(end);
        self.tell_untold();
        Ok(())
    }

    /// `flush-speech`, or the event of that meaning from anywhere: any thread, returns at once. What is here now is
    /// decided and delivered; then the worker gives the answer.
    pub(super) fn flush_speech_soon(&self, text: String) {
        let mut markers = lock(&self.markers);
        let end = lock(&self.timeline).end();
        if let Some(session) = self.session()
            && let Ok(drain) = session.ask_drain()
        {
            markers.push(Marker { text, drain, end });
            return;
        }
        drop(markers);
        // Nothing is left to wait for: the answer is due all the same, but the caller may hold the output.
        self.obj()
            .call_async(move |element| element.imp().flushed(&text, end));
    }

    /// The drain of this number is done, and those before it.
    pub(super) fn drained(&self, number: u64) {
        let mut markers = lock(&self.markers);
        let done = markers.partition_point(|marker| marker.drain.number() <= number);
        let done: Vec<Marker> = markers.drain(..done).collect();
        drop(markers);
        for Marker { text, end, .. } in done {
            self.flushed(&text, end);
        }
    }

    /// Nothing is left that an answer could wait for.
    pub(super) fn answer_all_markers(&self) {
        self.drained(u64::MAX);
    }

    /// Says that all before `marker` is delivered.
    pub(super) fn flushed(&self, marker: &str, end: ClockTime) {
        let told = {
            let mut speaker = lock(&self.speaker);
            speaker.finish(end);
            let segment = speaker.out.segment().cloned();
            let told = Stretch::new(&segment.clone().unwrap_or_default(), end, end)
                .structure("whisperstream/flushed", speaker.number())
                .field("marker", marker)
                .build();
            if segment.is_some() {
                speaker.out.event(self.event(&told));
            }
            told
        };
        self.post(told);
    }

    /// A serialized event that says what a message says.
    pub(super) fn event(&self, structure: &gst::StructureRef) -> gst::Event {
        let mut structure = structure.to_owned();
        self.name_leg(&mut structure);
        gst::event::CustomDownstream::new(structure)
    }

    /// Puts the name of this side of the call on what is told.
    pub(super) fn name_leg(&self, structure: &mut gst::Structure) {
        if let Some(leg) = &lock(&self.settings).leg {
            structure.set("leg", leg);
        }
    }

    pub(super) fn post(&self, mut structure: gst::Structure) {
        self.name_leg(&mut structure);
        let seqnum = lock(&self.input).seqnum;
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .seqnum_if_some(seqnum)
            .build();
        // Without a bus nobody listens.
        let _ = self.obj().post_message(message);
    }

    pub(super) fn post_progress(&self, kind: gst::ProgressType, text: &str) {
        let message = gst::message::Progress::builder(kind, "loading", text)
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
    }
}

fn manner(settings: &Settings, pace: engine::Pace) -> Manner {
    Manner {
        unit: settings.unit,
        verbatim: settings.compat == Compat::SimulStreaming,
        live: pace == engine::Pace::Live,
        latency: settings.latency(),
        chunk: settings.chunk(),
    }
}

fn refused(refusal: &Refusal) -> gst::ErrorMessage {
    gst::error_msg!(gst::ResourceError::Settings, ("{refusal}"))
}

/// The engine's fault as an ERROR message.
pub fn error_message(error: &EngineError) -> gst::ErrorMessage {
    match error {
        EngineError::Settings(_)
        | EngineError::Vad(_)
        | EngineError::Heads { .. }
        | EngineError::NotResumed(_)
        | EngineError::NoHeads => {
            gst::error_msg!(gst::ResourceError::Settings, ("{error}"))
        }
        EngineError::Model(cause) => match **cause {
            WhisperError::NoSuchPath(_) => {
                gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
            }
            _ => gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")),
        },
        EngineError::TooManyStreams { .. } => {
            gst::error_msg!(gst::ResourceError::Busy, ("{error}"))
        }
        EngineError::Thread(_) => gst::error_msg!(gst::CoreError::Thread, ("{error}")),
        EngineError::Fault(_) => gst::error_msg!(gst::LibraryError::Failed, ("{error}")),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
