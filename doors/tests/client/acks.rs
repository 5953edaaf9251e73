//! What the client relies on, asked of the real server by hand.

use std::collections::HashSet;
use std::net::TcpStream;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Message, WebSocket, connect};

use super::{common, free_port, program::PATIENCE, server};

struct Talk {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    said: Vec<Value>,
}

impl Talk {
    fn open(port: u16, query: &str) -> Talk {
        let (socket, _) = connect(format!("ws://127.0.0.1:{port}/?acks=1&{query}")).unwrap();
        if let MaybeTlsStream::Plain(socket) = socket.get_ref() {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let said = Vec::new();
        Talk { socket, said }
    }

    fn audio(&mut self, audio: &[u8]) {
        for piece in audio.chunks(3_200) {
            self.socket.send(Message::binary(piece.to_vec())).unwrap();
        }
    }

    fn text(&mut self, text: impl ToString) {
        self.socket.send(Message::text(text.to_string())).unwrap();
    }

    /// Says that all was sent; everything it was told.
    fn end(mut self) -> Vec<Value> {
        self.text("end");
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => self.said.push(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => {
                    assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000));
                    return self.said;
                }
                _ => {}
            }
        }
    }
}

fn of(said: &[Value], kind: &str) -> Vec<Value> {
    let of_kind = said.iter().filter(|said| said["type"] == kind);
    of_kind.cloned().collect()
}

fn acks(said: &[Value]) -> Vec<u64> {
    let acks = of(said, "ack");
    acks.iter().map(|ack| ack["ms"].as_u64().unwrap()).collect()
}

#[test]
fn a_long_silence_is_acknowledged_at_any_pace() {
    let port = free_port();
    let _running = server("--ws", port, &[]);
    for pace in ["exact", "live"] {
        let mut talk = Talk::open(port, &format!("pace={pace}"));
        talk.audio(&vec![0; 32_000 * 35]);
        let acks = acks(&talk.end());
        assert!(acks.len() >= 3, "{pace}: {acks:?}");
        assert!(acks[0] >= 8_500 && acks[0] <= 11_000, "{pace}: {acks:?}");
        assert!(
            acks.is_sorted() && *acks.last().unwrap() <= 35_200,
            "{pace}: {acks:?}"
        );
    }
}

/// Each acknowledgement comes when all words before it are told, and none behind it.
#[test]
fn acknowledgements_part_the_words() {
    let port = free_port();
    let _running = server("--ws", port, &[]);
    for pace in ["exact", "live"] {
        let mut talk = Talk::open(port, &format!("pace={pace}"));
        talk.audio(&common::audio("fr-pauses"));
        let said = talk.end();
        assert!(acks(&said).len() >= 3, "{pace}: {said:?}");
        let mut last = 0;
        let mut utterances = Vec::new();
        for told in &said {
            match told["type"].as_str().unwrap() {
                "final" => {
                    let beg = told["beg_ms"].as_u64().unwrap();
                    assert!(
                        beg >= last,
                        "{pace}: words at {beg} behind the ack of {last}"
                    );
                    utterances.push(told["utterance"].as_u64().unwrap());
                }
                "ack" => last = told["ms"].as_u64().unwrap(),
                _ => {}
            }
        }
        assert!(utterances.is_sorted(), "{pace}: {utterances:?}");
        let distinct: HashSet<_> = utterances.iter().collect();
        assert!(
            distinct.len() >= 3,
            "{pace}: each stretch has a number of its own: {utterances:?}"
        );
    }
}

/// More flushes at a time than the server answers at a time, while the call begins anew again and again.
#[test]
fn flushes_are_answered_once_each_and_in_order() {
    let port = free_port();
    let _running = server("--ws", port, &[]);
    let mut talk = Talk::open(port, "pace=exact");
    let audio = common::audio("fr-pauses");
    let mut asked = Vec::new();
    for (second, piece) in audio.chunks(16_000).enumerate() {
        talk.audio(piece);
        let marker = format!("m{second}");
        talk.text(json!({"type": "flush", "marker": marker}));
        asked.push(marker);
    }
    for n in 0..40 {
        let marker = format!("end {n}");
        talk.text(json!({"type": "flush", "marker": marker}));
        asked.push(marker);
    }
    let said = talk.end();
    let flushed: Vec<_> = of(&said, "flushed")
        .iter()
        .map(|flushed| flushed["marker"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(flushed, asked);
    assert!(acks(&said).len() >= 3);
}

/// The rest of a stream is the same from each place that was acknowledged, whatever the form of the audio.
#[test]
fn from_each_acknowledgement_on_all_is_the_same() {
    let port = free_port();
    let _running = server("--ws", port, &[]);
    let wide = common::audio("fr-pauses");
    // Every other sample of it, as if it had come over a telephone line of its own kind.
    let narrow: Vec<u8> = wide
        .chunks_exact(4)
        .flat_map(|two| [two[0], two[1]])
        .collect();
    for (audio, rate) in [(wide, 16), (narrow, 8)] {
        let query = format!("pace=exact&rate={rate}000");
        let mut talk = Talk::open(port, &query);
        talk.audio(&audio);
        let whole = talk.end();
        let places = acks(&whole);
        assert!(places.len() >= 3, "{whole:?}");
        for ms in places {
            let position = (ms * rate * 2) as usize;
            let Some(rest) = audio.get(position..) else {
                continue;
            };
            let mut talk = Talk::open(port, &format!("{query}&resume_ms={ms}"));
            talk.audio(rest);
            let again = talk.end();
            let at = whole
                .iter()
                .position(|told| *told == json!({"type": "ack", "ms": ms}));
            let bare = |told: &[Value]| -> Vec<Value> {
                let mut finals = of(told, "final");
                for told in &mut finals {
                    told.as_object_mut().unwrap().remove("utterance");
                }
                finals
            };
            assert_eq!(
                bare(&again),
                bare(&whole[at.unwrap()..]),
                "from {ms} ms at {rate} kHz"
            );
        }
    }
}

/// Clients that vanish while their call begins anew leave nothing behind.
#[test]
fn who_vanishes_in_the_middle_is_forgotten() {
    let port = free_port();
    let http = free_port().to_string();
    let _running = server("--ws", port, &["--http", &http]);
    let audio = common::audio("fr-pauses");
    for n in 1..12 {
        let mut talk = Talk::open(port, "pace=exact");
        talk.audio(&audio[..audio.len() * n / 12]);
        // Some have heard an acknowledgement by then: their calls have begun anew.
        if n >= 6 {
            while !talk.socket.read().unwrap().to_string().contains("\"ack\"") {}
        }
    }
    let begun = std::time::Instant::now();
    loop {
        let health = super::get(&http, "/health");
        if health.contains("\"calls\":0") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{health}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut talk = Talk::open(port, "pace=exact");
    talk.audio(&audio);
    assert!(acks(&talk.end()).len() >= 3);
}
