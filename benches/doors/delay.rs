//! How much later text comes through a door.

use std::time::{Duration, Instant};

use doors::call::{self, Event, Setting, Wanted};

use super::Failure;
use super::clients::{Door, Told, audio, talk};
use super::server::Server;

const ROUNDS: usize = 3;

pub async fn run() -> Result<(), Failure> {
    doors::init()?;
    let (audio, server) = (audio("fr-accueil")?, Server::start(&[])?);
    println!(
        "\nFrom the end of the last word of a text, as its last sample is sent, to the text at the client; {ROUNDS} x 9 s at the pace of speech\n"
    );
    println!("| | p50 | p95 | texts |\n|---|---|---|---|");
    let mut all: Vec<(&str, Vec<Duration>)> = Vec::new();
    all.push(("no door", Vec::new()));
    all.extend(Door::ALL.map(|door| (door.name(), Vec::new())));
    // In turn, so that all see the same machine; the first round warms up.
    for round in 0..=ROUNDS {
        for (number, (_, lags)) in all.iter_mut().enumerate() {
            let begun = Instant::now();
            let told = match number
                .checked_sub(1)
                .and_then(|number| Door::ALL.get(number))
            {
                Some(door) => talk(&server, *door, 1, &audio, Some(begun)).await?,
                None => bare(&audio, begun).await?,
            };
            if round > 0 {
                lags.extend(
                    told.iter()
                        .map(|told| told.when.saturating_duration_since(begun + told.end)),
                );
            }
        }
    }
    for (name, lags) in &mut all {
        lags.sort();
        let at = |share: f64| {
            lags.get((lags.len() as f64 * share) as usize)
                .or(lags.last())
                .copied()
                .unwrap_or_default()
        };
        let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
        println!(
            "| {name} | {} | {} | {} |",
            ms(at(0.5)),
            ms(at(0.95)),
            lags.len()
        );
    }
    Ok(())
}

/// A call in this process.
async fn bare(audio: &[u8], begun: Instant) -> Result<Vec<Told>, Failure> {
    let wanted = Wanted {
        settings: vec![Setting::new("language", "fr")],
        ..Wanted::default()
    };
    let call = tokio::task::spawn_blocking(move || call::open(&wanted)).await??;
    let (mut feed, mut events) = (call.feed, call.events);
    let send = async move {
        for (number, piece) in audio.chunks(640).enumerate() {
            tokio::time::sleep_until(
                (begun + Duration::from_millis(20) * (number as u32 + 1)).into(),
            )
            .await;
            if feed.push(piece).await.is_err() {
                break;
            }
        }
        feed.end();
    };
    let read = async move {
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            if let Event::Words(words) = event {
                told.push(Told {
                    text: words.text,
                    end: words.span.end,
                    when: Instant::now(),
                });
            }
        }
        told
    };
    let ((), told) = tokio::join!(send, read);
    Ok(told)
}
