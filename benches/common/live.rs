//! Live streams through real pipelines: `appsrc is-live=true ! whisperstream ! appsink`, one each, fed in real time.

#[path = "pipe.rs"]
mod pipe;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::ClockTime;
use gst::prelude::*;

use super::score::Said;
use super::telephone::{Leg, RATE};
use super::usage::{cpu_seconds, own_memory};

/// A buffer as a telephone line brings it: 20 ms.
const FRAME: usize = RATE / 50;
/// When chunks would fall together otherwise: streams start within this much of each other.
const SPREAD: f64 = 0.5;
/// How long the last words may take once all is fed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Properties of the element, by name.
pub type Settings = Vec<(String, String)>;

/// What came of it.
pub struct Outcome {
    /// Words of each leg, `heard` in seconds from the leg's start on the clock.
    pub said: Vec<Vec<Said>>,
    /// Processor time and time of the feeding, in seconds.
    pub cpu: f64,
    pub wall: f64,
    /// MB, when all was fed.
    pub memory: f64,
    /// Audio that was not heard, in seconds.
    pub dropped: f64,
    pub passes: u64,
    /// How often a stream was told to make do with less (longer chunks, shorter windows), of the stream told most often.
    pub degradations: u64,
    /// What went wrong, in the element's words.
    pub errors: Vec<String>,
}

/// One stream.
pub struct Line {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    element: gst::Element,
    heard: Arc<Mutex<Heard>>,
    /// Seconds after the others' beginning.
    start: f64,
    /// Text comes as the reference writes it.
    verbatim: bool,
}

#[derive(Default)]
struct Heard {
    /// Text as it came, and when.
    text: Vec<(String, Instant)>,
    ended: bool,
}

pub fn init() {
    static INIT: std::sync::Once = std::sync::Once::new();
    INIT.call_once(|| {
        gst::init().expect("GStreamer");
        gstwhisperstream::plugin_register_static().expect("the plugin");
    });
}

/// Plays all legs at once.
pub fn play(legs: &[Leg], settings: &Settings) -> Outcome {
    init();
    let lines: Vec<Line> = legs
        .iter()
        .enumerate()
        .map(|(i, leg)| Line::open(i, leg, settings))
        .collect();
    for line in &lines {
        line.wait_loaded();
    }
    let (began, cpu) = (Instant::now(), cpu_seconds("self"));
    feed(&lines, legs, began);
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds("self") - cpu);
    let memory = own_memory();
    for line in &lines {
        let _ = line.input.end_of_stream();
    }
    let deadline = Instant::now() + PATIENCE;
    while lines.iter().any(|line| !line.is_over()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut outcome = Outcome {
        said: Vec::new(),
        cpu,
        wall,
        memory,
        dropped: 0.0,
        passes: 0,
        degradations: 0,
        errors: Vec::new(),
    };
    for line in lines {
        line.close(began, &mut outcome);
    }
    outcome
}

/// Seconds after the first that stream `number` begins: the golden ratio spreads any number of them evenly.
pub fn start_of(number: usize) -> f64 {
    SPREAD * (number as f64 * 0.618_034).fract()
}

/// Every leg its 20 ms when they are due.
fn feed(lines: &[Line], legs: &[Leg], began: Instant) {
    // What is due first, with the buffer's number.
    let longest = legs.iter().map(|l| l.samples.len().div_ceil(FRAME)).max();
    let mut order: Vec<(usize, &Line, &Leg)> = lines
        .iter()
        .zip(legs)
        .enumerate()
        .map(|(i, (line, leg))| (i, line, leg))
        .collect();
    order.sort_by(|a, b| (a.1.start % 0.02).total_cmp(&(b.1.start % 0.02)));
    let slots = longest.unwrap_or(0) + (SPREAD * RATE as f64) as usize / FRAME + 1;
    for slot in 0..slots {
        for (_, line, leg) in &order {
            // A buffer can be there when its last sample is spoken.
            let first = (line.start * RATE as f64) as usize / FRAME;
            let Some(number) = slot.checked_sub(first) else {
                continue;
            };
            let Some(samples) = leg.samples.chunks(FRAME).nth(number) else {
                continue;
            };
            let due = line.start + (number + 1) as f64 * 0.02;
            let left = due - began.elapsed().as_secs_f64();
            if left > 0.0 {
                std::thread::sleep(Duration::from_secs_f64(left));
            }
            let _ = line.input.push_buffer(buffer(samples, number));
        }
    }
}

