//! So many legs at once through our element, in a process of its own: memory and measures that an earlier trial has left
//! behind would falsify the next.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::live;
use super::model::demo;
use super::precision::Precision;
use super::score::Score;
use super::telephone;
use super::usage::own_memory;

/// What is to be played.
#[derive(Clone, Serialize, Deserialize)]
pub struct Plan {
    pub precision: String,
    /// Further properties of the element.
    pub settings: Vec<(String, String)>,
    pub legs: usize,
    pub seconds: f64,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub struct Trial {
    pub legs: usize,
    pub words: usize,
    /// Word errors, percent.
    pub errors: f64,
    /// Median and 95th percentile, seconds.
    pub lag: (f64, f64),
    /// Cores in use.
    pub cores: f64,
    /// Of the process, MB; and by how much it has grown since the model was loaded.
    pub memory: f64,
    pub grown: f64,
    /// Seconds of audio that were not heard.
    pub dropped: f64,
    /// How often a stream was told to make do with less, of the stream told most often.
    pub degradations: u64,
    /// Nothing was dropped, refused or cut off.
    pub whole: bool,
}

impl Plan {
    /// Starts this program anew with `--trial` and the plan, which has it call [`Plan::play_and_tell`].
    pub fn in_a_process(&self) -> Option<Trial> {
        let output = Command::new(std::env::current_exe().ok()?)
            .arg("--trial")
            .arg(serde_json::to_string(self).ok()?)
            .stderr(Stdio::inherit())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        serde_json::from_str(text.lines().last()?).ok()
    }

    /// What a process does that was started for a trial.
    pub fn play_and_tell(plan: &str) {
        let plan: Plan = serde_json::from_str(plan).expect("a plan");
        println!("{}", serde_json::to_string(&plan.play()).expect("figures"));
    }

    fn play(&self) -> Trial {
        let precision = Precision::named(&self.precision).expect("a precision");
        let mut settings = self.settings.clone();
        settings.push(("precision".into(), self.precision.clone()));
        live::init();
        let _model = demo(precision).expect("the demo model");
        let before = own_memory();
        let legs = telephone::legs(self.legs, self.seconds);
        let outcome = live::play(&legs, &settings);
        for error in &outcome.errors {
            eprintln!("    {error}");
        }
        let mut score = Score::default();
        for (leg, said) in legs.iter().zip(&outcome.said) {
            score.add(&leg.truth, said);
        }
        Trial {
            legs: legs.len(),
            words: score.words,
            errors: score.word_errors(),
            lag: score.lag(),
            cores: outcome.cpu / outcome.wall,
            memory: outcome.memory,
            grown: outcome.memory - before,
            dropped: outcome.dropped,
            degradations: outcome.degradations,
            whole: outcome.dropped == 0.0 && outcome.errors.is_empty(),
        }
    }
}
