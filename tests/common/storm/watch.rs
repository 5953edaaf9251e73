//! A watchdog: says who hangs where, and ends the process, which a hanging test would not.

use std::process::{Command, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gst::prelude::*;

/// Longer than any load, pass or flush that other work on the machine delays.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Watchdog {
    seats: Arc<Mutex<Vec<Arc<Mutex<Doing>>>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Doing {
    who: String,
    what: String,
    since: Instant,
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    asleep: bool,
}

/// Where one thread writes what it is about.
pub struct Seat(Arc<Mutex<Doing>>);

impl Watchdog {
    pub fn new() -> Watchdog {
        let seats = Arc::<Mutex<Vec<Arc<Mutex<Doing>>>>>::default();
        let over = Arc::new(AtomicBool::new(false));
        let (watched, end) = (Arc::clone(&seats), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_secs(1));
                for seat in watched.lock().unwrap().iter() {
                    let doing = seat.lock().unwrap();
                    if !doing.asleep && doing.since.elapsed() > PATIENCE {
                        doing.dump();
                        exit(1);
                    }
                }
            }
        });
        Watchdog {
            seats,
            over,
            thread: Some(thread),
        }
    }

    pub fn seat(&self, who: &str) -> Seat {
        let doing = Arc::new(Mutex::new(Doing {
            who: who.into(),
            what: "sits down".into(),
            since: Instant::now(),
            pipeline: gst::glib::WeakRef::new(),
            asleep: false,
        }));
        self.seats.lock().unwrap().push(Arc::clone(&doing));
        Seat(doing)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Seat {
    pub fn rides(&self, pipeline: &gst::Pipeline) {
        self.0.lock().unwrap().pipeline = pipeline.downgrade();
    }

    pub fn does(&self, what: impl Into<String>) {
        let mut doing = self.0.lock().unwrap();
        doing.what = what.into();
        doing.since = Instant::now();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.lock().unwrap().asleep = true;
    }
}

impl Doing {
    fn dump(&self) {
        eprintln!(
            "\nHANGS for {:?}: {}: {}",
            self.since.elapsed(),
            self.who,
            self.what
        );
        let elements = self.pipeline.upgrade().map(|p| p.iterate_recurse());
        for element in elements.into_iter().flatten().flatten() {
            // Not state(): that takes the lock which a state change holds.
            eprintln!(
                "  {:<24} {:?}, on the way to {:?}",
                element.name(),
                element.current_state(),
                element.pending_state()
            );
        }
        for task in std::fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten()
        {
            let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let (comm, wchan) = (read("comm"), read("wchan"));
            let id = task.file_name();
            eprintln!("  thread {id:?} {:<18} {wchan}", comm.trim());
        }
        let pid = std::process::id().to_string();
        let backtraces = ["-p", &pid, "-batch", "-ex", "thread apply all bt"];
        if Command::new("gdb").args(backtraces).status().is_err() {
            eprintln!("(with gdb installed there would be all backtraces here)");
        }
    }
}
