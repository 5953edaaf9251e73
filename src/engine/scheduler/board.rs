//! All passes of a model that are under way, and where each stands. Under the scheduler's one lock; runs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::load::{Load, Strain};
use super::network::{Asked, Network};
use super::plan::{self, Id, Limits, Next, Rules, Seen, Stand};
use super::{Due, Effort};
use crate::engine::EngineError;
use crate::whisper::{Step, Watched, WhisperError};

/// A pass without a deadline stands in the queue as if it were due so long after it came: live calls go first, but
/// where they leave no room for ever, it has its turn all the same.
const ALLOWANCE: Duration = Duration::from_secs(10);

pub struct Board<N: Network> {
    entries: BTreeMap<Id, Entry<N>>,
    next: Id,
    limits: Limits,
    load: Load,
    /// The thread is to end, or has ended.
    pub closed: bool,
    /// Why it ended before it was told to.
    pub fault: Option<String>,
}

struct Entry<N: Network> {
    due: Instant,
    live: bool,
    grace: Duration,
    shortenable: bool,
    watched: Arc<Watched>,
    work: Work<N>,
    asked: Option<Asked>,
    answer: Option<Answer>,
    /// Whom to wake when there is an answer.
    worker: Option<Thread>,
    /// When it came to stand where it stands.
    since: Instant,
    effort: Effort,
}

enum Work<N: Network> {
    /// A window, and its stages that are through.
    Window(N::Window, usize),
    Decoding(N::Encoded, Option<N::Decoder>),
    /// At the network.
    Taken,
    /// It failed: the answer says how.
    Over,
}

pub type Answer = Result<Step, EngineError>;

/// A window on its way to the network and back.
pub struct Window<N: Network> {
    pub id: Id,
    pub window: N::Window,
    pub stage: usize,
    pub live: bool,
}

/// A decoder on its way to the network and back.
pub struct Decoding<N: Network> {
    pub id: Id,
    pub encoded: N::Encoded,
    pub decoder: Option<N::Decoder>,
    pub asked: Asked,
    pub watched: Arc<Watched>,
    pub live: bool,
}

