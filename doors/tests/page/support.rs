//! A server, clients of its socket, and what was spoken.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use doors::call::Setting;
use doors::exchange::{Exchange, Policy};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

pub struct Server {
    pub address: SocketAddr,
    pub exchange: Exchange,
}

/// The HTTP doors on a free port, in this process.
pub async fn server() -> Server {
    serve(Policy {
        settings: vec![Setting::new("language", "fr")],
        ..Policy::default()
    })
    .await
}

pub async fn serve(policy: Policy) -> Server {
    doors::init().unwrap();
    let exchange = Exchange::new(policy);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = doors::http::router(exchange.clone());
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Server { address, exchange }
}

impl Server {
    pub async fn connect(&self, query: &str) -> Client {
        let address = format!("ws://{}/ajax/audio?{query}", self.address);
        let (socket, _) = connect_async(address).await.unwrap();
        Client { socket }
    }

    /// Waits until no call is there.
    pub async fn is_empty(&self) {
        let empty = async {
            while !self.exchange.calls().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, empty)
            .await
            .expect("the call goes on");
    }
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket
            .send(Message::binary(bytes.to_vec()))
            .await
            .unwrap();
    }

    pub async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends pieces of these sizes, over and over, until all is sent, then `stop`; what comes meanwhile and then.
    pub async fn send_all(self, bytes: &[u8], sizes: &[usize]) -> Heard {
        let (mut to, mut from) = self.socket.split();
        let send = async move {
            let mut rest = bytes;
            for size in sizes.iter().cycle() {
                let (piece, behind) = rest.split_at((*size).min(rest.len()));
                if to.send(Message::binary(piece.to_vec())).await.is_err() {
                    return;
                }
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            let _ = to.send(Message::text("stop")).await;
        };
        let hear = async {
            let mut heard = Heard::default();
            while let Some(Ok(message)) = from.next().await {
                heard.take(message);
            }
            heard
        };
        let both = async { tokio::join!(send, hear).1 };
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("the server never closed")
    }

    /// All frames until the server closes.
    pub async fn hear_all(mut self) -> Heard {
        let hear = async {
            let mut heard = Heard::default();
            while let Some(Ok(message)) = self.socket.next().await {
                heard.take(message);
            }
            heard
        };
        tokio::time::timeout(PATIENCE, hear)
            .await
            .expect("the server never closed")
    }

    /// The next frame of this type.
    pub async fn until(&mut self, kind: &str) -> Value {
        let next = async {
            loop {
                let message = self
                    .socket
                    .next()
                    .await
                    .expect("the server closed")
                    .unwrap();
                if let Message::Text(text) = message {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] == kind {
                        return frame;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .expect("it never came")
    }
}

/// What a server told.
#[derive(Default, Debug)]
pub struct Heard {
    pub frames: Vec<Value>,
    /// Code of the closing frame.
    pub code: Option<u16>,
}

impl Heard {
    fn take(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.frames.push(serde_json::from_str(&text).unwrap()),
            Message::Close(Some(frame)) => self.code = Some(frame.code.into()),
            _ => {}
        }
    }

    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.frames
            .iter()
            .filter(|frame| frame["type"] == kind)
            .collect()
    }

    /// Decided words: text, start and end in seconds.
    pub fn words(&self) -> Vec<(String, f64, f64)> {
        let words = self.of("words");
        words
            .iter()
            .flat_map(|frame| frame["words"].as_array().unwrap())
            .map(word)
            .collect()
    }

    #[track_caller]
    pub fn error(&self) -> &str {
        let last = self.frames.last().expect("nothing was said");
        last["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{last} is no error"))
    }
}

fn word(word: &Value) -> (String, f64, f64) {
    (
        plain(word["text"].as_str().unwrap()),
        word["start"].as_f64().unwrap(),
        word["end"].as_f64().unwrap(),
    )
}

pub fn plain(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase()
}

pub fn audio(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/audio")
        .join(name)
}

/// What is spoken in a recording, and when.
pub fn spoken(name: &str) -> Vec<(String, f64, f64)> {
    let json = std::fs::read_to_string(audio(name).with_extension("json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    json["words"].as_array().unwrap().iter().map(word).collect()
}

/// Nine words of ten are the spoken ones, in order, and stand where they were spoken, `later` seconds on.
#[track_caller]
pub fn assert_heard(heard: &[(String, f64, f64)], spoken: &[(String, f64, f64)], later: f64) {
    let pairs = common(heard, spoken);
    assert!(
        pairs.len() * 10 >= spoken.len() * 9 && heard.len() <= spoken.len() + spoken.len() / 10,
        "heard {heard:?}\nspoken {spoken:?}"
    );
    for (is, was) in pairs {
        let off = (is.1 - was.1 - later).abs();
        assert!(
            off < 0.5,
            "{is:?} is {off:.2} s off {was:?}, {later} s later"
        );
    }
}

type Timed = (String, f64, f64);

/// The longest common subsequence.
fn common<'a>(a: &'a [Timed], b: &'a [Timed]) -> Vec<(&'a Timed, &'a Timed)> {
    let mut longest = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = match a[i].0 == b[j].0 {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        if a[i].0 == b[j].0 {
            pairs.push((&a[i], &b[j]));
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] >= longest[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}
