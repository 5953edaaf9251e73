//! Other ways in than the plain line: two legs, flushes, silence, encryption.

use std::io::Write as _;

use serde_json::Value;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Message, connect};

use super::*;

/// Two speakers on 8 kHz, with a flush in the middle and one at the end: what is told, by leg.
fn conversation(port: u16) -> Vec<Value> {
    let query = "channels=2&legs=caller,agent&rate=8000&language=fr&pace=exact";
    let (mut socket, _) = connect(format!("ws://127.0.0.1:{port}/?{query}")).unwrap();
    if let MaybeTlsStream::Plain(plain) = socket.get_ref() {
        plain.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let [caller, agent] = ["fr-numero", "fr-accueil"].map(common::samples);
    let pairs = caller.iter().zip(&agent).step_by(2);
    let audio: Vec<u8> = pairs
        .flat_map(|(a, b)| [a.to_le_bytes(), b.to_le_bytes()].concat())
        .collect();
    for (number, piece) in audio.chunks(6_400).enumerate() {
        socket.send(Message::binary(piece.to_vec())).unwrap();
        if number == 20 {
            let flush = r#"{"type":"flush","marker":"half"}"#;
            socket.send(Message::text(flush)).unwrap();
        }
    }
    let last = r#"{"type":"flush","marker":"all"}"#;
    socket.send(Message::text(last)).unwrap();
    socket.send(Message::text("end")).unwrap();
    let mut told = Vec::new();
    while let Ok(message) = socket.read() {
        if let Message::Text(text) = message {
            let said: Value = serde_json::from_str(&text).unwrap();
            if said["type"] != "ready" {
                told.push(said);
            }
        }
    }
    // The legs are heard at the same time: between two of them there is no order.
    told.sort_by_key(|said| said["leg"].as_str().map(str::to_owned));
    told
}

#[test]
fn two_legs_and_flushes_say_what_they_say_in_one_process() {
    let nats = Nats::start();
    let workers = [
        worker(&nats, &["--max-calls", "1"]),
        worker(&nats, &["--max-calls", "1"]),
    ];
    let doors = ["--nats", &nats.url, "--ws", "0"];
    let (_gateway, port) = Program::server(&doors, &[], "ws://");
    let (_one, alone) = Program::server(&["--ws", "0"], &[], "ws://");
    let told = conversation(port);
    assert_eq!(told, conversation(alone));
    let flushed = told.iter().filter(|said| said["type"] == "flushed");
    assert_eq!(flushed.count(), 2, "{told:?}");
    for leg in ["caller", "agent"] {
        assert!(told.iter().any(|said| said["leg"] == leg), "{told:?}");
    }
    // Each heard one of them.
    for worker in &workers {
        assert!(worker.program.errors().contains("hears a call"));
    }
}

#[test]
fn silence_has_no_words_and_an_end() {
    let nats = Nats::start();
    let _worker = worker(&nats, &[]);
    let (_gateway, port) = gateway(&nats, &[]);
    assert_eq!(Call::begin(port, &vec![0; 32_000 * 40], 40.0).end(), "");
    assert_eq!(Call::begin(port, &[], 1.0).end(), "");
    assert_eq!(Call::begin(port, &[1, 2, 3], 1.0).end(), "");
}

#[test]
fn the_way_is_encrypted_where_that_is_asked_for() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    let (cert, key) = (
        file(&made.cert.pem()),
        file(&made.signing_key.serialize_pem()),
    );
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let (cert, key) = (path(&cert), path(&key));
    let mut nats = Nats::with(&["--jetstream", "--tlscert", &cert, "--tlskey", &key]);
    nats.url = nats.url.replace("nats://127.0.0.1", "tls://localhost");
    let trusted = ["--nats-ca", cert.as_str()];
    let _worker = worker(&nats, &trusted);
    let (_gateway, port) = gateway(&nats, &trusted);
    assert_ne!(Call::begin(port, &common::audio("fr-court"), 4.0).end(), "");
    // Whoever is not trusted is not talked to.
    let path = env!("CARGO_BIN_EXE_whisperstream-server");
    let args = ["--line", "0", "--nats", &nats.url];
    let refused = Command::new(path).args(args).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("could be reached") && said.contains("ertificate"),
        "{said}"
    );
}
