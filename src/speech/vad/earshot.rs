//! The network of the crate `earshot`.

use super::{FRAME, VoiceDetector};

/// The recurrent network of the crate `earshot` (76 kB, 16 ms frames, 8 kB a stream).
pub struct Earshot(Box<earshot::Detector>);

impl Default for Earshot {
    fn default() -> Earshot {
        Earshot(earshot::Detector::default_boxed())
    }
}

impl VoiceDetector for Earshot {
    fn frame(&self) -> usize {
        FRAME
    }

    fn probability(&mut self, frame: &[i16]) -> f32 {
        if frame.len() != FRAME {
            return 0.0;
        }
        let probability = self.0.predict_i16(frame);
        // A state gone astray would stay so for ever: better deaf for a moment.
        if !probability.is_finite() {
            self.reset();
            return 0.0;
        }
        probability.clamp(0.0, 1.0)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_input_blinds_it() {
        let mut detector = Earshot::default();
        for frame in [
            [i16::MAX; FRAME],
            [i16::MIN; FRAME],
            [0; FRAME],
            [1000; FRAME],
        ] {
            for _ in 0..100 {
                let probability = detector.probability(&frame);
                assert!((0.0..=1.0).contains(&probability));
            }
        }
        assert_eq!(detector.probability(&[0; 7]), 0.0);
    }
}
