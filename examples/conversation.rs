// SPDX-License-Identifier: MPL-2.0

//! The two legs of a call, merged into one conversation: text, or WebVTT with voices.
//!
//!     cargo run --release --example conversation -- call.wav                      # a stereo recording
//!     cargo run --release --example conversation -- agent.wav customer.wav --format vtt --output call.vtt
//!
//! Each leg is a `whisperstream` of its own; they share the model and the pipeline's timeline. A turn is told as soon as no
//! earlier one can follow.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use gst::ClockTime;
use gst::prelude::*;
use gstwhisperstream::element::{MetaWord, words_of};
use gstwhisperstream::text::{Cue, CueRules, Cues, Word};

/// Merges the two legs of a call into one conversation.
#[derive(Parser)]
struct Args {
    /// A stereo recording, one leg on each side, or two recordings, one of each leg.
    #[arg(required = true, num_args = 1..=2)]
    input: Vec<PathBuf>,
    /// Names of the legs: left and right, or first and second.
    #[arg(long, num_args = 2, value_names = ["NAME", "NAME"], default_values = ["agent", "customer"])]
    legs: Vec<String>,
    /// Whisper code, name or BCP-47 tag, or auto; once for both legs, or twice.
    #[arg(long, num_args = 1..=2, default_values = ["auto"])]
    language: Vec<String>,
    /// Directory or file of a Whisper model, or its id on the hub; left out: the bundled demo model.
    #[arg(long)]
    model: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Txt)]
    format: Format,
    /// Where to write; left out: standard output.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Txt,
    Vtt,
}

/// What one leg does, in order.
enum Told {
    Starts(ClockTime),
    Words(Vec<MetaWord>),
    Ends,
    /// All that is said before this is told.
    Covered(ClockTime),
}

/// What somebody said without a pause.
struct Turn {
    leg: usize,
    start: ClockTime,
    words: Vec<MetaWord>,
}

#[derive(Default)]
struct Leg {
    open: Option<Turn>,
    covered: ClockTime,
}

fn main() {
    if let Err(error) = run(&Args::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstwhisperstream::plugin_register_static()?;
    let pipeline = build(args)?;
    let (tell, told) = channel();
    for leg in 0..2 {
        let whisper = pipeline
            .by_name(&format!("leg{leg}"))
            .ok_or("an element is missing")?;
        let language = args.language.get(leg).or(args.language.first());
        whisper.set_property("language", language);
        whisper.set_property("leg", args.legs.get(leg));
        whisper.set_property("model", &args.model);
        listen(&whisper, leg, tell.clone())?;
    }
    drop(tell);
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    let _ = pipeline.set_state(gst::State::Playing);
    let mut legs = [Leg::default(), Leg::default()];
    let mut turns = Vec::new();
    let mut text = String::new();
    let ended = loop {
        hear(&told, &mut legs, &mut turns);
        for turn in certain(&legs, &mut turns) {
            tell_turn(args, &turn, &mut text);
        }
        let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
        let message = bus.timed_pop_filtered(ClockTime::from_mseconds(20), &kinds);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => break Err(error.error().to_string()),
            Some(_) => break Ok(()),
            None => {}
        }
    };
    let _ = pipeline.set_state(gst::State::Null);
    hear(&told, &mut legs, &mut turns);
    turns.extend(legs.iter_mut().filter_map(|leg| leg.open.take()));
    turns.sort_by_key(|turn| turn.start);
    for turn in &turns {
        tell_turn(args, turn, &mut text);
    }
    let names: Vec<_> = args
        .input
        .iter()
        .map(|input| input.display().to_string())
        .collect();
    ended.map_err(|reason| format!("{}: {reason}", names.join(", ")))?;
    if let Some(output) = &args.output {
        fs::write(output, text)
            .map_err(|err| format!("{} cannot be written: {err}", output.display()))?;
    }
    Ok(())
}

fn build(args: &Args) -> Result<gst::Pipeline, Box<dyn Error>> {
    let hear = |leg: usize| {
        format!(
            "queue ! audioconvert ! audioresample ! whisperstream name=leg{leg} ! fakesink sync=false"
        )
    };
    let description = match args.input.len() {
        1 => format!(
            "filesrc name=file0 ! decodebin ! audioconvert ! audio/x-raw,channels=2 ! deinterleave name=legs \
             legs.src_0 ! {} legs.src_1 ! {}",
            hear(0),
            hear(1)
        ),
        _ => format!(
            "filesrc name=file0 ! decodebin ! {} filesrc name=file1 ! decodebin ! {}",
            hear(0),
            hear(1)
        ),
    };
    let pipeline = gst::parse::launch(&description)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "that is no pipeline")?;
    for (n, input) in args.input.iter().enumerate() {
        let file = pipeline
            .by_name(&format!("file{n}"))
            .ok_or("an element is missing")?;
        file.set_property_from_value("location", &input.to_value());
    }
    Ok(pipeline)
}

