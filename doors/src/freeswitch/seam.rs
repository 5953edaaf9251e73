//! Where one recording goes over into the next. Both run for a moment, so that nothing is lost between them; what both have
//! is heard once. Samples find it: the loudest piece of the new one's beginning is looked for in the old one's end.

use crate::call::Format;

/// Of a second: how long the piece is that is looked for.
const PIECE: usize = 10;
/// Mean magnitude below which a piece is like any other.
const QUIET: u64 = 40;

/// How many bytes at the beginning of `head` are also at the end of `tail`. `about`: what the clock says.
pub fn overlap(tail: &[u8], head: &[u8], about: usize, format: Format) -> usize {
    let frame = (format.channels as usize * 2).max(2);
    let (about, tail, head) = (
        about / frame,
        first_channel(tail, frame),
        first_channel(head, frame),
    );
    let found = find(&tail, &head, about, format.rate as usize / PIECE);
    let frames = found.unwrap_or_else(|| about.min(tail.len()).min(head.len()));
    frames * frame
}

fn find(tail: &[i16], head: &[i16], about: usize, piece: usize) -> Option<usize> {
    // The end of what both should have may be missing in the old one.
    let known = head.get(..about.min(head.len()))?;
    let known = known.get(..known.len() - known.len() / 5)?;
    let (offset, probe) = known
        .chunks_exact(piece.max(1))
        .enumerate()
        .max_by_key(|(_, piece)| loudness(piece))
        .map(|(number, found)| (number * piece, found))?;
    if loudness(probe) < QUIET * piece as u64 {
        return None;
    }
    let (mut best, mut least) = (0, u64::MAX);
    for at in 0..tail.len() {
        let there = tail.get(at..at + probe.len());
        if let Some(apart) = there.and_then(|there| apart(there, probe, least)) {
            (best, least) = (at, apart);
        }
    }
    // Resampled twice they are not the same to the bit.
    (least < loudness(probe) / 3).then(|| (tail.len() - best + offset).min(head.len()))
}

/// How far they are apart, if that is less than `least`. Mostly a glance tells that it is not.
fn apart(there: &[i16], probe: &[i16], least: u64) -> Option<u64> {
    let mut sum = 0;
    for (there, probe) in there.chunks(32).zip(probe.chunks(32)) {
        let differences = there.iter().zip(probe);
        sum += differences
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum::<u64>();
        if sum >= least {
            return None;
        }
    }
    Some(sum)
}

fn loudness(samples: &[i16]) -> u64 {
    samples.iter().map(|s| u64::from(s.unsigned_abs())).sum()
}

fn first_channel(bytes: &[u8], frame: usize) -> Vec<i16> {
    let sample = |frame: &[u8]| Some(i16::from_le_bytes(frame.get(..2)?.try_into().ok()?));
    bytes.chunks_exact(frame).filter_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/audio/fr-accueil.wav");
        let mut wav = hound::WavReader::open(path).unwrap();
        wav.samples::<i16>()
            .flat_map(|s| s.unwrap().to_le_bytes())
            .collect()
    }

    #[test]
    fn what_both_recordings_have_is_found_to_the_sample() {
        let all = speech();
        for (start, end) in [(40_000, 52_000), (41_000, 60_002), (64_000, 80_000)] {
            let (tail, head) = (&all[end - 40_000..end], &all[start..start + 30_000]);
            let both = end - start;
            for about in [both - 1_600, both + 640] {
                assert_eq!(overlap(tail, head, about, Format::default()), both);
            }
        }
    }

    #[test]
    fn in_silence_the_clock_decides() {
        let silence = vec![0; 32_000];
        assert_eq!(overlap(&silence, &silence, 9_601, Format::default()), 9_600);
        assert_eq!(overlap(&[], &silence, 9_600, Format::default()), 0);
    }
}
