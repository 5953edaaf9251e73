//! Many calls, one model: whose window is encoded and whose decoder is stepped next.
//!
//! Each model has one scheduler, and each scheduler one thread, which alone runs the network. The network uses all cores
//! inside; so however many calls there are, threads do not fight for cores, and weights are read for all at once.
//!
//! A session's worker hands over what its pass asks for (a window, then tokens) and sleeps until the answer is there;
//! what to make of it, the policy decides on the worker's own thread. [`plan`] says what is next, [`board`] knows where
//! each pass stands, [`drive`] runs the network, [`load`] watches whether the machine keeps up. Nothing here polls:
//! where no pass is under way, no thread wakes.
//!
//! A pass that is given up (flush, close) leaves at once, even while the network has its window or decoder: what comes
//! back is dropped then. An error or a panic in the network is told to those whose work it had, and the thread goes on.

mod board;
mod drive;
pub mod load;
mod network;
mod plan;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{EngineError, lock};
use crate::whisper::{Cancel, Step, Watched, WhisperError};
use board::Board;
pub use load::{Level, Strain};
pub use network::{Asked, Network, On};
use plan::Id;
pub use plan::Limits;

/// When a pass ought to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Live: before the next pass of its stream is due.
    By {
        deadline: Instant,
        /// So much later the machine is judged not to keep up.
        grace: Duration,
        /// Its stream allows [`Level::Shortened`].
        shortenable: bool,
    },
    /// Nobody waits.
    Whenever,
}

/// What a pass cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// It ended after its deadline.
    pub late: bool,
    /// Time for which it waited because the network ran for others.
    pub waited: Duration,
    pub steps: u32,
    /// Decoders that took part in its steps, itself included: `decoders / steps` is the mean batch.
    pub decoders: u32,
}

/// Runs a network for many passes. Dropped, it ends its thread (a stage's time at most).
pub struct Scheduler<N: Network> {
    network: Arc<N>,
    shared: Arc<Shared<N>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<N: Network> {
    board: Mutex<Board<N>>,
    /// There may be something to run.
    work: Condvar,
}

impl<N: Network> Scheduler<N> {
    pub fn new(network: Arc<N>, limits: Limits) -> Scheduler<N> {
        Scheduler {
            network,
            shared: Arc::new(Shared {
                board: Mutex::new(Board::new(limits, Instant::now())),
                work: Condvar::new(),
            }),
            thread: Mutex::default(),
        }
    }

    /// Begins a pass over `window`. The first one starts the thread.
    pub fn enter(
        &self,
        window: N::Window,
        watched: Arc<Watched>,
        due: Due,
    ) -> Result<Sequence<N>, EngineError> {
        self.start().map_err(EngineError::Thread)?;
        let id = lock(&self.shared.board).enter(window, watched, due, Instant::now());
        self.shared.work.notify_one();
        Ok(Sequence {
            shared: Arc::clone(&self.shared),
            id,
        })
    }

    /// How the machine bears what it has to do.
    pub fn strain(&self) -> Strain {
        lock(&self.shared.board).strain(Instant::now())
    }

    fn start(&self) -> io::Result<()> {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let (network, shared) = (Arc::clone(&self.network), Arc::clone(&self.shared));
            let driver = thread::Builder::new().name("whispernetwork".into());
            *thread = Some(driver.spawn(move || drive::run(&*network, &shared))?);
        }
        Ok(())
    }
}

impl<N: Network> Drop for Scheduler<N> {
    fn drop(&mut self) {
        lock(&self.shared.board).shut(None);
        self.shared.work.notify_one();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic was caught inside.
            let _ = thread.join();
        }
    }
}

/// A pass at the scheduler. Dropped, it is given up.
pub struct Sequence<N: Network> {
    shared: Arc<Shared<N>>,
    id: Id,
}

impl<N: Network> Sequence<N> {
    /// Waits for a step: of the pass's decoder, which starts with the first, once the window is encoded.
    ///
    /// # Errors
    /// What went wrong at the network, or [`WhisperError::Cancelled`] as soon as whoever cancelled has unparked this
    /// thread.
    pub fn step(&mut self, asked: Asked, cancel: &Cancel) -> Result<Step, EngineError> {
        lock(&self.shared.board).ask(self.id, asked, thread::current(), Instant::now());
        self.shared.work.notify_one();
        loop {
            if cancel.is_cancelled() {
                return Err(WhisperError::Cancelled.into());
            }
            if let Some(answer) = lock(&self.shared.board).collect(self.id) {
                return answer;
            }
            thread::park();
        }
    }

    /// The pass has all it wanted: what it cost.
    pub fn end(self) -> Effort {
        let (effort, remains) = lock(&self.shared.board).end(self.id, Instant::now());
        drop(remains);
        effort
    }
}

impl<N: Network> Drop for Sequence<N> {
    fn drop(&mut self) {
        let remains = lock(&self.shared.board).leave(self.id);
        // Whoever waits to be in one step with it waits in vain.
        self.shared.work.notify_one();
        drop(remains);
    }
}
