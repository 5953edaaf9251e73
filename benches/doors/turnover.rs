//! Calls that come and go, as on an exchange: so many lines, each with one call after the other at the pace of speech. What a
//! call is told must be what one hears alone; memory, threads and descriptors must not grow with the calls that were.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Failure;
use super::clients::{Door, audio, talk, words};
use super::server::{Holdings, Server};

/// What is said in a call.
const SAID: [&str; 3] = ["fr-court", "fr-accueil", "fr-numero"];
/// Figures that a run is judged by.
const WINDOWS: u32 = 12;
/// Of memory, from the first third of a run to its last.
const GROWTH: f64 = 0.02;
/// Calls of a hundred that may be told something else: chunks follow the clock there.
const DIFFERENT: f64 = 0.02;

/// `lines` at a time, for this long.
pub async fn run(lines: usize, time: Duration) -> Result<(), Failure> {
    let settings = ["precision=int8", "audio-ctx=auto", "min-chunk-size=1000"];
    let args: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
    let server = Arc::new(Server::start(&args)?);
    let mut texts = Vec::new();
    for name in SAID {
        let audio = Arc::new(audio(name)?);
        let alone = words(&talk(&server, Door::Line, 1, &audio, None).await?);
        texts.push((audio, alone));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = server.holds()?;
    println!("\n{lines} lines for {time:?}; the server before: {before}\n");
    println!(
        "| minute | calls so far | told otherwise | refused or broken | the server |\n|---|---|---|---|---|"
    );

    let begun = Instant::now();
    let count = Arc::new(Count::default());
    let texts = Arc::new(texts);
    let tasks: Vec<_> = (0..lines)
        .map(|number| {
            let (server, texts, count) =
                (Arc::clone(&server), Arc::clone(&texts), Arc::clone(&count));
            tokio::spawn(async move { line(number, &server, &texts, begun + time, &count).await })
        })
        .collect();
    let mut held: Vec<Holdings> = Vec::new();
    for window in 1..=WINDOWS {
        let until = begun + time * window / WINDOWS;
        tokio::time::sleep_until(until.into()).await;
        let now = server.holds()?;
        held.push(now);
        let minute = begun.elapsed().as_secs_f64() / 60.0;
        println!("| {minute:.1} | {count} | {now} |");
    }
    for task in tasks {
        task.await?;
    }
    while server.calls().await? > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Pipelines are taken down behind the calls.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = server.holds()?;
    println!("\nafter the last call: {count} | {after}");
    judge(&held, before, after, &count)
}

/// What became of the calls.
#[derive(Default)]
struct Count {
    calls: AtomicUsize,
    different: AtomicUsize,
    broken: AtomicUsize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (calls, different, broken) = (of(&self.calls), of(&self.different), of(&self.broken));
        write!(to, "{calls} | {different} | {broken}")
    }
}

/// One call after the other, a pause between them, until the time is up.
async fn line(
    number: usize,
    server: &Server,
    texts: &[(Arc<Vec<u8>>, String)],
    until: Instant,
    count: &Count,
) {
    // The longest calls are of two minutes and a half, and there are some in any run.
    let shortest = ((until - Instant::now()).as_secs() / 60).clamp(20, 60);
    // No two lines are in step.
    tokio::time::sleep(Duration::from_millis(number as u64 * 977 % 20_000)).await;
    for call in number.. {
        let Some((audio, expected)) = texts.get(call % texts.len()) else {
            return;
        };
        let lasts = Duration::from_secs(shortest + call as u64 * 13 % (shortest * 3 / 2));
        if Instant::now() + lasts > until {
            return;
        }
        let door = if call % 2 == 0 {
            Door::Line
        } else {
            Door::WebSocket
        };
        // Speech first, then somebody who only listens.
        let mut audio = audio.to_vec();
        audio.resize(lasts.as_secs() as usize * 32_000, 0);
        let host = (number % 200) as u8 + 1;
        let told = talk(server, door, host, &audio, Some(Instant::now())).await;
        count.calls.fetch_add(1, Ordering::Relaxed);
        match told {
            Ok(told) if words(&told) == *expected => {}
            Ok(_) => _ = count.different.fetch_add(1, Ordering::Relaxed),
            Err(_) => _ = count.broken.fetch_add(1, Ordering::Relaxed),
        }
        tokio::time::sleep(Duration::from_secs(1 + call as u64 % 5)).await;
    }
}

fn judge(
    held: &[Holdings],
    before: Holdings,
    after: Holdings,
    count: &Count,
) -> Result<(), Failure> {
    let third = held.len() / 3;
    let mean = |held: &[Holdings]| {
        held.iter().map(|held| held.memory).sum::<f64>() / held.len().max(1) as f64
    };
    // The first windows fill the lines.
    let (early, late) = (
        mean(held.get(third..2 * third).unwrap_or_default()),
        mean(held.get(2 * third..).unwrap_or_default()),
    );
    println!("memory {early:.1} MB in the second third of the run, {late:.1} MB in the last");
    let calls = count.calls.load(Ordering::Relaxed);
    let different = count.different.load(Ordering::Relaxed);
    if calls == 0 || count.broken.load(Ordering::Relaxed) > 0 {
        return Err("calls were refused or broke off, or there were none".into());
    }
    if different as f64 > DIFFERENT * calls as f64 {
        return Err(format!("{different} of {calls} calls were told otherwise").into());
    }
    if late > early * (1.0 + GROWTH) {
        return Err(format!("memory grew from {early:.1} to {late:.1} MB").into());
    }
    if after.threads > before.threads + 2 || after.descriptors > before.descriptors + 2 {
        return Err(format!("of {before} became {after}").into());
    }
    Ok(())
}
