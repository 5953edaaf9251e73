//! What is heard of a call through a bad network: the words, and each in its place.

use std::time::Duration;

use doors::tap::codec::Formats;
use doors::tap::leg::Leg;

use crate::network::{Loss, Way, change_source, lose, pause, shake, skew};
use crate::sender::{Sent, pcmu};
use crate::trial::{Tally, hear, quantile, said, within};

const FILES: [&str; 2] = ["fr-accueil", "en-greeting"];

/// What a network does to packets; the number is for its dice.
type Damage<'a> = &'a dyn Fn(&[Sent], u64) -> Vec<Sent>;

/// One for each network.
async fn tallies<const N: usize>(networks: [Damage<'_>; N]) -> [Tally; N] {
    let mut tallies = [(); N].map(|()| Tally::default());
    for (number, file) in FILES.iter().enumerate() {
        let (packets, truth) = (pcmu(file), said(file));
        let (undisturbed, _) = hear(file, &packets, None).await;
        for (tally, network) in tallies.iter_mut().zip(&networks) {
            let damaged = network(&packets, number as u64 + 1);
            let (heard, count) = hear(file, &damaged, None).await;
            tally.add(&truth, &undisturbed, &heard, &count);
        }
    }
    tallies
}

/// So many word errors at most, in percent, and so many of the words that both runs have with their neighbours within 40 ms at
/// least.
fn assert_bounds(tally: &Tally, errors: f64, near: f64) {
    let told = format!(
        "{:.1} % errors, {:.1} % of {} words within 40 ms, p95 {:.0} ms, most {:.0} ms",
        tally.errors(),
        within(&tally.settled, 40.0),
        tally.settled.len(),
        quantile(&tally.settled, 0.95),
        quantile(&tally.settled, 1.0),
    );
    assert!(tally.errors() <= errors, "{told}");
    assert!(within(&tally.settled, 40.0) >= near, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_packet_in_twenty_costs_no_word_and_of_a_call_that_loses_a_fifth_most_words_are_left() {
    let [few, many, bursts] = tallies([
        &|packets, seed| lose(packets, Loss::Random(5), seed),
        &|packets, seed| lose(packets, Loss::Random(20), seed),
        &|packets, seed| lose(packets, Loss::Burst(10), seed),
    ])
    .await;
    assert!(few.lost > 20 && many.lost > 100 && bursts.lost > 50);
    assert_bounds(&few, 3.0, 95.0);
    assert_bounds(&many, 15.0, 80.0);
    assert_bounds(&bursts, 25.0, 80.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_any_loss_the_call_goes_on_to_its_end() {
    for loss in [Loss::Random(30), Loss::Burst(30), Loss::Random(60)] {
        let packets = lose(&pcmu("fr-court"), loss, 5);
        let (_, count) = hear("fr-court", &packets, None).await;
        assert_eq!(count["packets"], packets.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loses_nothing_moves_no_word() {
    let way = Way {
        jitter: Duration::from_millis(150),
        twice: 10,
    };
    let all = tallies([
        &|packets, seed| shake(packets, way, seed),
        &|packets, _| skew(packets, 200),
        &|packets, _| skew(packets, -200),
        &|packets, _| change_source(packets, packets.len() / 2),
        &|packets, _| pause(packets),
    ])
    .await;
    for tally in all {
        assert_bounds(&tally, 0.0, 100.0);
    }
}

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

#[test]
fn what_arrives_is_heard_in_its_place_to_the_sample() {
    let whole = pcmu("fr-accueil");
    let expected = laid(&whole);
    for loss in [Loss::Random(5), Loss::Random(30), Loss::Burst(30)] {
        let arrived = lose(&whole, loss, 3);
        let heard = laid(&arrived);
        assert_eq!(heard.len(), expected.len());
        let mut compared = 0;
        for pair in arrived.windows(2) {
            // A packet behind one that arrived, less what is blended and what resampling knows of its neighbours.
            if pair[1].sequence() == pair[0].sequence().wrapping_add(1) {
                let start = usize::try_from(pair[1].at.as_millis()).unwrap() * 16;
                let inner = start + 80..start + 240;
                let apart = heard[inner.clone()].iter().zip(&expected[inner]);
                let most = apart.map(|(is, was)| is.abs_diff(*was)).max();
                assert!(most < Some(64), "at {start}: {most:?}");
                compared += 1;
            }
        }
        assert!(compared > whole.len() / 3);
    }
}
