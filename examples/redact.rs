// SPDX-License-Identifier: MPL-2.0

//! Mutes spoken numbers in a recording, and prints its text with the digits masked:
//!
//!     cargo run --release --example redact -- call.wav --language fr --output call-redacted.wav
//!
//! The audio takes two ways: to `whisperstream redact=digits`, and through a queue that holds it back until the text is so much
//! further, then through `volume`, which is silent where the event `whisperstream/redact` says that digits are spoken:
//!
//!     decodebin ! audioconvert ! audioresample ! tee ! queue ! whisperstream redact=digits ! fakesink
//!                                                tee ! queue ! volume ! wavenc ! filesink
//!
//! For a live call, which comes no faster than it is spoken, `queue min-threshold-time=DELAY` does the same. Ends with 1 if a number was known too late to be muted.

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
    /// How far the audio stays behind the text, in ms: longer than the longest time from a number's first word to its third digit,
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
    // What is held back at most: the delay, and what whisperstream takes in before it waits.
    let most = args.delay + 60_000;
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=input ! decodebin ! audioconvert ! audioresample \
         ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! tee name=split \
         split. ! queue max-size-time=200000000 ! whisperstream name=whisper redact=digits ! fakesink sync=false async=false \
         split. ! queue name=held max-size-time={most}000000 max-size-bytes=0 max-size-buffers=0 \
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
    let behind = Behind::new(ClockTime::from_mseconds(args.delay));
    behind.watch(&whisper, &named("held")?)?;
    let played = play(&pipeline);
    // After an error nobody waits for it any more.
    behind.end();
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

/// Keeps the audio behind the text: not by the clock, for a recording is read faster than it is understood.
struct Behind {
    delay: ClockTime,
    text: Mutex<Text>,
    changed: Condvar,
}

/// How far the text is.
#[derive(Default)]
struct Text {
    until: ClockTime,
    ended: bool,
}

impl Behind {
    fn new(delay: ClockTime) -> Arc<Behind> {
        Arc::new(Behind {
            delay,
            text: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn watch(
        self: &Arc<Behind>,
        whisper: &gst::Element,
        held: &gst::Element,
    ) -> Result<(), Box<dyn Error>> {
        let text = whisper.static_pad("src").ok_or("no source pad")?;
        let behind = Arc::clone(self);
        let downstream = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
        text.add_probe(downstream, move |_, info| {
            let event = info.event().map(|event| event.view());
            let stretch = match (info.buffer(), event) {
                (Some(buffer), _) => buffer.pts().zip(buffer.duration()),
                (_, Some(gst::EventView::Gap(gap))) => {
                    let (start, duration) = gap.get();
                    duration.map(|duration| (start, duration))
                }
                (_, Some(gst::EventView::Eos(_))) => {
                    behind.end();
                    None
                }
                _ => None,
            };
            if let Some((start, duration)) = stretch {
                behind.reach(start + duration);
            }
            gst::PadProbeReturn::Ok
        });
        let behind = Arc::clone(self);
        let audio = held.static_pad("src").ok_or("no source pad")?;
        audio.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let end = info
                .buffer()
                .and_then(|buffer| Some(buffer.pts()? + buffer.duration()?));
            behind.wait(end.unwrap_or_default());
            gst::PadProbeReturn::Ok
        });
        Ok(())
    }

    /// Text and gaps have come up to here.
    fn reach(&self, until: ClockTime) {
        let mut text = lock(&self.text);
        text.until = text.until.max(until);
        self.changed.notify_all();
    }

    /// No more text will come.
    fn end(&self) {
        lock(&self.text).ended = true;
        self.changed.notify_all();
    }

    /// Until the text is so much further than `position`.
    fn wait(&self, position: ClockTime) {
        let waits = |text: &mut Text| !text.ended && text.until < position + self.delay;
        let waited = self.changed.wait_while(lock(&self.text), waits);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
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
