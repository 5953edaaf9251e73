// SPDX-License-Identifier: MPL-2.0

//! `gst-launch-1.0 -m` shows the element's messages; the README's programs read them.

use std::path::Path;
use std::process::Command;

use crate::runner::*;

fn messages(options: &str) -> String {
    let mut command = launch(&format!(
        "-m filesrc location={} ! wavparse ! audioconvert ! audioresample ! whisperstream {options} ! fakesink",
        opening().display()
    ));
    run(command.env("LC_ALL", "C")).ok().text()
}

fn named<'a>(messages: &'a str, name: &str) -> Vec<&'a str> {
    let name = format!("(element): {name},");
    messages
        .lines()
        .filter(|line| line.contains(&name))
        .collect()
}

#[test]
fn words_and_finals_are_on_the_bus() {
    let messages = messages("language=fr");
    let words = named(&messages, "whisperstream/words");
    assert!(words.len() >= 3, "{messages}");
    for field in [
        "timestamp=(guint64)",
        "stream-time=(guint64)",
        "running-time=(guint64)",
        "duration=(guint64)",
        "utterance=(guint64)0",
        "text=(string)",
        "words=(structure)<",
        "delay=(guint64)",
    ] {
        assert!(words[0].contains(field), "no {field} in {}", words[0]);
    }
    let finals = named(&messages, "whisperstream/final");
    assert!(!finals.is_empty(), "{messages}");
    assert!(
        named(&messages, "whisperstream/partial").is_empty(),
        "partials without interim"
    );
}

#[test]
fn partials_are_there_when_asked_for() {
    let messages = messages("language=fr interim=true");
    let partials = named(&messages, "whisperstream/partial");
    assert!(!partials.is_empty(), "{messages}");
    assert!(
        partials.iter().any(|line| line.contains("stability")),
        "{partials:?}"
    );
}

#[test]
fn a_language_that_is_found_out_is_announced_and_so_is_the_demo_model() {
    let messages = messages("");
    let found = named(&messages, "whisperstream/language");
    assert!(
        found
            .iter()
            .any(|line| line.contains("language=(string)fr")),
        "{messages}"
    );

    let warning = messages
        .lines()
        .find(|line| line.starts_with("WARNING"))
        .unwrap_or_else(|| panic!("no warning in {messages}"));
    assert!(
        warning.contains("demo") && warning.contains("model"),
        "{warning}"
    );
}

#[test]
fn the_readme_s_rust_listener_prints_the_words() {
    let mut command = example("listen");
    let ended = run(command.arg(opening())).ok();
    assert!(ended.text().contains("bonjour"), "{ended:?}");
}

#[test]
fn the_readme_s_python_listener_prints_the_words() {
    let python = "/usr/bin/python3";
    let probe = Command::new(python)
        .args(["-c", "import gi; gi.require_version('Gst', '1.0')"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!(
            "SKIPPED: no GStreamer for Python here; on Debian: python3-gi gir1.2-gstreamer-1.0"
        );
        return;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/listen.py");
    let ended = run(Command::new(python).arg(program).arg(opening())).ok();
    assert!(ended.text().contains("bonjour"), "{ended:?}");
}

#[test]
fn the_readme_shows_these_listeners_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    for program in ["examples/listen.rs", "examples/listen.py"] {
        let source = std::fs::read_to_string(root.join(program)).unwrap();
        // Below the header, from the first blank line on.
        let code = source.split_once("\n\n").unwrap().1.trim();
        assert!(
            readme.contains(code),
            "the README does not show {program} as it is"
        );
    }
}
