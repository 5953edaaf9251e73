//! What is spoken can be read off the picture, whatever the bin is switched to meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;
use whisperstream_transcriberbin::Captioned;

/// Plays for so long.
fn play_for(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}

/// Plays on until `done`.
fn wait(run: &Captioned, what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        let words = run.words();
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited for {what}; shown: {words:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn captions_608_hold_the_words_that_are_spoken() {
    let run = Captioned::new("en-greeting");
    run.bin.set_property("language-code", "en-US");
    run.play();
    run.to_the_end();
    assert_eq!(
        run.words().join(" "),
        "good morning i am calling about your order do you have two minutes yes please this is good news"
    );
    assert_eq!(run.words_708(), run.words());
    assert!(run.loads() <= 1);
}

#[test]
fn passthrough_stops_the_captions_and_they_come_again_behind_it() {
    let run = Captioned::new("en-greeting");
    run.play();
    wait(&run, "the first words", || !run.words().is_empty());
    run.bin.set_property("passthrough", true);
    wait(&run, "the transcriber to stop", || {
        run.transcriber.current_state() == gst::State::Null
    });
    // What was on the way to the picture.
    play_for(1);
    let before = run.words_708();
    play_for(1);
    assert_eq!(run.words_708(), before);
    run.bin.set_property("passthrough", false);
    wait(&run, "the transcriber to play", || {
        run.transcriber.current_state() == gst::State::Playing
    });
    run.to_the_end();
    // By CEA-708 alone: cea708mux 0.13.6 forgets to take 608 along once it was stopped.
    let behind = run.words_708().split_off(before.len());
    assert_eq!(
        behind.last().map(String::as_str),
        Some("news"),
        "{behind:?}"
    );
    assert!(run.loads() <= 1, "the model stays in memory meanwhile");
}

#[test]
fn the_language_may_change_while_it_plays() {
    let run = Captioned::new("fr-accueil");
    run.bin.set_property("language-code", "en-US");
    run.play();
    play_for(2);
    run.bin.set_property("language-code", "fr-FR");
    run.to_the_end();
    let language: String = run.transcriber.property("language-code");
    assert_eq!(language, "fr-FR");
    let words = run.words().join(" ");
    assert!(
        words.ends_with("oui bien sûr je vous écoute c'est une bonne nouvelle"),
        "{words}"
    );
    assert!(run.loads() <= 1);
}
