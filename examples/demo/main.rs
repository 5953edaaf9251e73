// SPDX-License-Identifier: MPL-2.0

//! Plays recordings through `whisperstream` at the pace of a live speaker and shows every word as it is decided.
//!
//!     demo RECORDING.wav LANGUAGE...
//!
//! It shows how an application hears the element: by messages on the bus, while the text itself goes on to `webvttenc`
//! and a file. `scripts/demo` builds and runs it with the bundled recordings.

mod screen;

use std::path::Path;
use std::process::ExitCode;

use gst::ClockTime;
use gst::prelude::*;

use screen::{Screen, Word};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pairs, []) = arguments.as_chunks::<2>() else {
        return Err("usage: demo RECORDING.wav LANGUAGE [RECORDING.wav LANGUAGE]...".into());
    };
    gst::init()?;
    let folder = std::env::temp_dir().join("whisperstream-demo");
    std::fs::create_dir_all(&folder)?;
    for [recording, language] in pairs {
        let name = Path::new(recording).file_stem().unwrap_or_default();
        let captions = folder.join(name).with_extension("vtt");
        play(Path::new(recording), language, &captions)?;
    }
    Ok(())
}

/// Plays one recording and shows what is heard, then the captions it made.
fn play(recording: &Path, language: &str, captions: &Path) -> Result<(), Failure> {
    let mut screen = Screen::open(recording, language)?;
    let pipeline = build(recording, language, captions)?;
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;

    // PAUSED loads the model; the speaker starts when it listens.
    pipeline.set_state(gst::State::Paused)?;
    let heard = wait_until_loaded(&bus).and_then(|()| {
        pipeline.set_state(gst::State::Playing)?;
        listen(&bus, &mut screen)
    });
    pipeline.set_state(gst::State::Null)?;
    heard?;
    screen.captions(captions)
}

fn build(recording: &Path, language: &str, captions: &Path) -> Result<gst::Pipeline, Failure> {
    // A caption cannot take longer than `latency` to appear. Nothing else waits for it here, so let it be a long one.
    let description = "filesrc name=recording ! wavparse ! audioconvert ! audioresample ! clocksync \
         ! whisperstream name=whisper interim=true pace=live unit=utterance latency=7000 \
         ! webvttenc ! filesink name=captions async=false";
    let pipeline = gst::parse::launch(description)
        .map_err(|err| format!("{err}; GST_PLUGIN_PATH must name the folder of the built plugin, as scripts/demo does"))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "not a pipeline")?;
    let set = |element: &str, property: &str, value: &dyn ToValue| {
        let element = pipeline.by_name(element).ok_or("no such element")?;
        element.set_property_from_value(property, &value.to_value());
        Ok::<_, Failure>(())
    };
    set("recording", "location", &recording.to_str())?;
    set("captions", "location", &captions.to_str())?;
    set("whisper", "language", &language)?;
    Ok(pipeline)
}

/// Returns when the `progress` message says that the model is there.
fn wait_until_loaded(bus: &gst::Bus) -> Result<(), Failure> {
    loop {
        // Twenty seconds without a word: it was there already, or this machine will show what is wrong.
        let Some(message) = bus.timed_pop(ClockTime::from_seconds(20)) else {
            return Ok(());
        };
        match message.view() {
            gst::MessageView::Progress(progress)
                if progress.get().0 == gst::ProgressType::Complete =>
            {
                return Ok(());
            }
            gst::MessageView::Error(err) => {
                return Err(format!("{} ({:?})", err.error(), err.debug()).into());
            }
            _ => (),
        }
    }
}

/// Shows what the element says until the recording ends.
fn listen(bus: &gst::Bus, screen: &mut Screen) -> Result<(), Failure> {
    for message in bus.iter_timed(ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => return Ok(()),
            gst::MessageView::Error(err) => {
                return Err(format!("{} ({:?})", err.error(), err.debug()).into());
            }
            gst::MessageView::Element(element) => {
                let Some(structure) = element.structure() else {
                    continue;
                };
                match structure.name().as_str() {
                    "whisperstream/words" => screen.decided(&words(structure)?),
                    "whisperstream/partial" => screen.undecided(structure.get("tail")?),
                    _ => (),
                }
            }
            _ => (),
        }
    }
    Err("the bus closed before the recording ended".into())
}

/// The words of a `whisperstream/words` message. Its `delay` counts from the end of its last word; each word's own lag is
/// longer by how much sooner it ended.
fn words(structure: &gst::StructureRef) -> Result<Vec<Word>, Failure> {
    let delay: u64 = structure.get("delay")?;
    let end = structure.get::<u64>("timestamp")? + structure.get::<u64>("duration")?;
    structure
        .get::<gst::ArrayRef>("words")?
        .iter()
        .map(|value| {
            let word = value.get::<gst::Structure>()?;
            let word_end: u64 = word.get("end")?;
            Ok(Word {
                text: word.get("text")?,
                start: ClockTime::from_nseconds(word.get("start")?),
                lag: ClockTime::from_nseconds(delay + end.saturating_sub(word_end)),
            })
        })
        .collect()
}
