// SPDX-License-Identifier: MPL-2.0

//! Captions a film while it plays: drawn into the picture, and as a subtitle track where a file is written.
//!
//!     cargo run --release --example captions -- film.mp4 --language fr
//!     cargo run --release --example captions -- film.mp4 --language fr --output captioned.mkv
//!
//! ```text
//! decodebin ┬ queue ! textoverlay ! queue ! ...                     sink, or vp8enc ! mux
//!           │           ↑ text_sink
//!           ├ whisperstream unit=utterance ! tee                    and ! mux
//!           └ queue ! ...                                           sink, or opusenc ! mux
//! ```
//!
//! The picture and the sound wait in their queues for the words, so these hold more than the element's `latency` (2 s).

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use gst::prelude::*;

/// Captions a film while it plays.
#[derive(Parser)]
struct Args {
    /// A film, or a recording: that gets a black picture.
    input: PathBuf,
    /// Write a Matroska file with a subtitle track (VP8, Opus), instead of showing it.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Directory or file of a Whisper model, or its id on the hub; left out: the bundled demo model.
    #[arg(long)]
    model: Option<String>,
    /// Whisper code, name or BCP-47 tag, or auto.
    #[arg(long, default_value = "auto")]
    language: String,
    /// Font of the captions, in Pango's words.
    #[arg(long, default_value = "Sans Bold 22")]
    font: String,
}

/// Five seconds, of however many bytes.
const QUEUE: &str = "queue max-size-time=5000000000 max-size-bytes=0 max-size-buffers=0";

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("captions: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstwhisperstream::plugin_register_static()?;
    let pipeline = build(args)?;
    let result = play(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    result
}

fn build(args: &Args) -> Result<gst::Pipeline, Box<dyn Error>> {
    let (picture, sound, text) = match args.output {
        Some(_) => (
            "vp8enc deadline=1 cpu-used=8 target-bitrate=1500000 ! queue ! mux.",
            "audioconvert ! audioresample ! opusenc ! queue ! mux.",
            "matroskamux name=mux ! filesink name=file   text. ! queue ! mux.",
        ),
        None => (
            "autovideosink",
            "audioconvert ! audioresample ! autoaudiosink",
            "",
        ),
    };
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=source ! decodebin name=film \
         {QUEUE} name=picture ! videoconvert ! textoverlay name=overlay valignment=bottom line-alignment=center \
           wait-text=true shaded-background=true ! videoconvert ! queue ! {picture} \
         tee name=sound ! {QUEUE} ! {sound} \
         sound. ! {QUEUE} ! audioconvert ! audioresample ! whisperstream name=ears unit=utterance ! text/x-raw,format=utf8 ! tee name=text \
         text. ! {QUEUE} ! overlay.text_sink   {text}"
    ))
    .map_err(|err| format!("{err}; textoverlay is in Debian's gstreamer1.0-x, the rest in gstreamer1.0-plugins-good"))?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "no pipeline")?;
    let named = |name: &str| pipeline.by_name(name).ok_or_else(|| format!("no {name}"));
    named("source")?.set_property("location", &args.input);
    named("overlay")?.set_property("font-desc", &args.font);
    named("ears")?.set_property("language", &args.language);
    if let Some(model) = &args.model {
        named("ears")?.set_property("model", model);
    }
    if let Some(output) = &args.output {
        named("file")?.set_property("location", output);
    }

    let film = named("film")?;
    let (picture, sound) = (sink(&named("picture")?)?, sink(&named("sound")?)?);
    let entries = [("video/", picture.clone()), ("audio/", sound.clone())];
    film.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let kind = caps.structure(0).map_or("", |caps| caps.name());
        let entry = entries
            .iter()
            .find(|(name, sink)| kind.starts_with(name) && !sink.is_linked());
        if let Some((_, sink)) = entry
            && let Err(err) = pad.link(sink)
        {
            gst::error!(gst::CAT_DEFAULT, "{kind} is not linked: {err}");
        }
    });
    film.connect_no_more_pads(move |film| {
        let problem = if !sound.is_linked() {
            Some("there is no sound in it that could be captioned".to_owned())
        } else if !picture.is_linked() {
            black(film, &sound, &picture)
                .err()
                .map(|err| err.to_string())
        } else {
            None
        };
        if let Some(problem) = problem {
            gst::element_error!(film, gst::StreamError::WrongType, ("{problem}"));
        }
    });
    Ok(pipeline)
}

/// A picture for a recording that has none: it goes as far as the sound has come, and ends with it.
fn black(film: &gst::Element, sound: &gst::Pad, picture: &gst::Pad) -> Result<(), Box<dyn Error>> {
    let bin = gst::parse::bin_from_description(
        "videotestsrc name=black pattern=black ! capsfilter caps=video/x-raw,width=1280,height=720,framerate=25/1",
        true,
    )?;
    let pipeline = film
        .parent()
        .and_downcast::<gst::Pipeline>()
        .ok_or("no pipeline")?;
    let frames = bin.static_pad("src").ok_or("no pad")?;
    let source = bin.by_name("black").ok_or("no source")?;
    let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));

    let come = Arc::clone(&heard);
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    sound.add_probe(kinds, move |_, info| {
        let mut so_far = come.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = info.buffer() {
            let length = buffer.duration().unwrap_or_default();
            so_far.end = buffer.pts().map_or(so_far.end, |pts| pts + length);
        }
        so_far.is_all |= info
            .event()
            .is_some_and(|event| event.type_() == gst::EventType::Eos);
        come.1.notify_all();
        gst::PadProbeReturn::Ok
    });
    frames.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let time = info.buffer().and_then(|frame| frame.pts());
        let mut so_far = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A pipeline that is stopped flushes its pads.
        while time > Some(so_far.end)
            && !so_far.is_all
            && !pad.pad_flags().contains(gst::PadFlags::FLUSHING)
        {
            let waited = heard.1.wait_timeout(so_far, Duration::from_millis(50));
            so_far = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if so_far.is_all && time >= Some(so_far.end) {
            source.send_event(gst::event::Eos::new());
            return gst::PadProbeReturn::Drop;
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.add(&bin)?;
    frames.link(picture)?;
    bin.sync_state_with_parent()?;
    Ok(())
}

/// How far the sound has come.
#[derive(Default)]
struct Heard {
    end: gst::ClockTime,
    is_all: bool,
}

fn sink(element: &gst::Element) -> Result<gst::Pad, String> {
    element
        .static_pad("sink")
        .ok_or_else(|| format!("{} has no sink", element.name()))
}

/// To the end, telling each caption on the way.
fn play(pipeline: &gst::Pipeline) -> Result<(), Box<dyn Error>> {
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    pipeline.set_state(gst::State::Playing)?;
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Element(_) if message.has_name("whisperstream/final") => {
                let said = message.structure().ok_or("an empty message")?;
                let start = gst::ClockTime::from_nseconds(said.get("stream-time")?);
                println!("{start:.2} {}", said.get::<&str>("text")?);
            }
            gst::MessageView::Error(err) => return Err(err.error().to_string().into()),
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    Ok(())
}
