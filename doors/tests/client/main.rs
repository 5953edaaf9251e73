//! The real client and the real server, killed and started again between words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/program.rs"]
mod program;

mod acks;
mod errors;
mod old;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use program::{Program, file};
use serde_json::Value;

/// A port that nobody has now; servers are started on it again and again.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn server(door: &str, port: u16, more: &[&str]) -> Program {
    let port = port.to_string();
    let args: Vec<&str> = [door, &port, "--language", "fr"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    let scheme = if door == "--ws" { "ws://" } else { "tcp://" };
    Program::server(&args, &[], scheme).0
}

fn client(args: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_whisperstream-client"), args, &[])
}

/// What is served over HTTP at `path`.
fn get(port: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn recording(name: &str) -> String {
    let path = file(&format!("tests/audio/{name}.wav"));
    path.to_str().unwrap().to_owned()
}

/// Ends well, and everything it printed.
fn all_of(mut client: Program) -> Vec<String> {
    let lines = client.rest();
    let status = client.wait();
    assert!(status.success(), "{status}: {}", client.errors());
    lines
}

fn words(lines: &[String]) -> String {
    let texts: Vec<String> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    common::plain(&texts.join(" "))
}

/// How many of the words spoken are there, in order.
fn there(said: &str, spoken: &str) -> usize {
    let (said, spoken): (Vec<_>, Vec<_>) = (said.split(' ').collect(), spoken.split(' ').collect());
    // Longest common subsequence.
    let mut best = vec![0; said.len() + 1];
    for word in &spoken {
        let mut before = 0;
        for (n, other) in said.iter().enumerate() {
            let here = best[n + 1];
            best[n + 1] = match word == other {
                true => before + 1,
                false => here.max(best[n]),
            };
            before = here;
        }
    }
    best[said.len()]
}

fn assert_said(said: &str, name: &str) {
    let spoken = common::spoken(name);
    let count = spoken.split(' ').count();
    let found = there(said, &spoken);
    assert!(found * 10 >= count * 8, "{found} of {count}: {said}");
}

const EXACT: [&str; 2] = ["--set", "pace=exact"];

fn through_kills(name: &str, kills: &[usize]) -> (Vec<String>, String) {
    let port = free_port();
    let mut running = server("--ws", port, &EXACT);
    let to = format!("ws://127.0.0.1:{port}/");
    let path = recording(name);
    let mut args = vec![path.as_str(), "--to", &to, "--json"];
    if kills.is_empty() {
        // As fast as it goes; who is to be killed in the middle must not be done already.
        args.push("--fast");
    }
    let client = client(&args);
    let mut lines = Vec::new();
    for count in kills {
        while lines.len() < *count {
            lines.push(client.line());
        }
        running.kill();
        running = server("--ws", port, &EXACT);
    }
    let errors = client.errors.clone();
    lines.extend(all_of(client));
    let errors = errors.lock().unwrap().clone();
    (lines, errors)
}

#[test]
fn three_kills_change_no_word_and_no_time() {
    let (undisturbed, errors) = through_kills("fr-pauses", &[]);
    assert_eq!(errors, "");
    assert!(undisturbed.len() > 8, "{undisturbed:#?}");
    assert_said(&words(&undisturbed), "fr-pauses");
    let (disturbed, errors) = through_kills("fr-pauses", &[1, 4, 7]);
    assert_eq!(errors.matches("at risk").count(), 3, "{errors}");
    assert_eq!(disturbed, undisturbed, "{errors}");
}

/// Where speech goes on without a pause, a kill in the middle of it replays from its beginning.
#[test]
fn kills_within_an_utterance_change_nothing() {
    let (undisturbed, _) = through_kills("fr-dense", &[]);
    let (disturbed, errors) = through_kills("fr-dense", &[2, 3, 5]);
    assert_eq!(disturbed, undisturbed, "{errors}");
}

#[test]
fn the_line_door_is_gone_on_from_the_last_line() {
    let port = free_port();
    let mut running = server("--line", port, &[]);
    let to = format!("tcp://127.0.0.1:{port}");
    let path = recording("fr-accueil");
    let client = client(&[&path, "--to", &to, "--fast", "--json"]);
    let mut lines = vec![client.line(), client.line()];
    running.kill();
    let _running = server("--line", port, &[]);
    client.wait_for_error("at risk");
    lines.extend(all_of(client));
    let said = words(&lines);
    assert_said(&said, "fr-accueil");
    let spoken = common::spoken("fr-accueil");
    assert!(
        said.split(' ').count() <= spoken.split(' ').count() + 1,
        "nothing is said twice: {said}"
    );
    let times: Vec<u64> = lines
        .iter()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["beg_ms"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

/// At the pace at which it was spoken.
#[test]
fn enter_tells_at_once_what_was_said() {
    let port = free_port();
    let _running = server("--ws", port, &[]);
    let to = format!("ws://127.0.0.1:{port}/");
    let path = recording("fr-accueil");
    let mut client = client(&[&path, "--to", &to, "--json"]);
    let first = client.line();
    client.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut lines = vec![first];
    loop {
        let line = client.line();
        if line == r#"{"type":"flushed"}"# {
            break;
        }
        lines.push(line);
    }
    lines.extend(all_of(client));
    assert_said(&words(&lines), "fr-accueil");
}

#[test]
fn lines_for_people_have_a_clock_and_the_words() {
    let port = free_port();
    let _running = server("--ws", port, &EXACT);
    let ws_port = port.to_string();
    let path = recording("fr-court");
    let program = env!("CARGO_BIN_EXE_whisperstream-client");
    // By the variables of old.
    let env = [
        ("IP_ADDR", "127.0.0.1"),
        ("STREAM_WS_PORT", ws_port.as_str()),
    ];
    let lines = all_of(Program::start(program, &[&path, "--fast"], &env));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("00:00."), "{lines:?}");
    assert!(lines[0].ends_with("allô"), "{lines:?}");
}
