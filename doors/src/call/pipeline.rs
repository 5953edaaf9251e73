//! The pipeline of a call: how its audio gets to the element.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::event::Quiet;
use super::feed::Heard;
use super::media::{self, Intake};
use super::queue::Tell;
use super::{Ears, Event, OpenError, Setting, Teller, Wanted, afar};

/// Where the audio of a call comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Samples, pushed into the [`super::Feed`] in pieces of any size.
    Raw(Format),
    /// A container (WebM, Ogg, MP4, WAV, ...), pushed in pieces of any size; what is in it decides.
    Media,
    /// An element that brings raw audio of any kind on the pads `src_0`, `src_1`, ... (`src`, if there is one), one a leg. The
    /// feed only ends it.
    Element(gst::Element),
}

/// What pushed bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub encoding: Encoding,
    /// Hz
    pub rate: u32,
    /// Interleaved.
    pub channels: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    S16le,
    S16be,
    Mulaw,
    Alaw,
}

impl Default for Source {
    fn default() -> Self {
        Source::Raw(Format::default())
    }
}

/// S16LE, 16 kHz, mono: what the element takes as it is.
impl Default for Format {
    fn default() -> Self {
        Format {
            encoding: Encoding::S16le,
            rate: 16_000,
            channels: 1,
        }
    }
}

impl Format {
    /// Bytes of one sample of all channels.
    pub fn frame(&self) -> usize {
        let sample = match self.encoding {
            Encoding::S16le | Encoding::S16be => 2,
            Encoding::Mulaw | Encoding::Alaw => 1,
        };
        sample * self.channels as usize
    }

    pub(super) fn caps(&self) -> gst::Caps {
        let (name, format) = match self.encoding {
            Encoding::S16le => ("audio/x-raw", Some("S16LE")),
            Encoding::S16be => ("audio/x-raw", Some("S16BE")),
            Encoding::Mulaw => ("audio/x-mulaw", None),
            Encoding::Alaw => ("audio/x-alaw", None),
        };
        gst::Caps::builder(name)
            .field_if_some("format", format)
            .field("rate", self.rate as i32)
            .field("channels", self.channels as i32)
            .field_if_some("layout", format.map(|_| "interleaved"))
            .build()
    }

    fn decoder(&self) -> Option<&'static str> {
        match self.encoding {
            Encoding::Mulaw => Some("mulawdec"),
            Encoding::Alaw => Some("alawdec"),
            Encoding::S16le | Encoding::S16be => None,
        }
    }
}

pub(super) struct Built {
    pub pipeline: gst::Pipeline,
    /// Where pushed audio enters.
    pub entry: Option<gst_app::AppSrc>,
    /// `whisperstream`, one a leg.
    pub elements: Vec<gst::Element>,
    /// In their place, if the legs are heard somewhere else.
    pub afar: Vec<afar::Heard>,
}

/// How much audio waits in the pipeline before the element at most.
const QUEUED: gst::ClockTime = gst::ClockTime::from_mseconds(500);

pub(super) fn build(
    wanted: &Wanted,
    tell: &Tell,
    heard: &Heard,
    intake: &Intake,
) -> Result<Built, OpenError> {
    let pipeline = gst::Pipeline::new();
    let legs = wanted.legs.len().max(1);
    let (mut entries, mut elements, mut heard_afar) = (Vec::new(), Vec::new(), Vec::new());
    match &wanted.ears {
        Ears::Afar(network) => {
            let mut tellers = Vec::new();
            tellers.resize_with(legs, || Teller {
                tell: tell.clone(),
                arrivals: Arc::clone(&heard.arrivals),
            });
            // What is wrong with a setting is said before anybody far away is asked.
            wanted
                .settings
                .iter()
                .try_fold(make("whisperstream")?, |judge, setting| {
                    setting.apply(&judge).map(|()| judge)
                })?;
            for (leg, ear) in network.begin(wanted, tellers)?.into_iter().enumerate() {
                let sink = afar::sink(&ear)?.upcast();
                entries.push(lead(&pipeline, wanted, vec![sink])?);
                heard_afar.push(afar::Heard::new(ear, wanted.legs.get(leg).cloned())?);
            }
        }
        _ => {
            for leg in 0..legs {
                let ear = ear(&pipeline, wanted, leg, tell)?;
                entries.push(ear.entry);
                elements.push(ear.element);
            }
        }
    }
    let entry = match &wanted.source {
        Source::Raw(format) => Some(raw(&pipeline, *format, &entries)?),
        Source::Media => Some(media::build(
            &pipeline,
            &entries,
            wanted.start,
            heard,
            intake,
            tell,
        )?),
        Source::Element(source) => {
            add(&pipeline, source)?;
            for (number, entry) in entries.iter().enumerate() {
                let pad = source
                    .static_pad(&format!("src_{number}"))
                    .or_else(|| source.static_pad("src"))
                    .ok_or_else(|| {
                        OpenError::Lacks(format!("the source of the call has no pad src_{number}"))
                    })?;
                let sink = sink(entry)?;
                pad.link(&sink).map_err(|err| {
                    OpenError::Lacks(format!("the source of the call brings no audio: {err}"))
                })?;
            }
            None
        }
    };
    Ok(Built {
        pipeline,
        entry,
        elements,
        afar: heard_afar,
    })
}

