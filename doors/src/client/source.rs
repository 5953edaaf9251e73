//! A microphone or a file, decoded, as 16 kHz mono, onto the tape.

use std::io;
use std::path::Path;
use std::sync::Arc;

use gst::prelude::*;

use super::tape::Tape;
use super::{ClientError, ClientOptions, RATE};
use crate::call::make;

/// Runs until it is dropped.
pub struct Source {
    pipeline: gst::Pipeline,
    tape: Arc<Tape>,
}

impl Source {
    /// Gets ready; nothing is heard before [`start`](Self::start).
    pub fn open(options: &ClientOptions, tape: Arc<Tape>) -> Result<Source, ClientError> {
        let pipeline = gst::Pipeline::new();
        let element = |name: &str| {
            let element = make(name).map_err(|err| ClientError::Source(err.to_string()))?;
            pipeline
                .add(&element)
                .map_err(|err| ClientError::Source(err.to_string()))?;
            Ok::<_, ClientError>(element)
        };
        let (convert, resample) = (element("audioconvert")?, element("audioresample")?);
        let caps = gst_audio::AudioCapsBuilder::new_interleaved()
            .format(gst_audio::AudioFormat::S16le)
            .rate(RATE as i32)
            .channels(1)
            .build();
        // A file is played in real time by the pipeline's clock, and holds no more than the tape takes.
        let is_file = options.file.is_some();
        let sink = gst_app::AppSink::builder()
            .caps(&caps)
            .sync(is_file && !options.fast)
            .max_buffers(8)
            .build();
        pipeline
            .add(&sink)
            .map_err(|err| ClientError::Source(err.to_string()))?;
        let failed = |err: gst::glib::BoolError| ClientError::Source(err.to_string());
        gst::Element::link_many([&convert, &resample, sink.upcast_ref()]).map_err(failed)?;
        match &options.file {
            Some(path) => {
                readable(path)?;
                let file = element("filesrc")?;
                file.set_property("location", path);
                let decoder = element("decodebin")?;
                file.link(&decoder).map_err(failed)?;
                decoder.connect_pad_added(move |_, pad| {
                    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
                    let is_audio = caps
                        .structure(0)
                        .is_some_and(|s| s.name().starts_with("audio/"));
                    if let Some(sink) = convert
                        .static_pad("sink")
                        .filter(|sink| is_audio && !sink.is_linked())
                    {
                        let _ = pad.link(&sink);
                    }
                });
            }
            None => {
                let microphone = element("autoaudiosrc")?;
                microphone.link(&convert).map_err(failed)?;
            }
        }
        let heard = Arc::clone(&tape);
        let ended = Arc::clone(&tape);
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let map = sample
                    .buffer()
                    .and_then(|buffer| buffer.map_readable().ok());
                match map.is_none_or(|map| heard.record(&map, is_file)) {
                    true => Ok(gst::FlowSuccess::Ok),
                    false => Err(gst::FlowError::Eos),
                }
            })
            .eos(move |_| ended.end(None));
        sink.set_callbacks(callbacks.build());
        let failing = Arc::clone(&tape);
        let file = options.file.clone();
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                if let gst::MessageView::Error(err) = message.view() {
                    failing.end(Some(explain(file.as_deref(), &err.error(), err.debug())));
                }
                gst::BusSyncReply::Drop
            });
        }
        Ok(Source { pipeline, tape })
    }

    /// From now on the tape is recorded. Does nothing when it is already.
    pub fn start(&self) {
        let (_, state, pending) = self.pipeline.state(gst::ClockTime::ZERO);
        if state == gst::State::Playing || pending == gst::State::Playing {
            return;
        }
        if self.pipeline.set_state(gst::State::Playing).is_err() {
            // If an element said why, that came first.
            let reason = "the sound could not be opened; GST_DEBUG=3 tells more";
            self.tape.end(Some(reason.into()));
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Whoever waits for room is let go first.
        self.tape.end(None);
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn readable(path: &Path) -> Result<(), ClientError> {
    let opened = std::fs::File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::Error::other("it is a directory")),
        false => Ok(()),
    });
    opened.map_err(|err| ClientError::Source(format!("{} cannot be read: {err}", path.display())))
}

/// GStreamer's word for it, and what to do.
fn explain(
    file: Option<&Path>,
    error: &gst::glib::Error,
    debug: Option<gst::glib::GString>,
) -> String {
    let debug = debug.map(|debug| debug.to_string()).unwrap_or_default();
    match file {
        Some(path) if error.matches(gst::CoreError::MissingPlugin) || debug.contains("missing") => {
            format!(
                "{} cannot be decoded: {error}; Debian's packages gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad and gstreamer1.0-libav bring most formats",
                path.display()
            )
        }
        Some(path) => format!("{} cannot be decoded: {error}", path.display()),
        None => format!(
            "there is no microphone that can be heard: {error}; plug one in, let this program use it (group audio, or the desktop's privacy settings), and see that Debian's package gstreamer1.0-pulseaudio, gstreamer1.0-pipewire or gstreamer1.0-alsa is installed"
        ),
    }
}
