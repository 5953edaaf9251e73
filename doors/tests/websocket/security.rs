//! Tokens, origins, TLS.

use std::io::Write;
use std::sync::Arc;

use doors::exchange::{Exchange, Policy};
use doors::http;
use doors::security::{Security, SecurityOptions};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{Connector, connect_async, connect_async_tls_with_config};

use crate::client::{Client, text};
use crate::common::{audio, init, spoken};

async fn serve(options: SecurityOptions) -> std::net::SocketAddr {
    init();
    let security = Security::load(&options).expect("options make sense");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let routes = http::router(Exchange::new(Policy::default()));
    tokio::spawn(async move { http::serve_with(listener, routes, &security).await });
    at
}

/// Connects, with headers; otherwise the status of the refusal.
async fn connect(address: String, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
    let mut request = address.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(Client { socket }),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(err) => panic!("{err}"),
    }
}

/// A plain request: status line and all behind it.
async fn get(at: std::net::SocketAddr, path: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_opens() {
    let at = serve(SecurityOptions {
        token: Some("s3cret".into()),
        ..SecurityOptions::default()
    })
    .await;
    let ws = |query: &str| format!("ws://{at}/ws{query}");
    for (address, headers) in [
        (ws(""), vec![]),
        (ws("?token=S3cret"), vec![]),
        (ws("?token=s3cre"), vec![]),
        (ws(""), vec![("authorization", "Bearer s3crets")]),
        (ws(""), vec![("authorization", "Basic s3cret")]),
    ] {
        let status = connect(address.clone(), &headers)
            .await
            .expect_err("it is refused");
        assert_eq!(status, 401, "{address} {headers:?}");
    }
    for headers in ["", "Authorization: Bearer nonsense\r\n"] {
        let answer = get(at, "/calls", headers).await;
        assert!(
            answer.starts_with("HTTP/1.1 401")
                && answer.contains("www-authenticate: Bearer")
                && answer.contains(r#"{"message":""#),
            "{answer}"
        );
        let answer = get(at, "/calls/some/events", headers).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    // Whoever watches over the machine needs none.
    assert!(get(at, "/health", "").await.starts_with("HTTP/1.1 200"));
    assert!(get(at, "/metrics", "").await.starts_with("HTTP/1.1 200"));

    for (address, headers) in [
        (ws("?token=s3cret"), vec![]),
        (ws("?language=fr"), vec![("authorization", "Bearer s3cret")]),
    ] {
        let mut client = connect(address, &headers).await.expect("it opens");
        assert_eq!(client.next().await["type"], "ready");
    }
    assert!(
        get(at, "/calls", "Authorization: Bearer s3cret\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_may_not_connect() {
    let at = serve(SecurityOptions {
        origin: vec!["https://example.org".into()],
        ..SecurityOptions::default()
    })
    .await;
    let refused = connect(format!("ws://{at}/ws"), &[("origin", "https://evil.net")]).await;
    assert_eq!(refused.err(), Some(403));
    for origin in ["https://example.org", "http://127.0.0.1:3000"] {
        let mut client = connect(format!("ws://{at}/ws"), &[("origin", origin)])
            .await
            .ok()
            .unwrap();
        assert_eq!(client.next().await["type"], "ready", "{origin}");
    }
}

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_said_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let (cert, key) = (
        file(&made.cert.pem()),
        file(&made.signing_key.serialize_pem()),
    );
    let at = serve(SecurityOptions {
        tls_cert: Some(cert.path().into()),
        tls_key: Some(key.path().into()),
        ..SecurityOptions::default()
    })
    .await;
    let config = |trusted: bool| {
        let mut roots = rustls::RootCertStore::empty();
        if trusted {
            roots.add(made.cert.der().clone()).unwrap();
        }
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Some(Connector::Rustls(Arc::new(config)))
    };
    let address = format!("wss://localhost:{}/ws?language=fr", at.port());
    let mistrusted = connect_async_tls_with_config(&address, None, false, config(false)).await;
    assert!(mistrusted.is_err(), "the encryption is real");
    // Who knows nothing of TLS gets nothing, and harms nobody.
    let mut plain = TcpStream::connect(at).await.unwrap();
    plain.write_all(b"GET /ws HTTP/1.1\r\n\r\n").await.unwrap();

    let connected = connect_async_tls_with_config(&address, None, false, config(true)).await;
    let mut client = Client {
        socket: connected.expect("it opens").0,
    };
    client.audio(&audio("fr-court"), 3_200).await;
    client.text("end").await;
    let said = client.until("close").await;
    assert_eq!(
        said[0],
        json!({"type": "ready", "sample_rate": 16_000, "call": said[0]["call"], "start_ms": 0})
    );
    assert_eq!(text(&said, None), spoken("fr-court"));
}

#[test]
fn files_that_are_no_certificates_are_refused_in_a_sentence() {
    let one = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let (cert, key) = (
        file(&one.cert.pem()),
        file(&one.signing_key.serialize_pem()),
    );
    let (text, wrong) = (
        file("no certificate"),
        file(&other.signing_key.serialize_pem()),
    );
    let gone = std::path::Path::new("/no/such/file.pem");
    for (cert, key, sentence) in [
        (
            gone,
            key.path(),
            "--tls-cert /no/such/file.pem cannot be read: ",
        ),
        (
            cert.path(),
            gone,
            "--tls-key /no/such/file.pem cannot be read: ",
        ),
        (text.path(), key.path(), "holds no certificate"),
        (key.path(), key.path(), "holds no certificate"),
        (cert.path(), text.path(), "holds no private key"),
        (cert.path(), wrong.path(), "cannot be used: "),
    ] {
        let options = SecurityOptions {
            tls_cert: Some(cert.into()),
            tls_key: Some(key.into()),
            ..SecurityOptions::default()
        };
        let err = Security::load(&options)
            .err()
            .expect("it is refused")
            .to_string();
        assert!(err.contains(sentence), "{err}");
    }
    let empty = SecurityOptions {
        token: Some(String::new()),
        ..SecurityOptions::default()
    };
    assert!(
        Security::load(&empty)
            .err()
            .unwrap()
            .to_string()
            .starts_with("--token is empty")
    );
}
