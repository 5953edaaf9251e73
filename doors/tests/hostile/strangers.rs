//! Who is not let in: without the token, without the encryption, with somebody else's certificate.

use std::io::Write;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attacks::upgrade;
use crate::program::{PATIENCE, Program};
use crate::server::{DOORS, Server};

const TOKEN: &str = "s3cret-s3cret-s3cret";

/// Status line, and what comes behind all headers.
async fn answer(port: u16, request: &str) -> (String, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // It may be refused before all of it is sent.
    let _ = socket.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer));
    let _ = read.await.expect("the end of an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    (status.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_token_the_answer_is_the_same() {
    let server = Server::start(&["--token", TOKEN]);
    let overlong = "s".repeat(4_096);
    let header = |value: &str| (String::new(), format!("Authorization: {value}\r\n"));
    let query = |value: &str| (format!("token={value}"), String::new());
    let wrong = [
        (String::new(), String::new()),
        header(""),
        header("Bearer"),
        header("Bearer "),
        header(&format!("Bearer {}", &TOKEN[1..])),
        header(&format!("Bearer {TOKEN}x")),
        header(&format!("Bearer {}", TOKEN.to_uppercase())),
        header(&format!("Bearer {overlong}")),
        header(&format!("Basic {TOKEN}")),
        header("Bearer \u{e9}"),
        query(""),
        query("s3cret"),
        query(&overlong),
        query("%00"),
        query("%ff"),
        // Of several, the first counts; and a subprotocol is no place for it.
        (format!("token=x&token={TOKEN}"), String::new()),
        (
            String::new(),
            format!("Sec-WebSocket-Protocol: token, {TOKEN}\r\n"),
        ),
        (
            String::new(),
            format!("X-Token: {TOKEN}\r\nCookie: token={TOKEN}\r\n"),
        ),
    ];
    let mut answers = Vec::new();
    for door in DOORS.iter().filter(|door| door.path.is_some()) {
        let path = door.path.unwrap();
        for (query, headers) in &wrong {
            let mark = if path.contains('?') { '&' } else { '?' };
            let headers = format!("\r\nConnection: close, Upgrade\r\n{headers}\r\n");
            let request = upgrade(&format!("{path}{mark}{query}"))
                .replace("\r\nConnection: Upgrade", "")
                .replace("\r\n\r\n", &headers);
            let answer = answer(server.port(door.port), &request).await;
            assert!(
                answer.0.contains(" 401 "),
                "{path} {query:.40} {headers:.80}: {answer:?}"
            );
            answers.push(answer);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(server.calls().await, 0);
    // One that cannot be held ends before it is compared.
    let request = upgrade("/ws").replace(
        "\r\n\r\n",
        &format!("\r\nAuthorization: Bearer {}\r\n\r\n", "s".repeat(1 << 20)),
    );
    let (status, _) = answer(server.port("http"), &request).await;
    assert!(!status.contains(" 101 "), "{status}");
    let request = upgrade("/ws").replace(
        "\r\n\r\n",
        &format!("\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"),
    );
    let mut socket = TcpStream::connect(("127.0.0.1", server.port("http")))
        .await
        .unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
}

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

/// A certificate of this machine that ended in a year, and its key.
fn certificate(end: i32) -> (NamedTempFile, NamedTempFile) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(end, 1, 1);
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    (file(&made.pem()), file(&key.serialize_pem()))
}

fn tls(of: &(NamedTempFile, NamedTempFile)) -> Server {
    let path = |file: &NamedTempFile| file.path().to_str().unwrap().to_owned();
    Server::start(&["--tls-cert", &path(&of.0), "--tls-key", &path(&of.1)])
}

/// Whether our client hears itself understood by a server, trusting a certificate; and what it complains of.
fn heard(server: &Server, trusted: &NamedTempFile) -> (bool, String) {
    let to = format!("wss://localhost:{}/", server.port("websocket"));
    let ca = trusted.path().to_str().unwrap();
    let wav = crate::program::file("tests/audio/fr-court.wav");
    let client = env!("CARGO_BIN_EXE_whisperstream-client");
    let args = [wav.to_str().unwrap(), "--to", &to, "--ca", ca];
    let mut client = Program::start(client, &args, &[]);
    let said = client.rest();
    (client.wait().success() && !said.is_empty(), client.errors())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_but_the_right_one_is_spoken_to() {
    let (good, other, old) = (certificate(2090), certificate(2090), certificate(2002));
    let (server, expired) = (tls(&good), tls(&old));
    assert_eq!(heard(&server, &good.0), (true, String::new()));
    for (server, trusted) in [(&server, &other.0), (&expired, &old.0)] {
        let (understood, complaint) = heard(server, trusted);
        assert!(!understood);
        assert!(complaint.contains("encrypted connection"), "{complaint}");
    }
    // Who does not encrypt is told nothing, at any web port.
    for door in DOORS.iter().filter(|door| door.path.is_some()) {
        let request = upgrade(door.path.unwrap());
        let (status, body) = answer(server.port(door.port), &request).await;
        assert!(!status.contains("HTTP"), "{status} {body}");
    }
    assert_eq!(heard(&server, &good.0), (true, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_named_brings_no_audiosocket() {
    let hello = [&[1, 0, 16], uuid::Uuid::new_v4().as_bytes().as_slice()].concat();
    let call = [hello.as_slice(), &[0x10, 1, 0x40], &[0; 320]].concat();
    for (from, is_welcome) in [("192.0.2.0/24", false), ("127.0.0.0/8", true)] {
        let server = Server::start(&["--audiosocket-from", from]);
        let port = server.port("audiosocket");
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = socket.write_all(&call).await;
        if is_welcome {
            server
                .until("the call", async |server| server.calls().await == 1)
                .await;
        } else {
            let mut said = Vec::new();
            let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut said));
            let _ = read.await.expect("it hangs up");
            assert_eq!((said, server.calls().await), (Vec::new(), 0));
        }
    }
}
