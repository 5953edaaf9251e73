//! Who is still there: leases as those see them who may take over.
//!
//! A worker renews one key of the bucket; the key's revision grows. Whoever waits to take over knows nothing of the worker's
//! clock nor of the server's: it counts by its own for how long a revision has stood still.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What one process has seen of the others' leases.
#[derive(Debug)]
pub struct Leases {
    lease: Duration,
    seen: HashMap<String, Seen>,
    /// When its own view was last known to be fresh.
    looked: Instant,
}

#[derive(Debug)]
struct Seen {
    revision: u64,
    since: Instant,
}

impl Leases {
    pub fn new(lease: Duration, now: Instant) -> Leases {
        Leases {
            lease,
            seen: HashMap::new(),
            looked: now,
        }
    }

    /// A worker has renewed.
    pub fn renewed(&mut self, worker: &str, revision: u64, now: Instant) {
        let seen = self.seen.get(worker).map(|seen| seen.revision);
        if seen < Some(revision) {
            let since = now;
            self.seen.insert(worker.into(), Seen { revision, since });
        }
    }

    /// A worker has given up its lease.
    pub fn given_up(&mut self, worker: &str) {
        self.seen.remove(worker);
    }

    /// This process was awake and had the server's ear up to `now`: to be called more often than a lease lasts. Who slept, or was
    /// cut off, has not seen the others renew, and begins to count anew.
    pub fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) > self.lease / 2 {
            for seen in self.seen.values_mut() {
                seen.since = now;
            }
        }
        // Long over, and its name is nobody's again.
        let old = self.lease * 1_000;
        self.seen
            .retain(|_, seen| now.saturating_duration_since(seen.since) < old);
        self.looked = now;
    }

    /// Whether what that worker has owned since `owned` at least may be taken: its lease has stood still for too long. One that was
    /// never seen may be on its way here, and has as long.
    pub fn is_over(&self, worker: &str, owned: Instant, now: Instant) -> bool {
        let since = self.seen.get(worker).map_or(owned, |seen| seen.since);
        now.saturating_duration_since(since) > self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn second(start: Instant, second: u64) -> Instant {
        start + Duration::from_secs(second)
    }

    #[test]
    fn a_lease_that_stands_still_is_over() {
        let start = Instant::now();
        let mut leases = Leases::new(LEASE, start);
        assert!(!leases.is_over("a", start, second(start, 6)), "it may come");
        assert!(
            leases.is_over("a", start, second(start, 7)),
            "there is none"
        );
        leases.renewed("a", 7, start);
        for now in 1..=6 {
            leases.look(second(start, now));
            // An older revision, or the same once more, is no renewal.
            leases.renewed("a", 7, second(start, now));
            leases.renewed("a", 3, second(start, now));
            assert!(!leases.is_over("a", start, second(start, now)));
        }
        assert!(leases.is_over("a", start, second(start, 7)));
        leases.renewed("a", 8, second(start, 7));
        assert!(!leases.is_over("a", start, second(start, 13)));
        leases.given_up("a");
        assert!(leases.is_over("a", start, second(start, 7)));
    }

    #[test]
    fn who_slept_takes_nothing_on_waking_up() {
        let start = Instant::now();
        let mut leases = Leases::new(LEASE, start);
        leases.renewed("a", 7, start);
        leases.look(second(start, 1));
        leases.look(second(start, 100));
        assert!(!leases.is_over("a", start, second(start, 101)));
        for now in 101..=107 {
            leases.look(second(start, now));
        }
        assert!(leases.is_over("a", start, second(start, 107)));
    }
}