/// Tells what leaves the element, in order.
fn listen(
    whisper: &gst::Element,
    leg: usize,
    tell: Sender<(usize, Told)>,
) -> Result<(), Box<dyn Error>> {
    let pad = whisper.static_pad("src").ok_or("a pad is missing")?;
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |_, info| {
        let told = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => Some(Told::Words(words_of(buffer))),
            Some(gst::PadProbeData::Event(event)) => told(event),
            _ => None,
        };
        if let Some(told) = told {
            // Whoever listened may have stopped.
            let _ = tell.send((leg, told));
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn told(event: &gst::Event) -> Option<Told> {
    match event.view() {
        gst::EventView::Gap(gap) => {
            let (start, duration) = gap.get();
            return Some(Told::Covered(start + duration.unwrap_or_default()));
        }
        gst::EventView::Eos(_) => return Some(Told::Covered(ClockTime::MAX)),
        _ => {}
    }
    let structure = event.structure()?;
    match structure.name().as_str() {
        "whisperstream/speech-start" => {
            let start = structure.get("timestamp").ok()?;
            Some(Told::Starts(ClockTime::from_nseconds(start)))
        }
        "whisperstream/speech-end" => Some(Told::Ends),
        _ => None,
    }
}

fn hear(told: &Receiver<(usize, Told)>, legs: &mut [Leg; 2], turns: &mut Vec<Turn>) {
    for (n, told) in told.try_iter() {
        let Some(leg) = legs.get_mut(n) else { continue };
        match told {
            Told::Starts(start) => {
                leg.open = Some(Turn {
                    leg: n,
                    start,
                    words: Vec::new(),
                });
            }
            Told::Words(words) => {
                if let (Some(open), Some(last)) = (&mut leg.open, words.last()) {
                    leg.covered = leg.covered.max(last.end);
                    open.words.extend(words);
                }
            }
            Told::Ends => turns.extend(leg.open.take().filter(|turn| !turn.words.is_empty())),
            Told::Covered(until) => leg.covered = leg.covered.max(until),
        }
    }
}

/// Takes out the turns before which no other can come any more, in order.
fn certain(legs: &[Leg; 2], turns: &mut Vec<Turn>) -> Vec<Turn> {
    let open_until = |leg: &Leg| match &leg.open {
        Some(open) => open.start.min(leg.covered),
        None => leg.covered,
    };
    let until = legs.iter().map(open_until).min().unwrap_or_default();
    turns.sort_by_key(|turn| turn.start);
    let certain = turns.partition_point(|turn| turn.start <= until);
    turns.drain(..certain).collect()
}

fn tell_turn(args: &Args, turn: &Turn, text: &mut String) {
    let name = args.legs.get(turn.leg).map_or("", String::as_str);
    let mut told = String::new();
    match args.format {
        Format::Txt => {
            let words: Vec<&str> = turn.words.iter().map(|word| word.text.as_str()).collect();
            told = format!("{} {name}: {}\n", clock(turn.start), words.join(" "));
        }
        Format::Vtt => {
            if text.is_empty() {
                told.push_str("WEBVTT\n\n");
            }
            for cue in cues(&turn.words) {
                told.push_str(&format!(
                    "{} --> {}\n<v {}>{}\n\n",
                    exact(cue.start),
                    exact(cue.end),
                    escaped(name),
                    escaped(&cue.lines.join("\n"))
                ));
            }
        }
    }
    if args.output.is_none() {
        print!("{told}");
    }
    text.push_str(&told);
}

/// A turn as subtitles. The last one ends with its words: the other side may be speaking.
fn cues(words: &[MetaWord]) -> Vec<Cue<Word>> {
    let mut cues = Cues::unhurried(CueRules::default());
    let timed = |word: &MetaWord| Word::new(&word.text, word.start.into(), word.end.into());
    let mut done = cues.add(words.iter().map(timed).collect());
    done.extend(cues.take(words.last().map(|last| last.end.into()).unwrap_or_default()));
    done
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn clock(time: ClockTime) -> String {
    let seconds = time.seconds();
    format!(
        "{}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn exact(time: Duration) -> String {
    let ms = time.as_millis();
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}
