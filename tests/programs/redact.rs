// SPDX-License-Identifier: MPL-2.0

//! The example `redact`: numbers are silent, and nothing else is touched.

use crate::runner::*;

fn samples(file: &std::path::Path) -> Vec<i16> {
    let wav = hound::WavReader::open(file).unwrap();
    assert_eq!(wav.spec().sample_rate, 16_000);
    wav.into_samples().map(Result::unwrap).collect()
}

#[test]
fn numbers_are_silent_and_nothing_else_is_touched() {
    // In the second there is nothing but digits.
    for (name, language, least) in [("fr-numero.wav", "fr", 1_600), ("en-digits.wav", "en", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("redacted.wav");
        let ended = run(example("redact")
            .arg(audio(name))
            .args(["--language", language, "--output"])
            .arg(&file))
        .ok();
        let text = ended.text();
        let spans: Vec<(f64, f64)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("muted "))
            .map(|span| {
                let (start, end) = span.split_once(' ').unwrap();
                (start.parse().unwrap(), end.parse().unwrap())
            })
            .collect();
        assert!(!spans.is_empty() && text.contains("# # #"), "{text}");
        let (before, after) = (samples(&audio(name)), samples(&file));
        assert_eq!(before.len(), after.len());
        let (mut silenced, mut kept) = (0, 0);
        for (n, (before, after)) in before.iter().zip(&after).enumerate() {
            let at = n as f64 / 16_000.0;
            // Half a sample of tolerance, for the printed digits.
            let is_in = |(start, end): &(f64, f64)| *start - 3e-5 <= at && at < *end - 3e-5;
            if spans.iter().any(is_in) {
                assert_eq!(*after, 0, "{name}: sample {n} of {spans:?}");
                silenced += usize::from(*before != 0);
            } else {
                assert_eq!(after, before, "{name}: sample {n} of {spans:?}");
                kept += usize::from(*before != 0);
            }
        }
        assert!(
            silenced > 16_000 && kept >= least,
            "{name}: {silenced}, {kept}"
        );
    }
}

#[test]
fn a_delay_that_is_too_short_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(example("redact")
        .arg(audio("fr-numero.wav"))
        .args(["--language", "fr", "--delay", "0", "--output"])
        .arg(folder.path().join("redacted.wav")));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("raise --delay"), "{}", ended.stderr);
}
