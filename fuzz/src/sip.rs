//! Calls by SIP: datagrams to the real door, one after the other, until it closes.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use doors::tap::print::Printer;
use doors::tap::sip::{self, Listen, PortRange, SipOptions};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::server::server;

/// An answer comes at once, or it is not waited for.
const ANSWER: Duration = Duration::from_millis(20);
/// The door closes within this time, whoever is in it.
const FAREWELL: Duration = Duration::from_secs(60);

/// Datagrams with a line `%%` between. `@PORT` stands for the peer's own port, `@TAG` for the door's tag; what begins with `#rtp` goes where the last answer
/// wants RTP. Requests of the door are answered.
pub fn wire(bytes: &[u8]) -> String {
    let server = server();
    server.runtime.block_on(async {
        let said = converse(bytes).await.expect("sockets open");
        assert!(
            server.exchange.calls().is_empty(),
            "a call outlives its door"
        );
        said
    })
}

async fn converse(bytes: &[u8]) -> std::io::Result<String> {
    let ours = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = ours.local_addr()?.port().to_string();
    let door = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let (end, is_open) = (CancellationToken::new(), Arc::new(Notify::new()));
    let printer = Printer::new(true, Box::new(Bell(Arc::clone(&is_open))));
    let exchange = server().exchange.clone();
    let mut served = tokio::spawn(sip::serve(options(door), exchange, printer, end.clone()));
    // It says where it listens.
    is_open.notified().await;
    let mut peer = Peer {
        socket: ours,
        door,
        rtp: None,
        tag: String::new(),
        said: Vec::new(),
    };
    for message in split(bytes).take(24) {
        peer.say(message, &port).await?;
        while let Ok(heard) = timeout(ANSWER, peer.hear()).await {
            heard?;
        }
    }
    end.cancel();
    let close = async {
        loop {
            tokio::select! {
                over = &mut served => return over.expect("it does not panic"),
                _ = peer.hear() => {}
            }
        }
    };
    let closed = timeout(FAREWELL, close).await;
    closed
        .expect("the door closes")
        .expect("a door that was open");
    peer.said.dedup();
    Ok(peer.said.join(" "))
}

fn options(door: SocketAddr) -> SipOptions {
    SipOptions {
        listen: vec![Listen {
            is_tcp: false,
            address: door,
        }],
        address: None,
        rtp_ports: PortRange {
            first: 20_000,
            last: 29_999,
        },
        answer_after: 0.0,
        max_calls: 0,
        timeout: 60.0,
        longest: 60.0,
        latency: 20,
    }
}

fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BETWEEN: &[u8] = b"\n%%\n";
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let at = bytes.windows(BETWEEN.len()).position(|it| it == BETWEEN);
        let (message, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
        bytes = rest.get(BETWEEN.len()..).unwrap_or_default();
        Some(message)
    })
}

/// Whoever calls.
struct Peer {
    socket: UdpSocket,
    door: SocketAddr,
    /// Where the last answer wants to be told.
    rtp: Option<u16>,
    /// The door's own, of its last answer.
    tag: String,
    said: Vec<String>,
}

impl Peer {
    async fn say(&self, message: &[u8], port: &str) -> std::io::Result<()> {
        if let Some(packet) = message.strip_prefix(b"#rtp") {
            if let Some(rtp) = self.rtp {
                let to = (Ipv4Addr::LOCALHOST, rtp);
                _ = self.socket.send_to(packet, to).await;
            }
            return Ok(());
        }
        let message = filled(message, b"@PORT", port.as_bytes());
        let message = filled(&message, b"@TAG", self.tag.as_bytes());
        // What is too long for a datagram is not sent, and an answer to none may be refused.
        _ = self.socket.send_to(&message, self.door).await;
        Ok(())
    }

    /// Takes one datagram, and answers it if it is a request.
    async fn hear(&mut self) -> std::io::Result<()> {
        let mut bytes = vec![0; 65_536];
        let (length, from) = self.socket.recv_from(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if let Some(status) = text.strip_prefix("SIP/2.0 ") {
            let code = status.split(' ').next().unwrap_or_default();
            // With its words: it is by them that the fuzzer tells what is new.
            let line = status.lines().next().unwrap_or_default();
            self.said.push(line.to_owned());
            let to = text.lines().find(|line| line.starts_with("To:"));
            let tag = to.and_then(|to| to.split(";tag=").nth(1));
            self.tag = tag.map_or(self.tag.clone(), |tag| tag.trim().to_owned());
            if code >= "300" && text.contains(" INVITE\r\n") {
                // It would wait for that for half a minute.
                let headers = headers(&text);
                let headers = headers.replace(" INVITE\r\n", " ACK\r\n");
                let ack = format!("ACK sip:tap@127.0.0.1 SIP/2.0\r\n{headers}\r\n");
                _ = self.socket.send_to(ack.as_bytes(), from).await;
            }
            let port = text.split("m=audio ").nth(1);
            let port = port.and_then(|it| it.split(' ').next()?.parse().ok());
            self.rtp = port.or(self.rtp);
            return Ok(());
        }
        let method = text.split(' ').next().unwrap_or_default();
        self.said.push(method.to_owned());
        let headers = headers(&text);
        let answer = format!("SIP/2.0 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
        _ = self.socket.send_to(answer.as_bytes(), from).await;
        Ok(())
    }
}

/// Those headers that an answer has of its request.
fn headers(text: &str) -> String {
    const KEPT: [&str; 5] = ["via:", "from:", "to:", "call-id:", "cseq:"];
    let headers = text.lines().take_while(|line| !line.is_empty());
    let kept = headers.filter(|line| {
        let line = line.to_ascii_lowercase();
        KEPT.iter().any(|name| line.starts_with(name))
    });
    kept.map(|line| format!("{line}\r\n")).collect()
}

/// `with` in the place of each `name`.
fn filled(text: &[u8], name: &[u8], with: &[u8]) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(name.len()).position(|it| it == name) {
        let (before, behind) = rest.split_at(at);
        filled.extend(before);
        filled.extend(with);
        rest = &behind[name.len()..];
    }
    filled.extend(rest);
    filled
}

/// Rings at the first line that is printed.
struct Bell(Arc<Notify>);

impl Write for Bell {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
