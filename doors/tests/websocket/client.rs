//! A client as others write them, and a server for it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use doors::exchange::{Exchange, Policy};
use doors::{http, websocket};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// For whatever must come; a slow machine is no failure.
pub const SOON: Duration = Duration::from_secs(120);

pub struct Server {
    pub at: SocketAddr,
    pub exchange: Exchange,
}

pub async fn server() -> Server {
    server_with(Policy::default()).await
}

pub async fn server_with(policy: Policy) -> Server {
    crate::common::init();
    let exchange = Exchange::new(policy);
    let routes = websocket::router(exchange.clone());
    Server {
        at: serve(routes).await,
        exchange,
    }
}

pub async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(http::serve(listener, routes));
    at
}

#[derive(Debug)]
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Server {
    /// Connects and reads `ready`.
    pub async fn client(&self, query: &str) -> Client {
        let mut client = self.connect(query).await;
        let ready = client.next().await;
        assert_eq!(ready["type"], "ready", "{ready}");
        client
    }

    pub async fn connect(&self, query: &str) -> Client {
        let (socket, _) = connect_async(format!("ws://{}/{query}", self.at))
            .await
            .expect("the door opens");
        Client { socket }
    }

    /// All calls are over.
    pub async fn is_empty(&self) {
        let empty = async {
            while !self.exchange.calls().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, empty).await.expect("calls end");
    }
}

impl Client {
    pub async fn send(&mut self, message: impl Into<Message>) {
        self.socket.send(message.into()).await.expect("it is taken");
    }

    pub async fn text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Audio in messages of `size` bytes.
    pub async fn audio(&mut self, audio: &[u8], size: usize) {
        for piece in audio.chunks(size) {
            self.send(Message::binary(piece.to_vec())).await;
        }
    }

    /// The next text message or close frame (`{"type":"close","code":...}`).
    pub async fn next(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(SOON, self.socket.next()).await;
            match next.expect("something is said") {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("JSON");
                }
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.expect("a reason");
                    let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
                    return serde_json::json!({"type": "close", "code": code, "reason": reason});
                }
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) | None => {
                    return serde_json::json!({"type": "gone"});
                }
                Some(Err(err)) => panic!("{err}"),
            }
        }
    }

    /// All up to and with a message of this type.
    pub async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let next = self.next().await;
            let is_it = next["type"] == kind;
            assert!(is_it || next["type"] != "gone", "no {kind} came: {all:?}");
            all.push(next);
            if is_it {
                return all;
            }
        }
    }
}

/// Messages of a type.
pub fn of<'a>(kind: &str, said: &'a [Value]) -> Vec<&'a Value> {
    said.iter().filter(|said| said["type"] == kind).collect()
}

/// What finals say, of a leg or of all.
pub fn text(said: &[Value], leg: Option<&str>) -> String {
    let finals = of("final", said).into_iter();
    let texts = finals
        .filter(|said| leg.is_none() || said["leg"].as_str() == leg)
        .map(|said| said["text"].as_str().unwrap());
    crate::common::plain(&texts.collect::<Vec<_>>().join(" "))
}
