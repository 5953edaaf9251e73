// SPDX-License-Identifier: MPL-2.0

//! What `scripts/demo` runs.

use std::time::Duration;

use crate::runner::*;

#[test]
fn the_demo_shows_words_in_real_time_and_captions_at_the_end() {
    let ended = run(example("demo").arg(audio(FRENCH)).arg("fr")).ok();
    let shown = ended.text();
    assert!(
        ended.took > Duration::from_secs(9),
        "that was not real time: {:?}",
        ended.took
    );
    assert!(
        !shown.contains('\x1b'),
        "colour where there is no terminal: {shown:?}"
    );

    let (words_shown, captions) = shown
        .split_once("WEBVTT")
        .unwrap_or_else(|| panic!("{shown}"));
    // `0:00.40  +0.71 s    bonjour`
    let heard: Vec<String> = words_shown
        .lines()
        .filter(|line| line.contains(" s    ") && line.contains('+'))
        .filter_map(|line| line.split_whitespace().last())
        .flat_map(words)
        .collect();
    assert_heard(&heard, &spoken(FRENCH));
    assert!(
        captions.contains(" --> ") && captions.contains("bonjour"),
        "{captions}"
    );
}

#[test]
fn the_demo_says_what_it_was_given() {
    for arguments in [vec!["/nowhere/call.wav", "fr"], vec!["call.wav"]] {
        let ended = run(example("demo").args(&arguments));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    }
}
