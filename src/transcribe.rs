//! A recording in, its words out: one call, on the engine that live streams run on.
//!
//! ```no_run
//! use gstwhisperstream::transcribe::{Options, transcribe_file};
//!
//! let mut options = Options::default();
//! options.policy.language = "fr".into();
//! let transcript = transcribe_file("message.wav".as_ref(), &options)?;
//! println!("{}", transcript.text());
//! # Ok::<(), gstwhisperstream::transcribe::TranscribeError>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use crate::engine::{EngineError, Event, ModelKey, Pace, Session, SessionSettings, Stopped};
use crate::policy::{Detected, PolicySettings, Samples, Word};
use crate::speech::{BargeInSettings, VadSettings};
use crate::text::{Cue, CueRules, Cues, Spoken, Subtitles};
use crate::whisper::{AlignmentHead, Backend, ModelSource};

/// How a recording is transcribed. By default as the element does it: the bundled demo model (if it is compiled in), f32
/// on the CPU, the language detected, a pass every half second of audio, only where somebody speaks.
#[derive(Clone, Debug)]
pub struct Options {
    pub model: ModelSource,
    pub backend: Backend,
    pub policy: PolicySettings,
    /// Cross-attention heads that follow the audio; `None`: the model's own.
    pub alignment_heads: Option<Vec<AlignmentHead>>,
    /// `None`: speech is told from everything else by its energy alone.
    pub vad: Option<VadSettings>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            model: ModelSource::Demo,
            backend: Backend::default(),
            policy: PolicySettings::default(),
            alignment_heads: None,
            vad: Some(VadSettings::default()),
        }
    }
}

/// What was said in a recording.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// One after the other, each as the pauses cut them. Words' times are in samples at 16 kHz from the start.
    pub utterances: Vec<Vec<Word>>,
    /// Set when the language was detected, not when it was given.
    pub language: Option<Detected>,
}

impl Transcript {
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.utterances.iter().flatten()
    }

    /// The words as subtitles.
    pub fn cues(&self, rules: CueRules) -> Vec<Cue<Word>> {
        let mut cues = Cues::unhurried(rules);
        let mut done = Vec::new();
        for utterance in &self.utterances {
            done.extend(cues.add(utterance.clone()));
        }
        done.extend(cues.take(Duration::MAX));
        done
    }

    /// A subtitle file.
    pub fn subtitles(&self, kind: Subtitles, rules: CueRules) -> String {
        let cues = self.cues(rules);
        let text = (1..).zip(&cues).map(|(number, cue)| kind.cue(number, cue));
        std::iter::once(kind.head().to_owned())
            .chain(text)
            .collect()
    }

    /// All words on one line.
    pub fn text(&self) -> String {
        let text: String = self.words().map(|word| word.text.as_str()).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Spoken for Word {
    fn text(&self) -> &str {
        &self.text
    }

    fn start(&self) -> Duration {
        time(self.start)
    }

    fn end(&self) -> Duration {
        time(self.end)
    }
}

fn time(samples: Samples) -> Duration {
    Duration::from_nanos(samples.saturating_mul(62_500))
}

/// Why a recording was not transcribed.
#[derive(Debug, thiserror::Error)]
pub enum TranscribeError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("GStreamer could not be started: {0}")]
    GStreamer(#[from] glib::Error),
    #[error(
        "GStreamer lacks an element that reading recordings needs: {0}; install its base plugins"
    )]
    Lacks(glib::BoolError),
    #[error("{path} cannot be read: {reason}")]
    Media { path: PathBuf, reason: String },
    #[error("{0} holds no audio")]
    Empty(PathBuf),
    #[error("the engine stopped without saying why; please report it")]
    Stopped,
}

/// What a session has said so far.
#[derive(Default)]
struct Told {
    transcript: Transcript,
    open: bool,
    failed: Option<EngineError>,
}

impl Told {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Words {
                release, is_final, ..
            } => {
                match self.transcript.utterances.last_mut().filter(|_| self.open) {
                    Some(utterance) => utterance.extend(release.words),
                    None => self.transcript.utterances.push(release.words),
                }
                self.open = !is_final;
            }
            Event::UtteranceEnd { .. } => self.open = false,
            Event::Language(language) => self.transcript.language = Some(language),
            Event::Failed(error) => self.failed = Some(error),
            _ => {}
        }
    }
}

/// A stream that is heard to its end.
struct Recording {
    session: Session,
    told: Arc<Mutex<Told>>,
}

impl Recording {
    fn open(options: &Options) -> Result<Recording, EngineError> {
        let settings = SessionSettings {
            model: ModelKey {
                source: options.model.clone(),
                backend: options.backend,
            },
            policy: options.policy.clone(),
            alignment_heads: options.alignment_heads.clone(),
            cif_model: None,
            pace: Pace::Exact,
            vad: options.vad,
            barge_in: BargeInSettings::default(),
            max_streams: 0,
            dump: None,
        };
        let told = Arc::new(Mutex::new(Told::default()));
        let ears = Arc::clone(&told);
        let listener = Arc::new(move |event| lock(&ears).hear(event));
        let session = Session::open(settings, listener)?;
        Ok(Recording { session, told })
    }

