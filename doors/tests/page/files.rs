//! The files of the page as a browser gets them.

use doors::call::Setting;
use doors::exchange::Policy;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

/// Head and body of an answer.
async fn get(server: &Server, path: &str, header: &str) -> (String, String) {
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{header}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn every_file_of_the_page_is_there_and_guarded() {
    let server = server().await;
    let (head, page) = get(&server, "/", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/html"), "{head}");
    // All that the page and its scripts name.
    let mut wanted: Vec<String> = vec!["/page/samples.js".into()];
    for part in page.split('"').filter(|part| part.starts_with("/page/")) {
        wanted.push(part.into());
    }
    let (_, script) = get(&server, "/page/page.js", "").await;
    for part in script.split('"').filter(|part| part.starts_with("./")) {
        wanted.push(part.replace("./", "/page/"));
    }
    assert!(wanted.len() >= 7, "{wanted:?}");
    for path in wanted {
        let (head, body) = get(&server, &path, "").await;
        assert!(
            head.starts_with("http/1.1 200") && !body.is_empty(),
            "{path}: {head}"
        );
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self';"));
        assert!(head.contains("x-content-type-options: nosniff"));
        assert!(head.contains("cache-control: no-cache"));
    }
    // The policy forbids it, so it must not be there.
    assert!(!page.contains("style=") && !page.contains("onclick") && !page.contains("<script>"));
}

#[tokio::test]
async fn a_file_that_is_known_is_not_sent_again() {
    let server = server().await;
    let (head, _) = get(&server, "/page/page.js", "").await;
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let (again, body) = get(
        &server,
        "/page/page.js",
        &format!("If-None-Match: {tag}\r\n"),
    )
    .await;
    assert!(
        again.starts_with("http/1.1 304") && body.is_empty(),
        "{again}"
    );
}

#[tokio::test]
async fn languages_are_those_of_whisper_or_of_the_operator() {
    let languages = |body: &str| -> Value { serde_json::from_str(body).unwrap() };
    let server = server().await;
    let all = languages(&get(&server, "/page/languages.json", "").await.1);
    assert_eq!(all["default"], "fr");
    assert_eq!(all["languages"].as_array().unwrap().len(), 100);
    let some = serve(Policy {
        settings: vec![Setting::new("languages", "fr,English")],
        ..Policy::default()
    })
    .await;
    let some = languages(&get(&some, "/page/languages.json", "").await.1);
    assert_eq!(some["default"], "auto");
    assert_eq!(
        some["languages"],
        serde_json::json!([{"code": "en", "name": "English"}, {"code": "fr", "name": "French"}])
    );
}

#[tokio::test]
async fn the_socket_says_that_it_is_one() {
    let server = server().await;
    let (head, body) = get(&server, "/ajax/audio", "").await;
    assert!(head.starts_with("http/1.1 426"), "{head}");
    assert!(body.contains("takes a WebSocket"), "{body}");
}
