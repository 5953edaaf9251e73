//! How long a call waits for its next line when its worker is gone.

use std::time::{Duration, Instant};

use super::Failure;
use super::client::{Call, Told, recording, text};
use super::median::quantile;
use super::programs::{Nats, Program, Worker};

/// Without a pause; longer than what it takes to go on.
const RECORDING: &str = "fr-dense";
/// Behind so many lines the worker is killed, and a part of a second later, each round another part.
const LINES: usize = 4;
/// Beyond the lease, in s.
const AIM: f64 = 2.0;

/// What becomes of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

pub async fn run(rounds: usize) -> Result<(), Failure> {
    println!(
        "\nfailover: a call whose worker is gone in the middle of an utterance ({RECORDING}), while another waits; the limit is the lease, for one that is killed\n"
    );
    println!(
        "| the worker | lease | round | longest wait for a line | aim | heard again | told again or otherwise |\n|---|---|---|---|---|---|---|"
    );
    let audio = recording(RECORDING)?;
    let expected = {
        let (_server, port) = Program::server(&["--set", "pace=exact"])?;
        Call::begin(port, &audio).await?.end().await?.0
    };
    let first = expected.first().map_or_else(Instant::now, |line| line.when);
    let pause = longest_wait(first, &expected);
    println!("| none: one process, undisturbed | | | {pause:.2} s | | | |");
    let mut repeated = Vec::new();
    let mut different = 0;
    for (end, lease) in [(End::Killed, 6.0), (End::Killed, 2.0), (End::Stopped, 6.0)] {
        let nats = Nats::start()?;
        let (_gateway, port) = Program::gateway(&nats)?;
        let mut owner = Worker::start(&nats, lease)?;
        let mut times = Vec::new();
        for round in 0..rounds {
            let call = Call::begin(port, &audio).await?;
            let (wait, survivor, told) = disturbed(call, owner, &nats, lease, end, round).await?;
            let again = survivor.figure("repeated_seconds_total").await?;
            let same = text(&told) == text(&expected);
            different += usize::from(!same);
            let (name, aim) = match end {
                End::Killed => ("killed", lease + AIM),
                End::Stopped => ("stopped", AIM),
            };
            println!(
                "| {name} | {lease} s | {} | {wait:.2} s | {aim:.1} s | {again:.1} s | {} |",
                round + 1,
                if same { "nothing" } else { "yes" }
            );
            times.push(wait);
            if end == End::Killed {
                repeated.push(again);
            }
            owner = survivor;
        }
        let worst = quantile(times.iter().copied(), 1.0);
        println!("| at most | {lease} s | | {worst:.2} s | | | |");
    }
    let most = quantile(repeated, 1.0);
    println!("\naudio heard again by a survivor: {most:.1} s at most");
    if different > 0 {
        return Err(format!("{different} calls were told otherwise than undisturbed ones").into());
    }
    Ok(())
}

/// A call whose worker goes: seconds without a line, who has it then, and all lines.
async fn disturbed(
    mut call: Call,
    mut owner: Worker,
    nats: &Nats,
    lease: f64,
    end: End,
    round: usize,
) -> Result<(f64, Worker, Vec<Told>), Failure> {
    let survivor = Worker::start(nats, lease)?;
    let mut told = Vec::new();
    while told.len() < LINES {
        let line = call.next().await?;
        told.push(line.ok_or("the call was over too soon")?);
    }
    tokio::time::sleep(Duration::from_millis(170 * (round as u64 % 6))).await;
    let gone = Instant::now();
    match end {
        End::Killed => owner.program.kill(),
        End::Stopped => owner.program.stop()?,
    }
    let mut lines = Vec::new();
    while let Some(line) = call.next().await? {
        lines.push(line);
    }
    call.end().await?;
    let wait = longest_wait(gone, &lines);
    told.extend(lines);
    Ok((wait, survivor, told))
}

/// In s, from then on; the pauses of the recording itself are among them.
fn longest_wait(mut last: Instant, lines: &[Told]) -> f64 {
    let mut wait = Duration::ZERO;
    for line in lines {
        wait = wait.max(line.when.saturating_duration_since(last));
        last = last.max(line.when);
    }
    wait.as_secs_f64()
}
