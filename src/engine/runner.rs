//! One stream's policy over the shared network, and the seam at which tests put something else in its place.

use std::path::PathBuf;
use std::sync::Arc;

use super::dump::{self, DumpError, DumpSettings, Recorder};
use super::models::{self, Lease, Model, Request};
use super::scheduler::{Due, Effort, Strain};
use super::{EngineError, ModelKey, Pace};
use crate::policy::{
    self, Caution, Outcome, Policy, PolicySettings, Samples, SavedPolicy, SettingsError,
};
use crate::speech::Boundary;
use crate::whisper::{AlignmentHead, Cancel, Watched, WhisperConfig, WordEnds};

/// Brings what a worker needs to run passes. The network is one; tests have another.
pub(super) trait Source: Send + 'static {
    type Model: Send + Sync + 'static;
    type Runner: Runner;

    /// Asks for the model; does not wait.
    fn acquire(&self) -> std::io::Result<Request<Self::Model>>;

    /// A fresh stream on the model.
    fn runner(
        self,
        model: Lease<Self::Model>,
        settings: PolicySettings,
    ) -> Result<Self::Runner, EngineError>;
}

/// A stream's passes, one at a time.
pub(super) trait Runner {
    /// Appends a chunk, samples in -1..1.
    fn insert(&mut self, chunk: &[f32]);

    /// What the voice detector heard: the start of speech before the chunk in which it became certain, the end behind it.
    fn speech(&mut self, boundary: &Boundary);

    /// A pass over all that is held, or the decision to run none. `cancel` is heeded when this thread is unparked.
    fn pass(&mut self, is_last: bool, due: Due, cancel: &Cancel) -> Result<Heard, EngineError>;

    /// The machine cannot keep up, or can again.
    fn shorten(&mut self, shorten: bool);

    /// How the machine bears all streams of the model.
    fn strain(&self) -> Strain;

    /// Memory held between two passes.
    fn bytes(&self) -> usize;

    /// Forgets all and goes on at `position`.
    fn reset(&mut self, position: Samples);

    fn update(&mut self, settings: PolicySettings) -> Result<(), SettingsError>;

    /// All that it is, between two passes.
    fn save(&self) -> SavedPolicy;

    /// Goes on where another was saved.
    fn resume(&mut self, saved: SavedPolicy) -> Result<(), policy::NotResumed>;

    /// What to say of the settings on this model.
    fn caution(&self) -> Option<Caution> {
        None
    }

    /// Why the stream is not recorded any more; told once.
    fn trouble(&mut self) -> Option<DumpError> {
        None
    }
}

/// What came of a pass.
pub(super) struct Heard {
    pub outcome: Outcome,
    /// What the network had to do for it; `None` if it did not run.
    pub effort: Option<Effort>,
}

/// A policy on Whisper.
pub(super) struct Network {
    pub key: ModelKey,
    pub heads: Option<Vec<AlignmentHead>>,
    /// Checkpoint that tells where words end.
    pub cif_model: Option<PathBuf>,
    pub pace: Pace,
    /// Where to record the stream.
    pub dump: Option<DumpSettings>,
}

impl Source for Network {
    type Model = Model;
    type Runner = Stream;

    fn acquire(&self) -> std::io::Result<Request<Model>> {
        models::acquire(&self.key)
    }

    fn runner(self, model: Lease<Model>, settings: PolicySettings) -> Result<Stream, EngineError> {
        let config = model.config();
        let heads = match self.heads.clone() {
            Some(heads) => check_heads(heads, config)?,
            None => config.alignment_heads.clone(),
        };
        let word_ends = match &self.cif_model {
            Some(path) => Some(Arc::new(WordEnds::load(path, config)?)),
            None => None,
        };
        let recorder = self.record(&model, &heads, &settings);
        let caution = settings.caution(config);
        let policy = policy::open(
            settings,
            config,
            model.tokenizer().clone(),
            model.mel_filters().clone(),
        )?;
        Ok(Stream {
            policy,
            watched: Arc::new(Watched { heads, word_ends }),
            model,
            recorder,
            caution,
        })
    }
}

