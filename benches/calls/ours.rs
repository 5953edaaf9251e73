//! Our element in as many pipelines as there are legs.

use crate::Row;
use crate::common::precision::Precision;
use crate::common::trial::Plan;

/// The reference's decisions, which know no gate; then our own, by precision and audio-ctx.
pub fn rows(precisions: &[Precision], seconds: f64, chunk: u32) -> Vec<Row> {
    let row = |name: String, gated, precision: Precision, settings: &[(&str, &str)]| {
        let mut plan = Plan {
            precision: precision.name().into(),
            settings: vec![("min-chunk-size".into(), chunk.to_string())],
            legs: 0,
            seconds,
        };
        let further = settings.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        plan.settings.extend(further);
        Row {
            name,
            gated,
            run: Box::new(move |legs| {
                plan.legs = legs;
                plan.in_a_process()
            }),
        }
    };
    let mut rows = vec![row(
        "ours, reference's decisions, f32".into(),
        false,
        Precision::F32,
        &[("compat", "simulstreaming")],
    )];
    for &precision in precisions {
        for context in ["exact", "auto"] {
            rows.push(row(
                format!("ours, {precision}, audio-ctx {context}"),
                true,
                precision,
                &[("audio-ctx", context), ("unit", "word")],
            ));
        }
    }
    rows
}
