//! A thousand clients that come and go.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::Failure;
use super::clients::{audio, read_away};
use super::server::Server;

const CLIENTS: usize = 1_000;

pub async fn run() -> Result<(), Failure> {
    println!("\n{CLIENTS} clients that come, send 100 ms, and go, one after the other\n");
    println!("| door | a client takes (mean) | before | after |\n|---|---|---|---|");
    let piece: Vec<u8> = audio("fr-accueil")?.into_iter().take(3_200).collect();
    for door in ["line", "websocket"] {
        let server = Server::start(&[])?;
        // What the first ones bring is there to stay: arenas, threads of the pool.
        for _ in 0..50 {
            client(&server, door, &piece).await?;
        }
        settle().await;
        let (before, begun) = (server.holds()?, Instant::now());
        for _ in 0..CLIENTS {
            client(&server, door, &piece).await?;
        }
        let took = begun.elapsed() / CLIENTS as u32;
        settle().await;
        println!(
            "| {door} | {:.1} ms | {before} | {} |",
            took.as_secs_f64() * 1e3,
            server.holds()?
        );
    }
    Ok(())
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

async fn client(server: &Server, door: &str, piece: &[u8]) -> Result<(), Failure> {
    if door == "line" {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port("line")?)).await?;
        socket.write_all(piece).await?;
        socket.shutdown().await?;
        read_away(socket).await;
    } else {
        let (mut socket, _) =
            connect_async(format!("ws://127.0.0.1:{}/", server.port("websocket")?)).await?;
        socket.send(Message::binary(piece.to_vec())).await?;
        socket.send(Message::text(r#"{"type":"end"}"#)).await?;
        while let Some(Ok(_)) = socket.next().await {}
    }
    Ok(())
}
