//! How the figures are laid out.

use crate::common::precision::Precision;

/// Steps of a whole pass: two or three tokens are decided in half a second of speech, one more is dropped.
pub const PASS_STEPS: f64 = 4.0;

pub struct Line<'a> {
    pub model: &'a str,
    pub what: &'a str,
    pub ours: f64,
    /// CTranslate2's and PyTorch's; NaN where there is none.
    pub theirs: [f64; 2],
    /// What the machine would take at best.
    pub limit: Option<f64>,
}

pub fn head(precision: Precision) {
    println!(
        "\n{precision:6} {:8} {:>9} {:>12} {:>6} {:>9} {:>6} {:>9} {:>10}",
        "", "ours", "CTranslate2", "ratio", "PyTorch", "ratio", "limit", "reached"
    );
}

impl Line<'_> {
    pub fn print(&self) {
        let [ctranslate2, pytorch] = self.theirs;
        let ms = |value: f64| match value.is_nan() {
            true => "-".to_owned(),
            false => format!("{value:.2}"),
        };
        let ratio = |theirs: f64| ms(self.ours / theirs);
        let (limit, reached) = match self.limit {
            Some(limit) => (ms(limit), format!("{:.0} %", 100.0 * limit / self.ours)),
            None => Default::default(),
        };
        println!(
            "{:6} {:8} {:>9} {:>12} {:>6} {:>9} {:>6} {limit:>9} {reached:>10}",
            self.model,
            self.what,
            ms(self.ours),
            ms(ctranslate2),
            ratio(ctranslate2),
            ms(pytorch),
            ratio(pytorch),
        );
    }
}
