// SPDX-License-Identifier: MPL-2.0
//! Recordings through the engine, without an element.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstwhisperstream::engine::models::{self, NoModel};
use gstwhisperstream::engine::{Event, ModelKey, Pace, Session, SessionSettings};
use gstwhisperstream::policy::PolicySettings;
use gstwhisperstream::speech::VadSettings;
use gstwhisperstream::whisper::{Backend, ModelSource, SAMPLE_RATE};

/// How recordings are transcribed.
pub struct Way {
    pub source: ModelSource,
    pub backend: Backend,
    pub policy: PolicySettings,
}

/// A word, and its times in seconds.
#[derive(Clone, Debug)]
pub struct Word {
    pub text: String,
    pub start: f64,
    pub end: f64,
}

/// What was heard in one recording, and how long that took.
pub struct Heard {
    pub words: Vec<Word>,
    pub audio: Duration,
    pub took: Duration,
}

impl Way {
    /// Transcribes each recording as a stream of its own.
    pub fn hear(&self, recordings: &[Vec<i16>]) -> Result<Vec<Heard>, Box<dyn Error>> {
        let key = ModelKey {
            source: self.source.clone(),
            backend: self.backend,
        };
        // Held to the end, so that the model is loaded once, and no load is timed.
        let _model = match models::acquire(&key)?.wait(&mut |_| {}) {
            Ok(model) => model,
            Err(NoModel::Failed(error)) => return Err(error.to_string().into()),
            Err(NoModel::GivenUp) => return Err("the model was not waited for".into()),
        };
        let heard = recordings.iter().map(|samples| self.stream(&key, samples));
        heard.collect()
    }

    fn stream(&self, key: &ModelKey, samples: &[i16]) -> Result<Heard, Box<dyn Error>> {
        let settings = SessionSettings {
            model: key.clone(),
            policy: self.policy.clone(),
            alignment_heads: None,
            cif_model: None,
            pace: Pace::Exact,
            vad: Some(VadSettings::default()),
            barge_in: Default::default(),
            max_streams: 0,
            dump: None,
        };
        let (tell, told) = mpsc::channel();
        let listener = Arc::new(move |event| {
            // The receiver is there for as long as the session.
            let _ = tell.send(event);
        });
        let begun = Instant::now();
        let session = Session::open(settings, listener)?;
        let pushed = session.push(samples).and_then(|_| session.drain());
        let took = begun.elapsed();
        session.close();
        let mut words = Vec::new();
        for event in told.try_iter() {
            match event {
                Event::Words { release, .. } => words.extend(release.words),
                Event::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
        pushed.map_err(|stopped| format!("the stream stopped: {stopped:?}"))?;
        let seconds = |position: u64| position as f64 / SAMPLE_RATE as f64;
        let words = words.into_iter().map(|word| Word {
            text: word.text.trim().to_owned(),
            start: seconds(word.start),
            end: seconds(word.end),
        });
        Ok(Heard {
            words: words.collect(),
            audio: Duration::from_secs_f64(seconds(samples.len() as u64)),
            took,
        })
    }
}

/// The samples of any recording, 16 kHz, mono.
pub fn samples(file: &Path) -> Result<Vec<i16>, Box<dyn Error>> {
    let name = file.display();
    let pipeline = gst::parse::launch(
        "filesrc name=file ! decodebin ! audioconvert ! audioresample \
         ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! appsink name=samples sync=false",
    )?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| "that is no pipeline")?;
    let element = |name| pipeline.by_name(name).ok_or("an element is missing");
    element("file")?.set_property_from_value("location", &file.to_value());
    let sink = element("samples")?
        .downcast::<gst_app::AppSink>()
        .map_err(|_| "that is no appsink")?;
    let started = pipeline.set_state(gst::State::Playing);
    let mut samples = Vec::new();
    while started.is_ok()
        && let Ok(sample) = sink.pull_sample()
    {
        let buffer = sample.buffer().ok_or("a sample without a buffer")?;
        let bytes = buffer.map_readable()?;
        let (pairs, _) = bytes.as_chunks::<2>();
        samples.extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
    }
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    let error = bus.pop_filtered(&[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null)?;
    if let Some(gst::MessageView::Error(error)) = error.as_ref().map(|message| message.view()) {
        return Err(format!("{name} cannot be read: {}", error.error()).into());
    }
    match samples.is_empty() {
        true => Err(format!("{name} holds no audio").into()),
        false => Ok(samples),
    }
}
