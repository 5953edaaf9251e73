//! 10,000 calls on 200 workers, of which one after the other is restarted: the course of events, from what was measured.
//!
//! A worker hears 50 seconds of audio in a second, whatever is in it. What a call that was taken over has missed and must
//! hear again is heard with what its new worker has to spare. NATS has no limit here; what it would have to bear is a table
//! of its own.

use std::fmt::Write as _;
use std::time::Instant;

use super::course::{Course, Disturbance, Outcome};
use super::figures::Figures;
use super::fleet::{CALL, CAPACITY, WORKERS};
use super::median::quantile;
use super::traffic::{self, Traffic};

const CALLS: [usize; 7] = [2_000, 4_000, 6_000, 8_000, 9_000, 9_500, 10_000];
const SCENARIOS: [(&str, Disturbance); 3] = [
    (
        "undisturbed",
        Disturbance {
            rolls: false,
            killed: 0,
        },
    ),
    (
        "rolling restart",
        Disturbance {
            rolls: true,
            killed: 0,
        },
    ),
    (
        "rolling restart, 1 % killed",
        Disturbance {
            rolls: true,
            killed: WORKERS / 100,
        },
    ),
];

/// Returns the figures as CSV.
pub fn run(figures: &Figures) -> String {
    println!(
        "\nsimulation: {WORKERS} workers that bear {CAPACITY} live calls each, calls of {CALL} s in the mean; lag: from audio to its text, over all seconds of all calls\n"
    );
    println!(
        "| | calls | of what the workers bear | lag p50 | p95 | p99 | p99.9 | max | unclaimed at most | longest without a worker | taken over | behind at most: half of them | p95 | claims tried for one | refused | lasts |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let begun = Instant::now();
    let mut csv = String::from(
        "scenario,calls,lag_p50_s,lag_p95_s,lag_p99_s,lag_p999_s,lag_max_s,unclaimed_most,longest_wait_s,taken_over,behind_p50_s,behind_p95_s,claims,refused_share,nats_1_replicas_mb_s,nats_3_replicas_mb_s\n",
    );
    for (name, disturbance) in SCENARIOS {
        for calls in CALLS {
            let outcome = Course::run(figures, calls, disturbance);
            print(name, calls, &outcome);
            let _ = writeln!(csv, "\"{name}\",{}", row(calls, &outcome, figures));
        }
    }
    traffic::print(&CALLS, figures);
    println!("\nsimulated in {:.0} s", begun.elapsed().as_secs_f64());
    csv
}

fn refused(outcome: &Outcome) -> f64 {
    outcome.refused as f64 / outcome.came.max(1) as f64
}

fn print(name: &str, calls: usize, outcome: &Outcome) {
    let [p50, p95, p99, p999] = quantiles(outcome);
    println!(
        "| {name} | {calls} | {:.0} % | {p50:.2} s | {p95:.2} s | {p99:.2} s | {p999:.2} s | {:.1} s | {} | {:.1} s | {} | {:.2} s | {:.2} s | {:.1} | {:.2} % | {:.0} min |",
        100.0 * calls as f64 / (WORKERS as f64 * CAPACITY),
        most(outcome),
        outcome.unclaimed_most,
        outcome.longest_wait,
        outcome.taken_over,
        worst(outcome, 0.5),
        worst(outcome, 0.95),
        outcome.claims as f64 / outcome.taken_over.max(1) as f64,
        100.0 * refused(outcome),
        outcome.seconds / 60.0,
    );
}

/// How far a call that was taken over was behind at most; 0 where none was.
fn worst(outcome: &Outcome, share: f64) -> f64 {
    let all = outcome.worst.iter().copied();
    quantile(all.chain(outcome.worst.is_empty().then_some(0.0)), share)
}

/// Between two looks it may have been more.
fn most(outcome: &Outcome) -> f64 {
    outcome.lags.most().max(worst(outcome, 1.0))
}

fn quantiles(outcome: &Outcome) -> [f64; 4] {
    [0.5, 0.95, 0.99, 0.999].map(|share| outcome.lags.quantile(share))
}

fn row(calls: usize, outcome: &Outcome, figures: &Figures) -> String {
    let [p50, p95, p99, p999] = quantiles(outcome);
    let traffic = Traffic::of(calls, figures);
    format!(
        "{calls},{p50:.3},{p95:.3},{p99:.3},{p999:.3},{:.3},{},{:.3},{},{:.3},{:.3},{},{:.5},{:.1},{:.1}",
        most(outcome),
        outcome.unclaimed_most,
        outcome.longest_wait,
        outcome.taken_over,
        worst(outcome, 0.5),
        worst(outcome, 0.95),
        outcome.claims,
        refused(outcome),
        traffic.all(1) / 1e6,
        traffic.all(3) / 1e6,
    )
}
