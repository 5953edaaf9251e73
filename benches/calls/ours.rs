//! Our element in as many pipelines as there are legs.

use crate::Row;
use crate::common::live::{self, Settings};
use crate::common::model::demo;
use crate::common::precision::Precision;
use crate::common::score::Score;
use crate::common::telephone;
use crate::search::Trial;

/// The reference's decisions, which know no gate; then our own, by precision and audio-ctx.
pub fn rows(precisions: &[Precision], seconds: f64, chunk: u32) -> Vec<Row> {
    let mut rows = vec![row(
        "ours, reference's decisions, f32",
        false,
        Precision::F32,
        vec![("compat", "simulstreaming".into())],
        seconds,
        chunk,
    )];
    for &precision in precisions {
        for context in ["exact", "auto"] {
            rows.push(row(
                &format!("ours, {precision}, audio-ctx {context}"),
                true,
                precision,
                vec![("audio-ctx", context.into()), ("unit", "word".into())],
                seconds,
                chunk,
            ));
        }
    }
    rows
}

fn row(
    name: &str,
    gated: bool,
    precision: Precision,
    mut settings: Settings,
    seconds: f64,
    chunk: u32,
) -> Row {
    settings.push(("precision", precision.name().into()));
    settings.push(("min-chunk-size", chunk.to_string()));
    let mut model = None;
    let run = move |legs| {
        // Loaded once for all trials.
        if model.is_none() {
            model = Some(demo(precision)?);
        }
        play(legs, &settings, seconds)
    };
    Row {
        name: name.into(),
        gated,
        run: Box::new(run),
    }
}

fn play(legs: usize, settings: &Settings, seconds: f64) -> Option<Trial> {
    let legs = telephone::legs(legs, seconds);
    let outcome = live::play(&legs, settings);
    for error in &outcome.errors {
        println!("    {error}");
    }
    let mut score = Score::default();
    for (leg, said) in legs.iter().zip(&outcome.said) {
        score.add(&leg.truth, said);
    }
    let cores = rayon::current_num_threads() as f64;
    Some(Trial {
        legs: legs.len(),
        score,
        cpu: outcome.cpu / outcome.wall / cores,
        memory: outcome.memory,
        degradations: outcome.degradations,
        whole: outcome.dropped == 0.0 && outcome.errors.is_empty(),
    })
}
