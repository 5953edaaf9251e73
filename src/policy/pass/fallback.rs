//! A last pass that fails is decoded again, with sampling.

use super::{Ask, Decoded, Pass, Stop};
use crate::policy::alignment::Alignment;
use crate::policy::{Guards, guards};

/// Temperature between two attempts at a last pass.
const TEMPERATURE_STEP: f32 = 0.2;

/// A text that failed.
pub struct Attempt {
    mean: f32,
    braked: bool,
    steps: Vec<Decoded>,
    kept: usize,
    stop: Stop,
    last_frame: i32,
    guards: Guards,
}

impl Attempt {
    fn is_better(&self, other: &Attempt) -> bool {
        (!self.braked, self.mean) > (!other.braked, other.mean)
    }
}

impl Pass {
    /// A last pass that failed is decoded again, by sampling at a higher temperature; of all that failed the likeliest is
    /// taken. (openai/whisper's fallback.)
    pub(super) fn fall_back(&mut self, stop: Stop) -> Result<Stop, Ask> {
        let most = self.from.shared.settings.temperature;
        if !self.from.is_last || most <= 0.0 || stop == Stop::NoSpeech {
            return Ok(stop);
        }
        let logprobs = || self.steps.iter().take(self.kept).map(|step| step.logprob);
        let braked = matches!(stop, Stop::TooFast | Stop::Loop);
        if !braked && !guards::is_unlikely(logprobs()) {
            return Ok(stop);
        }
        let attempt = Attempt {
            mean: logprobs().sum::<f32>() / self.kept.max(1) as f32,
            braked,
            steps: std::mem::take(&mut self.steps),
            kept: std::mem::take(&mut self.kept),
            stop,
            last_frame: self.last_frame,
            guards: self.guards,
        };
        let best = match self.failed.take() {
            Some(before) if !attempt.is_better(&before) => before,
            _ => attempt,
        };
        let next = self.temperature + TEMPERATURE_STEP;
        if next <= most + f32::EPSILON {
            self.failed = Some(best);
            self.temperature = next;
            self.last_frame = self.from.last_frame;
            self.guards = Guards {
                resampled: self.guards.resampled + 1,
                repeated: self.guards.repeated,
                ..Guards::default()
            };
            self.alignment = Alignment::default();
            self.beam = None;
            self.language.detect = false;
            return Err(Ask::Again);
        }
        let resampled = self.guards.resampled;
        self.steps = best.steps;
        self.kept = best.kept;
        self.last_frame = best.last_frame;
        self.guards = Guards {
            resampled,
            ..best.guards
        };
        Ok(best.stop)
    }

    /// Between 0 and 1, the same for the same token of the same pass in every run.
    pub(super) fn chance(&self) -> f64 {
        let attempt = u64::from(self.guards.resampled) << 32;
        let seed = self.from.base.rotate_left(40) ^ attempt ^ self.steps.len() as u64;
        // splitmix64
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
