//! Where a session and its worker meet: one mutex over inbox, epoch and figures, and two ways to wake.
//!
//! A flush or a close begins a new *epoch*: what was queued is forgotten, the running pass is cancelled, and whatever
//! an older epoch still has to say is swallowed in [`Desk::say`].

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::inbox::{Audio, Inbox, Mark, SavedInbox, Take};
use super::stats::{Meter, duration};
use super::worker::SavedWorker;
use super::{Event, Listener, Stats, Stopped, lock};
use crate::policy::{PolicySettings, Samples, SavedPolicy};
use crate::whisper::Cancel;

/// How long `flush_end` waits for a listener call under way, which may itself wait for the caller.
const LISTENER_PATIENCE: Duration = Duration::from_millis(50);
/// How long `flush_end` and `close` wait for the network to notice that it is cancelled; a layer takes far less.
const LAYER_PATIENCE: Duration = Duration::from_secs(10);
/// How long `close` waits for a listener call under way before it leaves the worker to end by itself.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Desk {
    state: Mutex<State>,
    /// There may be a job.
    work: Condvar,
    /// There may be room, a drain may be done, the worker may be idle or gone.
    freed: Condvar,
}

struct State {
    inbox: Inbox,
    meter: Meter,
    epoch: u64,
    flushing: bool,
    closed: bool,
    failed: bool,
    /// Drains done since the session began.
    drained: u64,
    /// The policy has yet to forget what it holds.
    reset: bool,
    update: Option<PolicySettings>,
    /// The worker is asked what it is, and its answer.
    saving: bool,
    saved: Option<(SavedPolicy, SavedWorker)>,
    /// The pass under way.
    busy: Option<Cancel>,
    in_listener: bool,
    worker: Option<Thread>,
    exited: bool,
    /// Users of the model, once it is loaded.
    users: Option<Arc<AtomicU32>>,
}

/// A last pass that was asked for, by [`Session::ask_drain`](super::Session::ask_drain).
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    epoch: u64,
    number: u64,
}

impl Drain {
    /// Drains of a session are done in the order of their numbers; [`Event::Drained`] names them.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// What the worker does next.
pub(super) enum Job {
    Quit,
    Update(PolicySettings),
    Reset(Samples),
    /// To be answered by [`Desk::saved`].
    Save,
    Audio {
        take: Take,
        epoch: u64,
        cancel: Cancel,
    },
}

impl State {
    fn refusal(&self) -> Result<(), Stopped> {
        if self.failed {
            Err(Stopped::Failed)
        } else if self.flushing || self.closed {
            Err(Stopped::Flushing)
        } else {
            Ok(())
        }
    }

    fn new_epoch(&mut self) {
        self.epoch += 1;
        self.reset = true;
        self.inbox.clear();
        self.meter.heard = self.inbox.position();
        if let Some(cancel) = &self.busy {
            cancel.cancel();
            // It may be asleep until the network has an answer.
            self.worker.iter().for_each(Thread::unpark);
        }
    }
}

/// For the session, on any thread.
impl Desk {
    pub(super) fn new(inbox: Inbox) -> Desk {
        Desk {
            state: Mutex::new(State {
                inbox,
                meter: Meter::default(),
                epoch: 0,
                flushing: false,
                closed: false,
                failed: false,
                drained: 0,
                reset: false,
                update: None,
                saving: false,
                saved: None,
                busy: None,
                in_listener: false,
                worker: None,
                exited: false,
                users: None,
            }),
            work: Condvar::new(),
            freed: Condvar::new(),
        }
    }

    /// Notes what is known of the audio that is pushed next; nothing, if that would be refused.
    pub(super) fn mark(&self, mark: Mark) {
        let mut state = lock(&self.state);
        if state.refusal().is_err() {
            return;
        }
        state.inbox.mark(mark);
        if state.inbox.is_ready() {
            self.work.notify_one();
        }
    }

    /// The pusher is held back, whatever the pace, instead of audio being dropped.
    pub(super) fn hold_back(&self) {
        lock(&self.state).inbox.wait();
    }

    pub(super) fn push(&self, mut audio: Audio) -> Result<Samples, Stopped> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let epoch = state.epoch;
        loop {
            state.refusal()?;
            if state.epoch != epoch {
                return Err(Stopped::Flushing);
            }
            state.inbox.append(&mut audio, now);
            if state.inbox.is_ready() && state.busy.is_none() {
                self.work.notify_one();
            }
            if audio.is_empty() {
                return Ok(state.inbox.position());
            }
            state = wait(&self.freed, state);
        }
    }

