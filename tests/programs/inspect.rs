// SPDX-License-Identifier: MPL-2.0

//! What `gst-inspect-1.0 whisperstream` says is a promise; a change of it must be meant.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test programs inspect` writes it anew.

use std::path::Path;
use std::process::Command;

use crate::runner::run;

/// The lines that differ from build to build and from system to system.
const VARYING: [&str; 4] = [
    "Filename",
    "Version",
    "Source release date",
    "Binary package",
];

fn inspected() -> String {
    let ended = run(Command::new("gst-inspect-1.0")
        .arg("whisperstream")
        .env("LC_ALL", "C"))
    .ok();
    ended
        .text()
        .lines()
        .filter(|line| {
            !VARYING
                .iter()
                .any(|name| line.trim_start().starts_with(name))
        })
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[test]
fn the_element_is_as_its_snapshot_says() {
    let version = run(Command::new("gst-inspect-1.0").arg("--version")).ok();
    if !version.text().contains(" 1.22.") {
        eprintln!(
            "SKIPPED: the snapshot is of GStreamer 1.22's way to put it, here is {}",
            version.text()
        );
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/gst-inspect.txt");
    let inspected = inspected();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &inspected).unwrap();
    }
    let snapshot = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        inspected == snapshot,
        "gst-inspect-1.0 whisperstream is not as {} says; if that is meant, run again with UPDATE_SNAPSHOTS=1:\n{}",
        file.display(),
        inspected
    );
}

#[test]
fn the_readme_lists_every_property() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let listed: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    let inspected = inspected();
    let (_, properties) = inspected.split_once("Element Properties:").unwrap();
    let properties = properties.split("\nElement ").next().unwrap();
    let names: Vec<&str> = properties
        .lines()
        // Two spaces, the name, a colon: a property. Lines that start further in are its details.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .filter(|name| !["name", "parent"].contains(name))
        .collect();
    assert!(names.len() >= 20, "only {names:?} found in\n{properties}");
    for name in names {
        let name = format!("`{name}`");
        assert!(
            listed.iter().any(|cell| cell.contains(&name)),
            "the README's table lists no property {name}"
        );
    }
}
