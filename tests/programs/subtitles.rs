// SPDX-License-Identifier: MPL-2.0

//! Cues through the system's own subtitle encoders.

use std::path::Path;

use crate::runner::*;

/// A cue's start and end in seconds, and its text.
type Cue = (f64, f64, String);

/// `00:00:01.250`, with `,` for `.` in SubRip.
fn seconds(time: &str) -> f64 {
    time.trim()
        .replace(',', ".")
        .split(':')
        .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

fn cues(file: &str) -> Vec<Cue> {
    file.split("\n\n")
        .filter_map(|block| {
            let (before, text) = block.split_once(" --> ")?;
            let (end, text) = text.split_once('\n')?;
            let start = before.lines().last()?;
            Some((seconds(start), seconds(end), text.trim().to_owned()))
        })
        .collect()
}

fn encode(recording: &Path, language: &str, encoder: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("subtitles");
    run(&mut launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! whisperstream language={language} \
         unit=utterance ! {encoder} ! filesink location={}",
        recording.display(),
        out.display()
    )))
    .ok();
    std::fs::read_to_string(out).unwrap().replace('\r', "")
}

#[track_caller]
fn assert_readable(file: &str, spoken: &[String]) {
    let cues = cues(file);
    let heard: Vec<String> = cues.iter().flat_map(|(_, _, text)| words(text)).collect();
    assert_heard(&heard, spoken);
    // Pauses of less than a second do not make a cue of one word each.
    assert!(cues.len() <= heard.len() / 2, "{file}");
    for (start, end, _) in &cues {
        assert!(
            end > start && end - start <= 7.0,
            "{start} to {end} in\n{file}"
        );
    }
    for pair in cues.windows(2) {
        assert!(pair[1].0 >= pair[0].1, "cues overlap in\n{file}");
    }
}

#[test]
fn webvtt_is_readable() {
    let file = encode(&opening(), "fr", "webvttenc");
    assert!(file.starts_with("WEBVTT\n"), "{file}");
    assert_readable(&file, &spoken_opening());
}

#[test]
fn subrip_is_readable() {
    let file = encode(&audio(ENGLISH), "en", "srtenc");
    assert!(file.starts_with("1\n"), "{file}");
    assert_readable(&file, &spoken(ENGLISH));
}
