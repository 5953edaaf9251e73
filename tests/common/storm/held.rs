//! What the process holds: threads and memory.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// A count of what is there.
#[derive(Clone, Debug)]
pub struct Held {
    pub threads: Vec<String>,
    pub memory_kb: u64,
}

impl Held {
    pub fn now() -> Held {
        Held {
            threads: threads(),
            memory_kb: memory_kb(),
        }
    }

    /// What is there when no more than `before`'s threads are left; GLib lets its idle ones wait for a quarter of a minute.
    pub fn settled(before: &Held) -> Held {
        let start = Instant::now();
        loop {
            let now = Held::now();
            let is_more = now.threads.len() > before.threads.len();
            if !is_more || start.elapsed() > Duration::from_secs(45) {
                return now;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let threads = self.threads.len();
        let megabytes = self.memory_kb as f64 / 1024.0;
        write!(f, "{threads} threads, {megabytes:.1} MB")
    }
}

/// Names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let mut names: Vec<String> = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().into())
        .collect();
    names.sort();
    names
}

/// Memory of its own, without what is mapped from files.
fn memory_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kb = line.and_then(|line| line.split_whitespace().nth(1));
    kb.and_then(|kb| kb.parse().ok()).unwrap()
}
