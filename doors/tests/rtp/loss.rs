//! What is heard of a call through a bad network: the words, and each in its place.

use std::time::Duration;

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
