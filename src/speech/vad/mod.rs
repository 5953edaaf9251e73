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
use serde::{Deserialize, Serialize};
use spectrum::{Memory, Seen, Spectrum};

/// Tells voice from everything else.
pub trait VoiceDetector: Send {
    /// Samples of a frame, at 16 kHz.
    fn frame(&self) -> usize;

    /// Probability, 0 to 1, that somebody speaks in the next frame of [`frame`](Self::frame) samples.
    fn probability(&mut self, frame: &[i16]) -> f32;

    /// Forgets what it has heard.
    fn reset(&mut self);

    /// All that it remembers, for one of the same build that goes on in its place. One without memory has nothing to save.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Goes on where another was [saved](Self::save).
    ///
    /// # Errors
    /// That was another kind of detector, or one of another build: this one has forgotten all.
    fn resume(&mut self, _saved: &[u8]) -> Result<(), NotResumed> {
        self.reset();
        Ok(())
    }
}

/// What was saved of a voice detector is not of this one's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of the voice detector was saved by another build")]
pub struct NotResumed;

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
/// What was music stays music for less: so much of the spectrum, and for each decibel of movement...
const MUSIC_STILL: f32 = 0.12;
const MUSIC_PER_DB: f32 = 0.02;
const MUSIC_RANGE: f32 = 0.06;
/// ...remembered for some seconds: it comes sooner than it goes, each frame by this share.
const MUSIC_RISE: f32 = 1.0 / 50.0;
const MUSIC_FALL: f32 = 1.0 / 120.0;
/// It ends with so many quiet frames (0.2 s).
const QUIET_FRAMES: u16 = 12;
/// Behind a tone that has lasted for so many frames (a vowel may look like one for less), for so many frames (3 s),
/// whatever sounds is another one...
const SURE_TONE: u16 = 5;
const TONE_MEMORY: u16 = 188;
/// ...until it has gone on for so many frames (160 ms) and was none.
const NO_TONE: u16 = 10;
/// How much the sound must resemble itself a pitch period later, for how many frames in a row.
const PITCH: f32 = 0.5;
const PITCH_FRAMES: u16 = 4;
/// Consonants go without a pitch for as many frames (320 ms).
const UNVOICED_FRAMES: u16 = 20;
/// What a sound without a pitch may reach: it carries speech on, but does not start it.
const UNVOICED: f32 = 0.45;
/// Nobody speaks for so many frames (1 s) without one: then that is not enough either.
const VOICELESS_FRAMES: u16 = 62;
const VOICELESS: f32 = 0.3;

/// The detector of live streams.
pub struct Voice {
    network: Earshot,
    conditioner: Conditioner,
    spectrum: Spectrum,
    counts: Counts,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counts {
    /// Frames in a row with a pitch, and frames since there were enough of them.
    pitched: u16,
    unvoiced: u16,
    /// How much of the spectrum stood still in the last seconds.
    music: f32,
    quiet: u16,
    /// Frames since a tone, and of sound that was none.
    since_tone: u16,
    no_tone: u16,
}

/// What a voice detector remembers.
#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(with = "crate::speech::octets")]
    network: Vec<u8>,
    conditioner: Conditioner,
    spectrum: Memory,
    counts: Counts,
}

impl Default for Voice {
    fn default() -> Voice {
        Voice {
            network: Earshot::default(),
            conditioner: Conditioner::default(),
            spectrum: Spectrum::new(FRAME),
            counts: Counts::default(),
        }
    }
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            pitched: 0,
            unvoiced: u16::MAX,
            music: 0.0,
            quiet: 0,
            since_tone: u16::MAX,
            no_tone: 0,
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
        let is_tone = self.is_tone(&seen, conditioned.is_quiet);
        self.follow_pitch(seen.periodicity > PITCH && !is_tone);
        let music = self.music(seen.still, conditioned.movement_db, conditioned.is_quiet);
        if is_tone {
            return 0.0;
        }
        let most = if self.counts.unvoiced > VOICELESS_FRAMES {
            VOICELESS
        } else if self.counts.unvoiced > UNVOICED_FRAMES {
            UNVOICED
        } else {
            1.0
        };
        (network * (1.0 - music)).min(most)
    }

    fn reset(&mut self) {
        *self = Voice::default();
    }

    fn save(&self) -> Vec<u8> {
        let saved = Saved {
            network: self.network.save(),
            conditioner: self.conditioner.clone(),
            spectrum: self.spectrum.memory.clone(),
            counts: self.counts.clone(),
        };
        let mut bytes = Vec::new();
        // It has nothing that cannot be written, and memory takes all.
        let _ = ciborium::into_writer(&saved, &mut bytes);
        bytes
    }

    fn resume(&mut self, saved: &[u8]) -> Result<(), NotResumed> {
        self.reset();
        let saved: Saved = ciborium::from_reader(saved).map_err(|_| NotResumed)?;
        if !saved.spectrum.is_whole() {
            return Err(NotResumed);
        }
        self.network.resume(&saved.network)?;
        self.conditioner = saved.conditioner;
        self.spectrum.memory = saved.spectrum;
        self.counts = saved.counts;
        Ok(())
    }
}

impl Voice {
    fn follow_pitch(&mut self, has_pitch: bool) {
        self.counts.pitched = if has_pitch {
            self.counts.pitched.saturating_add(1)
        } else {
            0
        };
        self.counts.unvoiced = if self.counts.pitched >= PITCH_FRAMES {
            0
        } else {
            self.counts.unvoiced.saturating_add(1)
        };
    }

    /// Whether this is a tone, or may be the next of several.
    fn is_tone(&mut self, seen: &Seen, is_quiet: bool) -> bool {
        if seen.is_tone {
            if seen.tone_frames >= SURE_TONE {
                self.counts.since_tone = 0;
            }
            self.counts.no_tone = 0;
            return true;
        }
        self.counts.since_tone = self.counts.since_tone.saturating_add(1);
        // A tone's end rings on as if it were something else, but not for long.
        self.counts.no_tone = if is_quiet {
            0
        } else {
            self.counts.no_tone.saturating_add(1)
        };
        if self.counts.no_tone >= NO_TONE {
            self.counts.since_tone = u16::MAX;
        }
        self.counts.since_tone <= TONE_MEMORY
    }

    /// How sure it is music, 0 to 1.
    fn music(&mut self, still: f32, movement_db: f32, is_quiet: bool) -> f32 {
        self.counts.quiet = if is_quiet {
            self.counts.quiet.saturating_add(1)
        } else {
            0
        };
        let change = if still > self.counts.music {
            MUSIC_RISE
        } else {
            MUSIC_FALL
        };
        self.counts.music += change * (still - self.counts.music);
        if self.counts.quiet >= QUIET_FRAMES {
            self.counts.music = 0.0;
        }
        let movement = movement_db.min(MOVEMENT_DB);
        let now = (still - STILL - STILL_PER_DB * movement) / STILL_RANGE;
        let lately = (self.counts.music - MUSIC_STILL - MUSIC_PER_DB * movement) / MUSIC_RANGE;
        now.max(lately).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests;
