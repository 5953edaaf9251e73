//! Fifty at once, ten of them hostile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::io::AsyncWriteExt;

use super::Failure;
use super::clients::{Door, audio, connect, talk, words};
use super::server::Server;

const HONEST: u8 = 40;
const HOSTILE: u8 = 10;
/// The first of the hostile ones' hosts.
const STRANGERS: u8 = 200;

pub async fn run() -> Result<(), Failure> {
    // In exact pace what is said does not depend on the load, so each can be held to what one hears alone.
    let server = Server::start(&["--set", "pace=exact", "--max-calls-per-peer", "4"])?;
    let server = Arc::new(server);
    let audio = Arc::new(audio("fr-accueil")?);
    let mut alone = Vec::new();
    for door in Door::ALL {
        alone.push((door, words(&talk(&server, door, 1, &audio, None).await?)));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = server.holds()?;
    let over = Arc::new(AtomicBool::new(false));
    let connects = Arc::new(AtomicUsize::new(0));
    let hostile: Vec<_> = (0..HOSTILE)
        .map(|number| {
            tokio::spawn(trouble(
                Arc::clone(&server),
                number,
                Arc::clone(&audio),
                Arc::clone(&over),
                Arc::clone(&connects),
            ))
        })
        .collect();
    let begun = Instant::now();
    let honest = (0..HONEST).map(|number| {
        let (server, audio) = (Arc::clone(&server), Arc::clone(&audio));
        let (door, expected) = alone
            .get(usize::from(number) % alone.len())
            .cloned()
            .unwrap_or((Door::Line, String::new()));
        async move {
            let told =
                tokio::spawn(async move { talk(&server, door, number + 1, &audio, None).await })
                    .await;
            matches!(told, Ok(Ok(told)) if words(&told) == expected && !expected.is_empty())
        }
    });
    let heard = join_all(honest)
        .await
        .into_iter()
        .filter(|whole| *whole)
        .count();
    let took = begun.elapsed();
    let during = server.holds()?;
    over.store(true, Ordering::Relaxed);
    for task in hostile {
        task.abort();
    }
    let begun = Instant::now();
    while server.calls().await? > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let gone = begun.elapsed();
    // Pipelines are taken down behind the calls.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seconds = audio.len() as f64 / 32_000.0 * f64::from(HONEST);
    println!(
        "\n{HONEST} clients with {seconds:.0} s of speech in all, and {HOSTILE} hostile ones, at once\n"
    );
    println!(
        "- with every word: {heard} of {HONEST}, in {:.1} s",
        took.as_secs_f64()
    );
    println!(
        "- connections of the hostile ones: {}; the last of their calls was over {:.1} s after them",
        connects.load(Ordering::Relaxed),
        gone.as_secs_f64()
    );
    println!(
        "- the server before: {before}\n- during: {during}\n- after: {}",
        server.holds()?
    );
    Ok(())
}

/// Two each: never reads, garbage again and again, a byte at a time, gone in mid-word again and again, half-open.
async fn trouble(
    server: Arc<Server>,
    number: u8,
    audio: Arc<Vec<u8>>,
    over: Arc<AtomicBool>,
    connects: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    let door = if number.is_multiple_of(2) {
        "line"
    } else {
        "websocket"
    };
    let port = server.port(door)?;
    let upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    while !over.load(Ordering::Relaxed) {
        let mut socket = connect(STRANGERS + number, port).await?;
        connects.fetch_add(1, Ordering::Relaxed);
        if door == "websocket" {
            let _ = socket.write_all(upgrade).await;
        }
        // What fails here is what was meant to.
        match number / 2 {
            0 => while socket.write_all(&audio).await.is_ok() {},
            1 => {
                let garbage: Vec<u8> = (0..100_000u32)
                    .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
                    .collect();
                let _ = socket.write_all(&garbage).await;
            }
            2 => {
                for byte in audio.iter() {
                    if socket.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            3 => {
                let _ = socket.write_all(audio.get(..20_001).unwrap_or(&[])).await;
                drop(socket);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            _ => tokio::time::sleep(Duration::from_secs(600)).await,
        }
    }
    Ok(())
}
