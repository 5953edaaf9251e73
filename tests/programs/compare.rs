// SPDX-License-Identifier: MPL-2.0

//! `compare_precision`, the command that shows what a narrower precision costs.

use crate::runner::*;

/// The figure in front of `unit` in the line that starts with `what`.
fn figures(text: &str, what: &str) -> Vec<f64> {
    let line = text.lines().find(|line| line.trim().starts_with(what));
    let line = line.unwrap_or_else(|| panic!("no {what:?} in {text}"));
    line.split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|figure| figure.parse().ok())
        .collect()
}

#[test]
fn f32_beside_itself_is_the_same_to_the_sample() {
    let ended = run(example("compare_precision")
        .arg(audio("en-short.wav"))
        .arg(audio("fr-court.wav"))
        .args(["--precision", "f32", "--language", "fr"]))
    .ok();
    let text = ended.text();
    let same = figures(&text, "same words");
    assert!(same[0] > 0.0 && same[0] == same[1], "{text}");
    for what in ["starts moved", "ends moved"] {
        // p50, its figure, p95, its figure, the largest.
        assert_eq!(figures(&text, what), [50.0, 0.0, 95.0, 0.0, 0.0], "{text}");
    }
    assert!(figures(&text, "speed")[0] > 0.0, "{text}");
}

#[test]
fn narrower_ways_are_told_one_by_one() {
    let ended = run(example("compare_precision")
        .arg(audio("en-digits.wav"))
        .args(["--precision", "bf16", "--precision", "int8"])
        .args(["--audio-ctx", "auto", "--language", "en"]))
    .ok();
    let text = ended.text();
    for way in ["bf16", "int8"] {
        let way = format!("{way} with audio-ctx=auto beside f32");
        let (_, told) = text
            .split_once(&way)
            .unwrap_or_else(|| panic!("no {way} in {text}"));
        let same = figures(told, "same words");
        assert!(same[0] > 0.0 && same[0] <= same[1], "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    for arguments in [
        vec!["/nowhere/call.wav"],
        vec!["--model", "/nowhere", "tests/audio/fr-court.wav"],
    ] {
        let ended = run(example("compare_precision").args(&arguments));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains("/nowhere"),
            "{}",
            ended.stderr
        );
    }
}
