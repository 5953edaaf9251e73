//! A stream's ear: samples in, however they are cut, and boundaries of speech out.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Boundary, Endpointer, NotResumed, Samples, VadSettings, Voice, VoiceDetector};

/// A boundary, and the position at which it became certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub at: Samples,
    pub boundary: Boundary,
}

/// A frame as it was heard.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub samples: &'a [i16],
    /// Position behind it.
    pub end: Samples,
    /// It holds voice of the running speech.
    pub is_voice: bool,
    /// Where the running speech began; `None` in silence.
    pub onset: Option<Samples>,
    /// How much speech that is by now, pauses left out.
    pub speech: Option<Samples>,
    /// The boundary that became certain with it.
    pub detection: Option<Detection>,
}

/// A detector and its endpoints. Frames are counted from the stream's start (or the last reset), so that boundaries do
/// not depend on how the audio is cut.
pub struct Ear {
    detector: Box<dyn VoiceDetector>,
    endpointer: Endpointer,
    settings: VadSettings,
    /// Samples of a frame not yet whole.
    rest: Vec<i16>,
    /// Where they start.
    position: Samples,
}

/// What an ear was when it was saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedEar {
    #[serde(with = "super::octets")]
    detector: Vec<u8>,
    endpointer: Endpointer,
    rest: Vec<i16>,
    position: Samples,
}

impl SavedEar {
    /// Leaves out what only a detector of the same build understands: the next one begins afresh.
    pub fn forget_detector(&mut self) {
        self.detector.clear();
    }
}

impl Ear {
    /// Listens from `position` on.
    pub fn new(settings: VadSettings, position: Samples) -> Ear {
        Ear::with(Box::new(Voice::default()), settings, position)
    }

    /// With a detector of the caller's.
    pub fn with(detector: Box<dyn VoiceDetector>, settings: VadSettings, position: Samples) -> Ear {
        Ear {
            rest: Vec::with_capacity(detector.frame()),
            endpointer: Endpointer::new(&settings),
            detector,
            settings,
            position,
        }
    }

    /// Hears `samples`; tells `frame` of each whole frame. Where that says so, it stops. Returns how many samples were
    /// heard.
    pub fn hear(
        &mut self,
        samples: &[i16],
        mut frame: impl FnMut(&Frame) -> ControlFlow<()>,
    ) -> usize {
        let length = self.detector.frame().max(1);
        let all = samples.len();
        let mut samples = samples;
        loop {
            let missing = length.saturating_sub(self.rest.len());
            let Some((head, tail)) = samples.split_at_checked(missing) else {
                self.rest.extend_from_slice(samples);
                return all;
            };
            // Whole frames are not copied.
            let mut rest = std::mem::take(&mut self.rest);
            let whole = if rest.is_empty() {
                head
            } else {
                rest.extend_from_slice(head);
                &rest
            };
            samples = tail;
            let start = self.position;
            self.position += length as Samples;
            let end = self.position;
            let probability = self.detector.probability(whole);
            let boundary = self.endpointer.frame(start, end, probability);
            let told = frame(&Frame {
                samples: whole,
                end,
                is_voice: self.endpointer.is_voice(end),
                onset: self.endpointer.onset(),
                speech: self.endpointer.speech(),
                detection: boundary.map(|boundary| Detection { at: end, boundary }),
            });
            rest.clear();
            self.rest = rest;
            if told.is_break() {
                return all - samples.len();
            }
        }
    }

    /// The stream ends or breaks off at `position`: so does the speech. What comes next is heard afresh.
    pub fn finish(&mut self, position: Samples) -> Option<Detection> {
        let boundary = self.endpointer.finish();
        self.reset(position);
        boundary.map(|boundary| Detection {
            at: position,
            boundary,
        })
    }

    /// Forgets all and goes on at `position`.
    pub fn reset(&mut self, position: Samples) {
        self.detector.reset();
        self.endpointer = Endpointer::new(&self.settings);
        self.rest.clear();
        self.position = position;
    }

    /// All that it is, for one of the same build that goes on in its place.
    pub fn save(&self) -> SavedEar {
        SavedEar {
            detector: self.detector.save(),
            endpointer: self.endpointer.clone(),
            rest: self.rest.clone(),
            position: self.position,
        }
    }

    /// Goes on where another was saved, with that one's settings for the speech that runs.
    ///
    /// # Errors
    /// That was another kind of ear: this one has forgotten all.
    pub fn resume(&mut self, saved: SavedEar) -> Result<(), NotResumed> {
        self.reset(saved.position);
        if saved.rest.len() >= self.detector.frame().max(1) {
            return Err(NotResumed);
        }
        if !saved.detector.is_empty() {
            self.detector.resume(&saved.detector)?;
        }
        self.endpointer = saved.endpointer;
        self.rest = saved.rest;
        Ok(())
    }

    /// Samples of voice in the running speech; `None` in silence.
    pub fn speech(&self) -> Option<Samples> {
        self.endpointer.speech()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loud is voice.
    struct Loud;

    impl VoiceDetector for Loud {
        fn frame(&self) -> usize {
            100
        }

        fn probability(&mut self, frame: &[i16]) -> f32 {
            assert_eq!(frame.len(), 100);
            frame.iter().map(|s| f32::from(*s)).sum::<f32>() / 100_000.0
        }

        fn reset(&mut self) {}
    }

    fn detections(pieces: &[&[i16]]) -> Vec<Detection> {
        let mut ear = Ear::with(Box::new(Loud), VadSettings::default(), 0);
        let mut found = Vec::new();
        for piece in pieces {
            let heard = ear.hear(piece, |frame| {
                found.extend(frame.detection);
                ControlFlow::Continue(())
            });
            assert_eq!(heard, piece.len());
        }
        found.extend(ear.finish(pieces.iter().map(|p| p.len() as Samples).sum()));
        found
    }

    #[test]
    fn boundaries_do_not_depend_on_how_the_audio_is_cut() {
        // Three stretches of speech of different lengths.
        let audio: Vec<i16> = (0..120_000)
            .map(|n| match n {
                5_000..20_000 | 50_000..60_010 | 100_007..120_000 => 900,
                _ => 30,
            })
            .collect();
        let whole = detections(&[&audio]);
        assert_eq!(whole.len(), 6, "{whole:?}");
        let mut state = 7u32;
        for _ in 0..50 {
            let mut rest = audio.as_slice();
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let length = (state >> 8) as usize % 4_000;
                let (piece, others) = rest.split_at(length.min(rest.len()));
                pieces.push(piece);
                rest = others;
            }
            assert_eq!(detections(&pieces), whole);
        }
    }

    #[test]
    fn it_stops_where_it_is_told_to_and_goes_on_from_there() {
        let mut ear = Ear::with(Box::new(Loud), VadSettings::default(), 0);
        let audio = [900; 350];
        let mut rest = audio.as_slice();
        let mut stops = Vec::new();
        while !rest.is_empty() {
            let heard = ear.hear(rest, |_| ControlFlow::Break(()));
            stops.push(heard);
            rest = &rest[heard..];
        }
        assert_eq!(stops, [100, 100, 100, 50]);
    }

    #[test]
    fn a_stream_that_ends_ends_the_speech() {
        let found = detections(&[&[900; 10_050]]);
        let end = Boundary::End {
            onset: 0,
            end: 10_000,
        };
        assert_eq!(
            found.last(),
            Some(&Detection {
                at: 10_050,
                boundary: end
            })
        );
    }
}
