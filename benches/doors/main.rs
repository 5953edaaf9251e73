// SPDX-License-Identifier: MPL-2.0

//! What the doors cost and bear, on the real server as a program of its own:
//!
//! - `churn`: a thousand clients that come and go; time of each, and what memory, threads and descriptors are left of them.
//! - `crowd`: fifty clients at once, ten of them hostile; the other forty must have every word.
//! - `delay`: from the end of a word, as its last sample is sent, to its text at the client, door by door, beside the element
//!   in a pipeline with no door.
//!
//! - `turnover`: 200 calls at a time that come and go for an hour (`turnover=20:1`: 20 for a minute). Only where it is asked for.
//!
//!     cargo bench -p whisperstream-doors --bench doors -- [churn|crowd|delay|turnover[=LINES:MINUTES]]...

mod churn;
mod clients;
mod crowd;
mod delay;
mod server;
mod turnover;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// What went wrong, in a sentence.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo says --bench.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|arg| arg == name);
    let result = match asked.iter().find_map(|arg| turnover_of(arg)) {
        Some((lines, minutes)) => {
            turnover::run(lines, Duration::from_secs_f64(60.0 * minutes)).await
        }
        None => run(wants).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
}

/// Lines at a time, and minutes.
fn turnover_of(arg: &str) -> Option<(usize, f64)> {
    let sizes = arg.strip_prefix("turnover")?;
    let sizes = sizes.strip_prefix('=').and_then(|sizes| {
        let (lines, minutes) = sizes.split_once(':')?;
        Some((lines.parse().ok()?, minutes.parse().ok()?))
    });
    Some(sizes.unwrap_or((200, 60.0)))
}

async fn run(wants: impl Fn(&str) -> bool) -> Result<(), Failure> {
    if wants("churn") {
        churn::run().await?;
    }
    if wants("crowd") {
        crowd::run().await?;
    }
    if wants("delay") {
        delay::run().await?;
    }
    Ok(())
}
