//! The element as GObject and GStreamer see it: pads that pass all on, and what is heard and told on the way.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::hear::{Hearing, is_answered};
use super::properties::{self, Properties};
use super::tell;
use crate::element::text_caps;
use crate::speech::answer::Action;

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "answerdetect",
        gst::DebugColorFlags::empty(),
        Some("What is at the other end of the line"),
    )
});

pub struct AnswerDetect {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    properties: Mutex<Properties>,
    /// Never held over a push, a post or a notification.
    hearing: Mutex<Hearing>,
    verdict: Mutex<Option<gst::Structure>>,
    /// What waits for its turn behind the text.
    waiting: Mutex<Vec<gst::Event>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for AnswerDetect {
    const NAME: &'static str = "GstAnswerDetect";
    type Type = super::AnswerDetect;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let flags = gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION;
        let pad = |name| match class.pad_template(name) {
            Some(template) => gst::Pad::builder_from_template(&template).flags(flags),
            // The class has both templates (below): there is no third case to tell of.
            None => gst::Pad::builder(gst::PadDirection::Unknown).flags(flags),
        };
        let sinkpad = pad("sink")
            .chain_function(|_, parent, buffer| {
                let error = || Err(gst::FlowError::Error);
                AnswerDetect::catch_panic_pad_function(parent, error, |this| this.chain(buffer))
            })
            .event_function(|pad, parent, event| {
                AnswerDetect::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.sink_event(pad, event),
                )
            })
            .build();
        let srcpad = pad("src")
            .event_function(|pad, parent, event| {
                AnswerDetect::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.src_event(pad, event),
                )
            })
            .build();
        AnswerDetect {
            sinkpad,
            srcpad,
            properties: Mutex::default(),
            hearing: Mutex::default(),
            verdict: Mutex::default(),
            waiting: Mutex::default(),
        }
    }
}

impl ObjectImpl for AnswerDetect {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sinkpad, &self.srcpad] {
            if let Err(error) = element.add_pad(pad) {
                gst::error!(CAT, imp = self, "no pad {}: {error}", pad.name());
            }
        }
    }

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
        match pspec.name() {
            "verdict" => lock(&self.verdict).to_value(),
            name => lock(&self.properties)
                .get(name)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for AnswerDetect {}

impl ElementImpl for AnswerDetect {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Answer detector",
                "Text/Filter/Analyzer",
                "Tells whether a human, a machine, a fax or nobody is at the other end of a call",
                "the whisperstream authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &text_caps()).ok()
            };
            let sink = template("sink", gst::PadDirection::Sink);
            let src = template("src", gst::PadDirection::Src);
            sink.into_iter().chain(src).collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            let hearing = lock(&self.properties).hearing().map_err(|message| {
                self.post_error_message(message);
                gst::StateChangeError
            })?;
            *lock(&self.hearing) = hearing;
            self.forget();
        }
        self.parent_change_state(transition)
    }

    fn send_event(&self, event: gst::Event) -> bool {
        match is_answered(&event) {
            true => {
                self.act(|hearing| hearing.answered(&event));
                true
            }
            false => self.parent_send_event(event),
        }
    }
}

/// Which way something came in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// The text's: what is told goes downstream at once.
    Text,
    Other,
}

impl AnswerDetect {
    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.act(|hearing| hearing.buffer(&buffer));
        let pushed = self.srcpad.push(buffer);
        self.push_waiting();
        pushed
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::log!(CAT, obj = pad, "{event:?}");
        let thread = match event.is_serialized() {
            true => Thread::Text,
            false => Thread::Other,
        };
        match event.view() {
            EventView::FlushStop(_) => {
                lock(&self.hearing).reset();
                self.forget();
            }
            // Nothing goes behind EOS.
            EventView::Eos(_) | EventView::StreamStart(_) => {
                self.act(|hearing| hearing.event(&event));
                self.push_waiting();
            }
            _ => self.act(|hearing| hearing.event(&event)),
        }
        let passed = gst::Pad::event_default(pad, Some(&*self.obj()), event);
        if thread == Thread::Text {
            self.push_waiting();
        }
        passed
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let ours = is_answered(&event);
        if ours {
            self.act(|hearing| hearing.answered(&event));
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event) || ours
    }

    /// Lets something be heard, then does what follows from it.
    fn act(&self, hear: impl FnOnce(&mut Hearing)) {
        let actions = {
            let mut hearing = lock(&self.hearing);
            hear(&mut hearing);
            hearing.actions()
        };
        for (action, timeline) in actions {
            match action {
                Action::Flush(number) => {
                    let flush = tell::flush(&tell::marker(&*self.obj(), number));
                    if !self.sinkpad.push_event(flush) {
                        gst::debug!(CAT, imp = self, "nobody upstream flushes");
                    }
                }
                Action::Verdict(verdict) => {
                    let structure = tell::verdict(&verdict, &timeline);
                    gst::info!(CAT, imp = self, "{structure:?}");
                    *lock(&self.verdict) = Some(structure.clone());
                    self.obj().notify("verdict");
                    self.tell(structure);
                }
                Action::GreetingEnd(end) => self.tell(tell::greeting_end(&end, &timeline)),
                Action::Beep(beep) => self.tell(tell::beep(&beep, &timeline)),
            }
        }
    }

    /// On the bus at once, and behind the text as soon as its thread comes by.
    fn tell(&self, structure: gst::Structure) {
        let event = gst::event::CustomDownstream::new(structure.clone());
        lock(&self.waiting).push(event);
        let message = gst::message::Element::builder(structure).src(&*self.obj());
        let _ = self.obj().post_message(message.build());
    }

    /// On the text's thread.
    fn push_waiting(&self) {
        // A pad without a segment would refuse them.
        if self.srcpad.sticky_event::<gst::event::Segment>(0).is_none() {
            return;
        }
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        for event in waiting {
            self.srcpad.push_event(event);
        }
    }

    fn forget(&self) {
        lock(&self.waiting).clear();
        *lock(&self.verdict) = None;
    }
}
