// SPDX-License-Identifier: MPL-2.0

//! `uridecodebin ! audioconvert ! audioresample [! clocksync] ! whisperstream ! appsink`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gst::ClockTime;
use gst::prelude::*;

use crate::args::{Args, Format};
use crate::captions::Captions;
use crate::failure::Failure;
use crate::output::Output;

pub struct Transcription {
    pipeline: gst::Pipeline,
    whisper: gst::Element,
    bus: gst::Bus,
    /// Behind this time, in ns of the text stream, nothing is decided yet.
    decided: Arc<AtomicU64>,
    /// Whether the input had an audio stream.
    heard_audio: Arc<AtomicBool>,
}

impl Transcription {
    pub fn build(
        args: &Args,
        output: Output,
        captions: Captions,
    ) -> Result<Transcription, Failure> {
        let pipeline = gst::Pipeline::new();
        let source = source(&args.input)?;
        let convert = make("audioconvert")?;
        let resample = make("audioresample")?;
        let whisper = make("whisperstream")?;
        for (name, value) in args.properties() {
            set(&whisper, name, &value)?;
        }
        let decided = Arc::new(AtomicU64::new(0));
        watch_decided(&whisper, decided.clone(), captions.clone());
        let sink = sink(args.format, output, captions, decided.clone());

        let mut chain = vec![convert.clone(), resample];
        if args.realtime {
            chain.push(make("clocksync")?);
        }
        chain.push(whisper.clone());
        chain.push(sink.upcast());
        pipeline
            .add(&source)
            .and_then(|()| pipeline.add_many(&chain))
            .and_then(|()| gst::Element::link_many(&chain))
            .map_err(|err| Failure::Setup(format!("the pipeline cannot be built: {err}")))?;

        let heard_audio = Arc::new(AtomicBool::new(false));
        link_first_audio(&source, &convert, heard_audio.clone());
        let bus = pipeline
            .bus()
            .ok_or_else(|| Failure::Setup("the pipeline has no bus".into()))?;
        Ok(Transcription {
            pipeline,
            whisper,
            bus,
            decided,
            heard_audio,
        })
    }

    /// A failure here has its reason on the bus, so it is left to whoever reads that.
    pub fn start(&self) -> Result<(), Failure> {
        let _ = self.pipeline.set_state(gst::State::Playing);
        Ok(())
    }

    pub fn stop(&self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }

    pub fn bus(&self) -> &gst::Bus {
        &self.bus
    }

    pub fn heard_audio(&self) -> bool {
        self.heard_audio.load(Ordering::Relaxed)
    }

    pub fn decided(&self) -> ClockTime {
        ClockTime::from_nseconds(self.decided.load(Ordering::Relaxed))
    }

    /// Of the whole input, where it knows.
    pub fn duration(&self) -> Option<ClockTime> {
        self.whisper.static_pad("sink")?.peer_query_duration()
    }

    /// Ends the input here, so that the element decides what it has heard and the output ends whole; EOS on the bus
    /// tells when. False when nothing was heard yet, so that there is nothing to wait for.
    pub fn finish_early(&self) -> bool {
        let Some(pad) = self.whisper.static_pad("sink") else {
            return false;
        };
        if !self.heard_audio() || pad.current_caps().is_none() {
            return false;
        }
        // Sent to the element, not to the source: what waits in the queues between them is not transcribed first.
        // From a thread of its own, because it has to wait for the buffer that is being taken in.
        std::thread::spawn(move || pad.send_event(gst::event::Eos::new()));
        true
    }
}

/// The element, or the Debian package that has it.
fn make(name: &str) -> Result<gst::Element, Failure> {
    gst::ElementFactory::make(name)
        .build()
        .map_err(|_| Failure::NoElement {
            name: name.to_owned(),
            package: match name {
                "clocksync" | "fdsrc" => "libgstreamer1.0-0",
                _ => "gstreamer1.0-plugins-base",
            },
        })
}

/// Sets a property from its textual value, as gst-launch-1.0 does, but without panicking on nonsense.
fn set(element: &gst::Element, name: &str, value: &str) -> Result<(), Failure> {
    let refused = |reason: String| Failure::Property {
        name: name.to_owned(),
        value: value.to_owned(),
        reason,
    };
    let pspec = element
        .find_property(name)
        .ok_or_else(|| refused("the element has no such property".into()))?;
    let value = if pspec.value_type() == glib::Type::STRING {
        value.to_value()
    } else {
        glib::Value::deserialize_with_pspec(value, &pspec)
            .map_err(|_| refused(format!("it must be a {}", pspec.value_type())))?
    };
    element.set_property_from_value(name, &value);
    Ok(())
}