fn buffer(samples: &[i16], number: usize) -> gst::Buffer {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(inside) = buffer.get_mut() {
        inside.set_pts(ClockTime::from_mseconds(20 * number as u64));
        inside.set_duration(ClockTime::from_nseconds(samples.len() as u64 * 62_500));
    }
    buffer
}

impl Line {
    pub fn open(number: usize, leg: &Leg, settings: &Settings) -> Line {
        let element = gst::ElementFactory::make("whisperstream").build();
        let element = element.expect("the element");
        element.set_property_from_str("language", leg.language);
        for (name, value) in settings {
            element.set_property_from_str(name, value);
        }
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", RATE as i32)
            .field("channels", 1)
            .build();
        let input = gst_app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        let heard = Arc::<Mutex<Heard>>::default();
        let (text, end) = (Arc::clone(&heard), Arc::clone(&heard));
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let now = Instant::now();
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                if let Some(map) = sample.buffer().and_then(|b| b.map_readable().ok()) {
                    let said = String::from_utf8_lossy(&map).into_owned();
                    text.lock().expect("no panic").text.push((said, now));
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .eos(move |_| end.lock().expect("no panic").ended = true)
            .build();
        Line {
            pipeline: pipe::playing(&input, &element, callbacks),
            input,
            element,
            heard,
            start: start_of(number),
            verbatim: settings.iter().any(|(name, _)| name == "compat"),
        }
    }

    fn stat<T: for<'a> gst::glib::value::FromValue<'a> + 'static>(&self, name: &str) -> Option<T> {
        let stats: gst::Structure = self.element.property("stats");
        stats.get(name).ok()
    }

    /// Or failed: then it says so on the bus.
    pub fn wait_loaded(&self) {
        let bus = self.pipeline.bus().expect("a pipeline has a bus");
        let deadline = Instant::now() + PATIENCE;
        while self.stat("loaded") != Some(true) && Instant::now() < deadline {
            if bus
                .peek()
                .is_some_and(|m| m.type_() == gst::MessageType::Error)
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Faster than anybody speaks.
    pub fn push_all(&self, leg: &Leg) {
        for (number, samples) in leg.samples.chunks(FRAME).enumerate() {
            let _ = self.input.push_buffer(buffer(samples, number));
        }
    }

    /// Waits until nothing is left to be heard.
    pub fn wait_heard(&self) {
        let deadline = Instant::now() + PATIENCE;
        let is_heard = || {
            self.input.current_level_bytes() == 0
                && self.stat::<u64>("lag").is_some_and(|lag| lag < 500_000_000)
        };
        while !is_heard() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn stop(self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }

    fn is_over(&self) -> bool {
        self.heard.lock().expect("no panic").ended
    }

    fn close(self, began: Instant, outcome: &mut Outcome) {
        let stat = |name| self.stat::<u64>(name).unwrap_or(0);
        outcome.dropped += stat("dropped") as f64 / 1e9;
        outcome.passes += stat("passes");
        outcome.degradations = outcome.degradations.max(stat("degradations"));
        let bus = self.pipeline.bus().expect("a pipeline has a bus");
        while let Some(message) = bus.pop() {
            if let gst::MessageView::Error(error) = message.view() {
                outcome.errors.push(error.error().to_string());
            }
        }
        let _ = self.pipeline.set_state(gst::State::Null);
        let heard = std::mem::take(&mut *self.heard.lock().expect("no panic"));
        if !heard.ended {
            outcome.errors.push("a stream did not end in time".into());
        }
        let words = heard.text.iter().flat_map(|(text, at)| {
            let at = at.duration_since(began).as_secs_f64() - self.start;
            words(text, self.verbatim, at)
        });
        outcome.said.push(words.collect());
    }
}

/// Words of one buffer. As the reference writes them, one that does not begin with a space goes on where the last buffer
/// ended; else buffers hold whole words.
fn words(text: &str, verbatim: bool, at: f64) -> Vec<Said> {
    let goes_on = verbatim && !text.starts_with(char::is_whitespace);
    let words = text.split_whitespace().enumerate();
    let said = |(i, word)| Said {
        text: match i == 0 && goes_on {
            true => String::from(word),
            false => format!(" {word}"),
        },
        start: f64::NAN,
        end: f64::NAN,
        heard: at,
    };
    words.map(said).collect()
}
