//! Fifty at once, ten of them hostile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// What every client should be told, door by door.
type Expected = Vec<(Door, String)>;

pub async fn run() -> Result<(), Failure> {
    // In exact pace what is said does not depend on the load, so each can be held to what one hears alone.
    let server = Server::start(&["--set", "pace=exact", "--max-calls-per-peer", "4"])?;
    let server = Arc::new(server);
    let audio = Arc::new(audio("fr-accueil")?);
    let mut expected = Expected::new();
    for door in Door::ALL {
        let told = talk(&server, door, 1, &audio, None).await?;
        expected.push((door, words(&told)));
    }
    // By themselves first: that is the level to which all is to return, and the pace to compare with.
    let (_, alone) = honest(&server, &audio, &expected).await;
    let (_, before) = (settle(&server).await?, server.holds()?);
    let connects = Arc::new(AtomicUsize::new(0));
    let hostile: Vec<_> = (0..HOSTILE)
        .map(|number| {
            let (server, audio, connects) = (server.clone(), audio.clone(), connects.clone());
            tokio::spawn(trouble(server, number, audio, connects))
        })
        .collect();
    let (heard, beside) = honest(&server, &audio, &expected).await;
    let during = server.holds()?;
    for task in hostile {
        task.abort();
    }
    let gone = settle(&server).await?;
    let after = server.holds()?;
    let seconds = audio.len() as f64 / 32_000.0 * f64::from(HONEST);
    println!(
        "\n{HONEST} clients with {seconds:.0} s of speech in all, and {HOSTILE} hostile ones, at once\n"
    );
    println!(
        "- with every word: {heard} of {HONEST}, in {:.1} s ({:.1} s without the hostile ones)",
        beside.as_secs_f64(),
        alone.as_secs_f64()
    );
    println!(
        "- connections of the hostile ones: {}; their last call was over {:.1} s behind them",
        connects.load(Ordering::Relaxed),
        gone.as_secs_f64()
    );
    println!("- the server before: {before}\n- during: {during}\n- after: {after}");
    Ok(())
}

/// How many of the honest ones are told every word, and how long it takes.
async fn honest(
    server: &Arc<Server>,
    audio: &Arc<Vec<u8>>,
    expected: &Expected,
) -> (usize, Duration) {
    let begun = Instant::now();
    let all = (1..=HONEST)
        .zip(expected.iter().cycle())
        .map(|(host, (door, expected))| {
            let (server, audio, door) = (server.clone(), audio.clone(), *door);
            let told = tokio::spawn(async move { talk(&server, door, host, &audio, None).await });
            async move {
                let told = told.await;
                matches!(told, Ok(Ok(told)) if words(&told) == *expected && !expected.is_empty())
            }
        });
    let whole = join_all(all).await;
    (
        whole.iter().filter(|whole| **whole).count(),
        begun.elapsed(),
    )
}

/// Waits until the last call is gone, which it returns the time of, and its threads behind it: idle ones stay for 10 s.
async fn settle(server: &Server) -> Result<Duration, Failure> {
    let begun = Instant::now();
    while server.calls().await? > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let gone = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(15)).await;
    Ok(gone)
}

/// Two each: never reads, garbage again and again, a byte at a time, gone in mid-word again and again, half-open.
async fn trouble(
    server: Arc<Server>,
    number: u8,
    audio: Arc<Vec<u8>>,
    connects: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    let door = if number.is_multiple_of(2) {
        "line"
    } else {
        "websocket"
    };
    let port = server.port(door)?;
    let upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    loop {
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
}
