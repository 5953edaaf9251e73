//! Where samples lie that came through a bad network: where they lie without it.

use std::time::Duration;

use doors::tap::codec::Formats;
use doors::tap::leg::Leg;

use crate::network::{Loss, lose};
use crate::sender::{Sent, pcmu};

/// The samples of a leg, packets arriving as a network brings them.
fn laid(packets: &[Sent]) -> Vec<i16> {
    let mut leg = Leg::new("leg", Formats::default());
    let mut samples = Vec::new();
    for packet in packets {
        let latency = Duration::from_millis(200);
        leg.take(packet.at.saturating_sub(latency), &mut samples);
        leg.push(&packet.bytes, packet.at);
    }
    leg.take(Duration::from_secs(60), &mut samples);
    samples
}

/// 5 ms: closer seams are no seams for a leg.
const SEAM: usize = 80;

/// By how many samples `heard` lies off `expected`, around a place.
fn shift(heard: &[i16], expected: &[i16], place: std::ops::Range<usize>) -> usize {
    let apart = |lag: usize| -> u64 {
        let shifted = place.start + lag - SEAM..place.end + lag - SEAM;
        let pairs = heard[shifted].iter().zip(&expected[place.clone()]);
        pairs.map(|(is, was)| u64::from(is.abs_diff(*was))).sum()
    };
    let best = (0..=2 * SEAM).min_by_key(|lag| (apart(*lag), lag.abs_diff(SEAM)));
    best.unwrap().abs_diff(SEAM)
}

#[test]
fn what_arrives_is_heard_in_its_place() {
    let whole = pcmu("fr-accueil");
    let expected = laid(&whole);
    for loss in [Loss::Random(5), Loss::Random(30), Loss::Burst(30)] {
        let arrived = lose(&whole, loss, 3);
        let heard = laid(&arrived);
        assert_eq!(heard.len(), expected.len());
        let mut shifts = Vec::new();
        for pair in arrived.windows(2) {
            let start = usize::try_from(pair[1].at.as_millis()).unwrap() * 16;
            let inner = start + 80..start + 240;
            let loud = expected[inner.clone()]
                .iter()
                .any(|sample| sample.abs() > 2_000);
            // Behind one that arrived.
            if loud && pair[1].sequence() == pair[0].sequence().wrapping_add(1) {
                shifts.push(shift(&heard, &expected, inner));
            }
        }
        let most = shifts.iter().max().unwrap();
        let moved = shifts.iter().filter(|shift| **shift > 0).count();
        println!(
            "{loss:?}: {moved} of {} moved, {most} samples at most",
            shifts.len()
        );
        assert!(
            shifts.len() > 50 && *most < SEAM,
            "{loss:?}: {most} samples"
        );
    }
}
