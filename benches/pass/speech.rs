//! The demo model on real calls: what the passes that the policy runs cost, silence and all.

use gstwhisperstream::policy::AudioCtx;
use gstwhisperstream::whisper::ModelSource;

use crate::common::model;
use crate::common::precision::Precision;
use crate::common::score::Score;
use crate::common::telephone::legs;
use crate::common::trace::{Decisions, trace};

/// Two calls, one a language.
const LEGS: usize = 4;
const SECONDS: f64 = 30.0;

pub fn report(precisions: &[Precision]) {
    println!(
        "\nthe demo model on {LEGS} legs of telephone calls, {SECONDS} s each, about half of it silence; a second: of the leg"
    );
    println!(
        "{:5} {:9} {:>6} {:>7} {:>8} {:>10} {:>9} {:>12}",
        "", "audio-ctx", "chunk", "passes", "steps", "pass ms", "a second", "word errors"
    );
    let legs = legs(LEGS, SECONDS);
    for &precision in precisions {
        let model = match model::load(&ModelSource::Demo, precision) {
            Ok(model) => model,
            Err(error) => {
                println!("{precision:5} {error}");
                continue;
            }
        };
        let contexts = [("exact", AudioCtx::Exact), ("auto", AudioCtx::Auto)];
        for ((name, context), chunk_ms) in contexts.into_iter().flat_map(|c| [(c, 500), (c, 1000)])
        {
            let (mut score, mut passes, mut steps, mut took) = (Score::default(), 0, 0, 0.0);
            for leg in &legs {
                let chunks = trace(&model, leg, chunk_ms, Decisions::Ours(context));
                let said: Vec<_> = chunks.iter().flat_map(|c| c.said.iter().cloned()).collect();
                score.add(&leg.truth, &said);
                for ran in chunks.iter().filter_map(|c| c.pass) {
                    passes += 1;
                    steps += ran.steps;
                    took += ran.took;
                }
            }
            println!(
                "{precision:5} {name:9} {:>4} s {passes:>7} {:>8.1} {:>10.1} {:>9.1} {:>10.1} %",
                chunk_ms as f64 / 1e3,
                steps as f64 / f64::from(passes.max(1)),
                1e3 * took / f64::from(passes.max(1)),
                1e3 * took / (SECONDS * LEGS as f64),
                score.word_errors(),
            );
        }
    }
}