struct Ear {
    entry: gst::Element,
    element: gst::Element,
}

/// `queue ! audioconvert ! audioresample ! beepdetect ! whisperstream ! answerdetect ! appsink`, without what is not needed.
fn ear(
    pipeline: &gst::Pipeline,
    wanted: &Wanted,
    number: usize,
    tell: &Tell,
) -> Result<Ear, OpenError> {
    let whisper = make("whisperstream")?;
    let settings = [Setting::new("pace", "live")];
    for setting in settings.iter().chain(&wanted.settings) {
        setting.apply(&whisper)?;
    }
    if let Some(leg) = wanted.legs.get(number) {
        Setting::new("leg", leg).apply(&whisper)?;
    }
    if let Ears::Resumed(state) = &wanted.ears {
        whisper.set_property("resume", state);
    }
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .enable_last_sample(false);
    let json = gst::Caps::new_empty_simple("application/x-json");
    let sink = match wanted.lines {
        true => sink.caps(&json),
        false => sink,
    };
    let (lines, told) = (wanted.lines, tell.clone());
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let map = sample
            .buffer()
            .filter(|_| lines)
            .and_then(|buffer| buffer.map_readable().ok());
        if let Some(line) = map.filter(|line| !line.is_empty()) {
            told.tell(Event::Line(String::from_utf8_lossy(&line).into_owned()));
        }
        Ok(gst::FlowSuccess::Ok)
    });
    let sink: gst::Element = sink.callbacks(callbacks.build()).build().upcast();
    if let Some(pad) = sink.static_pad("sink") {
        let (told, quiet) = (tell.clone(), Mutex::new(Quiet::default()));
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(event) = info.event() {
                let mut quiet = quiet.lock().unwrap_or_else(PoisonError::into_inner);
                let heard = quiet.hear(event);
                for event in heard.into_iter().chain(Event::of_downstream(event)) {
                    told.tell(event);
                }
            }
            gst::PadProbeReturn::Ok
        });
    }
    let mut chain = Vec::new();
    match wanted.answer.as_ref().filter(|_| number == 0) {
        Some(settings) => {
            let answer = make("answerdetect")?;
            settings
                .iter()
                .try_for_each(|setting| setting.apply(&answer))?;
            chain.extend([make("beepdetect")?, whisper.clone(), answer, sink]);
        }
        None => chain.extend([whisper.clone(), sink]),
    }
    Ok(Ear {
        entry: lead(pipeline, wanted, chain)?,
        element: whisper,
    })
}

/// Puts in front of `chain` what makes its audio of the source's, all into the pipeline, and returns the first of them.
fn lead(
    pipeline: &gst::Pipeline,
    wanted: &Wanted,
    chain: Vec<gst::Element>,
) -> Result<gst::Element, OpenError> {
    let as_is = matches!(&wanted.source, Source::Raw(format) if *format == Format::default());
    let mut all = Vec::new();
    if !as_is {
        if ears_apart(wanted) {
            all.push(make("queue")?);
        }
        all.push(make("audioconvert")?);
        all.push(make("audioresample")?);
    }
    all.extend(chain);
    for element in &all {
        add(pipeline, element)?;
    }
    link(&all)?;
    let first = all.first().cloned();
    first.ok_or_else(|| OpenError::Lacks("a leg of no elements".into()))
}

