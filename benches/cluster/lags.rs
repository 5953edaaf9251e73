//! How many call seconds had which lag.

use super::figures::Figures;

/// Of a class, in s.
const STEP: f64 = 0.01;
/// Lags of one decile are spread over it evenly.
const PARTS: usize = 10;

#[derive(Default)]
pub struct Lags {
    /// By lag, in steps.
    counts: Vec<f64>,
    all: f64,
    most: f64,
}

impl Lags {
    /// A second of some calls that are so far behind, and of others that are on time: these have the lag that was measured.
    pub fn add(&mut self, late: &[f64], on_time: usize, figures: &Figures) {
        let usual = &figures.lag_deciles;
        for pair in usual.windows(2) {
            let [least, most] = pair else { continue };
            for part in 0..PARTS {
                let share = (part as f64 + 0.5) / PARTS as f64;
                let calls = on_time as f64 / (10 * PARTS) as f64;
                self.count(least + share * (most - least), calls);
            }
        }
        if on_time > 0 {
            self.most = self.most.max(usual[usual.len() - 1]);
        }
        let median = usual[usual.len() / 2];
        for lag in late {
            self.count(median + lag, 1.0);
        }
    }

    fn count(&mut self, lag: f64, calls: f64) {
        let class = (lag / STEP) as usize;
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0.0);
        }
        self.counts[class] += calls;
        self.all += calls;
        if calls > 0.0 {
            self.most = self.most.max(lag);
        }
    }

    pub fn quantile(&self, share: f64) -> f64 {
        let mut sum = 0.0;
        for (class, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= share * self.all {
                return (class as f64 + 0.5) * STEP;
            }
        }
        f64::NAN
    }

    pub fn most(&self) -> f64 {
        self.most
    }
}
