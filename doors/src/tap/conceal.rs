//! What stands where packets were lost: the voice as it was, ever more softly.
//!
//! A hole in the middle of a word sounds like its end, and words and their times are made of such sounds. So the last period of the
//! voice is said again and again until it has faded, as G.711's Appendix I does, and what comes next is blended in.

use std::collections::VecDeque;

use super::RATE;

const MS: usize = RATE as usize / 1_000;
/// Pitches of voices, as the samples of a period: 400 Hz to 66 Hz.
const SHORTEST: usize = RATE as usize / 400;
const LONGEST: usize = RATE as usize / 66;
/// Over which the period is looked for.
const COMPARED: usize = 20 * MS;
const KEPT: usize = COMPARED + LONGEST;
/// The voice keeps its strength for so long, and is gone after that much.
const FULL: usize = 20 * MS;
const GONE: usize = 120 * MS;
/// Over which what is invented passes into what was sent.
const BLEND: usize = 4 * MS;

/// The samples heard last, and what may have followed them.
#[derive(Default)]
pub struct Concealer {
    recent: VecDeque<i16>,
    hole: Option<Hole>,
}

struct Hole {
    period: Vec<i16>,
    /// Samples invented.
    length: usize,
}

impl Concealer {
    /// Samples that arrived. What was invented before them is blended into their beginning.
    pub fn hear(&mut self, samples: &mut [i16]) {
        if self.hole.is_some() {
            let length = BLEND.min(samples.len());
            let invented = self.invent(length);
            for (place, (sample, invented)) in samples.iter_mut().zip(invented).enumerate() {
                let (own, other) = (i64::from(*sample), i64::from(invented));
                let (place, length) = (place as i64, length as i64);
                *sample = ((own * place + other * (length - place)) / length) as i16;
            }
            self.hole = None;
        }
        self.recent.extend(samples.iter());
        let over = self.recent.len().saturating_sub(KEPT);
        self.recent.drain(..over);
    }

    /// Nobody spoke: there is nothing to go on from.
    pub fn forget(&mut self) {
        self.recent.clear();
        self.hole = None;
    }

    /// The next samples of a hole.
    pub fn invent(&mut self, count: usize) -> Vec<i16> {
        let recent = &mut self.recent;
        let hole = self.hole.get_or_insert_with(|| Hole {
            period: period(recent.make_contiguous()).to_vec(),
            length: 0,
        });
        let invented = (hole.length..hole.length + count).map(|place| {
            let sample = hole.period.get(place % hole.period.len().max(1));
            let left = GONE.saturating_sub(place).min(GONE - FULL);
            let sample = i64::from(sample.copied().unwrap_or_default());
            (sample * left as i64 / (GONE - FULL) as i64) as i16
        });
        let invented = invented.collect();
        hole.length = (hole.length + count).min(GONE + KEPT);
        invented
    }
}

/// The last period of the voice: as long as the distance at which the end of `recent` is most like what was before it.
fn period(recent: &[i16]) -> &[i16] {
    let likeness = |lag: &usize| -> f64 {
        let now = recent.iter().rev().take(COMPARED);
        let before = recent.iter().rev().skip(*lag).take(COMPARED);
        let (mut product, mut energy) = (0.0, 1.0);
        for (now, before) in now.zip(before) {
            let (now, before) = (f64::from(*now), f64::from(*before));
            product += now * before;
            energy += before * before;
        }
        product / energy.sqrt()
    };
    let most = recent.len().saturating_sub(COMPARED).min(LONGEST);
    let lags = (SHORTEST..=most).map(|lag| (lag, likeness(&lag)));
    let best = lags.max_by(|(_, one), (_, other)| one.total_cmp(other));
    let length = best.map_or(0, |(lag, _)| lag);
    recent.get(recent.len() - length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice of 160 Hz with overtones.
    fn voice(from: usize, count: usize) -> Vec<i16> {
        let sample = |i: usize| {
            let turn = i as f64 / 100.0 * std::f64::consts::TAU;
            (6_000.0 * turn.sin() + 3_000.0 * (2.0 * turn).cos()) as i16
        };
        (from..from + count).map(sample).collect()
    }

    #[test]
    fn a_voice_goes_on_in_its_own_pitch_and_fades() {
        let mut concealer = Concealer::default();
        concealer.hear(&mut voice(0, 1_600));
        let invented: Vec<i16> = (0..30).flat_map(|_| concealer.invent(80)).collect();
        for (place, (is, was)) in invented.iter().zip(voice(1_600, FULL)).enumerate() {
            assert!((is - was).abs() < 200, "{place}: {is}, not {was}");
        }
        assert!(invented[GONE..].iter().all(|sample| *sample == 0));
        assert!(invented[GONE / 2..GONE].iter().any(|sample| *sample != 0));
    }

    #[test]
    fn what_comes_next_is_blended_in() {
        let mut concealer = Concealer::default();
        concealer.hear(&mut voice(0, 1_600));
        concealer.invent(160);
        let mut next = vec![0; 320];
        concealer.hear(&mut next);
        assert!((next[0] - voice(1_760, 1)[0]).abs() < 200);
        assert_eq!(next[BLEND..], vec![0; 320 - BLEND]);
        // The next hole is a new one.
        assert_eq!(concealer.invent(10).len(), 10);
    }

    #[test]
    fn without_a_voice_there_is_silence() {
        let mut concealer = Concealer::default();
        assert_eq!(concealer.invent(160), vec![0; 160]);
        concealer.hear(&mut [7; 10]);
        assert_eq!(concealer.invent(160), vec![0; 160]);
        concealer.hear(&mut voice(0, 1_600));
        concealer.forget();
        assert_eq!(concealer.invent(160), vec![0; 160]);
    }
}
