//! One copy of a model per process, however many ask; freed with its last user.
//!
//! A key's slot is a fallible once-cell ([`OnceCell::get_or_try_init`]) that a thread of its own fills, with what a
//! once-cell lacks: a wait that can be given up, progress for all who wait, and an end. It keeps the model only
//! until every asker has collected it, and a [`Weak`] from then on.
//!
//! Lock order: registry, then slot. Neither is held while a model loads, is freed, or is reported on.

use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use once_cell::sync::{Lazy, OnceCell};

use super::scheduler::{Limits, Scheduler};
use super::{fault_text, lock};
use crate::whisper::{Backend, Cancel, Device, Loading, ModelSource, Whisper, WhisperError};

/// What makes two users share one model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelKey {
    pub source: ModelSource,
    pub backend: Backend,
}

impl ModelKey {
    /// The same key for every way to write the same directory. A path that does not resolve stays as it is.
    pub(super) fn canonical(&self) -> ModelKey {
        let mut key = self.clone();
        key.backend = key.backend.canonical();
        if let ModelSource::Path(path) = &key.source
            && let Ok(path) = std::fs::canonicalize(path)
        {
            key.source = ModelSource::Path(path);
        }
        key
    }
}

/// A model in memory, and who runs it for all its streams.
pub struct Model {
    whisper: Arc<Whisper>,
    scheduler: Scheduler<Whisper>,
}

impl Model {
    fn new(whisper: Whisper, device: Device) -> Model {
        let whisper = Arc::new(whisper);
        let limits = Limits::of(whisper.config(), device);
        Model {
            scheduler: Scheduler::new(Arc::clone(&whisper), limits),
            whisper,
        }
    }

    pub(super) fn scheduler(&self) -> &Scheduler<Whisper> {
        &self.scheduler
    }
}

impl Deref for Model {
    type Target = Whisper;

    fn deref(&self) -> &Whisper {
        &self.whisper
    }
}

static MODELS: Lazy<Cache<Model>> = Lazy::new(Cache::default);

/// Asks for a model. Returns at once; [`Request::wait`] brings it. The first asker's call starts the load on a thread
/// of its own, later ones join it. Fails only if that thread cannot be started.
pub fn acquire(key: &ModelKey) -> io::Result<Request<Model>> {
    let (source, backend) = (key.source.clone(), key.backend);
    MODELS.acquire(&key.canonical(), move |cancel, progress| {
        let whisper = Whisper::load(&source, backend, cancel, progress)?;
        Ok(Model::new(whisper, backend.device))
    })
}

/// Loads begun in this process so far.
pub fn loads() -> u64 {
    MODELS.loads.load(Ordering::Relaxed)
}

/// Models in memory now.
pub fn resident() -> usize {
    lock(&MODELS.slots)
        .values()
        .filter(|slot| slot.model.get().is_some_and(|m| m.strong_count() > 0))
        .count()
}

/// The slots of all keys somebody holds or waits for.
pub(super) struct Cache<M> {
    slots: Mutex<HashMap<ModelKey, Arc<Slot<M>>>>,
    loads: AtomicU64,
}

impl<M> Default for Cache<M> {
    fn default() -> Self {
        Cache {
            slots: Mutex::default(),
            loads: AtomicU64::new(0),
        }
    }
}

impl<M: Send + Sync + 'static> Cache<M> {
    /// Joins the load of `key` or its living model, or starts `load` on a thread of its own.
    pub(super) fn acquire<L>(&self, key: &ModelKey, load: L) -> io::Result<Request<M>>
    where
        L: FnOnce(&Cancel, &mut dyn FnMut(Loading)) -> Result<M, WhisperError> + Send + 'static,
    {
        let mut slots = lock(&self.slots);
        slots.retain(|_, slot| slot.is_alive());
        if let Some(slot) = slots.get(key)
            && let Some(request) = Request::join(slot)
        {
            return Ok(request);
        }
        let slot = Arc::new(Slot::default());
        let request = Request::first(&slot);
        let loader = Arc::clone(&slot);
        thread::Builder::new()
            .name("whisperload".into())
            .spawn(move || loader.fill(load))?;
        self.loads.fetch_add(1, Ordering::Relaxed);
        slots.insert(key.clone(), slot);
        Ok(request)
    }

    #[cfg(test)]
    pub(super) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }
}

