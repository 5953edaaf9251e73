// SPDX-License-Identifier: MPL-2.0

//! The example `transcribe`, as a program.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::runner::*;

fn transcribe(arguments: &[&str]) -> Command {
    let mut command = example("transcribe");
    command.args(arguments).current_dir(std::env::temp_dir());
    command
}

fn french() -> String {
    opening().display().to_string()
}

/// Runs it and returns what it said on stderr, which must be about one thing and end the program with `status`.
#[track_caller]
fn refused(arguments: &[&str], status: i32) -> String {
    let ended = run(&mut transcribe(arguments));
    assert_eq!(ended.status.code(), Some(status), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    ended.stderr
}

#[test]
fn a_file_becomes_lines_of_text() {
    let ended = run(&mut transcribe(&[&french(), "--language", "fr"])).ok();
    assert_heard(&words(&ended.text()), &spoken_opening());
    assert!(ended.text().ends_with('\n'));
    assert!(ended.text().lines().count() < 10, "{}", ended.text());
}

#[test]
fn standard_input_becomes_json_lines() {
    let mut running = start(&mut transcribe(&["-", "--format", "json"]));
    let wav = std::fs::read(audio(ENGLISH)).unwrap();
    std::io::Write::write_all(&mut running.stdin(), &wav).unwrap();
    let ended = running.wait().ok();
    let objects: Vec<serde_json::Value> = ended
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let heard: Vec<String> = objects
        .iter()
        .flat_map(|object| words(object["text"].as_str().unwrap()))
        .collect();
    assert_heard(&heard, &spoken(ENGLISH));
    assert!(
        objects.iter().all(|object| object["language"] == "en"),
        "{objects:?}"
    );
    assert!(
        objects
            .iter()
            .all(|object| object["words"][0]["confidence"].is_number()),
        "{objects:?}"
    );
}

#[test]
fn subtitles_go_to_the_file_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (format, beginning) in [("srt", "1\n"), ("vtt", "WEBVTT\n")] {
        let file = folder.path().join(format);
        let name = file.to_str().unwrap();
        let ended = run(&mut transcribe(&[
            &french(),
            "--format",
            format,
            "--output",
            name,
        ]))
        .ok();
        assert!(ended.stdout.is_empty(), "{ended:?}");
        let written = std::fs::read_to_string(file).unwrap().replace('\r', "");
        assert!(written.starts_with(beginning), "{written}");
        assert!(
            written.contains("bonjour") && written.contains(" --> "),
            "{written}"
        );
    }
}

#[test]
fn compressed_audio_in_a_container_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mkv");
    run(&mut launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! opusenc ! queue ! mux. \
         videotestsrc num-buffers=100 ! video/x-raw,framerate=10/1 ! theoraenc ! queue ! mux. \
         matroskamux name=mux ! filesink location={}",
        french(),
        file.display()
    )))
    .ok();
    let ended = run(&mut transcribe(&[file.to_str().unwrap(), "-l", "fr"])).ok();
    assert_heard(&words(&ended.text()), &spoken_opening());
}

#[test]
fn realtime_takes_as_long_as_the_speech() {
    let ended = run(&mut transcribe(&[&french(), "-l", "fr", "--realtime"])).ok();
    assert!(ended.took > Duration::from_secs(5), "{:?}", ended.took);
    assert_heard(&words(&ended.text()), &spoken_opening());
}

#[test]
fn an_interrupt_keeps_what_was_decided() {
    let recording = audio(FRENCH).display().to_string();
    let running = start(&mut transcribe(&[&recording, "-l", "fr", "--realtime"]));
    thread::sleep(Duration::from_secs(5));
    let status = Command::new("kill")
        .args(["-INT", &running.pid().to_string()])
        .status();
    assert!(status.unwrap().success());
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    let heard = words(&ended.text());
    assert!(
        heard.contains(&"bonjour".into()) && heard.contains(&"contrat".into()),
        "{ended:?}"
    );
    assert!(!heard.contains(&"nouvelle".into()), "{ended:?}");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let program = example("transcribe").get_program().to_owned();
    let mut command = Command::new("bash");
    command
        .args([
            "-c",
            "set -o pipefail; \"$0\" \"$1\" -l fr --format json | head -c 1 >/dev/null",
        ])
        .arg(program)
        .arg(french());
    let ended = run(&mut command).ok();
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_read_is_named() {
    let said = refused(&["/nowhere/call.wav"], 1);
    assert!(
        said.contains("/nowhere/call.wav") && said.contains("No such file"),
        "{said}"
    );
    let said = refused(&["/"], 1);
    assert!(said.contains("directory"), "{said}");
    let said = refused(&[concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], 1);
    assert!(said.contains("error: "), "{said}");
}

#[test]
fn an_empty_input_is_an_error() {
    let said = refused(&["-"], 1);
    assert!(said.contains("error: "), "{said}");
}

#[test]
fn a_film_without_sound_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("silent.mkv");
    run(&mut launch(&format!(
        "videotestsrc num-buffers=10 ! theoraenc ! matroskamux ! filesink location={}",
        file.display()
    )))
    .ok();
    let said = refused(&[file.to_str().unwrap()], 1);
    assert!(said.contains("no audio stream"), "{said}");
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let said = refused(&[&french(), "--output", "/nowhere/out.txt"], 1);
    assert!(said.contains("/nowhere/out.txt"), "{said}");
}

#[test]
fn nonsense_is_refused_with_the_remedy() {
    let said = refused(&[&french(), "--task", "sing"], 2);
    assert!(said.contains("transcribe"), "{said}");
    let said = refused(&[&french(), "--language", "klingon"], 1);
    assert!(said.contains("klingon"), "{said}");
    let said = refused(&[&french(), "--model", "/nowhere/whisper"], 1);
    assert!(said.contains("/nowhere/whisper"), "{said}");
    let said = refused(&[&french(), "--min-chunk-size", "40000"], 1);
    assert!(said.contains("40000"), "{said}");
}
