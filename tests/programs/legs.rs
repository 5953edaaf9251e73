// SPDX-License-Identifier: MPL-2.0

//! The examples that follow who speaks: `conversation` and `segments`.

use std::path::PathBuf;

use crate::runner::*;

/// A stereo call: French on the left, and English on the right two seconds later.
fn stereo() -> PathBuf {
    let samples = |name: &str| -> Vec<i16> {
        let mut wav = hound::WavReader::open(audio(name)).unwrap();
        wav.samples::<i16>().map(|sample| sample.unwrap()).collect()
    };
    let left = samples("fr-court.wav");
    let mut right = vec![0; 32_000];
    right.extend(samples("en-short.wav"));
    let file = scratch().join(format!("stereo-{}.wav", std::process::id()));
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut out = hound::WavWriter::create(&file, spec).unwrap();
    for n in 0..right.len() + 16_000 {
        for side in [&left, &right] {
            out.write_sample(side.get(n).copied().unwrap_or(0)).unwrap();
        }
    }
    out.finalize().unwrap();
    file
}

#[test]
fn two_legs_become_one_conversation() {
    let call = stereo();
    let mut command = example("conversation");
    command.arg(&call).args(["--language", "fr", "en"]);
    let text = run(&mut command).ok().text();
    assert_eq!(text, "0:00:00 agent: allô\n0:00:02 customer: hello\n");

    let vtt = scratch().join("conversation.vtt");
    let mut command = example("conversation");
    command
        .arg(&call)
        .args(["--language", "fr", "en", "--legs", "Anne", "Bob & Co"])
        .args(["--format", "vtt", "--output"])
        .arg(&vtt);
    assert!(run(&mut command).ok().text().is_empty());
    let text = std::fs::read_to_string(vtt).unwrap();
    assert!(text.starts_with("WEBVTT\n\n00:00:00."), "{text}");
    assert!(text.contains("<v Anne>allô\n"), "{text}");
    assert!(text.contains("<v Bob &amp; Co>hello\n"), "{text}");
}

#[test]
fn two_files_become_one_conversation() {
    let mut command = example("conversation");
    command
        .arg(audio("fr-court.wav"))
        .arg(audio("en-short.wav"))
        .args(["--language", "fr", "en"]);
    let text = run(&mut command).ok().text();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort();
    assert_eq!(lines, ["0:00:00 agent: allô", "0:00:00 customer: hello"]);
}

#[test]
fn an_utterance_is_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = example("segments");
    command
        .arg(audio("fr-pauses.wav"))
        .args(["--language", "fr", "--output-dir"])
        .arg(folder.path());
    let ended = run(&mut command).ok();
    let lines = ended.text().lines().count();
    assert!(lines > 1, "{ended:?}");
    let mut heard = Vec::new();
    for n in 1..=lines {
        let file = |extension: &str| folder.path().join(format!("{n:04}.{extension}"));
        let json = std::fs::read(file("json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let (start, end) = (
            json["start"].as_f64().unwrap(),
            json["end"].as_f64().unwrap(),
        );
        let wav = hound::WavReader::open(file("wav")).unwrap();
        let seconds = f64::from(wav.duration()) / 16e3;
        assert!(
            (seconds - (end - start + 0.4)).abs() < 0.01,
            "{seconds} s: {json}"
        );
        assert_eq!(json["language"], "fr");
        heard.extend(words(json["text"].as_str().unwrap()));
    }
    assert_heard(&heard, &spoken("fr-pauses.wav"));
}

#[test]
fn what_cannot_be_read_is_said_in_a_sentence() {
    for program in ["conversation", "segments"] {
        let mut command = example(program);
        command.arg("/nowhere/call.wav").current_dir(scratch());
        let ended = run(&mut command);
        assert_eq!(ended.status.code(), Some(1));
        assert!(
            ended.stderr.contains("/nowhere/call.wav"),
            "{}",
            ended.stderr
        );
    }
}
