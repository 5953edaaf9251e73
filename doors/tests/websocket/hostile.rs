//! Peers that break rules, and those beside them that must not notice.

use std::time::Duration;

use doors::exchange::Policy;
use futures::SinkExt;
use futures::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Server, server, server_with, text};
use crate::common::{audio, spoken};

/// A socket behind the handshake, to write on what one likes.
async fn raw(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.at).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    socket
}

/// All that comes until the server hangs up.
async fn rest(mut socket: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = tokio::time::timeout(Duration::from_secs(60), socket.read_to_end(&mut bytes))
        .await
        .expect("it hangs up");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_is_answered_and_ends_that_client_alone() {
    let server = server().await;
    let mut neighbour = server.client("?language=fr").await;
    // Reserved bits and opcodes, no mask, a length that is a lie, a ping of 126 bytes.
    let mut ping = vec![0x89, 0xfe, 0x00, 0x7e];
    ping.resize(4 + 4 + 126, 0);
    let garbage: [&[u8]; 5] = [
        &[0xff; 64],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x82, 0x02, 1, 2],
        &[
            0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
        ],
        &ping,
    ];
    for bytes in garbage {
        let mut socket = raw(&server).await;
        socket.write_all(bytes).await.unwrap();
        let said = rest(socket).await;
        assert!(said.contains(r#""type":"ready""#), "{said}");
        assert!(
            said.contains(r#"{"type":"error","message":""#),
            "{bytes:x?}: {said}"
        );
    }
    // Text that is none.
    let mut socket = raw(&server).await;
    socket
        .write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28])
        .await
        .unwrap();
    assert!(rest(socket).await.contains("no UTF-8"));

    neighbour.audio(&audio("fr-court"), 3_200).await;
    neighbour.text("end").await;
    assert_eq!(
        text(&neighbour.until("close").await, None),
        spoken("fr-court")
    );
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_named() {
    let server = server().await;
    let mut client = server.client("").await;
    // It may hang up before all of it is sent.
    let _ = client.socket.send(Message::binary(vec![0; 2 << 20])).await;
    let said = client.until("close").await;
    assert_eq!(
        said[said.len() - 2]["message"],
        "a message has 1048576 bytes at most: send the audio in smaller ones"
    );
    assert_eq!(said[said.len() - 1]["code"], 1009);
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_are_refused_with_a_sentence_and_a_code() {
    let server = server_with(Policy {
        max_calls: 1,
        ..Policy::default()
    })
    .await;
    for (query, code, part) in [
        ("?rate=1", 1003, "rate cannot be \"1\""),
        ("?encoding=mp3", 1003, "encoding cannot be \"mp3\""),
        ("?channels=2&legs=a", 1008, "1 legs are named"),
        ("?partials=maybe", 1008, "partials cannot be"),
        (
            "?langauge=fr",
            1008,
            "whisperstream has no property langauge",
        ),
        ("?language=klingon", 1011, "klingon"),
        (
            "?min-chunk-size=soon",
            1008,
            "min-chunk-size cannot be \"soon\"",
        ),
        (
            "?model=/etc/passwd",
            1008,
            "model can only be set by who runs the server",
        ),
        (
            "?dump_dir=/tmp",
            1008,
            "dump-dir can only be set by who runs the server",
        ),
        ("?id=../../x%00", 1008, "is no id of a call"),
        ("?%ff=1", 1008, ""),
    ] {
        let mut client = server.connect(query).await;
        let error = client.next().await;
        assert_eq!(error["type"], "error", "{query}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{query}: {message}");
        assert_eq!(client.next().await["code"], code, "{query}");
    }
    // Full.
    let _first = server.client("").await;
    let mut second = server.connect("").await;
    assert_eq!(
        second.next().await,
        json!({"type": "error", "message": "all 1 places are taken; try again later"})
    );
    assert_eq!(second.next().await["code"], 1013);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_is_no_reason_to_hang_up() {
    let server = server().await;
    let mut client = server.client("?language=fr").await;
    for text in ["flsh", "", "{", "[[[[", r#"{"type":"flush","marker":{}}"#] {
        client.text(text).await;
        assert_eq!(client.next().await["type"], "error", "{text}");
    }
    client.audio(&audio("fr-court"), 3_200).await;
    client.text("end").await;
    // Behind the end there is nothing to hear.
    client.send(Message::binary(vec![0; 320])).await;
    let said = client.until("close").await;
    assert_eq!(text(&said, None), spoken("fr-court"));
    assert!(
        said.iter()
            .any(|said| said["message"] == "no audio is heard after the end of the stream"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_leaves_nothing_behind_and_what_was_said_is_told() {
    let server = server().await;
    let audio = audio("fr-court");
    for how in ["drop", "close", "reset", "half"] {
        let mut client = server.client(&format!("?language=fr&id={how}")).await;
        let mut watched = server.exchange.watch(how).unwrap();
        client.audio(&audio, 3_200).await;
        match how {
            "close" => client.socket.close(None).await.unwrap(),
            "half" => {
                let stream = client.socket.get_mut();
                stream.shutdown().await.unwrap();
            }
            "reset" => {
                let tokio_tungstenite::MaybeTlsStream::Plain(socket) = client.socket.get_mut()
                else {
                    panic!("it is plain");
                };
                socket.set_zero_linger().unwrap();
                drop(client);
            }
            _ => drop(client),
        }
        let mut said = Vec::new();
        let told = async {
            while let Ok(event) = watched.recv().await {
                if let doors::call::Event::Words(words) = &*event {
                    said.push(words.text.clone());
                }
            }
        };
        tokio::time::timeout(crate::client::SOON, told)
            .await
            .expect("the call ends");
        assert_eq!(
            crate::common::plain(&said.join(" ")),
            spoken("fr-court"),
            "{how}"
        );
    }
    server.is_empty().await;
}

/// Twenty speak at once; among them somebody never reads, somebody trickles, somebody only connects.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_all_are_heard_out() {
    // However slow the machine is, none is turned away; at this pace none hears other words for it either.
    let server = server_with(Policy {
        full_at: 0,
        ..Policy::default()
    })
    .await;
    let audio = audio("fr-court");
    let mut never_reads = raw(&server).await;
    let flood = async {
        // Texts that are no commands, each answered, and none of the answers read.
        let frame = [0x81u8, 0x81, 0, 0, 0, 0, b'x'].repeat(4_096);
        for _ in 0..200 {
            if tokio::time::timeout(Duration::from_secs(1), never_reads.write_all(&frame))
                .await
                .is_err()
            {
                break;
            }
        }
    };
    let mut trickles = raw(&server).await;
    let trickle = async {
        for byte in [0x82u8, 0xfe, 0x01, 0x40].into_iter().chain([0; 100]) {
            trickles.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _idle = TcpStream::connect(server.at).await.unwrap();
    let clients = (0..20).map(|n| {
        let (server, audio) = (&server, &audio);
        async move {
            let mut client = server.client("?language=fr&acks=1&pace=exact").await;
            client.audio(audio, 1_600 + n * 331).await;
            client.text("end").await;
            text(&client.until("close").await, None)
        }
    });
    let (said, (), ()) = tokio::join!(join_all(clients), flood, trickle);
    for said in said {
        assert_eq!(said, spoken("fr-court"));
    }
}

/// GLib's strings end at a zero; a marker with one is told without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_zero_character_ends_no_call_without_a_word() {
    let server = server().await;
    for query in [
        "?init_prompt=a%00b",
        "?langu%00age=fr",
        "?channels=2&legs=a,%00",
    ] {
        let mut client = server.connect(query).await;
        let said = client.until("close").await;
        let told = said.iter().find(|it| it["type"] == "error");
        let sentence = told.and_then(|it| it["message"].as_str());
        assert!(
            sentence.is_some_and(|it| it.contains("zero character")),
            "{query}: {said:?}"
        );
    }
    let mut client = server.client("").await;
    client.text(r#"{"type":"flush","marker":"a\u0000b"}"#).await;
    let said = client.until("flushed").await;
    assert_eq!(said.last().unwrap()["marker"], "ab");
    client.text("end").await;
    client.until("close").await;
    server.is_empty().await;
}
