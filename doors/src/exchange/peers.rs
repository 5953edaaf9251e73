//! How many calls come from where.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// A place counts as taken for so long at least: who comes and goes in no time is not to come all the time.
const MOMENT: Duration = Duration::from_secs(1);

/// Calls of each peer.
#[derive(Debug)]
pub struct Peers {
    /// Calls at a time, and new ones a second; 0: any number, and nothing is counted.
    most: usize,
    here: HashMap<IpAddr, usize>,
    /// Calls that were over within a moment, and when they came.
    flown: Vec<(IpAddr, Instant)>,
}

impl Peers {
    pub fn new(most: usize) -> Peers {
        Peers {
            most,
            here: HashMap::new(),
            flown: Vec::new(),
        }
    }

    /// A call comes, if `peer` may have one more. Each that does is to [`leave`](Peers::leave).
    pub fn come(&mut self, peer: SocketAddr, now: Instant) -> bool {
        if self.most == 0 {
            return true;
        }
        let peer = household(peer);
        self.flown.retain(|(_, since)| is_new(*since, now));
        let flown = self
            .flown
            .iter()
            .filter(|(other, _)| *other == peer)
            .count();
        let here = self.here.get(&peer).copied().unwrap_or_default();
        if here + flown >= self.most {
            return false;
        }
        self.here.insert(peer, here + 1);
        true
    }

    /// A call that came at `since` is over.
    pub fn leave(&mut self, peer: SocketAddr, since: Instant, now: Instant) {
        let peer = household(peer);
        let Some(here) = self.here.get_mut(&peer) else {
            return;
        };
        *here = here.saturating_sub(1);
        if *here == 0 {
            self.here.remove(&peer);
        }
        if is_new(since, now) {
            self.flown.push((peer, since));
        }
    }
}

fn is_new(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < MOMENT
}

/// What is counted as one peer: an IPv6 host has a whole network of addresses to itself.
fn household(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_places_and_so_many_a_second() {
        let (peer, other) = (
            "192.0.2.7:1".parse().unwrap(),
            "192.0.2.8:1".parse().unwrap(),
        );
        let (mut peers, now) = (Peers::new(2), Instant::now());
        assert!(peers.come(peer, now) && peers.come(peer, now) && !peers.come(peer, now));
        assert!(peers.come(other, now));
        // Gone at once, its place is free a second after it came; gone later, at once.
        peers.leave(peer, now, now + MOMENT / 2);
        assert!(!peers.come(peer, now + MOMENT / 2));
        assert!(peers.come(peer, now + MOMENT));
        peers.leave(peer, now, now + MOMENT);
        assert!(peers.come(peer, now + MOMENT));
        assert!(!peers.come(peer, now + MOMENT * 5));
        // Nothing is kept of those who are gone.
        for _ in 0..2 {
            peers.leave(peer, now, now + MOMENT * 5);
        }
        peers.leave(other, now, now + MOMENT * 5);
        assert!(peers.here.is_empty() && peers.flown.is_empty());
    }

    #[test]
    fn without_a_bound_all_may_come() {
        let (peer, now) = ("192.0.2.7:1".parse().unwrap(), Instant::now());
        let mut peers = Peers::new(0);
        for _ in 0..100 {
            assert!(peers.come(peer, now));
            peers.leave(peer, now, now);
        }
        assert!(peers.here.is_empty() && peers.flown.is_empty());
    }

    #[test]
    fn addresses_of_one_host_are_one_peer() {
        let household = |peer: &str| household(peer.parse().unwrap()).to_string();
        assert_eq!(household("192.0.2.7:1"), household("192.0.2.7:2"));
        assert_eq!(household("[::ffff:192.0.2.7]:1"), household("192.0.2.7:1"));
        assert_ne!(household("192.0.2.7:1"), household("192.0.2.8:1"));
        assert_eq!(
            household("[2001:db8:0:1::1]:1"),
            household("[2001:db8:0:1:f::2]:1")
        );
        assert_ne!(
            household("[2001:db8:0:1::1]:1"),
            household("[2001:db8:0:2::1]:1")
        );
    }
}
