//! A dump run again: a stream that gets the recorded calls, and what its passes did beside what was recorded.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::record::{Came, Header, Line, Networked, Passed, Step, Told};
use super::recorder::{Keeper, Recorder};
use super::recording::{Audio, Lines, Recording, RecordingError};
use super::{model_info, tokenizer, wav};
use crate::engine::models::NoModel;
use crate::engine::runner::{Network, Runner, Source, Stream};
use crate::engine::scheduler::Due;
use crate::engine::{EngineError, ModelKey, lock};
use crate::policy::PolicySettings;
use crate::whisper::{AlignmentHead, Backend, Cancel, Device, ModelSource, Precision};

/// What is to be otherwise in a replay.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Another model, or the same elsewhere.
    pub model: Option<PathBuf>,
    /// Settings of the policy by the names they have in `header.json`, with their values.
    pub settings: Vec<(String, String)>,
}

/// Why a dump cannot be run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "the dump was made on {0:?}, which this program does not know; it knows cpu and cuda:N"
    )]
    Device(String),
    #[error("the dump was made in {0:?}, which this program does not know")]
    Arithmetic(String),
    #[error("no setting of the policy is called {name:?}; those of this dump are {known}")]
    NoSetting { name: String, known: String },
    #[error(
        "{name} cannot be changed in a replay: audio came to the passes as it was cut then, and speech was told of by the detector that ran then"
    )]
    Fixed { name: String },
    #[error("{name} cannot be {value:?}: {reason}")]
    Value {
        name: String,
        value: String,
        reason: serde_json::Error,
    },
    #[error(
        "audio.wav ends before pass {pass}, although passes.jsonl goes on; the dump is incomplete"
    )]
    NoAudio { pass: u64 },
}

/// A replay under way: an iterator over passes, recorded and run again.
pub struct Replay {
    stream: Stream,
    kept: Kept,
    lines: Lines,
    audio: Audio,
    settings: Vec<(String, String)>,
    /// The model's fingerprint is the recorded one.
    same_model: bool,
    passes: u64,
}

impl Replay {
    /// Loads the model and begins.
    pub fn new(recording: &Recording, changes: Changes) -> Result<Replay, ReplayError> {
        let Header {
            model,
            device,
            arithmetic,
            alignment_heads,
            cif_model,
            settings,
            ..
        } = recording.header.clone();
        let path = changes.model.or(model.path.map(PathBuf::from));
        let source = path.map_or(ModelSource::Demo, |path| {
            ModelSource::named(&path.to_string_lossy())
        });
        let here = model_info(&source).fingerprint;
        let same_model = here.is_some() && here == model.fingerprint;
        let heads = alignment_heads
            .into_iter()
            .map(|(layer, head)| AlignmentHead { layer, head });
        let network = Network {
            key: ModelKey {
                source,
                backend: backend(&device, &arithmetic)?,
            },
            heads: Some(heads.collect()),
            cif_model: cif_model.map(PathBuf::from),
            pace: crate::engine::Pace::Exact,
            dump: None,
        };
        let settings = changed(settings, &changes.settings)?;
        let request = network.acquire().map_err(EngineError::Thread)?;
        let lease = request.wait(&mut |_| {}).map_err(|none| match none {
            NoModel::Failed(error) => EngineError::from(error),
            NoModel::GivenUp => EngineError::Fault("the model was given up".into()),
        })?;
        let tokenizer = tokenizer(&lease);
        let mut stream = network.runner(lease, settings)?;
        let kept = Kept::default();
        stream.record(Recorder::new(Box::new(kept.clone()), tokenizer));
        Ok(Replay {
            stream,
            kept,
            lines: recording.lines()?,
            audio: recording.audio()?,
            settings: changes.settings,
            same_model,
            passes: 0,
        })
    }

    /// Whether the model is the one that was recorded, by its fingerprint.
    pub fn is_same_model(&self) -> bool {
        self.same_model
    }

    /// Gives the stream the next call. Returns a pass, as it was recorded and as it is now.
    fn call(&mut self, line: Line) -> Result<Option<(Passed, Passed)>, ReplayError> {
        match line {
            Line::Insert(inserted) => {
                let samples = self.audio.read(inserted.samples)?;
                if (samples.len() as u64) < inserted.samples {
                    let pass = self.passes + 1;
                    return Err(ReplayError::NoAudio { pass });
                }
                let chunk: Vec<f32> = samples.into_iter().map(wav::sample).collect();
                self.stream.insert(&chunk);
            }
            Line::Speech(boundary) => self.stream.speech(&boundary.into()),
            Line::Shorten(shorten) => self.stream.shorten(shorten),
            Line::Reset(position) => self.stream.reset(position),
            Line::Update(settings) => {
                let settings = changed(*settings, &self.settings)?;
                // Refused then, it is refused now: the stream goes on as it was.
                let _ = self.stream.update(settings);
            }
            Line::Pass(recorded) => {
                self.passes = recorded.number;
                match recorded.cancelled {
                    true => self.stream.begin_and_drop(recorded.is_last),
                    false => {
                        let cancel = Cancel::default();
                        self.stream.pass(recorded.is_last, Due::Whenever, &cancel)?;
                    }
                }
                let again = self.kept.take();
                return Ok(again.map(|again| (*recorded, again)));
            }
        }
        Ok(None)
    }
}

