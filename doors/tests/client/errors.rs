//! What goes wrong is said in a sentence, and ends the program with an exit code.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use super::{client, free_port, program::Program, recording};

fn fails(args: &[&str], says: &[&str]) {
    let mut client = client(args);
    assert_eq!(client.rest(), [""; 0], "{args:?}");
    assert!(!client.wait().success(), "{args:?}");
    for say in says {
        client.wait_for_error(say);
    }
}

/// Answers the first that comes with `answer`.
fn answering(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(answer);
            let _ = socket.shutdown(Shutdown::Write);
            // What is left unread would take the answer back.
            while matches!(socket.read(&mut [0; 65_536]), Ok(1..)) {}
        }
    });
    port
}

#[test]
fn nobody_is_there() {
    let path = recording("fr-court");
    let port = free_port();
    for to in [
        format!("ws://127.0.0.1:{port}/"),
        format!("tcp://127.0.0.1:{port}"),
    ] {
        fails(
            &[&path, "--to", &to],
            &["nobody listens at", "start whisperstream-server"],
        );
    }
    fails(
        &[&path, "--to", "http://localhost/"],
        &["no address of a server"],
    );
    fails(&[&path, "--to", "ws://nowhere.invalid/"], &["is not known"]);
}

#[test]
fn somebody_else_is_there() {
    let path = recording("fr-court");
    let stranger = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let to = format!("ws://127.0.0.1:{stranger}/");
    fails(
        &[&path, "--to", &to],
        &["not answered by a whisperstream server", "200"],
    );
    let ssh = answering(b"SSH-2.0-OpenSSH_9.2\r\n");
    let to = format!("ws://127.0.0.1:{ssh}/");
    fails(
        &[&path, "--to", &to],
        &["not answered by a whisperstream server"],
    );
    let to = format!("tcp://127.0.0.1:{ssh}");
    fails(
        &[&path, "--to", &to],
        &["not answered by a whisperstream server", "SSH-2.0"],
    );
    // It does not speak TLS.
    let to = format!("wss://127.0.0.1:{ssh}/");
    fails(&[&path, "--to", &to], &["encrypted connection", "--ca"]);
}

#[test]
fn the_token_is_wrong() {
    let path = recording("fr-court");
    let port = answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let to = format!("ws://127.0.0.1:{port}/");
    fails(
        &[&path, "--to", &to, "--token", "wrong"],
        &["token is missing or wrong"],
    );
}

#[test]
fn the_server_refuses_a_setting() {
    let port = free_port();
    let _running = super::server("--ws", port, &[]);
    let to = format!("ws://127.0.0.1:{port}/");
    let path = recording("fr-court");
    fails(
        &[&path, "--to", &to, "--set", "beams=seventeen"],
        &["the server refuses", "beams cannot be"],
    );
    fails(
        &[&path, "--to", &to, "--set", "model=/etc/passwd"],
        &["the server refuses", "who runs the server"],
    );
}

#[test]
fn there_is_nothing_to_hear() {
    let port = free_port();
    let _running = super::server("--ws", port, &[]);
    let to = format!("ws://127.0.0.1:{port}/");
    fails(
        &["/nowhere.wav", "--to", &to],
        &["/nowhere.wav cannot be read"],
    );
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        text.path(),
        "no audio at all, but text that goes on for a while",
    )
    .unwrap();
    fails(
        &[text.path().to_str().unwrap(), "--to", &to],
        &["cannot be decoded"],
    );
    fails(&["--fast", "--to", &to], &["<FILE>"]);
    let path = recording("fr-court");
    fails(
        &[&path, "--buffer", "0", "--to", &to],
        &["no length of a tape"],
    );
    fails(
        &[&path, "--ca", "/nowhere.pem", "--to", "wss://127.0.0.1:1/"],
        &["/nowhere.pem cannot be used"],
    );
}

/// Tests' machines have none.
#[test]
fn a_microphone_that_is_not_there_is_explained() {
    let port = free_port();
    let _running = super::server("--ws", port, &[]);
    let to = format!("ws://127.0.0.1:{port}/");
    let mut client = Program::start(
        env!("CARGO_BIN_EXE_whisperstream-client"),
        &["--to", &to],
        &[
            ("PULSE_SERVER", "/nowhere"),
            ("ALSA_CONFIG_PATH", "/nowhere"),
            ("PIPEWIRE_REMOTE", "nowhere"),
        ],
    );
    assert!(!client.wait().success());
    client.wait_for_error("gstreamer1.0-");
}