impl Network {
    /// Begins to record the stream, if that is asked for.
    fn record(
        &self,
        model: &Model,
        heads: &[AlignmentHead],
        settings: &PolicySettings,
    ) -> Option<Recorder> {
        let dump = self.dump.as_ref()?;
        let header = dump::Header {
            pace: self.pace.into(),
            alignment_heads: heads.iter().map(|head| (head.layer, head.head)).collect(),
            cif_model: self.cif_model.as_deref().map(dump::absolute),
            settings: settings.clone(),
            ..dump::Header::of(&self.key, model)
        };
        Some(dump.record(header, model))
    }
}

fn check_heads(
    heads: Vec<AlignmentHead>,
    config: &WhisperConfig,
) -> Result<Vec<AlignmentHead>, EngineError> {
    let (layers, per_layer) = (config.decoder_layers, config.decoder_heads);
    match heads
        .iter()
        .find(|head| head.layer >= layers || head.head >= per_layer)
    {
        Some(head) => Err(EngineError::Heads {
            layer: head.layer,
            head: head.head,
            layers,
            heads: per_layer,
        }),
        None if heads.is_empty() => Err(EngineError::NoHeads),
        None => Ok(heads),
    }
}

/// One stream: the policy's state and a share of the model.
pub(super) struct Stream {
    policy: Box<dyn Policy>,
    watched: Arc<Watched>,
    model: Lease<Model>,
    recorder: Option<Recorder>,
    caution: Option<Caution>,
}

impl Stream {
    /// Has the stream recorded from now on.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Does what a pass that is given up midway does.
    pub fn begin_and_drop(&mut self, is_last: bool) {
        drop(self.policy.begin(is_last));
        self.note(|recorder| recorder.pass(is_last, None, None));
    }

    fn note(&mut self, note: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &mut self.recorder {
            note(recorder);
        }
    }
}

impl Runner for Stream {
    fn insert(&mut self, chunk: &[f32]) {
        self.note(|recorder| recorder.insert(chunk));
        self.policy.insert(chunk);
    }

    fn speech(&mut self, boundary: &Boundary) {
        self.note(|recorder| recorder.speech(boundary));
        self.policy.speech(boundary);
    }

    fn pass(&mut self, is_last: bool, due: Due, cancel: &Cancel) -> Result<Heard, EngineError> {
        let mut pass = match self.policy.begin(is_last) {
            Ok(pass) => pass,
            Err(outcome) => {
                self.note(|recorder| recorder.pass(is_last, None, Some(&outcome)));
                return Ok(Heard {
                    outcome,
                    effort: None,
                });
            }
        };
        let ran = super::pass::schedule(&self.model, &self.watched, &mut pass, due, cancel);
        let effort = match ran {
            Ok(effort) => effort,
            Err(error) => {
                self.note(|recorder| recorder.pass(is_last, None, None));
                return Err(error);
            }
        };
        let report = self.recorder.is_some().then(|| pass.report());
        let outcome = self.policy.commit(pass);
        self.note(|recorder| recorder.pass(is_last, report, Some(&outcome)));
        Ok(Heard {
            outcome,
            effort: Some(effort),
        })
    }

    fn shorten(&mut self, shorten: bool) {
        self.note(|recorder| recorder.shorten(shorten));
        self.policy.shorten(shorten);
    }

    fn strain(&self) -> Strain {
        self.model.scheduler().strain()
    }

    fn bytes(&self) -> usize {
        self.policy.bytes()
    }

    fn reset(&mut self, position: Samples) {
        self.note(|recorder| recorder.reset(position));
        self.policy.reset(position);
    }

    fn update(&mut self, settings: PolicySettings) -> Result<(), SettingsError> {
        self.note(|recorder| recorder.update(&settings));
        let caution = settings.caution(self.model.config());
        self.policy.update(settings)?;
        self.caution = caution;
        Ok(())
    }

    fn save(&self) -> SavedPolicy {
        self.policy.save()
    }

    fn resume(&mut self, saved: SavedPolicy) -> Result<(), policy::NotResumed> {
        // A recording is of a stream from its start on.
        self.recorder = None;
        self.caution = saved.settings().caution(self.model.config());
        self.policy.resume(saved)
    }

    fn caution(&self) -> Option<Caution> {
        self.caution
    }

    fn trouble(&mut self) -> Option<DumpError> {
        self.recorder.as_mut()?.trouble()
    }
}
