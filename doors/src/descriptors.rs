//! What the descriptors of the process allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a call may need: its socket, and the polls of its pipeline, twice while the one before it is being stopped.
const DESCRIPTORS: usize = 16;
/// Descriptors for all else.
const RESERVED: usize = 128;

/// As many calls at a time as are asked for (0: as many as there can be), but no more than the process has descriptors for: one
/// more would fail within GStreamer, where it harms others. 0: no bound is known.
pub fn bounded(asked: usize) -> usize {
    match (asked, most_calls()) {
        (0, most) | (most, 0) => most,
        (asked, most) => asked.min(most),
    }
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

fn most_calls() -> usize {
    most_of(getrlimit(Resource::Nofile).current)
}

fn most_of(descriptors: Option<u64>) -> usize {
    descriptors.map_or(0, |all| {
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        (all.saturating_sub(RESERVED) / DESCRIPTORS).max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_bound_the_calls() {
        assert_eq!(most_of(Some(1024)), 56);
        assert_eq!(most_of(Some(10)), 1);
        assert_eq!(most_of(None), 0);
        assert_eq!(bounded(1), 1);
        assert_eq!(bounded(usize::MAX), bounded(0));
    }
}
