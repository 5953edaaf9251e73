//! Right and wrong, beside Asterisk's rules.

use std::collections::BTreeMap;
use std::time::Duration;

use gstwhisperstream::speech::answer::{
    Cadence, CadenceSettings, FRAME, SILENCE_THRESHOLD, Status, is_voice,
};

use super::TAIL;
use super::calls::{Call, Class, Part, Placed};
use super::play::Played;
use super::sounds::RATE;

/// A call and what each made of it.
pub struct Scored {
    pub call: Call,
    pub ours: Played,
    /// With the words as written.
    pub written: Played,
    /// Asterisk's verdict and the seconds it took.
    pub asterisk: (&'static str, f64),
    /// When the beep of the script begins, seconds.
    pub beep: Option<f64>,
    /// When the last word of the script is over, seconds.
    pub said: Option<f64>,
}

impl Scored {
    pub fn new(
        call: Call,
        samples: &[i16],
        ours: Played,
        written: Played,
        placed: &[Placed],
    ) -> Scored {
        let beep = placed.iter().find(|p| matches!(p.part, Part::Beep(..)));
        let said = placed.iter().rfind(|p| matches!(p.part, Part::Say(_)));
        Scored {
            beep: beep.map(|p| p.start as f64 / f64::from(RATE)),
            said: said.map(|p| p.end as f64 / f64::from(RATE) - TAIL),
            asterisk: asterisk(samples),
            call,
            ours,
            written,
        }
    }
}

/// `app_amd` with its defaults on frames of 20 ms.
pub fn asterisk(samples: &[i16]) -> (&'static str, f64) {
    let mut cadence = Cadence::new(CadenceSettings::default());
    let frame = FRAME.as_millis() as usize * RATE as usize / 1000;
    let mut heard = Duration::ZERO;
    for frame in samples.chunks_exact(frame) {
        heard += FRAME;
        if let Some((status, _)) = cadence.frame(is_voice(frame, SILENCE_THRESHOLD), FRAME) {
            let verdict = match status {
                Status::Human => "human",
                Status::Machine => "machine",
                Status::NotSure => "unknown",
            };
            return (verdict, heard.as_secs_f64());
        }
    }
    // Hung up before it knew.
    ("unknown", heard.as_secs_f64())
}

/// The old bot's three.
pub fn of_three(result: &str) -> &'static str {
    match result {
        "machine" | "fax" => "MACHINE",
        "no-answer" => "NO_ANSWER",
        _ => "HUMAN",
    }
}

/// How many calls of a class got which verdict.
#[derive(Default)]
pub struct Confusion(BTreeMap<(Class, String), usize>);

pub const RESULTS: [&str; 5] = ["human", "machine", "no-answer", "fax", "unknown"];

impl Confusion {
    pub fn add(&mut self, class: Class, result: &str) {
        *self.0.entry((class, result.into())).or_default() += 1;
    }

    pub fn get(&self, class: Class, result: &str) -> usize {
        self.0.get(&(class, result.into())).copied().unwrap_or(0)
    }

    pub fn row(&self, class: Class) -> usize {
        RESULTS.iter().map(|result| self.get(class, result)).sum()
    }
}

/// The 95 % interval of a share of `right` in `all` (Wilson 1927).
pub fn wilson(right: usize, all: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (all as f64, right as f64 / all as f64);
    let centre = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    let bound = |at: f64| (at / scale).clamp(0.0, 1.0);
    (bound(centre - half), bound(centre + half))
}

/// "right of all, percent (interval)".
pub fn share(right: usize, all: usize) -> String {
    let (low, high) = wilson(right, all);
    format!(
        "{right:3} of {all:3}, {:5.1} % ({:.1} to {:.1})",
        100.0 * right as f64 / all.max(1) as f64,
        100.0 * low,
        100.0 * high
    )
}

/// Of sorted values.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let at = (values.len() as f64 * share) as usize;
    let last = values.len().saturating_sub(1);
    values.get(at.min(last)).copied().unwrap_or(f64::NAN)
}

/// p50 and p95, as text.
pub fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    format!(
        "p50 {:.2} s, p95 {:.2} s",
        percentile(&values, 0.5),
        percentile(&values, 0.95)
    )
}
