//! Text out of audio: what is said, when, and in which order.

mod element_support;

use element_support::*;

#[test]
fn eos_drains_the_last_word_and_comes_last() {
    let bench = Bench::new().set("language", "fr").play();
    bench.speak(&samples("fr-accueil"), ms(0));
    assert!(bench.eos());
    let said: Vec<_> = spoken("fr-accueil")
        .into_iter()
        .map(|word| word.0)
        .collect();
    let heard = words(&bench.record.text());
    assert_eq!(heard.last(), said.last());
    assert_eq!(
        bench.record.event_names().last().map(String::as_str),
        Some("eos")
    );
}