/// What was removed: to be dropped when the lock is released, for it may be large.
#[must_use]
pub struct Remains<N: Network>(#[allow(dead_code)] Option<Work<N>>);

/// For the workers.
impl<N: Network> Board<N> {
    pub fn new(limits: Limits, now: Instant) -> Board<N> {
        Board {
            entries: BTreeMap::new(),
            next: 0,
            limits,
            load: Load::new(now),
            closed: false,
            fault: None,
        }
    }

    pub fn enter(
        &mut self,
        window: N::Window,
        watched: Arc<Watched>,
        due: Due,
        now: Instant,
    ) -> Id {
        let id = self.next;
        self.next += 1;
        let entry = Entry {
            due: match due {
                Due::By { deadline, .. } => deadline,
                Due::Whenever => now + ALLOWANCE,
            },
            live: matches!(due, Due::By { .. }),
            grace: match due {
                Due::By { grace, .. } => grace,
                Due::Whenever => Duration::ZERO,
            },
            shortenable: matches!(due, Due::By { shortenable, .. } if shortenable),
            watched,
            work: Work::Window(window, 0),
            asked: None,
            answer: None,
            worker: None,
            since: now,
            effort: Effort::default(),
        };
        self.entries.insert(id, entry);
        id
    }

    pub fn ask(&mut self, id: Id, asked: Asked, worker: Thread, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if matches!(entry.work, Work::Decoding(..)) {
            entry.since = now;
        }
        entry.asked = Some(asked);
        entry.worker = Some(worker);
    }

    /// The answer, once it is there.
    pub fn collect(&mut self, id: Id) -> Option<Answer> {
        let answer = self.entries.get_mut(&id).and_then(|e| e.answer.take());
        match (answer, &self.fault) {
            (None, Some(fault)) => Some(Err(EngineError::Fault(fault.clone()))),
            (None, None) if self.closed => Some(Err(WhisperError::Cancelled.into())),
            (answer, _) => answer,
        }
    }

    /// The pass has all it wants: how it went.
    pub fn end(&mut self, id: Id, now: Instant) -> (Effort, Remains<N>) {
        let Some(entry) = self.entries.remove(&id) else {
            return (Effort::default(), Remains(None));
        };
        let late = entry.live && now > entry.due;
        if entry.live {
            let is_overdue = now > entry.due + entry.grace;
            self.load.ended(is_overdue, entry.shortenable, now);
        }
        let effort = Effort {
            late,
            ..entry.effort
        };
        (effort, Remains(Some(entry.work)))
    }

    /// The pass is given up, wherever it stands.
    pub fn leave(&mut self, id: Id) -> Remains<N> {
        Remains(self.entries.remove(&id).map(|entry| entry.work))
    }

    pub fn strain(&mut self, now: Instant) -> Strain {
        self.load.strain(now)
    }
}

/// For the thread that drives the network.
impl<N: Network> Board<N> {
    pub fn plan(&mut self, now: Instant) -> Next {
        let rules = Rules {
            limits: self.limits,
            collect: self.load.collects(now),
        };
        let all: Vec<Seen> = self
            .entries
            .iter()
            .filter_map(|(&id, entry)| {
                Some(Seen {
                    id,
                    due: entry.due,
                    live: entry.live,
                    stand: entry.stand()?,
                })
            })
            .collect();
        plan::next(&all, &rules, now)
    }

    pub fn take_windows(&mut self, ids: &[Id], now: Instant) -> Vec<Window<N>> {
        let mut taken = Vec::new();
        for &id in ids {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            match std::mem::replace(&mut entry.work, Work::Taken) {
                Work::Window(window, stage) => {
                    entry.wait_is_over(now);
                    taken.push(Window {
                        id,
                        window,
                        stage,
                        live: entry.live,
                    });
                }
                other => entry.work = other,
            }
        }
        taken
    }

    pub fn take_decoders(&mut self, ids: &[Id], now: Instant) -> Vec<Decoding<N>> {
        let mut taken = Vec::new();
        for &id in ids {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            let work = std::mem::replace(&mut entry.work, Work::Taken);
            match (work, entry.asked.take()) {
                (Work::Decoding(encoded, decoder), Some(asked)) => {
                    entry.wait_is_over(now);
                    taken.push(Decoding {
                        id,
                        encoded,
                        decoder,
                        asked,
                        watched: Arc::clone(&entry.watched),
                        live: entry.live,
                    });
                }
                (work, asked) => (entry.work, entry.asked) = (work, asked),
            }
        }
        taken
    }

    /// A window is a stage further.
    pub fn put_window(&mut self, window: Window<N>, now: Instant) -> Remains<N> {
        let work = Work::Window(window.window, window.stage + 1);
        self.put(window.id, work, now)
    }

    /// A window is through.
    pub fn put_encoded(&mut self, id: Id, encoded: N::Encoded, now: Instant) -> Remains<N> {
        self.put(id, Work::Decoding(encoded, None), now)
    }

    /// A step is done, one of so many decoders.
    pub fn put_decoder(
        &mut self,
        decoding: Decoding<N>,
        step: Step,
        decoders: usize,
        now: Instant,
    ) -> Remains<N> {
        let work = Work::Decoding(decoding.encoded, decoding.decoder);
        let remains = self.put(decoding.id, work, now);
        if let Some(entry) = self.entries.get_mut(&decoding.id) {
            entry.effort.steps += 1;
            entry.effort.decoders += decoders as u32;
            entry.answer(Ok(step));
        }
        remains
    }

    /// What was at the network for `id` is lost.
    pub fn fail(&mut self, id: Id, error: EngineError) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.work = Work::Over;
            entry.answer(Err(error));
        }
    }

    /// The network ran, so much of it for live calls.
    pub fn ran(&mut self, live: Duration, now: Instant) {
        if !live.is_zero() {
            self.load.ran(live, now);
        }
    }

    /// No answer will come any more.
    pub fn shut(&mut self, fault: Option<String>) {
        self.closed = true;
        self.fault = fault;
        for entry in self.entries.values() {
            entry.worker.iter().for_each(Thread::unpark);
        }
    }

    /// Passes that wait for a step.
    #[cfg(test)]
    pub fn asked(&self) -> usize {
        let asked = |entry: &&Entry<N>| entry.asked.is_some();
        self.entries.values().filter(asked).count()
    }

    fn put(&mut self, id: Id, work: Work<N>, now: Instant) -> Remains<N> {
        match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.since = now;
                Remains(Some(std::mem::replace(&mut entry.work, work)))
            }
            // Given up meanwhile.
            None => Remains(Some(work)),
        }
    }
}

impl<N: Network> Entry<N> {
    fn stand(&self) -> Option<Stand> {
        match (&self.work, &self.asked) {
            (Work::Window(_, stage), _) => Some(Stand::Window(*stage)),
            (Work::Decoding(..), Some(asked)) => Some(Stand::Step(asked.tokens.len())),
            (Work::Decoding(..), None) => Some(Stand::Thinking(self.since)),
            (Work::Taken | Work::Over, _) => None,
        }
    }

    fn wait_is_over(&mut self, now: Instant) {
        self.effort.waited += now.saturating_duration_since(self.since);
    }

    fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
        if let Some(worker) = &self.worker {
            worker.unpark();
        }
    }
}
