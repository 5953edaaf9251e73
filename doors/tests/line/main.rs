//! The line door, over real sockets, with the demo model.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod protocol;

use std::net::SocketAddr;
use std::time::Duration;

use doors::call::Setting;
use doors::exchange::{Exchange, Policy};
use doors::line::{self, Line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Server {
    address: SocketAddr,
    exchange: Exchange,
}

impl Server {
    async fn start(settings: &[(&str, &str)], line: Line) -> Server {
        let settings = settings
            .iter()
            .map(|(name, value)| Setting::new(*name, *value));
        Server::with(
            Policy {
                settings: std::iter::once(Setting::new("language", "fr"))
                    .chain(settings)
                    .collect(),
                ..Policy::default()
            },
            line,
        )
        .await
    }

    async fn with(policy: Policy, line: Line) -> Server {
        common::init();
        let exchange = Exchange::new(policy);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(line::serve(listener, exchange.clone(), line));
        Server { address, exchange }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends pieces, half-closes, and reads to the end.
    async fn told(&self, pieces: impl Iterator<Item = Vec<u8>> + Send) -> String {
        let mut socket = self.connect().await;
        let (mut from, mut to) = socket.split();
        let send = async {
            for piece in pieces {
                to.write_all(&piece).await.unwrap();
            }
            to.shutdown().await.unwrap();
        };
        let mut text = String::new();
        let read = async {
            tokio::time::timeout(PATIENCE, from.read_to_string(&mut text))
                .await
                .unwrap()
                .unwrap()
        };
        tokio::join!(send, read);
        text
    }

    async fn none_left(&self) {
        let gone = async {
            while !self.exchange.calls().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
    }
}

fn cut(audio: &[u8], size: usize) -> Vec<Vec<u8>> {
    audio.chunks(size).map(<[u8]>::to_vec).collect()
}

/// The words of the lines `start end text`, the times being checked: in order, within the recording.
fn words(lines: &str, seconds: f64) -> String {
    let mut before = 0.0;
    let texts = lines.lines().map(|line| {
        let (start, rest) = line.split_once(' ').unwrap();
        let (end, text) = rest.split_once(' ').unwrap();
        let (start, end): (f64, f64) = (start.parse().unwrap(), end.parse().unwrap());
        assert!(
            before <= start && start < end && end <= seconds * 1000.0 + 1.0,
            "{lines}"
        );
        before = start;
        text
    });
    common::plain(&texts.collect::<Vec<_>>().join(" "))
}