    /// Waits until there is nothing to do with what is here.
    pub(super) fn settle(&self) -> Result<(), Stopped> {
        let mut state = lock(&self.state);
        let epoch = state.epoch;
        loop {
            state.refusal()?;
            if state.epoch != epoch {
                return Err(Stopped::Flushing);
            }
            if state.busy.is_none() && !state.inbox.is_ready() {
                return Ok(());
            }
            state = wait(&self.freed, state);
        }
    }

    /// What worker and inbox are when there is nothing to do with what is here.
    pub(super) fn save(&self) -> Result<((SavedPolicy, SavedWorker), SavedInbox), Stopped> {
        self.settle()?;
        let mut state = lock(&self.state);
        let epoch = state.epoch;
        state.saving = true;
        self.work.notify_one();
        loop {
            state.refusal()?;
            if state.epoch != epoch {
                return Err(Stopped::Flushing);
            }
            if let Some(saved) = state.saved.take() {
                return Ok((saved, state.inbox.save()));
            }
            state = wait(&self.freed, state);
        }
    }

    /// Asks for a last pass over all that is here; does not wait for it.
    pub(super) fn ask_drain(&self) -> Result<Drain, Stopped> {
        let mut state = lock(&self.state);
        state.refusal()?;
        state.inbox.drain();
        self.work.notify_one();
        Ok(Drain {
            epoch: state.epoch,
            number: state.drained + state.inbox.drains(),
        })
    }

    pub(super) fn wait_drained(&self, drain: Drain) -> Result<(), Stopped> {
        let mut state = lock(&self.state);
        loop {
            if state.drained >= drain.number && state.epoch == drain.epoch {
                return Ok(());
            }
            state.refusal()?;
            if state.epoch != drain.epoch {
                return Err(Stopped::Flushing);
            }
            state = wait(&self.freed, state);
        }
    }

    pub(super) fn flush_begin(&self) {
        let mut state = lock(&self.state);
        state.flushing = true;
        state.new_epoch();
        drop(state);
        self.work.notify_one();
        self.freed.notify_all();
    }

    pub(super) fn flush_end(&self) {
        let mut state = lock(&self.state);
        if !state.flushing {
            state.new_epoch();
        }
        state = self.wait_for_worker(state, LISTENER_PATIENCE, |state| state.busy.is_none());
        state.flushing = false;
        drop(state);
        self.work.notify_one();
    }

    /// Tells everyone to stop. The worker may still be under way.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.new_epoch();
        drop(state);
        self.work.notify_one();
        self.freed.notify_all();
    }

    /// Waits for the worker to be gone, after [`close`](Self::close). False: it is stuck in a listener call, or is
    /// the caller; it ends by itself.
    pub(super) fn wait_gone(&self) -> bool {
        let state = lock(&self.state);
        self.wait_for_worker(state, CLOSE_PATIENCE, |state| state.exited)
            .exited
    }

    /// Waits until `done`, or the worker is gone, or patience ends. On the worker itself it does not wait.
    fn wait_for_worker<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        listener: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let start = Instant::now();
        let is_worker = state.worker.as_ref().map(Thread::id) == Some(thread::current().id());
        while !done(&state) && !state.exited && !is_worker {
            let patience = if state.in_listener {
                listener
            } else {
                LAYER_PATIENCE
            };
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            let woken = self.freed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    pub(super) fn update(&self, settings: PolicySettings) {
        lock(&self.state).update = Some(settings);
        self.work.notify_one();
    }

    pub(super) fn position(&self) -> Samples {
        lock(&self.state).inbox.position()
    }

    pub(super) fn backlog(&self) -> Duration {
        duration(lock(&self.state).inbox.backlog())
    }

    pub(super) fn stats(&self) -> Stats {
        let state = lock(&self.state);
        let meter = &state.meter;
        let times = (
            meter.pass_time.clone(),
            meter.chunk_to_text.clone(),
            meter.waiting.clone(),
        );
        let mut stats = Stats {
            loaded: state.users.is_some(),
            streams: match &state.users {
                Some(users) => users.load(Ordering::Relaxed),
                None => 0,
            },
            passes: meter.passes,
            skipped: meter.skipped,
            late: meter.late,
            network_time: meter.network_time,
            batch_mean: meter.batch_mean(),
            degradation: meter.degradation,
            degradations: meter.degradations,
            lag: duration(state.inbox.position().saturating_sub(meter.heard)),
            backlog: duration(state.inbox.backlog()),
            dropped: duration(state.inbox.dropped()),
            guards: meter.guards,
            memory: (state.inbox.bytes() + meter.bytes) as u64,
            ..Stats::default()
        };
        drop(state);
        (stats.pass_time_p50, stats.pass_time_p95) = times.0.percentiles();
        (stats.chunk_to_text_p50, stats.chunk_to_text_p95) = times.1.percentiles();
        (stats.waiting_p50, stats.waiting_p95) = times.2.percentiles();
        stats
    }
}

