//! A model that does nothing for as long as it is told, a policy that says what it heard, and a listener that keeps it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::models::{Cache, Lease, Request};
use crate::engine::runner::{Heard, Runner, Source};
use crate::engine::scheduler::{Due, Effort, Strain};
use crate::engine::{EngineError, Event, Listener, ModelKey, Pace, Session, lock};
use crate::policy::{
    Caution, Outcome, PolicySettings, Release, Samples, SavedPolicy, SettingsError, Task, Word,
};
use crate::speech::Boundary;
use crate::whisper::{Backend, Cancel, ModelSource, WhisperError};

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the worker asked of the policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Insert(usize),
    Speech(Boundary),
    Pass { is_last: bool },
    Reset(Samples),
    Update(String),
    Shorten(bool),
}

/// The strings that a test pulls.
#[derive(Default)]
pub struct Strings {
    pub calls: Mutex<Vec<Call>>,
    /// Passes stay in the network until this is false (or they are cancelled).
    pub hold_passes: AtomicBool,
    /// Loads stay under way until this is false (or they are cancelled).
    pub hold_loads: AtomicBool,
    pub fail_loads: AtomicBool,
    pub fail_passes: AtomicBool,
    pub panic_in_passes: AtomicBool,
    /// Passes that say nothing.
    pub mute: AtomicBool,
    /// When each pass was due.
    pub dues: Mutex<Vec<Due>>,
    /// How the machine bears it.
    pub strain: Mutex<Strain>,
    pub loads_cancelled: AtomicU64,
    /// Overrides what the next passes bring, first first.
    pub outcomes: Mutex<Vec<Outcome>>,
}

impl Strings {
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    pub fn inserted(&self) -> Vec<usize> {
        let calls = self.calls();
        let inserted = calls.iter().filter_map(|call| match call {
            Call::Insert(samples) => Some(*samples),
            _ => None,
        });
        inserted.collect()
    }

    fn held(&self, flag: &AtomicBool, cancel: &Cancel) -> Result<(), WhisperError> {
        while flag.load(Ordering::Relaxed) {
            cancel.check()?;
            thread::sleep(Duration::from_millis(1));
        }
        cancel.check()
    }
}

#[derive(Clone, Default)]
pub struct Fake {
    pub cache: Arc<Cache<()>>,
    pub strings: Arc<Strings>,
}

impl Source for Fake {
    type Model = ();
    type Runner = FakeStream;

    fn acquire(&self) -> std::io::Result<Request<()>> {
        let strings = Arc::clone(&self.strings);
        let key = ModelKey {
            source: ModelSource::Demo,
            backend: Backend::default(),
        };
        self.cache.acquire(&key, move |cancel, progress| {
            progress(42.into());
            if let Err(cancelled) = strings.held(&strings.hold_loads, cancel) {
                strings.loads_cancelled.fetch_add(1, Ordering::Relaxed);
                return Err(cancelled);
            }
            match strings.fail_loads.load(Ordering::Relaxed) {
                true => Err(WhisperError::NoSuchPath("nowhere".into())),
                false => Ok(()),
            }
        })
    }

    fn runner(self, model: Lease<()>, settings: PolicySettings) -> Result<FakeStream, EngineError> {
        Ok(FakeStream {
            strings: self.strings,
            _model: model,
            said: 0,
            end: 0,
            sum: 0.0,
            caution: caution(&settings),
        })
    }
}

pub struct FakeStream {
    strings: Arc<Strings>,
    _model: Lease<()>,
    said: Samples,
    end: Samples,
    sum: f64,
    caution: Option<Caution>,
}

/// As a model that was not trained to translate.
fn caution(settings: &PolicySettings) -> Option<Caution> {
    (settings.task == Task::Translate).then_some(Caution::NotTrainedToTranslate)
}

impl FakeStream {
    fn note(&self, call: Call) {
        lock(&self.strings.calls).push(call);
    }
}

impl Runner for FakeStream {
    fn insert(&mut self, chunk: &[f32]) {
        self.note(Call::Insert(chunk.len()));
        self.end += chunk.len() as Samples;
        self.sum += chunk.iter().copied().map(f64::from).sum::<f64>();
    }

    fn speech(&mut self, boundary: &Boundary) {
        self.note(Call::Speech(*boundary));
    }

    fn pass(&mut self, is_last: bool, due: Due, cancel: &Cancel) -> Result<Heard, EngineError> {
        self.note(Call::Pass { is_last });
        lock(&self.strings.dues).push(due);
        self.strings.held(&self.strings.hold_passes, cancel)?;
        if self.strings.fail_passes.load(Ordering::Relaxed) {
            return Err(WhisperError::NoSuchPath("gone".into()).into());
        }
        if self.strings.panic_in_passes.load(Ordering::Relaxed) {
            panic!("a fault in the pass");
        }
        let mut outcomes = lock(&self.strings.outcomes);
        let outcome = if outcomes.is_empty() {
            self.outcome(is_last)
        } else {
            outcomes.remove(0)
        };
        self.said = self.end;
        Ok(Heard {
            outcome,
            effort: Some(Effort::default()),
        })
    }

    fn shorten(&mut self, shorten: bool) {
        self.note(Call::Shorten(shorten));
    }

    fn strain(&self) -> Strain {
        *lock(&self.strings.strain)
    }

    fn bytes(&self) -> usize {
        1_000_000
    }

    fn reset(&mut self, position: Samples) {
        self.note(Call::Reset(position));
        (self.said, self.end, self.sum) = (position, position, 0.0);
    }

    fn save(&self) -> SavedPolicy {
        unimplemented!("a made-up stream is not saved")
    }

