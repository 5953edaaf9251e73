//! How long to wait before the next try: twice as long each time, less a random part, so that a thousand clients do not
//! come back in one moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    /// Between half of the time that it would be and all of it.
    pub fn next(&mut self) -> Duration {
        let most = self.next;
        self.next = (most * 2).min(LONGEST);
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let share = (random >> 32) as u32 as f64 / f64::from(u32::MAX);
        most.mul_f64(0.5 + 0.5 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_ten_seconds_and_varies() {
        let mut backoff = Backoff::default();
        let mut most = FIRST;
        let mut waits = Vec::new();
        for _ in 0..40 {
            let wait = backoff.next();
            assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
            most = (most * 2).min(LONGEST);
            waits.push(wait);
        }
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        waits.dedup();
        assert!(waits.len() > 30, "jitter");
    }
}
