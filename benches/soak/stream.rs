//! One stream that lives through all rounds: `appsrc ! whisperstream ! appsink`, fed as fast as it hears.

#[path = "../common/pipe.rs"]
mod pipe;

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gst::ClockTime;
use gst::prelude::*;

use super::tape::Round;
use super::usage::{cpu_seconds, own_memory};

/// Samples of a buffer: 20 ms, as a telephone line brings them.
const BUFFER: usize = 320;
const SAMPLE_NS: u64 = 62_500;
/// Buffers between two looks at the bus.
const READ: usize = 50;
/// Longer than any wait on a machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(600);

/// Properties of the element, by name.
pub type Settings<'a> = [(&'a str, &'a str)];

/// A word, and when in its round it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub start: ClockTime,
}

/// What a round left.
#[derive(Clone, Debug)]
pub struct Figures {
    pub words: Vec<Word>,
    /// MB resident when the round was heard.
    pub memory: f64,
    pub threads: usize,
    /// Processor seconds that it took, and seconds on the clock.
    pub cpu: f64,
    pub wall: f64,
    /// In the round, and what half of the last ones took at most, in seconds.
    pub passes: u64,
    pub pass_time: f64,
}

/// The stream.
pub struct Stream {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    element: gst::Element,
    words: Receiver<Said>,
    /// The round's length, and rounds heard.
    round: ClockTime,
    heard: u64,
    passes: u64,
    /// A word that was said early in the next round already.
    early: Vec<Said>,
}

struct Said {
    text: String,
    start: ClockTime,
}

impl Stream {
    /// Starts the element with these settings.
    pub fn open(round: &Round, settings: &Settings) -> Stream {
        let element = gst::ElementFactory::make("whisperstream").build();
        let element = element.expect("the element");
        element.set_property_from_str("language", "fr");
        element.set_property_from_str("unit", "word");
        for (name, value) in settings {
            element.set_property_from_str(name, value);
        }
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 16_000)
            .field("channels", 1)
            .build();
        let input = gst_app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .block(true)
            .max_bytes(32_000)
            .build();
        let (to, words) = channel();
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                if let Some(buffer) = sample.buffer()
                    && let (Some(start), Ok(text)) = (buffer.pts(), buffer.map_readable())
                {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    let _ = to.send(Said { text, start });
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        Stream {
            pipeline: pipe::playing(&input, &element, callbacks),
            input,
            element,
            words,
            round: ClockTime::from_nseconds(round.samples.len() as u64 * SAMPLE_NS),
            heard: 0,
            passes: 0,
            early: Vec::new(),
        }
    }

    /// Says one more round, and waits until all of it is decided.
    pub fn hear(&mut self, round: &Round) -> Result<Figures, String> {
        let (began, cpu) = (Instant::now(), cpu_seconds("self"));
        let from = self.round * self.heard;
        for (number, chunk) in round.samples.chunks(BUFFER).enumerate() {
            let bytes: Vec<u8> = chunk.iter().flat_map(|s| s.to_le_bytes()).collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            if let Some(inside) = buffer.get_mut() {
                let at = (number * BUFFER) as u64 * SAMPLE_NS;
                inside.set_pts(from + ClockTime::from_nseconds(at));
                inside.set_duration(ClockTime::from_nseconds(chunk.len() as u64 * SAMPLE_NS));
            }
            let pushed = self.input.push_buffer(buffer);
            pushed.map_err(|flow| format!("the stream broke off ({flow}): {}", self.errors()))?;
            if number % READ == 0 {
                self.read_messages()?;
            }
        }
        self.heard += 1;
        self.wait_flushed()?;
        let end = self.round * self.heard;
        let said: Vec<Said> = self.early.drain(..).chain(self.words.try_iter()).collect();
        let (now, early): (Vec<Said>, Vec<Said>) =
            said.into_iter().partition(|said| said.start < end);
        self.early = early;
        let words = now.into_iter().map(|Said { text, start }| Word {
            text,
            start: start.saturating_sub(from),
        });
        let words = words.collect();
        let stats: gst::Structure = self.element.property("stats");
        let passes = stats.get("passes").unwrap_or(0u64);
        let before = std::mem::replace(&mut self.passes, passes);
        let pass_time = stats.get::<u64>("pass-time-p50").unwrap_or(0);
        Ok(Figures {
            words,
            memory: own_memory(),
            threads: std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
            cpu: cpu_seconds("self") - cpu,
            wall: began.elapsed().as_secs_f64(),
            passes: passes - before,
            pass_time: pass_time as f64 / 1e9,
        })
    }

    /// As an application would, so that messages do not pile up.
    fn read_messages(&self) -> Result<(), String> {
        let bus = self.pipeline.bus().ok_or("a pipeline without a bus")?;
        while let Some(message) = bus.pop() {
            if let gst::MessageView::Error(err) = message.view() {
                return Err(err.error().to_string());
            }
        }
        Ok(())
    }

    /// All that was pushed is heard and decided when the marker is answered.
    fn wait_flushed(&self) -> Result<(), String> {
        let marker = self.heard.to_string();
        let event = gst::event::CustomDownstream::new(
            gst::Structure::builder("whisperstream/flush")
                .field("marker", &marker)
                .build(),
        );
        self.input.send_event(event);
        let bus = self.pipeline.bus().ok_or("a pipeline without a bus")?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(message) = bus.timed_pop(ClockTime::from_seconds(1)) else {
                continue;
            };
            match message.view() {
                gst::MessageView::Error(err) => return Err(err.error().to_string()),
                gst::MessageView::Element(told) => {
                    let told = told.structure();
                    let answered = told.filter(|told| told.name() == "whisperstream/flushed");
                    if answered.is_some_and(|told| told.get("marker") == Ok(marker.as_str())) {
                        return Ok(());
                    }
                }
                _ => (),
            }
        }
        Err(format!(
            "round {marker} was not decided within {PATIENCE:?}"
        ))
    }

    fn errors(&self) -> String {
        let bus = self.pipeline.bus();
        let error = bus.and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        match error.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(err)) => err.error().to_string(),
            _ => "no error was told".to_owned(),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
