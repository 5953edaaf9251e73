//! One number of calls, in a process of its own: what an earlier one has left in memory would count for nothing.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Curve;
use crate::common::live::{self, Settings};
use crate::common::model::demo;
use crate::common::score::Score;
use crate::common::telephone;
use crate::common::usage::own_memory;

/// A point of a curve.
#[derive(Serialize, Deserialize)]
pub struct Point {
    calls: usize,
    lag_p50: f64,
    lag_p95: f64,
    /// Percent.
    word_errors: f64,
    /// Of all cores.
    cpu_share: f64,
    /// Of one core.
    cpu_of_a_call: f64,
    /// MB.
    memory_of_a_call: f64,
    /// Seconds of audio.
    dropped: f64,
    /// Times that a stream was told to make do with less.
    degradations: u64,
}

impl Point {
    /// Starts this program anew for it.
    pub fn of_a_process(curve: usize, calls: usize, seconds: f64) -> Option<Point> {
        let program = std::env::current_exe().ok()?;
        let output = Command::new(program)
            .args(["--trial", &curve.to_string(), &calls.to_string()])
            .args(["--seconds", &seconds.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        serde_json::from_str(text.lines().last()?).ok()
    }

    pub fn print(&self, name: &str) {
        println!(
            "{name:20} {:>5} {:>7.2} s {:>7.2} s {:>6.1} % {:>6.0} % {:>8.1} % {:>11.1} MB {:>6.1} s {:>8}",
            self.calls,
            self.lag_p50,
            self.lag_p95,
            self.word_errors,
            100.0 * self.cpu_share,
            100.0 * self.cpu_of_a_call,
            self.memory_of_a_call,
            self.dropped,
            self.degradations,
        );
    }

    pub fn csv(&self) -> String {
        format!(
            "{},{:.3},{:.3},{:.2},{:.4},{:.4},{:.2},{:.2},{}",
            self.calls,
            self.lag_p50,
            self.lag_p95,
            self.word_errors,
            self.cpu_share,
            self.cpu_of_a_call,
            self.memory_of_a_call,
            self.dropped,
            self.degradations
        )
    }
}

pub fn play(curve: Curve, calls: usize, seconds: f64) -> Point {
    let settings: Settings = vec![
        ("precision", curve.precision.name().into()),
        ("audio-ctx", curve.audio_ctx.into()),
        ("unit", "word".into()),
    ];
    let _model = demo(curve.precision).expect("the demo model");
    let before = own_memory();
    let legs = telephone::legs(2 * calls, seconds);
    let outcome = live::play(&legs, &settings);
    for error in &outcome.errors {
        eprintln!("    {error}");
    }
    let mut score = Score::default();
    for (leg, said) in legs.iter().zip(&outcome.said) {
        score.add(&leg.truth, said);
    }
    let (lag_p50, lag_p95) = score.lag();
    let cpu = outcome.cpu / outcome.wall;
    Point {
        calls,
        lag_p50,
        lag_p95,
        word_errors: score.word_errors(),
        cpu_share: cpu / rayon::current_num_threads() as f64,
        cpu_of_a_call: cpu / calls as f64,
        memory_of_a_call: (outcome.memory - before) / calls as f64,
        dropped: outcome.dropped,
        degradations: outcome.degradations,
    }
}
