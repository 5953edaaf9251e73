//! Workers and the calls that they hear, as a flow: audio comes at its pace, and is heard at the worker's.

/// Of the fleet.
pub const WORKERS: usize = 200;
/// Live calls that a worker bears, which is as many as it takes (--max-calls), and its rate of hearing in times real time.
/// It is what the fleet was planned with, for a model of the size base; README, "Many calls", has what was measured.
pub const CAPACITY: f64 = 50.0;
/// Mean length of a call, in s; lengths have no memory.
pub const CALL: f64 = 180.0;
/// Who is further behind takes no more (--max-lag).
const MAX_LAG: f64 = 3.0;
/// Less audio than this is none, in s.
const NONE: f64 = 1e-6;

#[derive(Clone, Debug, Default)]
pub struct Call {
    pub owner: Option<usize>,
    /// It can be claimed.
    pub is_free: bool,
    /// When its last owner stopped hearing it.
    since: f64,
    /// Audio that is heard a second time, before what is new.
    again: f64,
    /// Audio that nobody has heard.
    unheard: f64,
    /// The most of that since it was taken over.
    worst: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// Takes what is offered; and from then on what is free.
    Up {
        looks_from: f64,
    },
    Down,
}

#[derive(Clone, Debug)]
struct Worker {
    state: State,
    calls: Vec<usize>,
    /// Those of them that are behind.
    behind: Vec<usize>,
    /// Up to when all this is true.
    at: f64,
}

#[derive(Clone, Debug)]
pub struct Fleet {
    calls: Vec<Call>,
    workers: Vec<Worker>,
    /// Calls that no worker has.
    orphans: Vec<usize>,
}

impl Fleet {
    pub fn new() -> Fleet {
        let worker = Worker {
            state: State::Up { looks_from: 0.0 },
            calls: Vec::new(),
            behind: Vec::new(),
            at: 0.0,
        };
        Fleet {
            calls: Vec::new(),
            workers: vec![worker; WORKERS],
            orphans: Vec::new(),
        }
    }

    pub fn set(&mut self, worker: usize, state: State) {
        self.workers[worker].state = state;
    }

    pub fn state(&self, worker: usize) -> State {
        self.workers[worker].state
    }

    pub fn call(&self, call: usize) -> &Call {
        &self.calls[call]
    }

    pub fn free(&mut self, call: usize) {
        self.calls[call].is_free = true;
    }

    pub fn unclaimed(&self) -> usize {
        self.orphans.len()
    }

    /// Lets a worker hear up to now. What it can beyond its calls' pace goes to those that are behind, in equal parts.
    fn hear(&mut self, worker: usize, now: f64) {
        let worker = &mut self.workers[worker];
        let mut left = now - worker.at;
        worker.at = now;
        let spare = (CAPACITY - worker.calls.len() as f64).max(0.0);
        while left > 0.0 && !worker.behind.is_empty() {
            let extra = spare / worker.behind.len() as f64;
            let behind = worker.behind.iter().map(|call| &self.calls[*call]);
            let least = behind
                .map(|call| call.again + call.unheard)
                .fold(f64::INFINITY, f64::min);
            let step = match extra > 0.0 {
                true => left.min(least / extra),
                false => left,
            };
            for call in &worker.behind {
                let call = &mut self.calls[*call];
                let heard = step * (1.0 + extra);
                let unheard = call.unheard + step.min(call.again / (1.0 + extra));
                call.worst = call.worst.max(unheard);
                let again = call.again.min(heard);
                call.again -= again;
                call.unheard = (call.unheard + step - (heard - again)).max(0.0);
            }
            let calls = &self.calls;
            worker
                .behind
                .retain(|call| calls[*call].again + calls[*call].unheard > NONE);
            left -= step;
        }
    }

    pub fn has_room(&mut self, worker: usize, now: f64) -> bool {
        self.hear(worker, now);
        let Worker {
            state,
            calls,
            behind,
            ..
        } = &self.workers[worker];
        let is_up = matches!(state, State::Up { .. });
        let lag = |call: &usize| self.calls[*call].again + self.calls[*call].unheard;
        is_up && (calls.len() as f64) < CAPACITY && behind.iter().all(|call| lag(call) < MAX_LAG)
    }

    /// A new call.
    pub fn add(&mut self, worker: usize, now: f64) -> usize {
        let call = self.calls.len();
        self.calls.push(Call {
            since: now,
            ..Call::default()
        });
        self.orphans.push(call);
        self.take(worker, call, now);
        call
    }

    /// A worker takes a call, with all that came while nobody had it. Returns how long that was.
    pub fn take(&mut self, worker: usize, call: usize, now: f64) -> f64 {
        self.hear(worker, now);
        self.orphans.retain(|orphan| *orphan != call);
        let taken = &mut self.calls[call];
        let waited = now - taken.since;
        taken.unheard += waited;
        taken.owner = Some(worker);
        taken.is_free = false;
        let is_behind = taken.again + taken.unheard > NONE;
        let worker = &mut self.workers[worker];
        worker.calls.push(call);
        if is_behind {
            worker.behind.push(call);
        }
        waited
    }

    pub fn end(&mut self, call: usize, now: f64) {
        let Some(worker) = self.calls[call].owner.take() else {
            return;
        };
        self.hear(worker, now);
        let worker = &mut self.workers[worker];
        worker.calls.retain(|other| *other != call);
        worker.behind.retain(|other| *other != call);
    }

    /// A worker is gone; `again`: how much of each call is to be heard again. Returns its calls.
    pub fn lose(&mut self, worker: usize, now: f64, mut again: impl FnMut() -> f64) -> Vec<usize> {
        self.hear(worker, now);
        self.workers[worker].state = State::Down;
        self.workers[worker].behind.clear();
        let calls = std::mem::take(&mut self.workers[worker].calls);
        for call in &calls {
            let lost = &mut self.calls[*call];
            lost.owner = None;
            lost.since = now;
            lost.again += again();
        }
        self.orphans.extend(&calls);
        calls
    }

    /// How far each call that was taken over was behind at most.
    pub fn worst(&self) -> Vec<f64> {
        let worst = self.calls.iter().map(|call| call.worst);
        worst.filter(|worst| *worst > 0.0).collect()
    }

    /// Audio that came and whose text did not, of each call that has such; and how many calls have none.
    pub fn lags(&mut self, now: f64) -> (Vec<f64>, usize) {
        let (mut lags, mut on_time) = (Vec::new(), 0);
        for number in 0..WORKERS {
            self.hear(number, now);
            let worker = &self.workers[number];
            on_time += worker.calls.len() - worker.behind.len();
            lags.extend(worker.behind.iter().map(|call| self.calls[*call].unheard));
        }
        let orphans = self.orphans.iter().map(|call| &self.calls[*call]);
        lags.extend(orphans.map(|call| now - call.since + call.unheard));
        (lags, on_time)
    }
}
