use std::net::SocketAddr;

use doors::call::{Event, Setting};
use doors::dialects::Ports;
use doors::exchange::{Exchange, Policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;
use crate::twilio::{call, listen, text, watch};

const ID: [u8; 16] = [
    0x1b, 0x67, 0x1a, 0x64, 0x40, 0xd5, 0x49, 0x1e, 0x99, 0xb0, 0xda, 0x01, 0xff, 0x1f, 0x33, 0x41,
];
const NAME: &str = "1b671a64-40d5-491e-99b0-da01ff1f3341";

async fn door(exchange: &Exchange) -> SocketAddr {
    let ports = Ports {
        audiosocket: Some(0),
        ..Ports::default()
    };
    ports
        .open("127.0.0.1", exchange, &doors::security::Security::default())
        .await
        .unwrap()[0]
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend(payload);
    frame
}

/// A call from its first frame to its hang-up: 20 ms a frame.
fn call_of(kind: u8, audio: &[u8], frame_bytes: usize) -> Vec<u8> {
    let mut bytes = frame(0x01, &ID);
    for piece in audio.chunks(frame_bytes) {
        bytes.extend(frame(kind, piece));
    }
    bytes.extend(frame(0x00, &[]));
    bytes
}

/// All that the door says before it closes.
async fn answer(socket: &mut TcpStream) -> Vec<u8> {
    let mut told = Vec::new();
    let read = socket.read_to_end(&mut told);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("an end");
    told
}

#[tokio::test]
async fn a_call_is_heard_whatever_its_rate_and_however_it_is_cut() {
    let exchange = exchange();
    let door = door(&exchange).await;
    let wide = samples("fr-accueil");
    let cases = [
        (0x10, s16le(&halved(&wide)), 320, 1_000_000),
        (0x12, s16le(&wide), 640, 1_000_000),
        // Odd payloads, and a wire that cuts frames anywhere.
        (0x12, s16le(&wide), 1_279, 311),
    ];
    for (kind, audio, size, cut) in cases {
        let mut socket = TcpStream::connect(door).await.unwrap();
        let watched = tokio::spawn(watch(exchange.clone(), NAME));
        for piece in call_of(kind, &audio, size).chunks(cut) {
            socket.write_all(piece).await.unwrap();
        }
        assert_eq!(
            answer(&mut socket).await,
            [0_u8; 0],
            "no text, and no hang-up of ours"
        );
        assert_said(&text(&watched.await.unwrap(), None), "fr-accueil");
        gone(&exchange).await;
    }
}

#[tokio::test]
async fn keys_are_told_and_what_is_not_known_is_left_alone() {
    let exchange = exchange();
    let door = door(&exchange).await;
    let mut socket = TcpStream::connect(door).await.unwrap();
    socket.write_all(&frame(0x01, &ID)).await.unwrap();
    socket.write_all(&frame(0x10, &[0; 320])).await.unwrap();
    call(&exchange, NAME).await;
    let watched = listen(exchange.watch(NAME).unwrap());
    for bytes in [
        frame(0x03, b"7"),
        frame(0x03, &[]),
        frame(0x03, &[0x07]),
        frame(0x55, &[1; 7]),
        frame(0x10, &[]),
    ] {
        socket.write_all(&bytes).await.unwrap();
    }
    let audio = s16le(&halved(&samples("fr-court")));
    for piece in audio.chunks(320) {
        socket.write_all(&frame(0x10, piece)).await.unwrap();
    }
    // Asterisk goes without a hang-up frame.
    socket.shutdown().await.unwrap();
    answer(&mut socket).await;
    let events = watched.await;
    let digits: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::Digit { .. }))
        .collect();
    let digit = Event::Digit {
        digit: "7".into(),
        leg: None,
    };
    assert_eq!(digits, [&digit]);
    assert_said(&text(&events, None), "fr-court");
}

#[tokio::test]
async fn what_is_no_call_gets_an_error_frame_and_harms_nobody_else() {
    let exchange = exchange_of(Policy {
        settings: vec![Setting::new("language", "fr")],
        max_calls: 1,
        ..Policy::default()
    });
    let door = door(&exchange).await;
    let hello = frame(0x01, &ID);
    let mut changed = hello.clone();
    changed.extend(frame(0x10, &[0; 320]));
    changed.extend(frame(0x12, &[0; 640]));
    let cases: [(&str, Vec<u8>, &[u8]); 4] = [
        (
            "a browser",
            b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(2_000),
            &[0xff, 0, 1, 2],
        ),
        ("audio first", frame(0x10, &[0; 320]), &[0xff, 0, 1, 2]),
        ("a short id", frame(0x01, &[1; 15]), &[0xff, 0, 1, 2]),
        ("another rate", changed, &[0xff, 0, 1, 2]),
    ];
    for (what, bytes, told) in cases {
        let mut socket = TcpStream::connect(door).await.unwrap();
        let _ = socket.write_all(&bytes).await;
        let answer = answer(&mut socket).await;
        // With bytes of ours unread the error may be lost on the way.
        assert!(
            answer == told || (what == "a browser" && answer.is_empty()),
            "{what}: {answer:?}"
        );
        gone(&exchange).await;
    }
    // Cut off within the head, within the payload, after the id, by an error, and at once.
    let cut = [
        vec![0x01, 0],
        frame(0x01, &ID)[..9].to_vec(),
        hello.clone(),
        [hello.clone(), frame(0xff, &[1])].concat(),
        [
            hello.clone(),
            frame(0x10, &[0; 320]),
            vec![0x10, 0xff, 0xff, 0, 0],
        ]
        .concat(),
        Vec::new(),
    ];
    for bytes in cut {
        let mut socket = TcpStream::connect(door).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(answer(&mut socket).await, [0_u8; 0]);
    }
    gone(&exchange).await;
    // One place: the second is refused, and the first is heard to its end.
    let mut first = TcpStream::connect(door).await.unwrap();
    let audio = s16le(&halved(&samples("fr-court")));
    let bytes = call_of(0x10, &audio, 320);
    let (head, tail) = bytes.split_at(5_000);
    first.write_all(head).await.unwrap();
    call(&exchange, NAME).await;
    let watched = tokio::spawn(watch(exchange.clone(), NAME));
    let mut second = TcpStream::connect(door).await.unwrap();
    let mut other = ID;
    other[0] = 0;
    second.write_all(&frame(0x01, &other)).await.unwrap();
    second.write_all(&frame(0x10, &[0; 320])).await.unwrap();
    assert_eq!(answer(&mut second).await, [0xff, 0, 1, 4]);
    first.write_all(tail).await.unwrap();
    answer(&mut first).await;
    assert_said(&text(&watched.await.unwrap(), None), "fr-court");
    gone(&exchange).await;
}
