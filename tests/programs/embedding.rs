// SPDX-License-Identifier: MPL-2.0

//! The examples `embed`, in three languages: samples in, words with their times out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::runner::*;

fn python() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(source("embed.py"));
    command
}

fn rust() -> Command {
    example("embed")
}

/// Built as its head says.
fn c(folder: &Path) -> Command {
    let program = folder.join("embed");
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs", "gstreamer-app-1.0"])
        .output()
        .unwrap();
    assert!(flags.status.success(), "{flags:?}");
    let flags = String::from_utf8(flags.stdout).unwrap();
    let built = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source("embed.c"))
        .args(flags.split_whitespace())
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    Command::new(program)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// Start, end and text of each line.
fn lines(text: &str) -> Vec<(f64, f64, String)> {
    text.lines()
        .map(|line| {
            let mut parts = line.split_whitespace();
            let mut time = || parts.next().unwrap().parse().unwrap();
            (time(), time(), parts.collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[track_caller]
fn assert_prints_words(mut command: Command) {
    let mut running = start(command.arg("fr"));
    running.stdin().write_all(&pcm(&opening())).unwrap();
    let lines = lines(&running.wait().ok().text());
    let heard: Vec<_> = lines.iter().flat_map(|(_, _, text)| words(text)).collect();
    assert_heard(&heard, &spoken_opening());
    assert!(lines.iter().all(|(start, end, _)| start < end), "{lines:?}");
    assert!(
        lines.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "{lines:?}"
    );
    // "bonjour" is spoken from 0.4 s on.
    assert!((lines[0].0 - 0.4).abs() < 0.3, "{lines:?}");
}

#[track_caller]
fn assert_fails_in_a_sentence(mut command: Command) {
    let ended = run(command.arg("klingon"));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    assert!(
        ended.stderr.contains("is unknown to Whisper; give a code"),
        "{ended:?}"
    );
}

#[track_caller]
fn assert_says_nothing_of_nothing(mut command: Command) {
    let ended = run(command.arg("fr")).ok();
    assert!(ended.stdout.is_empty(), "{ended:?}");
}

#[test]
fn python_embeds_it() {
    assert_prints_words(python());
    assert_fails_in_a_sentence(python());
    assert_says_nothing_of_nothing(python());
}

#[test]
fn c_embeds_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_prints_words(c(folder.path()));
    assert_fails_in_a_sentence(c(folder.path()));
    assert_says_nothing_of_nothing(c(folder.path()));
}

#[test]
fn rust_embeds_it() {
    assert_prints_words(rust());
    assert_fails_in_a_sentence(rust());
    assert_says_nothing_of_nothing(rust());
}