/// One load and its model.
struct Slot<M> {
    model: OnceCell<Weak<M>>,
    desk: Mutex<Desk<M>>,
    changed: Condvar,
    cancel: Cancel,
    users: Arc<AtomicU32>,
}

struct Desk<M> {
    phase: Phase<M>,
    loading: Loading,
    /// Requests that have neither collected nor given up.
    waiting: usize,
}

enum Phase<M> {
    Loading,
    /// Holds the model while somebody has yet to collect it.
    Loaded(Option<Arc<M>>),
    Failed(Arc<WhisperError>),
}

impl<M> Default for Slot<M> {
    fn default() -> Self {
        Slot {
            model: OnceCell::new(),
            desk: Mutex::new(Desk {
                phase: Phase::Loading,
                loading: Loading::default(),
                waiting: 0,
            }),
            changed: Condvar::new(),
            cancel: Cancel::default(),
            users: Arc::default(),
        }
    }
}

impl<M> Slot<M> {
    /// Whether a new asker may join: not failed, not given up, not freed.
    fn is_alive(&self) -> bool {
        let desk = lock(&self.desk);
        match &desk.phase {
            Phase::Loading => desk.waiting > 0,
            Phase::Loaded(Some(_)) => true,
            Phase::Loaded(None) => self.model.get().is_some_and(|m| m.strong_count() > 0),
            Phase::Failed(_) => false,
        }
    }

    /// Loads; body of the loader's thread.
    fn fill<L>(&self, load: L)
    where
        L: FnOnce(&Cancel, &mut dyn FnMut(Loading)) -> Result<M, WhisperError>,
    {
        let mut keep = None;
        let mut tell = |loading: Loading| {
            let mut desk = lock(&self.desk);
            desk.loading = Loading {
                percent: desk.loading.percent.max(loading.percent.min(100)),
                ..loading
            };
            self.changed.notify_all();
        };
        let filled = catch_unwind(AssertUnwindSafe(|| {
            self.model.get_or_try_init(|| {
                let model = Arc::new(load(&self.cancel, &mut tell)?);
                let weak = Arc::downgrade(&model);
                keep = Some(model);
                Ok::<_, WhisperError>(weak)
            })
        }));
        let phase = match filled {
            Ok(Ok(_)) => Phase::Loaded(keep.take()),
            Ok(Err(error)) => Phase::Failed(Arc::new(error)),
            Err(panic) => Phase::Failed(Arc::new(WhisperError::Candle(candle_core::Error::Msg(
                format!(
                    "loading the model stopped on an internal fault ({}); please report it with the model's name",
                    fault_text(&*panic)
                ),
            )))),
        };
        let mut desk = lock(&self.desk);
        desk.phase = phase;
        let unwanted = desk.unclaimed();
        drop(desk);
        self.changed.notify_all();
        drop(unwanted);
    }
}

impl<M> Desk<M> {
    /// Takes the model off the desk once nobody waits for it. The caller drops it outside the lock.
    fn unclaimed(&mut self) -> Option<Arc<M>> {
        match &mut self.phase {
            Phase::Loaded(model) if self.waiting == 0 => model.take(),
            _ => None,
        }
    }
}

/// Why a [`Request`] brought no model.
#[derive(Clone, Debug)]
pub enum NoModel {
    /// [`Request::give_up`] was called.
    GivenUp,
    Failed(Arc<WhisperError>),
}

/// A place in the queue for a model. Dropped or given up, it is left; when all have left, the load is cancelled.
pub struct Request<M> {
    slot: Arc<Slot<M>>,
    asked: Instant,
    shared: bool,
    /// No longer among the slot's `waiting`. Changes only under the desk's lock.
    left: AtomicBool,
}

