// SPDX-License-Identifier: MPL-2.0

//! Cuts a recording into its utterances, as the voice detector finds them: one WAV and one JSON each.
//!
//!     cargo run --release --example segments -- call.wav --output-dir utterances --language fr
//!
//! It shows how to read what leaves `whisperstream` in order: `speech-start`, the words, `speech-end`.

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use gst::prelude::*;
use gstwhisperstream::element::{MetaWord, words_of};

/// Cuts a recording into its utterances: one WAV and one JSON each.
#[derive(Parser)]
struct Args {
    /// A recording of any format that GStreamer reads.
    input: PathBuf,
    /// Folder for the files; made if it is not there.
    #[arg(long, default_value = "utterances")]
    output_dir: PathBuf,
    /// Directory or file of a Whisper model, or its id on the hub; left out: the bundled demo model.
    #[arg(long)]
    model: Option<String>,
    /// Whisper code, name or BCP-47 tag, or auto.
    #[arg(long, default_value = "auto")]
    language: String,
    /// Audio in front of each utterance, in ms.
    #[arg(long, default_value_t = 200)]
    pre_roll: u64,
    /// Audio behind it, in ms; at most what the pause that ended it lasts.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(..=500))]
    post_roll: u64,
}

const RATE: u64 = 16_000;
/// Audio that is kept while nobody speaks, in samples.
const KEPT: u64 = RATE * 10;

/// An utterance that is being spoken.
struct Open {
    start: gst::ClockTime,
    words: Vec<MetaWord>,
}

/// What the pads have seen so far.
struct Cutter {
    args: Args,
    audio: VecDeque<i16>,
    /// Position of the first sample kept.
    base: u64,
    open: Option<Open>,
    language: Option<String>,
    written: usize,
    failed: Option<String>,
}

fn main() {
    if let Err(error) = run(Args::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstwhisperstream::plugin_register_static()?;
    fs::create_dir_all(&args.output_dir).map_err(|err| {
        format!(
            "the folder {} cannot be made: {err}",
            args.output_dir.display()
        )
    })?;
    let pipeline = gst::parse::launch(
        "filesrc name=file ! decodebin ! audioconvert ! audioresample ! whisperstream name=whisper ! fakesink sync=false",
    )?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "that is no pipeline")?;
    let element = |name: &str| pipeline.by_name(name).ok_or("an element is missing");
    element("file")?.set_property_from_value("location", &args.input.to_value());
    let whisper = element("whisper")?;
    whisper.set_property("language", &args.language);
    whisper.set_property("model", &args.model);

    let input = args.input.display().to_string();
    let cutter = Arc::new(Mutex::new(Cutter {
        args,
        audio: VecDeque::new(),
        base: 0,
        open: None,
        language: None,
        written: 0,
        failed: None,
    }));
    watch(&whisper, "sink", &cutter, Cutter::hear)?;
    watch(&whisper, "src", &cutter, Cutter::read)?;
    play(&pipeline).map_err(|reason| format!("{input}: {reason}"))?;
    let cutter = cutter.lock().unwrap_or_else(PoisonError::into_inner);
    match &cutter.failed {
        Some(failed) => Err(failed.clone().into()),
        None => {
            eprintln!(
                "{} utterances in {}",
                cutter.written,
                cutter.args.output_dir.display()
            );
            Ok(())
        }
    }
}

