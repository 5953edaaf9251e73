//! The network of the crate `earshot`.

use super::{FRAME, NotResumed, VoiceDetector};

/// Bytes of a detector, all of which are numbers that may have any bits: its fields' sizes leave no room for padding.
const BYTES: usize = {
    let numbers = 4 * (1 + 768 + 3 * 40 + 1026) + 2 * 128;
    assert!(size_of::<earshot::Detector>() == numbers);
    numbers
};

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

    // The crate keeps its state to itself, and a recurrent network's cannot be had by hearing the last seconds again.
    #[allow(unsafe_code)]
    fn save(&self) -> Vec<u8> {
        let detector: *const earshot::Detector = &*self.0;
        // SAFETY: it is a live detector of BYTES bytes, all of them initialised (see BYTES), and is only read.
        unsafe { std::slice::from_raw_parts(detector.cast::<u8>(), BYTES) }.to_vec()
    }

    #[allow(unsafe_code)]
    fn resume(&mut self, saved: &[u8]) -> Result<(), NotResumed> {
        if saved.len() != BYTES {
            self.reset();
            return Err(NotResumed);
        }
        let detector: *mut earshot::Detector = &mut *self.0;
        // SAFETY: both have BYTES bytes and do not overlap; its fields are numbers, for which any bits will do (see BYTES).
        unsafe { std::ptr::copy_nonoverlapping(saved.as_ptr(), detector.cast::<u8>(), BYTES) };
        Ok(())
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

    #[test]
    fn another_goes_on_where_it_was_saved() {
        let frame = |n: usize| -> Vec<i16> {
            let sample =
                |i: usize| ((n * FRAME + i) as f32 * 0.07).sin() * 9_000.0 * (n % 7) as f32;
            (0..FRAME).map(|i| sample(i) as i16).collect()
        };
        let mut detector = Earshot::default();
        let heard: Vec<f32> = (0..100).map(|n| detector.probability(&frame(n))).collect();
        let mut other = Earshot::default();
        other.resume(&detector.save()).unwrap();
        let further: Vec<f32> = (100..200)
            .map(|n| detector.probability(&frame(n)))
            .collect();
        let others: Vec<f32> = (100..200).map(|n| other.probability(&frame(n))).collect();
        assert_eq!(others, further);
        // It is no use without.
        let mut fresh = Earshot::default();
        let fresh: Vec<f32> = (100..200).map(|n| fresh.probability(&frame(n))).collect();
        assert_ne!(fresh, further, "{heard:?}");
        assert_eq!(other.resume(&[0; 7]), Err(NotResumed));
    }
}
