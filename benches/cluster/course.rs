//! What happens to a fleet, one event after another: calls come and end, workers are stopped and killed, others take over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use super::chance::Chance;
use super::figures::Figures;
use super::fleet::{CALL, Fleet, State, WORKERS};
use super::lags::Lags;

/// Before anything is disturbed, in s; and how long it is looked at when nothing is.
const BEFORE: f64 = 60.0;
const UNDISTURBED: f64 = 600.0;
/// A worker's lease; it is renewed four times in it.
const LEASE: f64 = 6.0;
/// Workers look for calls that are free this often.
const TICK: f64 = 0.2;
/// A worker that is stopped has handed each call over within this.
const HAND_OVER: f64 = 0.5;
/// From a worker's end to its next beginning: its program and its model are loaded.
const RESTART: f64 = 10.0;
/// Audio between two checkpoints, at most, and the utterance that was not over.
const CHECKPOINT: f64 = 12.0;

/// What is done to the workers.
#[derive(Clone, Copy, Debug)]
pub struct Disturbance {
    /// All are restarted, one after the other.
    pub rolls: bool,
    /// Meanwhile so many are killed.
    pub killed: usize,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub lags: Lags,
    pub unclaimed_most: usize,
    /// Calls taken over, and writes to their keys that were tried for it.
    pub taken_over: usize,
    pub claims: usize,
    /// In s.
    pub longest_wait: f64,
    /// How far calls that were taken over were behind at most, in s.
    pub worst: Vec<f64>,
    /// Calls that came, and that no worker had room for.
    pub came: usize,
    pub refused: usize,
    pub seconds: f64,
}

#[derive(Clone)]
enum Event {
    Comes,
    Ends(usize),
    /// A call can be claimed.
    Free(usize),
    /// The next worker is stopped.
    Drain(usize),
    Kill,
    /// A worker begins anew; whether the next one is to be stopped then.
    Up(usize, bool),
    Tick(usize),
    /// A worker tries to claim one of the calls that it saw free.
    Claim(usize, Rc<Vec<usize>>, usize),
    Look,
    Over,
}

pub struct Course<'a> {
    figures: &'a Figures,
    chance: Chance,
    fleet: Fleet,
    calls: usize,
    free: Vec<usize>,
    /// Workers that look.
    ticks: [bool; WORKERS],
    /// By time in ns, and by order among those of the same.
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    number: u64,
    outcome: Outcome,
}

impl<'a> Course<'a> {
    /// Lets so many calls be there, and that be done.
    pub fn run(figures: &'a Figures, calls: usize, disturbance: Disturbance) -> Outcome {
        let mut course = Course {
            figures,
            chance: Chance::new(calls as u64),
            fleet: Fleet::new(),
            calls,
            free: Vec::new(),
            ticks: [false; WORKERS],
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            number: 0,
            outcome: Outcome::default(),
        };
        for _ in 0..calls {
            course.comes(0.0);
        }
        course.outcome = Outcome::default();
        let rolling = WORKERS as f64 * (HAND_OVER + RESTART);
        let lasts = if disturbance.rolls {
            rolling
        } else {
            UNDISTURBED
        };
        course.at(0.0, Event::Comes);
        course.at(BEFORE, Event::Look);
        if disturbance.rolls {
            course.at(BEFORE, Event::Drain(0));
        }
        for killed in 1..=disturbance.killed {
            let share = killed as f64 / (disturbance.killed + 1) as f64;
            course.at(BEFORE + share * lasts, Event::Kill);
        }
        course.at(BEFORE + lasts + BEFORE, Event::Over);
        course.outcome.seconds = lasts;
        course.go();
        course.outcome.worst = course.fleet.worst();
        course.outcome
    }

    fn at(&mut self, time: f64, event: Event) {
        self.number += 1;
        self.queue.push(Reverse(((time * 1e9) as u64, self.number)));
        self.events.insert(self.number, event);
    }

