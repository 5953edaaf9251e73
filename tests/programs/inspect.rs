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

/// Every property of ours has a unit, a default and when it may change in its description.
#[test]
fn the_readme_lists_every_property() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let inspected = inspected();
    let (_, properties) = inspected.split_once("Element Properties:").unwrap();
    let names = properties
        .lines()
        // Two spaces, the name, padding, a colon: a property. Deeper lines are its details.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .filter(|name| !["name", "parent", "qos"].contains(name));
    let mut count = 0;
    for name in names {
        assert!(
            readme.contains(&format!("| `{name}`")) || readme.contains(&format!("`{name}` ")),
            "the README lists no property {name:?}"
        );
        count += 1;
    }
    assert!(
        count >= 20,
        "only {count} properties found in\n{properties}"
    );
}