impl Iterator for Replay {
    type Item = Result<(Passed, Passed), ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error.into())),
            };
            match self.call(line) {
                Ok(None) => {}
                Ok(Some(pair)) => return Some(Ok(pair)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Passed {
    /// Whether both decided the same: tokens, frames, words, times, all but the last digits of probabilities, which
    /// depend on the machine.
    pub fn decides_as(&self, other: &Passed) -> bool {
        self.without_odds() == other.without_odds()
    }

    fn without_odds(&self) -> Passed {
        let mut pass = self.clone();
        if let Some(network) = &mut pass.network {
            network.forget_odds();
        }
        if let Some(outcome) = &mut pass.outcome {
            outcome.forget_odds();
        }
        pass
    }
}

impl Networked {
    fn forget_odds(&mut self) {
        let forget = |step: &mut Step| step.logprob = 0.0;
        self.steps.iter_mut().for_each(forget);
        self.tail.iter_mut().for_each(forget);
        if let Some(detected) = &mut self.detected {
            detected.probability = 0.0;
        }
    }
}

impl Came {
    fn forget_odds(&mut self) {
        let forget = |word: &mut Told| word.confidence = 0.0;
        let released = self.release.iter_mut();
        released.flat_map(|r| &mut r.words).for_each(forget);
        self.partial.iter_mut().for_each(forget);
        if let Some(language) = &mut self.language {
            language.probability = 0.0;
        }
    }
}

/// Keeps the newest pass in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Passed>>>);

impl Kept {
    fn take(&self) -> Option<Passed> {
        lock(&self.0).take()
    }
}

impl Keeper for Kept {
    fn audio(&mut self, _: &[f32]) -> io::Result<()> {
        Ok(())
    }

    fn line(&mut self, line: Line) -> io::Result<()> {
        if let Line::Pass(pass) = line {
            *lock(&self.0) = Some(*pass);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn place(&self) -> PathBuf {
        PathBuf::new()
    }
}

fn backend(device: &str, arithmetic: &str) -> Result<Backend, ReplayError> {
    let unknown = || ReplayError::Device(device.into());
    let device = match device.strip_prefix("cuda:") {
        Some(number) => Device::Cuda(number.parse().map_err(|_| unknown())?),
        None if device == "cpu" => Device::Cpu,
        None => return Err(unknown()),
    };
    let precision = match (arithmetic, device) {
        ("f16", Device::Cuda(_)) => Precision::Auto,
        ("f32", _) => Precision::F32,
        ("bf16", _) => Precision::Bf16,
        ("int8", _) => Precision::Int8,
        _ => return Err(ReplayError::Arithmetic(arithmetic.into())),
    };
    Ok(Backend { device, precision })
}

/// Settings that say how audio is cut and speech told of, which a recording has fixed.
const FIXED: [&str; 2] = ["min-chunk-size", "gate"];

/// `settings` with some of them changed, by name.
fn changed(
    settings: PolicySettings,
    changes: &[(String, String)],
) -> Result<PolicySettings, ReplayError> {
    let mut settings = settings;
    for (name, value) in changes {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(&settings) else {
            return Ok(settings);
        };
        if FIXED.contains(&name.as_str()) {
            return Err(ReplayError::Fixed { name: name.clone() });
        }
        if !fields.contains_key(name) {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Err(ReplayError::NoSetting {
                name: name.clone(),
                known: known.join(", "),
            });
        }
        let text = Value::String(value.clone());
        let read = |value: Value, fields: &mut serde_json::Map<String, Value>| {
            fields.insert(name.clone(), value);
            serde_json::from_value::<PolicySettings>(Value::Object(fields.clone()))
        };
        // "25" is a number where one is wanted, and text where text is.
        let as_json = serde_json::from_str(value).ok();
        let json = as_json.map(|value| read(value, &mut fields));
        settings = match json {
            Some(Ok(settings)) => settings,
            _ => read(text, &mut fields).map_err(|reason| ReplayError::Value {
                name: name.clone(),
                value: value.clone(),
                reason,
            })?,
        };
    }
    settings.check().map_err(EngineError::from)?;
    Ok(settings)
}