    fn go(&mut self) {
        while let Some(Reverse((time, number))) = self.queue.pop() {
            let now = time as f64 / 1e9;
            match self.events.remove(&number) {
                Some(Event::Comes) => {
                    self.comes(now);
                    let pause = self.chance.exponential(CALL / self.calls as f64);
                    self.at(now + pause, Event::Comes);
                }
                Some(Event::Ends(call)) => self.ends(call, now),
                Some(Event::Free(call)) => {
                    self.fleet.free(call);
                    self.free.push(call);
                    self.look_for_free(now);
                }
                Some(Event::Drain(worker)) => self.drain(worker, now),
                Some(Event::Kill) => self.kill(now),
                Some(Event::Up(worker, is_rolling)) => {
                    let looks_from = now + LEASE / 4.0;
                    self.fleet.set(worker, State::Up { looks_from });
                    if is_rolling && worker + 1 < WORKERS {
                        self.at(now, Event::Drain(worker + 1));
                    }
                    self.look_for_free(now);
                }
                Some(Event::Tick(worker)) => self.tick(worker, now),
                Some(Event::Claim(worker, seen, next)) => self.claim(worker, seen, next, now),
                Some(Event::Look) => {
                    let (late, on_time) = self.fleet.lags(now);
                    self.outcome.lags.add(&late, on_time, self.figures);
                    self.at(now + 1.0, Event::Look);
                }
                Some(Event::Over) | None => return,
            }
            let unclaimed = self.fleet.unclaimed();
            self.outcome.unclaimed_most = self.outcome.unclaimed_most.max(unclaimed);
        }
    }

    /// NATS offers a call to any worker that listens, and those do that have room.
    fn comes(&mut self, now: f64) {
        self.outcome.came += 1;
        let tries: Vec<usize> = (0..20).map(|_| self.chance.below(WORKERS)).collect();
        let first = self.chance.below(WORKERS);
        let rest = (0..WORKERS).map(|worker| (worker + first) % WORKERS);
        let mut workers = tries.into_iter().chain(rest);
        let Some(worker) = workers.find(|worker| self.fleet.has_room(*worker, now)) else {
            self.outcome.refused += 1;
            return;
        };
        let call = self.fleet.add(worker, now);
        let lasts = self.chance.exponential(CALL);
        self.at(now + lasts, Event::Ends(call));
    }

    fn ends(&mut self, call: usize, now: f64) {
        match self.fleet.call(call).owner {
            Some(_) => self.fleet.end(call, now),
            // Its text is still to come.
            None => self.at(now + 1.0, Event::Ends(call)),
        }
    }

    fn drain(&mut self, worker: usize, now: f64) {
        if self.fleet.state(worker) == State::Down {
            // It was killed a moment ago.
            return self.at(now + 1.0, Event::Drain(worker));
        }
        for call in self.fleet.lose(worker, now, || 0.0) {
            let handed_over = now + HAND_OVER * self.chance.share();
            self.at(handed_over, Event::Free(call));
        }
        self.at(now + HAND_OVER + RESTART, Event::Up(worker, true));
    }

    fn kill(&mut self, now: f64) {
        let worker = self.chance.below(WORKERS);
        if self.fleet.state(worker) == State::Down {
            return self.at(now, Event::Kill);
        }
        let chance = &mut self.chance;
        let calls = self.fleet.lose(worker, now, || CHECKPOINT * chance.share());
        // It had renewed its lease a while ago.
        let over = now + LEASE - LEASE / 4.0 * self.chance.share();
        for call in calls {
            self.at(over, Event::Free(call));
        }
        self.at(now + RESTART, Event::Up(worker, false));
    }

    fn look_for_free(&mut self, now: f64) {
        if self.free.is_empty() {
            return;
        }
        for worker in 0..WORKERS {
            if !self.ticks[worker] {
                self.ticks[worker] = true;
                let tick = now + TICK * self.chance.share();
                self.at(tick, Event::Tick(worker));
            }
        }
    }

    fn tick(&mut self, worker: usize, now: f64) {
        let looks =
            matches!(self.fleet.state(worker), State::Up { looks_from } if looks_from <= now);
        if looks && !self.free.is_empty() && self.fleet.has_room(worker, now) {
            let seen = Rc::new(self.free.clone());
            return self.claim(worker, seen, 0, now);
        }
        self.ticks[worker] = !self.free.is_empty();
        if self.ticks[worker] {
            self.at(now + TICK, Event::Tick(worker));
        }
    }

    fn claim(&mut self, worker: usize, seen: Rc<Vec<usize>>, next: usize, now: f64) {
        let Some(call) = seen.get(next).copied() else {
            return self.at(now + TICK, Event::Tick(worker));
        };
        if !self.fleet.has_room(worker, now) {
            return self.at(now + TICK, Event::Tick(worker));
        }
        self.outcome.claims += 1;
        if self.fleet.call(call).is_free {
            self.free.retain(|other| *other != call);
            let waited = self.fleet.take(worker, call, now);
            self.outcome.longest_wait = self.outcome.longest_wait.max(waited);
            self.outcome.taken_over += 1;
        }
        self.at(
            now + self.figures.claim,
            Event::Claim(worker, seen, next + 1),
        );
    }
}
