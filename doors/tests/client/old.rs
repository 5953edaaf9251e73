//! A WebSocket server of old: `ready` and `final`, no acknowledgements, times from each connection's own start.

use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use super::{all_of, client, recording};

fn ready(listener: &TcpListener) -> WebSocket<TcpStream> {
    let (socket, _) = listener.accept().unwrap();
    let mut socket = accept(socket).unwrap();
    let hello = json!({"type": "ready", "sample_rate": 16000});
    socket.send(Message::text(hello.to_string())).unwrap();
    socket
}

/// Reads so many bytes of audio, and what was said in text by then.
fn hear(socket: &mut WebSocket<TcpStream>, bytes: usize) -> Vec<String> {
    let (mut heard, mut said) = (0, Vec::new());
    while heard < bytes {
        match socket.read() {
            Ok(Message::Binary(audio)) => heard += audio.len(),
            Ok(Message::Text(text)) => said.push(text.to_string()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    said
}

fn say(socket: &mut WebSocket<TcpStream>, beg_ms: u64, end_ms: u64, text: &str) {
    let said = json!({"type": "final", "beg_ms": beg_ms, "end_ms": end_ms, "text": text});
    socket.send(Message::text(said.to_string())).unwrap();
}

#[test]
fn a_server_of_old_is_gone_on_from_its_last_words() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("ws://{}/", listener.local_addr().unwrap());
    let path = recording("fr-accueil");
    let client = client(&[&path, "--to", &to, "--fast", "--json"]);
    let mut first = ready(&listener);
    hear(&mut first, 64_000);
    say(&mut first, 400, 1_500, " bonjour je");
    let line: Value = serde_json::from_str(&client.line()).unwrap();
    assert_eq!(
        (line["beg_ms"].as_u64(), line["end_ms"].as_u64()),
        (Some(400), Some(1_500))
    );
    drop(first);

    let mut second = ready(&listener);
    // All from 1.5 s on, and then that all is wanted.
    let samples = common_samples() - 24_000;
    hear(&mut second, samples * 2);
    say(&mut second, 20, 700, " je vous appelle");
    let mut said = Vec::new();
    loop {
        match second.read() {
            Ok(Message::Text(text)) => said.push(text.to_string()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    assert_eq!(said, ["flush"]);
    let lines = all_of(client);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["text"], "vous appelle");
    assert_eq!(
        (line["beg_ms"].as_u64(), line["end_ms"].as_u64()),
        (Some(1_520), Some(2_200))
    );
}

fn common_samples() -> usize {
    super::common::samples("fr-accueil").len()
}