/// Has `see` see all that passes a pad.
fn watch(
    whisper: &gst::Element,
    pad: &str,
    cutter: &Arc<Mutex<Cutter>>,
    see: fn(&mut Cutter, &gst::PadProbeData) -> Option<()>,
) -> Result<(), Box<dyn Error>> {
    let cutter = Arc::clone(cutter);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    let pad = whisper.static_pad(pad).ok_or("a pad is missing")?;
    pad.add_probe(mask, move |_, info| {
        if let Some(data) = &info.data {
            see(
                &mut cutter.lock().unwrap_or_else(PoisonError::into_inner),
                data,
            );
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

impl Cutter {
    /// Audio on its way in.
    fn hear(&mut self, data: &gst::PadProbeData) -> Option<()> {
        let gst::PadProbeData::Buffer(buffer) = data else {
            return None;
        };
        let bytes = buffer.map_readable().ok()?;
        let (pairs, _) = bytes.as_chunks::<2>();
        self.audio
            .extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
        if self.open.is_none() {
            let surplus = (self.audio.len() as u64).saturating_sub(KEPT);
            self.audio.drain(..surplus as usize);
            self.base += surplus;
        }
        Some(())
    }

    /// Text and events on their way out, in order.
    fn read(&mut self, data: &gst::PadProbeData) -> Option<()> {
        let event = match data {
            gst::PadProbeData::Buffer(buffer) => {
                self.open.as_mut()?.words.extend(words_of(buffer));
                return Some(());
            }
            gst::PadProbeData::Event(event) => event,
            _ => return None,
        };
        if let gst::EventView::Tag(tag) = event.view() {
            self.language = tag
                .tag()
                .get::<gst::tags::LanguageCode>()
                .map(|tag| tag.get().to_owned());
        }
        let structure = event.structure()?;
        let time = |field: &str| Some(gst::ClockTime::from_nseconds(structure.get(field).ok()?));
        match structure.name().as_str() {
            "whisperstream/speech-start" => {
                let start = time("timestamp")?;
                self.open = Some(Open {
                    start,
                    words: Vec::new(),
                });
            }
            "whisperstream/speech-end" => {
                let (open, duration) = (self.open.take()?, time("duration")?);
                if let Err(error) = self.write(&open, open.start + duration) {
                    self.failed = Some(format!("an utterance cannot be written: {error}"));
                }
            }
            _ => {}
        }
        Some(())
    }

    fn write(&mut self, open: &Open, end: gst::ClockTime) -> Result<(), Box<dyn Error>> {
        let position = |time: gst::ClockTime| time.nseconds() * RATE / 1_000_000_000;
        let from = position(open.start).saturating_sub(self.args.pre_roll * RATE / 1_000);
        let until = position(end) + self.args.post_roll * RATE / 1_000;
        let from = from.max(self.base);
        let name = format!("{:04}", self.written + 1);
        let path = |extension: &str| self.args.output_dir.join(&name).with_extension(extension);
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: RATE as u32,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(path("wav"), spec)?;
        let skip = (from - self.base) as usize;
        for &sample in self
            .audio
            .iter()
            .skip(skip)
            .take(until.saturating_sub(from) as usize)
        {
            wav.write_sample(sample)?;
        }
        wav.finalize()?;
        let seconds = |time: gst::ClockTime| time.nseconds() as f64 / 1e9;
        let words: Vec<_> = open
            .words
            .iter()
            .map(|word| {
                serde_json::json!({
                    "start": seconds(word.start), "end": seconds(word.end),
                    "text": word.text, "confidence": word.confidence,
                })
            })
            .collect();
        let text: Vec<&str> = open.words.iter().map(|word| word.text.as_str()).collect();
        let json = serde_json::json!({
            "file": Path::new(&name).with_extension("wav"),
            "audio_start": from as f64 / RATE as f64,
            "start": seconds(open.start), "end": seconds(end),
            "text": text.join(" "), "words": words, "language": self.language,
        });
        fs::write(path("json"), format!("{json:#}\n"))?;
        println!(
            "{name} {:>8.2} {:>8.2}  {}",
            seconds(open.start),
            seconds(end),
            text.join(" ")
        );
        self.written += 1;
        Ok(())
    }
}

/// Plays to the end, or to an error.
fn play(pipeline: &gst::Pipeline) -> Result<(), String> {
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    let _ = pipeline.set_state(gst::State::Playing);
    let mut ended = Ok(());
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Error(error) => {
                ended = Err(error.error().to_string());
                break;
            }
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    let _ = pipeline.set_state(gst::State::Null);
    ended
}