/// What feeds the pipeline. Only audio is decoded, whatever else is in there.
fn source(input: &str) -> Result<gst::Element, Failure> {
    let decoder = make("uridecodebin")?;
    decoder.set_property("uri", uri(input)?);
    decoder.set_property("caps", gst::Caps::new_empty_simple("audio/x-raw"));
    decoder.set_property("expose-all-streams", false);
    Ok(decoder)
}

/// The URI of a file, of standard input (`-`), or of a URI.
fn uri(input: &str) -> Result<String, Failure> {
    if input == "-" {
        return Ok("fd://0".into());
    }
    if input.contains("://") {
        return Ok(input.into());
    }
    // Opened here only because "No such file or directory" says more than what decodebin makes of it.
    std::fs::File::open(input)
        .and_then(|file| file.metadata())
        .and_then(|about| match about.is_dir() {
            true => Err(std::io::ErrorKind::IsADirectory.into()),
            false => std::path::absolute(input),
        })
        .map_err(|err| err.to_string())
        .and_then(|path| glib::filename_to_uri(path, None).map_err(|err| err.to_string()))
        .map(Into::into)
        .map_err(|reason| Failure::Input {
            name: input.to_owned(),
            reason,
        })
}

/// Links the first audio stream; further ones are left alone.
fn link_first_audio(decoder: &gst::Element, convert: &gst::Element, heard: Arc<AtomicBool>) {
    let convert = convert.downgrade();
    decoder.connect_pad_added(move |_, pad| {
        let Some(sink) = convert.upgrade().and_then(|e| e.static_pad("sink")) else {
            return;
        };
        if !sink.is_linked() && pad.link(&sink).is_ok() {
            heard.store(true, Ordering::Relaxed);
        }
    });
}

/// Notes the end of every buffer and GAP that leaves the element: up to there all is decided.
fn watch_decided(whisper: &gst::Element, decided: Arc<AtomicU64>, captions: Captions) {
    let Some(pad) = whisper.static_pad("src") else {
        return;
    };
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        let reached = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => buffer
                .pts()
                .map(|pts| pts + buffer.duration().unwrap_or_default()),
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Gap(gap) => {
                    let (start, duration) = gap.get();
                    let end = start + duration.unwrap_or_default();
                    captions.quiet(end);
                    Some(end)
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(reached) = reached {
            decided.fetch_max(reached.nseconds(), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Writes what arrives. Text gets its line end here; JSON brings its own; subtitles are made of the words.
fn sink(
    format: Format,
    output: Output,
    captions: Captions,
    decided: Arc<AtomicU64>,
) -> gst_app::AppSink {
    let caps = match format {
        Format::Json => gst::Caps::new_empty_simple("application/x-json"),
        Format::Txt | Format::Srt | Format::Vtt => gst::Caps::builder("text/x-raw")
            .field("format", "utf8")
            .build(),
    };
    let last = captions.clone();
    let take = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let Some(buffer) = sample.buffer() else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let mut written = captions.add(buffer);
        if matches!(format, Format::Txt | Format::Json)
            && let Ok(map) = buffer.map_readable()
        {
            let mut bytes = map.as_slice().to_vec();
            if format == Format::Txt {
                // One line, whatever lines the caption has.
                bytes
                    .iter_mut()
                    .filter(|byte| **byte == b'\n')
                    .for_each(|byte| *byte = b' ');
                bytes.push(b'\n');
            }
            written &= output.write(&bytes);
        }
        // Nobody can be written to any more: end the stream rather than decode on for nobody.
        match written {
            true => Ok(gst::FlowSuccess::Ok),
            false => Err(gst::FlowError::Error),
        }
    };
    gst_app::AppSink::builder()
        .caps(&caps)
        .sync(false)
        .callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(take)
                .eos(move |_| {
                    let end = ClockTime::from_nseconds(decided.load(Ordering::Relaxed));
                    last.finish(end);
                })
                .build(),
        )
        .build()
}
