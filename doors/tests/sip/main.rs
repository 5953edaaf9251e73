#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

//! Calls by SIP, from real peers: sipp with scenarios of all kinds, and the phone baresip.

mod calls;
mod phone;
#[path = "../common/printed.rs"]
mod printed;
mod recording;
mod refusals;
mod scenario;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use doors::call::Setting;
use doors::exchange::{Exchange, Policy};
use doors::tap::sip::{self, Listen, PortRange, SipOptions};
use printed::Printed;
use scenario::Scenario;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A tap that takes calls, in this process.
struct Tap {
    port: u16,
    /// Its first port for RTP.
    rtp: u16,
    exchange: Exchange,
    printed: Printed,
    end: CancellationToken,
    served: JoinHandle<()>,
}

/// A port that is free for UDP and TCP, and so are the few behind it.
fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port() & !1;
        let is_free = |port: u16| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
        };
        drop(socket);
        if port < 65_000 && (port..port + 8).all(is_free) {
            return port;
        }
    }
}

impl Tap {
    async fn start(change: impl FnOnce(&mut SipOptions)) -> Tap {
        doors::init().unwrap();
        let (port, rtp) = (free_port(), free_port());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listen = |is_tcp| Listen { is_tcp, address };
        let mut options = SipOptions {
            listen: vec![listen(false), listen(true)],
            address: None,
            rtp_ports: PortRange {
                first: rtp,
                last: rtp + 7,
            },
            answer_after: 0.0,
            max_calls: 0,
            timeout: 60.0,
            longest: 300.0,
            latency: 200,
        };
        change(&mut options);
        let exchange = Exchange::new(Policy {
            settings: vec![Setting::new("language", "fr")],
            max_calls: options.max_calls,
            ..Policy::default()
        });
        let printed = Printed::default();
        let end = CancellationToken::new();
        let (calls, stop) = (exchange.clone(), end.clone());
        let printer = printed.json();
        let served = tokio::spawn(async move {
            sip::serve(options, calls, printer, stop).await.unwrap();
        });
        let tap = Tap {
            port,
            rtp,
            exchange,
            printed,
            end,
            served,
        };
        tap.until("the doors", |tap| tap.of_type("listening").len() == 2)
            .await;
        tap
    }

    fn text(&self) -> String {
        self.printed.text()
    }

    fn of_type(&self, kind: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["type"] == kind).collect()
    }

    /// Decided words: text and start, of one leg or of all.
    fn words(&self, leg: Option<&str>) -> Vec<(String, f64)> {
        let mut words = Vec::new();
        for line in self.of_type("words") {
            if leg.is_none_or(|leg| line["leg"] == leg) {
                for word in line["words"].as_array().unwrap() {
                    let kept = |c: &char| c.is_alphanumeric() || "'-".contains(*c);
                    let text = word["text"].as_str().unwrap().to_lowercase();
                    let text = text.chars().filter(kept).collect();
                    words.push((text, word["start"].as_f64().unwrap()));
                }
            }
        }
        words
    }

    /// When a word was said, the first time.
    fn when(&self, word: &str) -> f64 {
        let words = self.words(None);
        let said = words.iter().find(|(text, _)| text == word);
        said.unwrap_or_else(|| panic!("nobody said {word:?}: {words:?}"))
            .1
    }

    async fn until(&self, what: &str, is: impl Fn(&Tap) -> bool) {
        for _ in 0..600 {
            if is(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what} did not come: {}", self.text());
    }

    /// All calls are over and told.
    async fn over(&self, calls: usize) {
        self.until("the end", |tap| {
            tap.of_type("ended").len() == calls && tap.exchange.calls().is_empty()
        })
        .await;
    }

    async fn stop(self) {
        self.end.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.served)
            .await
            .expect("the tap ends")
            .unwrap();
    }

    /// Lets sipp play a scenario once, over UDP.
    async fn sipp(&self, scenario: Scenario) {
        self.sipp_over("u1", scenario).await;
    }

    async fn sipp_over(&self, transport: &'static str, scenario: Scenario) {
        let output = self.sipp_output(transport, scenario).await;
        assert!(
            output.status.success(),
            "sipp: {}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.text()
        );
    }

    async fn sipp_output(&self, transport: &'static str, scenario: Scenario) -> Output {
        let to = format!("127.0.0.1:{}", self.port);
        tokio::task::spawn_blocking(move || {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("scenario.xml");
            std::fs::write(&file, scenario.xml()).unwrap();
            let local = free_port().to_string();
            let media = free_port().to_string();
            Command::new("sipp")
                .current_dir(folder.path())
                .arg(&to)
                .arg("-sf")
                .arg(&file)
                .args(["-m", "1", "-i", "127.0.0.1", "-p", &local, "-t", transport])
                .args(["-mp", &media, "-nostdin"])
                .args(["-timeout", "90", "-timeout_error", "-recv_timeout", "60000"])
                .args(["-trace_err", "-error_file", "/dev/stderr"])
                .output()
                .expect("sipp is there: scripts/setup test installs it (Debian's sip-tester)")
        })
        .await
        .unwrap()
    }
}

/// A file of tests/audio.
fn audio(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("tests/audio").join(format!("{name}.wav"))
}

/// Within a third of a second beyond what setting up a call takes.
fn assert_near(time: f64, expected: f64) {
    assert!((time - expected).abs() < 0.5, "{time} s, not {expected} s");
}
