// SPDX-License-Identifier: MPL-2.0

//! The example `replay`, on what `transcribe` recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::runner::*;

fn only_dump(folder: &Path) -> Option<PathBuf> {
    let mut found = fs::read_dir(folder).ok()?;
    let dump = found.next()?.ok()?.path();
    assert!(found.next().is_none());
    Some(dump)
}

fn recorded(folder: &Path) -> PathBuf {
    run(example("transcribe")
        .arg(opening())
        .args(["--language", "fr", "--dump-dir"])
        .arg(folder))
    .ok();
    only_dump(folder).unwrap()
}

#[test]
fn a_recording_replays_and_a_changed_token_is_shown_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let dump = recorded(folder.path());
    let same = run(example("replay").arg(&dump).arg("--diff")).ok();
    assert!(
        same.text().contains("passes decide as recorded."),
        "{same:?}"
    );
    assert_eq!(same.text().lines().count(), 1, "{same:?}");

    let file = dump.join("passes.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let (before, behind) = text.split_once(r#""text":" bon","#).unwrap();
    fs::write(&file, format!(r#"{before}"text":" soir",{behind}"#)).unwrap();
    let other = run(example("replay").arg(&dump).arg("--diff"));
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    let shown = other.text();
    let line = shown.lines().find(|line| line.contains(" soir")).unwrap();
    assert!(line.starts_with("* token 1 "), "{shown}");
    assert!(line.contains(r#"" bon" at frame"#), "{shown}");
    assert!(shown.contains("1 of "), "{shown}");
}

#[test]
fn a_pass_can_be_looked_at_and_its_audio_cut_out() {
    let folder = tempfile::tempdir().unwrap();
    let dump = recorded(folder.path());
    let passes = fs::read_to_string(dump.join("passes.jsonl")).unwrap();
    let ran = passes
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line.pointer("/pass/network/steps/0").is_some())
        .unwrap();
    let number = ran["pass"]["number"].to_string();
    let wav = folder.path().join("pass.wav");
    let shown = run(example("replay")
        .arg(&dump)
        .args(["--pass", &number, "--wav"])
        .arg(&wav))
    .ok();
    for part in ["prompt", "<|startoftranscript|>", "token 1", "stop"] {
        assert!(shown.text().contains(part), "{}", shown.text());
    }
    let audio = &ran["pass"]["network"]["audio"];
    let length = audio["end"].as_u64().unwrap() - audio["start"].as_u64().unwrap();
    assert_eq!(
        hound::WavReader::open(&wav).unwrap().duration() as u64,
        length
    );
    let none = run(example("replay").arg(&dump).args(["--pass", "999"]));
    assert_eq!(none.status.code(), Some(1));
    assert!(none.stderr.contains("999"), "{}", none.stderr);
}

#[test]
fn what_a_killed_process_left_behind_replays() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(
        example("transcribe")
            .arg(audio(FRENCH))
            .args(["--language", "fr", "--realtime", "--dump-dir"])
            .arg(folder.path()),
    );
    let begun = Instant::now();
    let passes = || {
        let dump = only_dump(folder.path())?;
        fs::read_to_string(dump.join("passes.jsonl")).ok()
    };
    while passes().is_none_or(|text| text.matches(r#"{"pass""#).count() < 6) {
        assert!(begun.elapsed() < PATIENCE, "no passes were recorded");
        thread::sleep(Duration::from_millis(20));
    }
    running.kill();
    let dump = only_dump(folder.path()).unwrap();
    hound::WavReader::open(dump.join("audio.wav")).unwrap();
    let again = run(example("replay").arg(&dump)).ok();
    assert!(
        again.text().contains("passes decide as recorded."),
        "{again:?}"
    );
}

#[test]
fn what_is_no_recording_is_named() {
    let ended = run(example("replay").arg("/nowhere/call"));
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("/nowhere/call/header.json"),
        "{}",
        ended.stderr
    );
    let ended = run(example("replay").args(["/nowhere/call", "--set", "beams"]));
    assert!(ended.stderr.contains("NAME=VALUE"), "{}", ended.stderr);
}
