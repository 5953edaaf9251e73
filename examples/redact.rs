// SPDX-License-Identifier: MPL-2.0

//! Mutes spoken numbers in a recording, and prints its text with the digits masked:
//!
//!     cargo run --release --example redact -- call.wav --language fr --output call-redacted.wav
//!
//! The audio takes two ways: to `whisperstream redact=digits`, and through a queue that holds it back until the words in it
//! are known, then through `volume`, which is silent where the event `whisperstream/redact` says that digits are spoken:
//!
//!     decodebin ! audioconvert ! audioresample ! tee ! queue ! whisperstream redact=digits ! fakesink
//!                                                tee ! queue min-threshold-time=DELAY ! volume ! wavenc ! filesink
//!
//! A live call is done the same way; it is heard DELAY later then. Ends with 1 if a number was known too late to be muted.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use clap::Parser;
use gst::ClockTime;
use gst::prelude::*;
use gst_controller::prelude::*;

/// Mutes spoken numbers in a recording.
#[derive(Parser)]
struct Args {
    /// A recording of any kind that GStreamer reads.
    input: PathBuf,
    /// Where the WAV file goes.
    #[arg(long)]
    output: PathBuf,
    /// Whisper code, name or BCP-47 tag, or auto.
    #[arg(long, default_value = "auto")]
    language: String,
    /// Directory or file of a Whisper model, or its id on the hub; left out: the bundled demo model.
    #[arg(long)]
    model: Option<String>,
    /// How long the audio is held back, in ms: longer than the longest time from a number's first word to its third digit,
    /// and to the text of that.
    #[arg(long, value_name = "MS", default_value_t = 6_000)]
    delay: u64,
}

/// Turns the volume down for some stretches of the stream, to the sample.
struct Mute {
    volume: gst_controller::InterpolationControlSource,
    spans: Vec<(ClockTime, ClockTime)>,
    /// Up to here the audio is gone.
    played: ClockTime,
    late: usize,
}

impl Mute {
    fn new(volume: &gst::Element) -> Result<Mute, Box<dyn Error>> {
        let source = gst_controller::InterpolationControlSource::new();
        source.set_mode(gst_controller::InterpolationMode::None);
        source.set(ClockTime::ZERO, 1.0);
        let binding = gst_controller::DirectControlBinding::new_absolute(volume, "volume", &source);
        volume.add_control_binding(&binding)?;
        Ok(Mute {
            volume: source,
            spans: Vec::new(),
            played: ClockTime::ZERO,
            late: 0,
        })
    }

    /// Digits are spoken from `start` to `end`, in stream time.
    fn add(&mut self, start: ClockTime, end: ClockTime) {
        if start < self.played {
            self.late += 1;
        }
        match self.spans.last_mut().filter(|last| start <= last.1) {
            // The same number goes on.
            Some(last) => {
                self.volume.unset(last.1);
                last.1 = last.1.max(end);
            }
            None => {
                self.volume.set(start, 0.0);
                self.spans.push((start, end));
            }
        }
        if let Some(last) = self.spans.last() {
            self.volume.set(last.1, 1.0);
        }
    }
}