    fn finish(self) -> Result<Transcript, TranscribeError> {
        let ended = self.session.end();
        self.session.close();
        let told = std::mem::take(&mut *lock(&self.told));
        match (told.failed, ended) {
            (Some(error), _) => Err(error.into()),
            (None, Err(_)) => Err(TranscribeError::Stopped),
            (None, Ok(())) => Ok(told.transcript),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Transcribes `samples`, 16 kHz mono. Returns when all is heard; loads the model unless a stream of this process has it.
pub fn transcribe_buffer(
    samples: &[i16],
    options: &Options,
) -> Result<Transcript, TranscribeError> {
    let recording = Recording::open(options)?;
    // If it fails here, the end says why.
    let _ = recording.session.push(samples);
    recording.finish()
}

/// Transcribes the first audio stream of a file of any format that GStreamer reads. It is heard while it is read: its
/// length does not matter. Initialises GStreamer.
pub fn transcribe_file(path: &Path, options: &Options) -> Result<Transcript, TranscribeError> {
    gst::init()?;
    let recording = Arc::new(Recording::open(options)?);
    let heard = read(path, &recording);
    let Some(recording) = Arc::into_inner(recording) else {
        return Err(TranscribeError::Stopped);
    };
    match heard? {
        0 => Err(TranscribeError::Empty(path.into())),
        _ => recording.finish(),
    }
}

/// Pushes the file's audio; returns how many samples it has.
fn read(path: &Path, recording: &Arc<Recording>) -> Result<u64, TranscribeError> {
    let media = |reason: String| TranscribeError::Media {
        path: path.into(),
        reason,
    };
    let pipeline = gst::Pipeline::new();
    let make = |name: &str| {
        gst::ElementFactory::make(name)
            .build()
            .map_err(TranscribeError::Lacks)
    };
    let (source, decoder) = (make("filesrc")?, make("decodebin")?);
    let (convert, resample) = (make("audioconvert")?, make("audioresample")?);
    let (filter, sink) = (make("capsfilter")?, make("fakesink")?);
    source.set_property_from_value("location", &path.to_value());
    let caps = gst_audio::AudioCapsBuilder::new_interleaved()
        .format(gst_audio::AudioFormat::S16le)
        .rate(crate::whisper::SAMPLE_RATE as i32)
        .channels(1)
        .build();
    filter.set_property("caps", caps);
    sink.set_property("signal-handoffs", true);
    sink.set_property("sync", false);
    let elements = [&source, &decoder, &convert, &resample, &filter, &sink];
    pipeline
        .add_many(elements)
        .map_err(TranscribeError::Lacks)?;
    source.link(&decoder).map_err(TranscribeError::Lacks)?;
    gst::Element::link_many([&convert, &resample, &filter, &sink])
        .map_err(TranscribeError::Lacks)?;
    let entry = convert.clone();
    decoder.connect_pad_added(move |_, pad| {
        // The first that fits; pictures do not.
        if let Some(sink) = entry.static_pad("sink").filter(|sink| !sink.is_linked()) {
            let _ = pad.link(&sink);
        }
    });
    let into = Arc::downgrade(recording);
    let heard = Arc::new(Mutex::new(Ok(0)));
    let count = Arc::clone(&heard);
    sink.connect("handoff", false, move |args| {
        let buffer = args.get(1)?.get::<gst::Buffer>().ok()?;
        let (recording, bytes) = (into.upgrade()?, buffer.map_readable().ok()?);
        let (pairs, _) = bytes.as_chunks::<2>();
        let samples: Vec<i16> = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        let mut count = lock(&count);
        if let Ok(before) = *count {
            let pushed = recording.session.push(&samples);
            *count = pushed.map(|_| before + samples.len() as u64);
        }
        None
    });
    let played = play(&pipeline, || lock(&heard).is_err());
    // Nothing is left to do about an element that does not stop.
    let _ = pipeline.set_state(gst::State::Null);
    played.map_err(media)?;
    match *lock(&heard) {
        Ok(samples) => Ok(samples),
        // Its end says why.
        Err(Stopped::Failed | Stopped::Flushing) => Ok(1),
    }
}

/// Plays to the end, to an error, or until `stop`.
fn play(pipeline: &gst::Pipeline, stop: impl Fn() -> bool) -> Result<(), String> {
    let bus = pipeline.bus().ok_or("its pipeline has no bus")?;
    let started = pipeline.set_state(gst::State::Playing);
    let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
    loop {
        let message = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(100), &kinds);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => return Err(error.error().to_string()),
            Some(_) => return Ok(()),
            None if stop() => return Ok(()),
            None if started.is_err() => return Err("its pipeline does not start".into()),
            None => {}
        }
    }
}
