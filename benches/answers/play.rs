//! One call through a real pipeline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use gst::ClockTime;
use gst::prelude::*;

use super::Options;
use super::sounds::RATE;

/// What comes down a line.
pub struct Line<'a> {
    /// 16 kHz.
    pub samples: &'a [i16],
    /// None: to be found.
    pub language: Option<&'a str>,
}

/// What `answerdetect` said of it.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub result: String,
    pub cause: String,
    pub confidence: f64,
    pub text: String,
    pub phrases: Vec<String>,
    /// Mean confidence of the words.
    pub trust: f64,
    /// Seconds of audio heard.
    pub took: f64,
}

/// All that came out of a call.
#[derive(Clone, Debug, Default)]
pub struct Played {
    pub verdicts: Vec<Verdict>,
    /// Seconds from the first sample to the message, with `--live`.
    pub waited: Option<f64>,
    /// Seconds of audio.
    pub greeting_ends: Vec<f64>,
    pub beeps: Vec<f64>,
    /// Custom events that reached `answerdetect`, in order.
    pub events: Vec<gst::Event>,
}

impl Played {
    /// # Panics
    /// Unless there is exactly one.
    pub fn verdict(&self) -> &Verdict {
        assert_eq!(
            self.verdicts.len(),
            1,
            "not one verdict: {:?}",
            self.verdicts
        );
        &self.verdicts[0]
    }

    /// Takes a message of the element in.
    pub fn take(&mut self, structure: &gst::StructureRef) {
        let seconds = |field: &str| structure.get::<u64>(field).unwrap_or_default() as f64 / 1e9;
        let text = |field: &str| structure.get::<String>(field).unwrap_or_default();
        match structure.name().as_str() {
            "answerdetect/verdict" => self.verdicts.push(Verdict {
                result: text("result"),
                cause: text("cause"),
                confidence: structure.get("confidence").unwrap_or_default(),
                text: text("text"),
                phrases: structure
                    .get::<gst::Array>("phrases")
                    .map(|all| all.iter().filter_map(|phrase| phrase.get().ok()).collect())
                    .unwrap_or_default(),
                trust: trust(structure),
                took: seconds("took"),
            }),
            "answerdetect/greeting-end" => self.greeting_ends.push(seconds("running-time")),
            "answerdetect/beep" => self.beeps.push(seconds("running-time")),
            _ => {}
        }
    }
}

fn trust(verdict: &gst::StructureRef) -> f64 {
    let words = verdict.get::<gst::Array>("words").unwrap_or_default();
    let confidence = |word: &glib::SendValue| {
        let word = word.get::<gst::Structure>().ok()?;
        word.get::<f64>("confidence").ok()
    };
    let all: Vec<f64> = words.iter().filter_map(confidence).collect();
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

/// A buffer of 20 ms.
const FRAME: usize = RATE as usize / 50;

pub fn play(line: &Line, options: &Options) -> Played {
    let pipeline = gst::Pipeline::new();
    let caps = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";
    let source = gst_app::AppSrc::builder()
        .caps(&caps.parse().expect("caps"))
        .format(gst::Format::Time)
        .is_live(options.live)
        .block(true)
        .build();
    let whisper = make("whisperstream");
    whisper.set_property("language", line.language.unwrap_or("auto"));
    if let Some(model) = &options.model {
        whisper.set_property("model", model.to_str().expect("a path in UTF-8"));
    }
    let answer = detector(options, line.language);
    let sink = make("fakesink");
    sink.set_property("sync", false);
    sink.set_property("async", false);
    let tones = gst::ElementFactory::find("beepdetect").map(|_| make("beepdetect"));
    let mut chain: Vec<&gst::Element> = vec![source.upcast_ref()];
    chain.extend(&tones);
    chain.extend([&whisper, &answer, &sink]);
    pipeline.add_many(&chain).expect("elements");
    gst::Element::link_many(&chain).expect("links");

    if !options.live {
        hold_while_flushing(&whisper);
    }
    let events: Arc<Mutex<Vec<gst::Event>>> = Arc::default();
    let seen = events.clone();
    let pad = answer.static_pad("sink").expect("a pad");
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(event) = info.event()
            && event.structure().is_some()
        {
            seen.lock().expect("events").push(event.clone());
        }
        gst::PadProbeReturn::Ok
    });

    pipeline.set_state(gst::State::Playing).expect("PLAYING");
    let bus = pipeline.bus().expect("a bus");
    let began = Instant::now();
    // In real time nobody stays on the line behind the verdict.
    let hang_up: Arc<AtomicBool> = Arc::default();
    let live = options.live.then(|| (began, hang_up.clone()));
    let feeder = feed(source, line.samples.to_vec(), live);
    let mut played = Played::default();
    let limit = ClockTime::from_seconds(300);
    loop {
        let message = bus.timed_pop(limit).expect("the end of the call");
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{}: {:?}", error.error(), error.debug()),
            gst::MessageView::Element(element) => {
                let Some(structure) = element.structure() else {
                    continue;
                };
                if structure.name() == "answerdetect/verdict" && options.live {
                    played.waited = Some(began.elapsed().as_secs_f64());
                    hang_up.store(true, Ordering::Relaxed);
                }
                played.take(structure);
            }
            _ => {}
        }
    }
    feeder.join().expect("all was fed");
    pipeline.set_state(gst::State::Null).expect("NULL");
    played.events = std::mem::take(&mut events.lock().expect("events"));
    played
}

