// SPDX-License-Identifier: MPL-2.0

//! Raw samples straight from a byte source: BYTES segments, buffers of any size, no timestamps.

use std::io::Write;
use std::path::Path;

use crate::runner::*;

const CAPS: &str = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";

fn objects(file: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn assert_transcribed(file: &Path) {
    let objects = objects(file);
    let heard: Vec<String> = objects
        .iter()
        .flat_map(|object| words(object["text"].as_str().unwrap()))
        .collect();
    assert_heard(&heard, &spoken_opening());
    // "bonjour" is said from 0.40 s on: time comes from counting samples.
    let start = objects[0]["start"].as_f64().unwrap();
    assert!(
        (start - 0.4).abs() < 0.3,
        "the first word starts at {start} s"
    );
    let end = objects.last().unwrap()["end"].as_f64().unwrap();
    assert!((end - 5.07).abs() < 0.5, "the last word ends at {end} s");
}

fn pipeline(source: &str, out: &Path) -> String {
    format!(
        "{source} ! {CAPS} ! whisperstream language=fr ! application/x-json ! filesink location={}",
        out.display()
    )
}

#[test]
fn from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("json"));
    std::fs::write(&raw, pcm(&opening())).unwrap();
    run(&mut launch(&pipeline(
        &format!("filesrc location={}", raw.display()),
        &out,
    )))
    .ok();
    assert_transcribed(&out);
}

#[test]
fn from_a_file_in_blocks_that_split_samples() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("json"));
    std::fs::write(&raw, pcm(&opening())).unwrap();
    let source = format!("filesrc location={} blocksize=4093", raw.display());
    run(&mut launch(&pipeline(&source, &out))).ok();
    assert_transcribed(&out);
}

#[test]
fn from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("json");
    let mut running = start(&mut launch(&pipeline("fdsrc fd=0", &out)));
    running.stdin().write_all(&pcm(&opening())).unwrap();
    running.wait().ok();
    assert_transcribed(&out);
}

#[test]
fn from_a_socket_in_real_time() {
    let folder = tempfile::tempdir().unwrap();
    let (out, port) = (folder.path().join("json"), free_tcp_port());
    let source = format!("tcpserversrc host=127.0.0.1 port={port}");
    let running = start(&mut launch(&pipeline(&source, &out)));
    write_in_real_time(connect(port), &pcm(&opening()));
    running.wait().ok();
    assert_transcribed(&out);
}
