//! Whether a model fits, asked before it is loaded: memory that is not there ends a process, wherever it was when it noticed.
//!
//! Three bounds are known: what the system has left, what the process's control group may take, and what the process itself may
//! map. The first two end it from outside (the kernel kills), the third from within (an allocation fails).

use std::fs;
use std::path::{Path, PathBuf};

/// Where Linux tells of control groups (version 2).
const GROUPS: &str = "/sys/fs/cgroup";
/// Left to all else that a process does when a model is loaded.
const SPARE: usize = 64 << 20;

/// That so many bytes can be had. What is free is told otherwise, if it is known.
pub fn fits(bytes: usize) -> Result<(), Option<u64>> {
    let free = [system(), group()].into_iter().flatten().min();
    if free.is_some_and(|free| free < bytes as u64) {
        return Err(free);
    }
    // Reserved and given back: a process that may not map as much is refused it here, where it does no harm.
    let mut trial: Vec<u8> = Vec::new();
    trial
        .try_reserve_exact(bytes.saturating_add(SPARE))
        .map_err(|_| None)
}

/// What the system can give without killing somebody, swap included.
fn system() -> Option<u64> {
    free_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn free_of(meminfo: &str) -> Option<u64> {
    let kilobytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let swap = kilobytes("SwapFree:").unwrap_or(0);
    Some((kilobytes("MemAvailable:")? + swap) << 10)
}

/// What the process's control group has left, or one of those around it.
fn group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = PathBuf::from(GROUPS).join(own.trim_start_matches('/'));
    let around = own.ancestors().take_while(|dir| dir.starts_with(GROUPS));
    around.filter_map(left_in).min()
}

fn left_in(dir: &Path) -> Option<u64> {
    let number = |name: &str| {
        let text = fs::read_to_string(dir.join(name)).ok()?;
        // A bound that is none reads `max`.
        text.trim().parse::<u64>().ok()
    };
    let most = number("memory.max")?;
    let taken = number("memory.current")?;
    // Pages of files count as taken, but go when memory is wanted.
    let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let files = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "));
    let files = files.and_then(|bytes| bytes.trim().parse::<u64>().ok());
    Some(most.saturating_sub(taken.saturating_sub(files.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_what_can_be_had_and_swap() {
        let meminfo = "MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:    30 kB\nSwapFree: 4 kB\n";
        assert_eq!(free_of(meminfo), Some(34 << 10));
        assert_eq!(free_of("MemTotal: 100 kB\n"), None);
    }

    #[test]
    fn a_group_that_is_nearly_full_has_little_left() {
        let dir = tempfile::tempdir().unwrap();
        let say = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(left_in(dir.path()), None);
        say("memory.max", "1000\n");
        say("memory.current", "900\n");
        say("memory.stat", "anon 500\ninactive_file 300\n");
        assert_eq!(left_in(dir.path()), Some(400));
        say("memory.max", "max\n");
        assert_eq!(left_in(dir.path()), None);
    }

    #[test]
    fn more_than_there_can_be_does_not_fit() {
        assert_eq!(fits(1 << 20), Ok(()));
        assert!(fits(1 << 46).is_err() && fits(usize::MAX).is_err());
    }
}