/// Legs run on threads of their own: one that waits must not keep the other's audio.
fn ears_apart(wanted: &Wanted) -> bool {
    wanted.legs.len() > 1
}

fn raw(
    pipeline: &gst::Pipeline,
    format: Format,
    entries: &[gst::Element],
) -> Result<gst_app::AppSrc, OpenError> {
    let source = gst_app::AppSrc::builder()
        .caps(&format.caps())
        .format(gst::Format::Time)
        .max_time(QUEUED)
        .max_bytes(0)
        .build();
    let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
    if let Some(decoder) = format.decoder() {
        chain.push(make(decoder)?);
    }
    match entries {
        [entry] => {
            for element in &chain {
                add(pipeline, element)?;
            }
            chain.push(entry.clone());
            link(&chain)?;
        }
        entries => {
            if entries.len() != format.channels as usize {
                return Err(OpenError::Refused(format!(
                    "{} legs are named, but the audio has {} channels: name one for each, or none",
                    entries.len(),
                    format.channels
                )));
            }
            let split = make("deinterleave")?;
            chain.push(split.clone());
            for element in &chain {
                add(pipeline, element)?;
            }
            link(&chain)?;
            let entries = entries.to_vec();
            end_unheard(&split, &entries)?;
            split.connect_pad_added(move |_, pad| {
                let number = pad
                    .name()
                    .strip_prefix("src_")
                    .and_then(|n| n.parse::<usize>().ok());
                let sink = number
                    .and_then(|n| entries.get(n))
                    .and_then(|entry| entry.static_pad("sink"));
                if let Some(sink) = sink {
                    let _ = pad.link(&sink);
                }
            });
        }
    }
    Ok(source)
}

/// `deinterleave` has no way out until it knows the audio's caps, and a decoder knows none before the first audio: a call that
/// ends without any ends here.
fn end_unheard(split: &gst::Element, entries: &[gst::Element]) -> Result<(), OpenError> {
    let entries = entries.iter().map(sink).collect::<Result<Vec<_>, _>>()?;
    sink(split)?.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
        let split = pad.parent_element();
        let is_unheard = split.is_some_and(|split| split.num_src_pads() == 0);
        if let Some(eos) = info.event()
            && eos.type_() == gst::EventType::Eos
            && is_unheard
        {
            for entry in &entries {
                if let Some(start) = pad.sticky_event::<gst::event::StreamStart>(0) {
                    entry.send_event(start);
                }
                entry.send_event(gst::event::Eos::new());
            }
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// An element, or which Debian package has it.
pub fn make(name: &str) -> Result<gst::Element, OpenError> {
    let package = match name {
        "appsrc" | "appsink" | "audioconvert" | "audioresample" | "decodebin" | "opusdec" => {
            "gstreamer1.0-plugins-base"
        }
        "whisperstream" | "answerdetect" | "beepdetect" => "gst-plugin-whisperstream",
        "pcapparse" | "faad" => "gstreamer1.0-plugins-bad",
        name if name.starts_with("avdec_") => "gstreamer1.0-libav",
        _ => "gstreamer1.0-plugins-good",
    };
    gst::ElementFactory::make(name).build().map_err(|_| {
        OpenError::Lacks(format!("GStreamer has no element {name} here; install Debian's package {package}, which brings it"))
    })
}

pub(super) fn add(pipeline: &gst::Pipeline, element: &gst::Element) -> Result<(), OpenError> {
    pipeline
        .add(element)
        .map_err(|err| OpenError::Lacks(err.to_string()))
}

pub(super) fn link(chain: &[gst::Element]) -> Result<(), OpenError> {
    gst::Element::link_many(chain).map_err(|err| OpenError::Lacks(err.to_string()))
}

fn sink(element: &gst::Element) -> Result<gst::Pad, OpenError> {
    element
        .static_pad("sink")
        .ok_or_else(|| OpenError::Lacks("an element without a sink pad".into()))
}