impl<M> Request<M> {
    fn first(slot: &Arc<Slot<M>>) -> Request<M> {
        lock(&slot.desk).waiting += 1;
        Request {
            slot: Arc::clone(slot),
            asked: Instant::now(),
            shared: false,
            left: AtomicBool::new(false),
        }
    }

    /// A place at a load under way or at a living model; `None` if it is neither (any more).
    fn join(slot: &Arc<Slot<M>>) -> Option<Request<M>> {
        let mut desk = lock(&slot.desk);
        let is_awaited = desk.waiting > 0;
        match &mut desk.phase {
            Phase::Loading if is_awaited => {}
            Phase::Loaded(Some(_)) => {}
            Phase::Loaded(keep) => *keep = Some(slot.model.get()?.upgrade()?),
            Phase::Loading | Phase::Failed(_) => return None,
        }
        desk.waiting += 1;
        drop(desk);
        Some(Request {
            slot: Arc::clone(slot),
            asked: Instant::now(),
            shared: true,
            left: AtomicBool::new(false),
        })
    }

    /// Waits for the model. `progress` is told, from this thread, each time it has changed; never when the
    /// model was there already.
    pub fn wait(&self, progress: &mut dyn FnMut(Loading)) -> Result<Lease<M>, NoModel> {
        let mut told = None;
        let mut desk = lock(&self.slot.desk);
        loop {
            if self.left.load(Ordering::Relaxed) {
                return Err(NoModel::GivenUp);
            }
            match &desk.phase {
                Phase::Loading if told != Some(desk.loading) => {
                    let loading = desk.loading;
                    drop(desk);
                    progress(loading);
                    told = Some(loading);
                    desk = lock(&self.slot.desk);
                }
                Phase::Loading => {
                    desk = self
                        .slot
                        .changed
                        .wait(desk)
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                }
                Phase::Loaded(Some(model)) => {
                    let model = Arc::clone(model);
                    self.leave(desk);
                    self.slot.users.fetch_add(1, Ordering::Relaxed);
                    return Ok(Lease {
                        model,
                        users: Arc::clone(&self.slot.users),
                    });
                }
                // Kept as long as somebody waits, and this request does.
                Phase::Loaded(None) => return Err(NoModel::GivenUp),
                Phase::Failed(error) => {
                    let error = Arc::clone(error);
                    self.leave(desk);
                    return Err(NoModel::Failed(error));
                }
            }
        }
    }

    /// Ends [`wait`](Self::wait), whichever thread is in it, now and for good. Never blocks.
    pub fn give_up(&self) {
        self.leave(lock(&self.slot.desk));
        self.slot.changed.notify_all();
    }

    /// Whether somebody had asked for this model before.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Time since this request was made.
    pub fn age(&self) -> Duration {
        self.asked.elapsed()
    }

    fn leave(&self, mut desk: MutexGuard<'_, Desk<M>>) {
        if self.left.swap(true, Ordering::Relaxed) {
            return;
        }
        desk.waiting -= 1;
        if desk.waiting == 0 && matches!(desk.phase, Phase::Loading) {
            self.slot.cancel.cancel();
        }
        let unclaimed = desk.unclaimed();
        drop(desk);
        drop(unclaimed);
    }
}

impl<M> Drop for Request<M> {
    fn drop(&mut self) {
        self.leave(lock(&self.slot.desk));
    }
}

/// A model in use. The last lease dropped frees it.
pub struct Lease<M> {
    model: Arc<M>,
    users: Arc<AtomicU32>,
}

impl<M> Lease<M> {
    /// Counts the leases of this model, this one included, for as long as the counter is kept.
    pub fn users(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.users)
    }
}

impl<M> Deref for Lease<M> {
    type Target = Arc<M>;

    fn deref(&self) -> &Arc<M> {
        &self.model
    }
}

impl<M> Drop for Lease<M> {
    fn drop(&mut self) {
        self.users.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
