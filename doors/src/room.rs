//! How many calls there is room for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a call may need: its socket, and the polls of its pipeline, twice while the one before it is being stopped.
const DESCRIPTORS: usize = 16;
/// Descriptors for all else.
const RESERVED: usize = 128;

/// Calls for each core: more than one can hear with the smallest of models. A flood ends there, and not where memory does.
const PER_CORE: usize = 256;

/// As many calls at a time as are asked for; 0: as many as the cores can hear. No more in any case than the process has
/// descriptors for: one more would fail within GStreamer, where it harms others.
pub fn bounded(asked: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let asked = match asked {
        0 => cores * PER_CORE,
        asked => asked,
    };
    asked.min(most_of(getrlimit(Resource::Nofile).current))
}

/// Lets the process have all the descriptors it may have. Systems start programs with few, for the sake of those that cannot
/// count further; ours poll.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(err) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(
            "the number of descriptors stays at {:?}: {err}",
            limit.current
        );
    }
}

fn most_of(descriptors: Option<u64>) -> usize {
    let all = descriptors.and_then(|all| usize::try_from(all).ok());
    let all = all.unwrap_or(usize::MAX);
    (all.saturating_sub(RESERVED) / DESCRIPTORS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_and_cores_bound_the_calls() {
        assert_eq!(most_of(Some(1024)), 56);
        assert_eq!(most_of(Some(10)), 1);
        assert!(most_of(None) > 1_000_000);
        assert_eq!(bounded(1), 1);
        assert!((1..1_000_000).contains(&bounded(0)));
    }
}
