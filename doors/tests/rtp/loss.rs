//! What is heard of a call through a bad network: the words, and each in its place.

use crate::network::{Loss, Way, change_source, lose, pause, shake, skew};
use crate::sender::{Sent, pcmu};
use crate::trial::{Tally, hear, quantile, said, within};

const FILES: [&str; 2] = ["fr-accueil", "en-greeting"];

async fn tally(damage: impl Fn(&[Sent], u64) -> Vec<Sent>) -> Tally {
    let mut tally = Tally::default();
    for (number, file) in FILES.iter().enumerate() {
        let packets = pcmu(file);
        let (undisturbed, _) = hear(file, &packets, None).await;
        let damaged = damage(&packets, number as u64 + 1);
        let (heard, count) = hear(file, &damaged, None).await;
        tally.add(&said(file), &undisturbed, &heard, &count);
    }
    tally
}

/// So many word errors at most, in percent, and so many of the words that both runs have within 40 ms at least.
fn assert_bounds(tally: &Tally, errors: f64, near: f64) {
    let told = format!(
        "{:.1} % errors, {:.1} % of starts and {:.1} % of ends within 40 ms, p95 {:.0} ms",
        tally.errors(),
        within(&tally.starts, 40.0),
        within(&tally.ends, 40.0),
        quantile(&tally.starts, 0.95),
    );
    assert!(tally.errors() <= errors, "{told}");
    assert!(within(&tally.starts, 40.0) >= near, "{told}");
    assert!(within(&tally.ends, 40.0) >= near, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_packet_in_twenty_costs_no_word() {
    let lossy = tally(|packets, seed| lose(packets, Loss::Random(5), seed)).await;
    assert!(lossy.lost > 20, "{lossy:?}");
    assert_bounds(&lossy, 3.0, 95.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_call_that_loses_a_fifth_most_words_are_left() {
    let lossy = tally(|packets, seed| lose(packets, Loss::Random(20), seed)).await;
    assert_bounds(&lossy, 15.0, 80.0);
    let lossy = tally(|packets, seed| lose(packets, Loss::Burst(10), seed)).await;
    assert_bounds(&lossy, 25.0, 80.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_any_loss_the_call_goes_on_to_its_end() {
    for loss in [Loss::Random(30), Loss::Burst(30), Loss::Random(97)] {
        let packets = lose(&pcmu("fr-court"), loss, 5);
        let (_, count) = hear("fr-court", &packets, None).await;
        assert_eq!(count["packets"], packets.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loses_nothing_moves_no_word() {
    let way = Way {
        jitter: std::time::Duration::from_millis(150),
        twice: 10,
    };
    assert_bounds(
        &tally(|packets, seed| shake(packets, way, seed)).await,
        0.0,
        100.0,
    );
    assert_bounds(&tally(|packets, _| skew(packets, 200)).await, 0.0, 100.0);
    assert_bounds(&tally(|packets, _| skew(packets, -200)).await, 0.0, 100.0);
    assert_bounds(
        &tally(|packets, _| change_source(packets, packets.len() / 2)).await,
        0.0,
        100.0,
    );
    assert_bounds(&tally(|packets, _| pause(packets)).await, 0.0, 100.0);
}