/// For the worker.
impl Desk {
    /// Makes the calling thread known as the worker.
    pub(super) fn sit_down(&self) {
        lock(&self.state).worker = Some(thread::current());
    }

    /// Live passes are cut at this many samples from now on; the one that waits, too.
    pub(super) fn cut_at(&self, chunk: usize) {
        lock(&self.state).inbox.cut_at(chunk);
    }

    pub(super) fn loaded(&self, users: Arc<AtomicU32>) {
        lock(&self.state).users = Some(users);
    }

    /// Waits for the next job; the one before is over.
    pub(super) fn next(&self) -> Job {
        let mut state = lock(&self.state);
        if state.busy.take().is_some() {
            self.freed.notify_all();
        }
        loop {
            if state.closed {
                return Job::Quit;
            }
            if std::mem::take(&mut state.reset) {
                return Job::Reset(state.inbox.taken());
            }
            if let Some(settings) = state.update.take() {
                return Job::Update(settings);
            }
            if !state.flushing
                && let Some(take) = state.inbox.take()
            {
                let cancel = Cancel::default();
                state.busy = Some(cancel.clone());
                self.freed.notify_all();
                let epoch = state.epoch;
                return Job::Audio {
                    take,
                    epoch,
                    cancel,
                };
            }
            if std::mem::take(&mut state.saving) {
                return Job::Save;
            }
            state = wait(&self.work, state);
        }
    }

    /// Answers [`Job::Save`].
    pub(super) fn saved(&self, policy: SavedPolicy, worker: SavedWorker) {
        lock(&self.state).saved = Some((policy, worker));
        self.freed.notify_all();
    }

    /// Calls the listener unless the session is closed or `epoch` is past. Returns whether it did.
    pub(super) fn say(&self, epoch: Option<u64>, listener: &Listener, event: Event) -> bool {
        let mut state = lock(&self.state);
        if state.closed || epoch.is_some_and(|epoch| epoch != state.epoch) {
            return false;
        }
        state.in_listener = true;
        drop(state);
        listener(event);
        let mut state = lock(&self.state);
        state.in_listener = false;
        if state.flushing || state.closed {
            self.freed.notify_all();
        }
        true
    }

    /// Changes the figures, unless `epoch` is past.
    pub(super) fn measure(&self, epoch: Option<u64>, change: impl FnOnce(&mut Meter)) {
        let mut state = lock(&self.state);
        if epoch.is_none_or(|epoch| epoch == state.epoch) {
            change(&mut state.meter);
        }
    }

    /// Goes on behind a hole: its start, its length. `None` if a flush has overtaken it.
    pub(super) fn mend(&self, epoch: u64) -> Option<(Samples, u64)> {
        let mut state = lock(&self.state);
        if state.epoch != epoch {
            return None;
        }
        let (start, samples) = state.inbox.mend();
        state.meter.heard = start.saturating_add(samples);
        Some((start, samples))
    }

    /// Number of the drain whose last pass is next, or was just made.
    pub(super) fn draining(&self) -> u64 {
        lock(&self.state).drained + 1
    }

    /// A drain's last pass is delivered.
    pub(super) fn drained(&self, epoch: u64) {
        let mut state = lock(&self.state);
        if state.epoch == epoch {
            state.inbox.drained();
            state.drained += 1;
            self.freed.notify_all();
        }
    }

    /// From here on every call is refused.
    pub(super) fn failed(&self) {
        let mut state = lock(&self.state);
        state.failed = true;
        state.in_listener = false;
        state.inbox.clear();
        self.freed.notify_all();
    }

    /// The worker's last word.
    pub(super) fn exited(&self) {
        let mut state = lock(&self.state);
        state.exited = true;
        state.busy = None;
        state.users = None;
        self.freed.notify_all();
    }
}

fn wait<'a>(condvar: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condvar.wait(state).unwrap_or_else(PoisonError::into_inner)
}
