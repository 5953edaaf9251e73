// SPDX-License-Identifier: MPL-2.0

//! A recording in, text out.

use crate::runner::*;

/// The bytes that `fakesink dump=true` prints: `00000000 (0x7f...): 62 6f 6e  bon`, sixteen a line.
fn dumped(stdout: &str) -> String {
    let bytes: Vec<u8> = stdout
        .lines()
        .filter_map(|line| line.split_once("): "))
        .flat_map(|(_, rest)| {
            rest.split("  ")
                .next()
                .unwrap_or("")
                .split(' ')
                .map(str::to_owned)
        })
        .filter_map(|hex| u8::from_str_radix(&hex, 16).ok())
        .collect();
    String::from_utf8(bytes).expect("what is dumped is UTF-8")
}

#[test]
fn the_first_command_of_the_readme_prints_the_speech() {
    let wav = opening();
    let ended = run(&mut launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! whisperstream language=fr unit=word \
         ! fakesink dump=true",
        wav.display()
    )))
    .ok();
    // Without a separator between buffers the words run together.
    let heard = dumped(&ended.text()).replace(' ', "");
    for word in ["bonjour", "contrat", "minutes"] {
        assert!(heard.contains(word), "no {word:?} in {heard:?}");
    }
}

#[test]
fn files_are_deterministic_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let once = |name: &str| {
        let out = folder.path().join(name);
        run(&mut launch(&format!(
            "filesrc location={} ! wavparse ! audioconvert ! audioresample ! whisperstream ! application/x-json \
             ! filesink location={}",
            opening().display(),
            out.display()
        )))
        .ok();
        std::fs::read_to_string(out).unwrap()
    };
    let first = once("first");
    let heard: Vec<String> = first
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .flat_map(|object| words(object["text"].as_str().unwrap()))
        .collect();
    assert_heard(&heard, &spoken_opening());
    assert_eq!(first, once("second"));
}

#[test]
fn a_sample_rate_and_channels_of_any_kind_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("text");
    run(&mut launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=44100,channels=2,format=F32LE \
         ! audioconvert ! audioresample ! whisperstream language=fr unit=utterance ! filesink location={}",
        opening().display(),
        out.display()
    )))
    .ok();
    let text = std::fs::read_to_string(out).unwrap();
    assert!(text.contains("bonjour"), "{text}");
}