    fn resume(&mut self, _saved: SavedPolicy) -> Result<(), crate::policy::NotResumed> {
        unimplemented!("a made-up stream is not saved")
    }

    fn caution(&self) -> Option<Caution> {
        self.caution
    }

    fn update(&mut self, settings: PolicySettings) -> Result<(), SettingsError> {
        self.caution = caution(&settings);
        self.note(Call::Update(settings.language.clone()));
        match settings.language.as_str() {
            "xx" => Err(SettingsError::UnknownLanguage(settings.language)),
            _ => Ok(()),
        }
    }
}

impl FakeStream {
    /// Says what it heard: where from, where to, and the sum of all samples since the last reset.
    fn outcome(&self, is_last: bool) -> Outcome {
        let mute = self.strings.mute.load(Ordering::Relaxed);
        let text = format!(" {}-{}:{}", self.said, self.end, self.sum);
        Outcome {
            release: (!mute && self.end > self.said).then(|| release(&text, self.said, self.end)),
            utterance_end: is_last,
            quiet_until: self.end,
            ..Outcome::default()
        }
    }
}

pub fn word(text: &str, start: Samples, end: Samples) -> Word {
    Word {
        text: text.into(),
        tokens: vec![1],
        start,
        end,
        confidence: 0.5,
    }
}

pub fn release(text: &str, start: Samples, end: Samples) -> Release {
    Release {
        words: vec![word(text, start, end)],
        text: text.into(),
        start,
        end,
    }
}

/// Keeps a session's events, in short.
#[derive(Clone, Default)]
pub struct Ears {
    heard: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Ears {
    pub fn listener(&self) -> Listener {
        let ears = self.clone();
        Arc::new(move |event| ears.hear(&event))
    }

    pub fn hear(&self, event: &Event) {
        lock(&self.heard.0).push(short(event));
        self.heard.1.notify_all();
    }

    pub fn all(&self) -> Vec<String> {
        lock(&self.heard.0).clone()
    }

    /// All that start with one of `kinds`.
    pub fn only(&self, kinds: &[&str]) -> Vec<String> {
        let mut all = self.all();
        all.retain(|event| kinds.iter().any(|kind| event.starts_with(kind)));
        all
    }

    pub fn forget(&self) {
        lock(&self.heard.0).clear();
    }

    /// Waits until an event starts with `start`.
    pub fn wait_for(&self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = lock(&self.heard.0);
        loop {
            if let Some(event) = heard.iter().find(|event| event.starts_with(start)) {
                return event.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {start:?} among {heard:?}");
            heard = self.heard.1.wait_timeout(heard, left).unwrap().0;
        }
    }
}

fn short(event: &Event) -> String {
    match event {
        Event::Loading(loading) => format!("loading {}", loading.percent),
        Event::Loaded { shared, .. } => format!("loaded shared={shared}"),
        Event::Words {
            release,
            utterance,
            is_final,
            ..
        } => format!(
            "words {utterance}{}{}",
            release.text,
            if *is_final { " final" } else { "" }
        ),
        Event::UtteranceEnd { utterance, .. } => format!("end {utterance}"),
        Event::Partial {
            utterance,
            committed,
            words,
            ..
        } => format!("partial {utterance} {committed:?} +{}", words.len()),
        Event::Noticed(detection) => format!("noticed {detection:?}"),
        Event::Speech {
            detection,
            utterance,
        } => format!("speech {utterance} {detection:?}"),
        Event::Language(language) => format!("language {}", language.code),
        Event::Progress { quiet_until, heard } => format!("progress {quiet_until} {heard}"),
        Event::Guarded(_) => "guarded".into(),
        Event::Interrupting(interruption) => format!("interrupting {interruption:?}"),
        Event::Interrupted { interruption, .. } => format!("interrupted {interruption:?}"),
        Event::Drained { number } => format!("drained {number}"),
        Event::Refused(error) => format!("refused {error}"),
        Event::Dropped { start, samples } => format!("dropped {start}+{samples}"),
        Event::Degraded(to) => format!(
            "degraded {} chunk={:?} shortened={}",
            to.level, to.chunk, to.shortened
        ),
        Event::Cautioned(caution) => format!("cautioned {caution}"),
        Event::NotRecorded(error) => format!("not recorded: {error}"),
        Event::Failed(error) => format!("failed {error}"),
    }
}

pub fn settings() -> PolicySettings {
    PolicySettings::default()
}

pub fn open(fake: &Fake, pace: Pace, ears: &Ears) -> Arc<Session> {
    Arc::new(Session::start(fake.clone(), pace, None, settings(), ears.listener()).unwrap())
}

/// A session with its model loaded.
pub fn opened(fake: &Fake, pace: Pace) -> (Arc<Session>, Ears) {
    let ears = Ears::default();
    let session = open(fake, pace, &ears);
    ears.wait_for("loaded");
    ears.forget();
    (session, ears)
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `call` on a thread of its own; the result says how long it took, or that it never came back.
pub struct Caller<T> {
    thread: thread::JoinHandle<T>,
}

impl<T: Send + 'static> Caller<T> {
    pub fn new(call: impl FnOnce() -> T + Send + 'static) -> Caller<T> {
        Caller {
            thread: thread::spawn(call),
        }
    }

    /// Whether it is still waiting after a moment.
    pub fn waits(&self) -> bool {
        thread::sleep(Duration::from_millis(40));
        !self.thread.is_finished()
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn result(self) -> T {
        eventually("the call returns", || self.is_finished());
        self.thread.join().unwrap()
    }
}

/// How long `call` takes.
pub fn time(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    start.elapsed()
}
