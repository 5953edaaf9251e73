//! Watching calls.

use doors::exchange::{Exchange, Policy};
use doors::http;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::{Server, of, serve, text};
use crate::common::{audio, init, plain, spoken};

async fn server() -> Server {
    init();
    let exchange = Exchange::new(Policy::default());
    Server {
        at: serve(http::router(exchange.clone())).await,
        exchange,
    }
}

/// Reads server-sent events to their end.
async fn sent(server: &Server, path: &str) -> Vec<Value> {
    let mut socket = TcpStream::connect(server.at).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(socket).lines();
    let status = lines.next_line().await.unwrap().unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK");
    let mut events = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(json) = line.strip_prefix("data: ") {
            events.push(serde_json::from_str(json).unwrap());
        }
    }
    events
}

fn words(events: &[Value]) -> String {
    let words = of("words", events)
        .into_iter()
        .map(|e| e["text"].as_str().unwrap());
    plain(&words.collect::<Vec<_>>().join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_watched_from_before_it_comes_to_its_end() {
    let server = server().await;
    // Both wait for a call that is not there yet.
    let (events, watched, said) = tokio::join!(
        sent(&server, "/calls/fr:1/events?wait=100"),
        async {
            let mut watcher = server.connect("calls/fr%3A1/events?wait=100").await;
            watcher.until("ended").await
        },
        async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let mut client = server.client("ws?language=fr&id=fr:1").await;
            client.audio(&audio("fr-court"), 3_200).await;
            client.text("end").await;
            client.until("close").await
        }
    );
    for events in [&events, &watched] {
        assert_eq!(words(events), spoken("fr-court"));
        assert_eq!(events.last().unwrap()["type"], "ended");
        assert!(
            !of("final", events).is_empty() && !of("speech-start", events).is_empty(),
            "{events:?}"
        );
    }
    assert_eq!(text(&said, None), spoken("fr-court"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_names_calls_and_unknown_ones_are_said_to_be() {
    let server = server().await;
    let request = async |path: &str| {
        let mut socket = TcpStream::connect(server.at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head[9..12].to_owned(),
            serde_json::from_str::<Value>(body).unwrap(),
        )
    };
    assert_eq!(
        request("/calls").await,
        ("200".into(), Value::Array(vec![]))
    );
    let mut client = server.client("ws?id=here").await;
    let (_, list) = request("/calls").await;
    assert_eq!(
        (&list[0]["id"], &list[0]["door"]),
        (&"here".into(), &"websocket".into())
    );
    assert!(
        list[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{list}"
    );
    let (status, body) = request("/calls/nobody/events").await;
    assert_eq!((status.as_str(), &body["type"]), ("404", &"error".into()));
    for wait in ["-1", "301", "soon", "99999999999999999999"] {
        assert_eq!(
            request(&format!("/calls/here/events?wait={wait}")).await.0,
            "400",
            "{wait}"
        );
    }
    client.text("end").await;
    client.until("close").await;
    server.is_empty().await;
    assert_eq!(request("/calls").await.1, Value::Array(vec![]));
}

/// Calls speak on whoever watches them, and a watcher that sleeps is told what it missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_sleeps_is_told_that_it_missed_some() {
    let server = server().await;
    let mut client = server.client("ws?id=busy").await;
    let mut watched = server.exchange.watch("busy").unwrap();
    // Each flush is an event.
    for n in 0..1_100 {
        client.text("flush").await;
        assert_eq!(client.next().await["type"], "flushed", "{n}");
    }
    client.text("end").await;
    client.until("close").await;
    use tokio::sync::broadcast::error::RecvError;
    let first = watched.recv().await;
    assert!(
        matches!(first, Err(RecvError::Lagged(missed)) if missed >= 50),
        "{first:?}"
    );
}
