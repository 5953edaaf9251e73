// SPDX-License-Identifier: MPL-2.0

//! What the doors cost and bear, on the real server as a program of its own:
//!
//! - `churn`: a thousand clients that come and go; time of each, and what memory, threads and descriptors are left of them.
//! - `crowd`: fifty clients at once, ten of them hostile; the other forty must have every word.
//! - `delay`: from the end of a word, as its last sample is sent, to its text at the client, door by door, beside the element
//!   in a pipeline with no door.
//!
//!     cargo bench -p whisperstream-doors --bench doors -- [churn|crowd|delay]...

mod churn;
mod clients;
mod crowd;
mod delay;
mod server;

use std::error::Error;
use std::process::ExitCode;

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
    match run(wants).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
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