fn main() -> ExitCode {
    match redact(&Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(late) => {
            eprintln!(
                "error: {late} stretches were known too late to be muted from their start; raise --delay"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many stretches were known too late.
fn redact(args: &Args) -> Result<usize, Box<dyn Error>> {
    gst::init()?;
    gstwhisperstream::plugin_register_static()?;
    let delay = args.delay;
    // What the queue takes in at most; the other way holds less.
    let most = delay + 2_000;
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=input ! decodebin ! audioconvert ! audioresample \
         ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! tee name=split \
         split. ! queue max-size-time=200000000 ! whisperstream name=whisper redact=digits ! fakesink sync=false async=false \
         split. ! queue name=delay min-threshold-time={delay}000000 max-size-time={most}000000 max-size-bytes=0 max-size-buffers=0 \
         ! volume name=volume ! wavenc ! filesink name=output async=false"
    ))?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "not a pipeline")?;
    let named = |name: &str| pipeline.by_name(name).ok_or("no such element");
    let (whisper, volume) = (named("whisper")?, named("volume")?);
    named("input")?.set_property("location", &args.input);
    named("output")?.set_property("location", &args.output);
    whisper.set_property("language", &args.language);
    whisper.set_property("model", &args.model);

    let mute = Arc::new(Mutex::new(Mute::new(&volume)?));
    watch(&mute, &whisper, &volume)?;
    let end = Arc::new(End::default());
    end.watch(&whisper, &named("delay")?)?;
    let played = play(&pipeline);
    // After an error nobody waits for it any more.
    end.reach(true);
    pipeline.set_state(gst::State::Null)?;
    played?;
    let mute = lock(&mute);
    for (start, end) in &mute.spans {
        println!("muted {:.7} {:.7}", seconds(*start), seconds(*end));
    }
    Ok(mute.late)
}

/// Hears where digits are spoken as soon as it is known, in the element's own thread, and how far the audio is.
fn watch(
    mute: &Arc<Mutex<Mute>>,
    whisper: &gst::Element,
    volume: &gst::Element,
) -> Result<(), Box<dyn Error>> {
    let muted = Arc::clone(mute);
    let told = whisper.static_pad("src").ok_or("no source pad")?;
    told.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let event = info.event().and_then(|event| event.structure());
        if let Some(span) = event.filter(|span| span.name() == "whisperstream/redact") {
            let time = |field| span.get::<u64>(field).map(ClockTime::from_nseconds);
            if let (Ok(start), Ok(duration)) = (time("stream-time"), time("duration")) {
                lock(&muted).add(start, start + duration);
            }
        }
        gst::PadProbeReturn::Ok
    });
    let muted = Arc::clone(mute);
    let heard = volume.static_pad("sink").ok_or("no sink pad")?;
    heard.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let end = info
            .buffer()
            .and_then(|buffer| Some(buffer.pts()? + buffer.duration()?));
        let mut mute = lock(&muted);
        mute.played = mute.played.max(end.unwrap_or_default());
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// At the end of the stream a queue gives up its delay, though the last words are not known yet: what is still in it waits
/// for the end of the text.
#[derive(Default)]
struct End {
    reached: Mutex<Reached>,
    changed: Condvar,
}

#[derive(Default)]
struct Reached {
    audio: bool,
    text: bool,
}

impl End {
    fn watch(
        self: &Arc<End>,
        whisper: &gst::Element,
        delay: &gst::Element,
    ) -> Result<(), Box<dyn Error>> {
        let text = whisper.static_pad("src").ok_or("no source pad")?;
        let (enters, leaves) = (delay.static_pad("sink"), delay.static_pad("src"));
        let (enters, leaves) = (enters.ok_or("no sink pad")?, leaves.ok_or("no source pad")?);
        for (pad, is_text) in [(text, true), (enters, false)] {
            let end = Arc::clone(self);
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                let event = info.event().map(|event| event.type_());
                if event == Some(gst::EventType::Eos) {
                    end.reach(is_text);
                }
                gst::PadProbeReturn::Ok
            });
        }
        let end = Arc::clone(self);
        leaves.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let reached = lock(&end.reached);
            let waits = |reached: &mut Reached| reached.audio && !reached.text;
            let waited = end.changed.wait_while(reached, waits);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            gst::PadProbeReturn::Ok
        });
        Ok(())
    }

    fn reach(&self, is_text: bool) {
        let mut reached = lock(&self.reached);
        match is_text {
            true => reached.text = true,
            false => reached.audio = true,
        }
        self.changed.notify_all();
    }
}

/// Plays to the end, printing what is said.
fn play(pipeline: &gst::Pipeline) -> Result<(), Box<dyn Error>> {
    let bus = pipeline.bus().ok_or("no bus")?;
    // An error has its reason on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    for message in bus.iter_timed(ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Element(_) if message.has_name("whisperstream/final") => {
                if let Some(Ok(text)) = message.structure().map(|told| told.get::<&str>("text")) {
                    println!("{text}");
                }
            }
            gst::MessageView::Error(error) => return Err(error.error().into()),
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    Ok(())
}

fn seconds(time: ClockTime) -> f64 {
    time.nseconds() as f64 / 1e9
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
