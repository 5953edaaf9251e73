//! Sessions on the bundled model, and ears that keep what they say.

use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use gstwhisperstream::engine::models::{self, Lease, Model};
use gstwhisperstream::engine::{Event, Listener, ModelKey, Pace, Session, SessionSettings};
use gstwhisperstream::policy::PolicySettings;
use gstwhisperstream::whisper::{Backend, ModelSource};

/// Longer than anything here should take, on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn demo() -> ModelKey {
    ModelKey {
        source: ModelSource::Demo,
        backend: Backend::default(),
    }
}

pub fn settings(pace: Pace, language: &str) -> SessionSettings {
    SessionSettings {
        model: demo(),
        policy: PolicySettings {
            language: language.into(),
            ..PolicySettings::default()
        },
        alignment_heads: None,
        cif_model: None,
        pace,
        vad: None,
        barge_in: Default::default(),
        max_streams: 0,
        dump: None,
    }
}

/// Keeps a session's events.
#[derive(Clone, Default)]
pub struct Ears {
    heard: Arc<(Mutex<Vec<Event>>, Condvar)>,
}

impl Ears {
    pub fn listener(&self) -> Listener {
        let ears = self.clone();
        Arc::new(move |event| {
            ears.heard.0.lock().unwrap().push(event);
            ears.heard.1.notify_all();
        })
    }

    /// Looks at all events so far.
    pub fn look<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        look(&self.heard.0.lock().unwrap())
    }

    /// Waits until `find` finds something in an event.
    pub fn wait<T>(&self, what: &str, find: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = self.heard.0.lock().unwrap();
        loop {
            if let Some(found) = heard.iter().find_map(&find) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came, but {heard:?}");
            heard = self.heard.1.wait_timeout(heard, left).unwrap().0;
        }
    }

    pub fn wait_loaded(&self) -> bool {
        self.wait("the model", |event| match event {
            Event::Loaded { shared, .. } => Some(*shared),
            Event::Failed(error) => panic!("{error}"),
            _ => None,
        })
    }

    /// The sentence a session failed with.
    pub fn wait_failed(&self) -> String {
        self.wait("a failure", |event| match event {
            Event::Failed(error) => Some(error.to_string()),
            _ => None,
        })
    }

    pub fn text(&self) -> String {
        self.look(|events| {
            let texts = events.iter().filter_map(|event| match event {
                Event::Words { release, .. } => Some(release.text.as_str()),
                _ => None,
            });
            texts.collect()
        })
    }

    /// Everything said of the audio (no loading, whose course depends on the machine).
    pub fn said(&self) -> Vec<String> {
        self.look(|events| {
            let of_audio = events
                .iter()
                .filter(|e| !matches!(e, Event::Loading(_) | Event::Loaded { .. }));
            of_audio.map(|event| format!("{event:?}")).collect()
        })
    }
}

/// Keeps the bundled model in memory till the process ends, so that not every test loads it.
pub fn keep_model() {
    static KEEP: OnceLock<Lease<Model>> = OnceLock::new();
    KEEP.get_or_init(|| {
        let request = models::acquire(&demo()).unwrap();
        request.wait(&mut |_| {}).map_err(|_| "no model").unwrap()
    });
}

pub fn open(settings: SessionSettings) -> (Arc<Session>, Ears) {
    let ears = Ears::default();
    let session = Session::open(settings, ears.listener()).unwrap();
    (Arc::new(session), ears)
}
