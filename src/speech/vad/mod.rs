//! Is this a voice? One frame at a time. [`Voice`] is the network of `earshot`, made fit for the telephone.
//!
//! The bare network errs in three ways, all measured (`cargo bench --bench vad`). It takes loud noise for speech. It
//! takes any noise for speech on a narrow-band line: its features are normalised over all bands, and there 4 to 8 kHz
//! are empty. And it hears a voice in music and tones. So the sound is prepared for it (`conditioner`), and what it says is
//! weighed by what a voice's spectrum does (`spectrum`): it never stands still for long, is not made of one or two
//! lines, and has a pitch.

mod conditioner;
mod earshot;
mod spectrum;

use conditioner::Conditioner;
pub use earshot::Earshot;
use spectrum::Spectrum;

/// Tells voice from everything else.
pub trait VoiceDetector: Send {
    /// Samples of a frame, at 16 kHz.
    fn frame(&self) -> usize;

    /// Probability, 0 to 1, that somebody speaks in the next frame of [`frame`](Self::frame) samples.
    fn probability(&mut self, frame: &[i16]) -> f32;

    /// Forgets what it has heard.
    fn reset(&mut self);
}

/// Samples of a frame (16 ms): the network's own.
const FRAME: usize = 256;

/// Music: so much of what stands out of the spectrum stays where it is...
const STILL: f32 = 0.17;
/// ...and more by this for each decibel that the level moves about (deviation): music is even, speech is not.
const STILL_PER_DB: f32 = 0.04;
/// Beyond this the level tells nothing any more: a piano's does that, too.
const MOVEMENT_DB: f32 = 7.0;
/// From "perhaps music" to "nothing but music".
const STILL_RANGE: f32 = 0.1;
/// How much the sound must resemble itself a pitch period later, for how many frames in a row.
const PITCH: f32 = 0.5;
const PITCH_FRAMES: u16 = 4;
/// Consonants go without a pitch for as many frames (320 ms).
const UNVOICED_FRAMES: u16 = 20;
/// What a sound without a pitch may reach: it carries speech on, but does not start it.
const UNVOICED: f32 = 0.45;

/// The detector of live streams.
pub struct Voice {
    network: Earshot,
    conditioner: Conditioner,
    spectrum: Spectrum,
    /// Frames in a row with a pitch, and frames since there were enough of them.
    pitched: u16,
    unvoiced: u16,
}

impl Default for Voice {
    fn default() -> Voice {
        Voice {
            network: Earshot::default(),
            conditioner: Conditioner::default(),
            spectrum: Spectrum::new(FRAME),
            pitched: 0,
            unvoiced: u16::MAX,
        }
    }
}

impl VoiceDetector for Voice {
    fn frame(&self) -> usize {
        FRAME
    }

    fn probability(&mut self, frame: &[i16]) -> f32 {
        if frame.len() != FRAME {
            return 0.0;
        }
        let conditioned = self.conditioner.frame(frame);
        let network = self.network.probability(&conditioned.samples);
        let seen = self.spectrum.frame(&conditioned.centred);
        let has_pitch = seen.periodicity > PITCH && !seen.is_tone;
        self.pitched = if has_pitch {
            self.pitched.saturating_add(1)
        } else {
            0
        };
        self.unvoiced = if self.pitched >= PITCH_FRAMES {
            0
        } else {
            self.unvoiced.saturating_add(1)
        };
        if seen.is_tone {
            return 0.0;
        }
        let allowed = STILL + STILL_PER_DB * conditioned.movement_db.min(MOVEMENT_DB);
        let music = ((seen.still - allowed) / STILL_RANGE).clamp(0.0, 1.0);
        let probability = network * (1.0 - music);
        if self.unvoiced > UNVOICED_FRAMES {
            probability.min(UNVOICED)
        } else {
            probability
        }
    }

    fn reset(&mut self) {
        *self = Voice::default();
    }
}

#[cfg(test)]
mod tests;
