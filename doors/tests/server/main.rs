//! The server as a program: what it says when it starts, when it cannot, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/program.rs"]
mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use program::{PATIENCE, Program, file};

const SERVER: &str = env!("CARGO_BIN_EXE_whisperstream-server");

/// Runs it to its end, which is to be a failure; returns what it said of it.
fn refusal(args: &[&str]) -> String {
    let mut server = Program::start(SERVER, args, &[]);
    let status = server.wait();
    assert_eq!(status.code(), Some(1), "{}", server.errors());
    // The end of the pipe is read by a thread.
    server.wait_for_error("error:");
    server.errors()
}

fn get(port: u16, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Waits until `path` holds `text`.
fn wait_for(port: u16, path: &str, text: &str) -> (u16, String) {
    let begun = std::time::Instant::now();
    loop {
        let (status, body) = get(port, path);
        if body.contains(text) {
            return (status, body);
        }
        assert!(begun.elapsed() < PATIENCE, "no {text} in {body}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_port_in_use_is_a_sentence_that_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refusal(&["--line", &port]);
    assert!(
        said.contains("in use") && said.contains(&port) && said.contains("--line"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_served_is_said_before_a_door_opens() {
    let nowhere = file("tests/no/such/model");
    let said = refusal(&["--line", "0", "--model", nowhere.to_str().unwrap()]);
    assert!(said.contains("no/such/model"), "{said}");
    let said = refusal(&["--line", "0", "--set", "beens=5"]);
    assert!(said.contains("beens") && said.contains("beams"), "{said}");
    let said = refusal(&["--line", "0", "--set", "policy=never"]);
    assert!(said.contains("alignatt"), "{said}");
    let said = refusal(&["--line", "0", "--warmup-file", nowhere.to_str().unwrap()]);
    assert!(
        said.contains("no/such/model") && said.contains("warm"),
        "{said}"
    );
    let said = refusal(&[
        "--line",
        "0",
        "--warmup-file",
        file("README.md").to_str().unwrap(),
    ]);
    assert!(said.contains("README.md"), "{said}");
}

#[test]
fn stopped_it_lets_calls_finish_and_says_so() {
    let warm = file("tests/audio/fr-court.wav");
    let args = [
        "--line",
        "0",
        "--http",
        "0",
        "--language",
        "fr",
        "--warmup-file",
        warm.to_str().unwrap(),
        "--log",
        "json",
    ];
    let mut server = Program::start(SERVER, &args, &[]);
    let line = server.port("tcp://");
    let http = server.port("http://");
    assert_eq!(
        get(http, "/health"),
        (200, "{\"status\":\"ok\",\"calls\":0}\n".into())
    );

    let audio = common::audio("fr-accueil");
    let (first, second) = audio.split_at(audio.len() / 4 * 2);
    let mut socket = TcpStream::connect(("127.0.0.1", line)).unwrap();
    socket.write_all(first).unwrap();
    wait_for(http, "/health", "\"calls\":1");
    let id = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let (status, _) = wait_for(http, "/health", "closing");
    assert_eq!(status, 503);
    socket.write_all(second).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut told = String::new();
    socket.read_to_string(&mut told).unwrap();
    let words: Vec<_> = told
        .lines()
        .map(|line| line.splitn(3, ' ').nth(2).unwrap())
        .collect();
    assert!(
        common::plain(&words.join(" ")).ends_with("bonne nouvelle"),
        "{told}"
    );
    assert_eq!(server.wait().code(), Some(0));
    for line in server.errors().lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string());
    }
}

#[test]
fn what_happens_is_counted() {
    let server = Program::start(
        SERVER,
        &["--line", "0", "--http", "0", "--language", "fr"],
        &[],
    );
    let line = server.port("tcp://");
    let http = server.port("http://");
    let mut socket = TcpStream::connect(("127.0.0.1", line)).unwrap();
    socket.write_all(&common::audio("fr-court")).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut told = String::new();
    socket.read_to_string(&mut told).unwrap();
    wait_for(http, "/health", "\"calls\":0");
    let (_, metrics) = get(http, "/metrics");
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let seconds = common::samples("fr-court").len() as f64 / 16_000.0;
    assert_eq!(value("whisperstream_calls_taken_total{door=\"line\"}"), 1.0);
    assert_eq!(value("whisperstream_calls{door=\"line\"}"), 0.0);
    assert!((value("whisperstream_audio_seconds_total") - seconds).abs() < 0.01);
    assert!(
        value("whisperstream_passes_total") >= 1.0
            && value("whisperstream_network_seconds_total") > 0.0
    );
    assert!(value("whisperstream_lag_seconds_count") >= 1.0);
    assert_eq!(value("whisperstream_dropped_seconds_total"), 0.0);
    let words = common::spoken("fr-court").split(' ').count() as f64;
    assert!(
        (value("whisperstream_words_total{door=\"line\"}") - words).abs() <= 2.0,
        "{told}"
    );
}

#[test]
fn it_has_all_descriptors_that_it_may_have() {
    let script = format!("ulimit -Sn 100 && exec {SERVER} --line 0");
    let server = Program::start("sh", &["-c", &script], &[]);
    server.port("tcp://");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let fields: Vec<_> = line.split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "{line}");
    assert_ne!(fields[3], "100", "{line}");
}

#[test]
fn a_disk_that_cannot_be_written_is_in_the_log_and_the_call_is_told_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let no_folder = dir.path().join("file");
    std::fs::write(&no_folder, "").unwrap();
    let dumps = format!("dump-dir={}", no_folder.display());
    let args = ["--line", "0", "--language", "fr", "--set", &dumps];
    let (server, port) = Program::server(&args, &[], "tcp://");
    for _ in 0..2 {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.write_all(&common::audio("fr-court")).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut told = String::new();
        socket.read_to_string(&mut told).unwrap();
        assert!(told.contains("allô"), "{told}");
    }
    server.wait_for_error("not recorded any more");
    // What every call says is said once.
    let said = server.errors();
    assert_eq!(said.matches("whisper-nano").count(), 1, "{said}");
}
