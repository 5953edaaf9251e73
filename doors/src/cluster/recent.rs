//! Where the samples of a leg are, that need not be in its checkpoints.

use std::collections::VecDeque;
use std::time::Duration;

use gstwhisperstream::engine::Saved;
use tokio::time::Instant;

use super::text::Refill;

/// Longest audio that a state holds, and some.
pub const HELD: usize = 35 * 16_000;
/// Audio that came so long ago is not asked of the server again.
const OLD: Duration = Duration::from_secs(20);

/// Where the last half minute of samples is.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    pieces: VecDeque<Piece>,
    samples: usize,
    /// Time behind the last of them, in ns.
    end: u64,
    /// When the last of them came.
    when: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Piece {
    sequence: u64,
    samples: usize,
}

impl Recent {
    pub fn push(&mut self, sequence: u64, samples: usize, time: u64) {
        // What lies before a hole is of no use: the hole was filled with samples that are nowhere.
        if time != self.end {
            self.pieces.clear();
            self.samples = 0;
        }
        self.end = time.saturating_add(samples as u64 * 62_500);
        self.when = Some(Instant::now());
        self.pieces.push_back(Piece { sequence, samples });
        self.samples += samples;
        while let Some(first) = self.pieces.front()
            && self.samples - first.samples > HELD
        {
            self.samples -= first.samples;
            self.pieces.pop_front();
        }
    }

    /// The server may have dropped them before they are wanted.
    pub fn is_old(&self) -> bool {
        self.when.is_none_or(|when| when.elapsed() > OLD)
    }

    /// Where the last so many samples are, if all of them came.
    fn last(&self, samples: usize) -> Option<Refill> {
        if self.is_old() {
            return None;
        }
        let mut rest = samples;
        if rest == 0 {
            return Some(Refill {
                sequence: 0,
                skip: 0,
                samples,
            });
        }
        for piece in self.pieces.iter().rev() {
            if rest <= piece.samples {
                return Some(Refill {
                    sequence: piece.sequence,
                    skip: piece.samples - rest,
                    samples,
                });
            }
            rest -= piece.samples;
        }
        None
    }
}

/// Leaves out the samples that can be read again.
pub fn lighten(state: &[u8], recent: &Recent) -> (Vec<u8>, Option<Refill>) {
    let saved = Saved::from_bytes(state).ok();
    let light = saved.and_then(|saved| {
        let range = saved.audio();
        let samples = usize::try_from(range.end.saturating_sub(range.start)).ok()?;
        let refill = recent.last(samples)?;
        Some((saved.without_audio().to_bytes(), Some(refill)))
    });
    light.unwrap_or_else(|| (state.to_vec(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_samples_are_found_unless_a_hole_lies_among_them() {
        let mut recent = Recent::default();
        for piece in 0..4 {
            recent.push(10 + piece, 1_600, piece * 100_000_000);
        }
        let at = |sequence, skip, samples| {
            Some(Refill {
                sequence,
                skip,
                samples,
            })
        };
        assert_eq!(recent.last(0), at(0, 0, 0));
        assert_eq!(recent.last(1), at(13, 1_599, 1));
        assert_eq!(recent.last(1_600), at(13, 0, 1_600));
        assert_eq!(recent.last(1_601), at(12, 1_599, 1_601));
        assert_eq!(recent.last(6_400), at(10, 0, 6_400));
        assert_eq!(recent.last(6_401), None);
        recent.push(20, 1_600, 900_000_000);
        assert_eq!(recent.last(1_600), at(20, 0, 1_600));
        assert_eq!(recent.last(1_601), None);
        for piece in 0..1_000 {
            recent.push(30 + piece, 1_600, 1_000_000_000 + piece * 100_000_000);
        }
        assert!(recent.samples <= HELD + 1_600 && recent.pieces.len() < 400);
        assert!(recent.last(HELD).is_some());
    }
}