/// No audio goes into `whisper` while a flush is under way: else a file's would run ahead of it, faster than a call's.
fn hold_while_flushing(whisper: &gst::Element) {
    let held: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let (asked, answered) = (held.clone(), held.clone());
    let named = |info: &gst::PadProbeInfo, name: &str| {
        let structure = info.event().and_then(|event| event.structure());
        structure.is_some_and(|structure| structure.name() == name)
    };
    let set = |held: &(Mutex<bool>, Condvar), hold| {
        *held.0.lock().expect("the hold") = hold;
        held.1.notify_all();
    };
    let src = whisper.static_pad("src").expect("a pad");
    src.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        if named(info, "whisperstream/flush") {
            set(&asked, true);
        }
        gst::PadProbeReturn::Ok
    });
    src.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if named(info, "whisperstream/flushed") {
            set(&answered, false);
        }
        gst::PadProbeReturn::Ok
    });
    let sink = whisper.static_pad("sink").expect("a pad");
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let hold = held.0.lock().expect("the hold");
        drop(held.1.wait_while(hold, |hold| *hold).expect("the hold"));
        gst::PadProbeReturn::Ok
    });
}

fn feed(
    source: gst_app::AppSrc,
    samples: Vec<i16>,
    live: Option<(Instant, Arc<AtomicBool>)>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for (n, frame) in samples.chunks(FRAME).enumerate() {
            if let Some((began, hang_up)) = &live {
                if hang_up.load(Ordering::Relaxed) {
                    break;
                }
                // A frame is there when it is over.
                let due = *began + Duration::from_millis(20 * (n as u64 + 1));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let bytes: Vec<u8> = frame.iter().flat_map(|s| s.to_le_bytes()).collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let inside = buffer.get_mut().expect("a buffer of our own");
            inside.set_pts(ClockTime::from_mseconds(20 * n as u64));
            inside.set_duration(ClockTime::from_nseconds(frame.len() as u64 * 62_500));
            if source.push_buffer(buffer).is_err() {
                return;
            }
        }
        let _ = source.end_of_stream();
    })
}

pub fn make(name: &str) -> gst::Element {
    gst::ElementFactory::make(name).build().expect(name)
}

pub fn detector(options: &Options, language: Option<&str>) -> gst::Element {
    let answer = make("answerdetect");
    answer.set_property("decision-time", options.decision_time);
    if let Some(language) = language {
        answer.set_property("language", language);
    }
    if let Some(phrases) = &options.phrases {
        answer.set_property("phrases", phrases.to_str().expect("a path in UTF-8"));
    }
    answer
}
