//! What is in a recording that does not say it itself: its rate and its channels.
//!
//! They were asked for, but a FreeSWITCH that does not know a variable records at the channel's own rate, or both directions
//! in one. So there are a few possibilities ([`possible`]), and the file tells which it is: by how fast it grows, and where
//! two grow alike (16 kHz mono, 8 kHz stereo) by whether neighbouring samples are of one sound.

use std::time::{Duration, Instant};

use crate::call::{Encoding, Format};

/// What whisper hears.
pub const RATE: u32 = 16_000;
/// How long growth is watched before it is believed: a frame or a look more or less is then a tenth.
const WATCHED: Duration = Duration::from_secs(1);

/// The formats that a recording may have, the one asked for first.
pub fn possible(
    channels_asked: u32,
    channels_sure: bool,
    channel_rate: Option<u32>,
) -> Vec<Format> {
    let rates = [
        Some(RATE),
        channel_rate.filter(|rate| (4_000..=96_000).contains(rate)),
    ];
    let channels: &[u32] = match (channels_asked, channels_sure) {
        (1, true) => &[1],
        (2, true) => &[2],
        (2, _) => &[2, 1],
        _ => &[1, 2],
    };
    let mut formats = Vec::new();
    for rate in rates.into_iter().flatten() {
        for &channels in channels {
            let format = Format {
                encoding: Encoding::S16le,
                rate,
                channels,
            };
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
    }
    formats
}

/// How fast a file grows.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    start: Instant,
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Growth {
    /// Of a file that began at `start`.
    pub fn since(start: Instant) -> Growth {
        Growth {
            start,
            first: None,
            last: None,
        }
    }

    /// It was so long at that time.
    pub fn note(&mut self, now: Instant, length: u64) {
        if length == 0 {
            return;
        }
        // What is there at the first look came at an unknown time: it is the growth behind it that counts.
        self.first.get_or_insert((now, length));
        if self.last.is_none_or(|(_, last)| length > last) {
            self.last = Some((now, length));
        }
    }

    /// Bytes a second, when it can be believed.
    pub fn rate(&self) -> Option<f64> {
        let ((began, first), (ended, last)) = self.first.zip(self.last)?;
        let time = ended.duration_since(began);
        (time >= WATCHED).then(|| (last - first) as f64 / time.as_secs_f64())
    }

    /// The best there is, of a recording that is over.
    pub fn guess(&self) -> Option<f64> {
        let (ended, last) = self.last?;
        let time = ended.duration_since(self.start).as_secs_f64();
        self.rate()
            .or_else(|| (time > 0.2).then(|| last as f64 / time))
    }
}

/// Which of them it is. `bytes` a second; `head`: the recording's beginning.
pub fn decide(possible: &[Format], bytes: Option<f64>, head: &[u8]) -> Format {
    let asked = possible.first().copied().unwrap_or_default();
    let Some(bytes) = bytes.filter(|bytes| *bytes > 0.0) else {
        return asked;
    };
    let apart = |format: &Format| (f64::from(bytes_a_second(format)) / bytes).ln().abs();
    let nearest = possible.iter().map(apart).fold(f64::INFINITY, f64::min);
    let alike: Vec<_> = possible
        .iter()
        .filter(|format| apart(format) <= nearest + 1e-6)
        .copied()
        .collect();
    let channels = match is_stereo(head) {
        Some(true) => 2,
        Some(false) => 1,
        None => asked.channels,
    };
    let fits = alike.iter().find(|format| format.channels == channels);
    fits.or(alike.first()).copied().unwrap_or(asked)
}

fn bytes_a_second(format: &Format) -> u32 {
    format.rate * format.channels * 2
}

/// Whether samples alternate between two sounds. `None`: too quiet to say.
fn is_stereo(bytes: &[u8]) -> Option<bool> {
    let samples: Vec<i64> = bytes
        .chunks_exact(2)
        .filter_map(|pair| Some(i64::from(i16::from_le_bytes(pair.try_into().ok()?))))
        .collect();
    // Differences of neighbours within a pair, across pairs, and of samples two apart.
    let (mut within, mut across, mut skip, mut loud) = (0, 0, 0, 0);
    for four in samples.chunks_exact(2).zip(samples.chunks_exact(2).skip(1)) {
        if let (&[a, b], &[c, d]) = four {
            within += (a - b).abs();
            across += (b - c).abs();
            skip += ((a - c).abs() + (b - d).abs()) / 2;
            loud += a.abs() + b.abs();
        }
    }
    if loud < 20 * samples.len() as i64 {
        return None;
    }
    // In one sound the nearer sample is the likelier one, whichever way; two alike or two strangers differ in one of the ways.
    let one_sound = within.max(across) <= skip.saturating_mul(11) / 10;
    let even = within.abs_diff(across) * 5 <= within.max(across).unsigned_abs();
    Some(!(one_sound && even))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech(rate: u32) -> Vec<i16> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/audio/fr-accueil.wav");
        let mut wav = hound::WavReader::open(path).unwrap();
        let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
        match rate {
            16_000 => samples,
            _ => samples
                .chunks_exact(2)
                .map(|two| ((i32::from(two[0]) + i32::from(two[1])) / 2) as i16)
                .collect(),
        }
    }

    fn bytes(samples: impl IntoIterator<Item = i16>) -> Vec<u8> {
        samples.into_iter().flat_map(i16::to_le_bytes).collect()
    }

    fn format(rate: u32, channels: u32) -> Format {
        Format {
            encoding: Encoding::S16le,
            rate,
            channels,
        }
    }

    #[test]
    fn sixteen_mono_and_eight_stereo_are_told_apart_by_their_samples() {
        let all = possible(2, false, Some(8_000));
        let mono = bytes(speech(16_000));
        assert_eq!(decide(&all, Some(32_100.0), &mono), format(16_000, 1));
        let silent_leg = bytes(speech(8_000).into_iter().flat_map(|s| [s, 0]));
        assert_eq!(decide(&all, Some(31_000.0), &silent_leg), format(8_000, 2));
        let same = bytes(speech(8_000).into_iter().flat_map(|s| [s, s]));
        assert_eq!(decide(&all, Some(32_000.0), &same), format(8_000, 2));
        let two = speech(8_000);
        let turned = two.clone().into_iter().rev();
        let strangers = bytes(two.into_iter().zip(turned).flat_map(|(a, b)| [a, b]));
        assert_eq!(decide(&all, Some(33_000.0), &strangers), format(8_000, 2));
    }

    #[test]
    fn growth_tells_the_rate_where_it_was_not_heeded() {
        let all = possible(1, true, Some(8_000));
        assert_eq!(all.len(), 2);
        assert_eq!(decide(&all, Some(16_300.0), &[]), format(8_000, 1));
        assert_eq!(decide(&all, Some(29_000.0), &[]), format(16_000, 1));
        // Nothing known: what was asked for.
        assert_eq!(decide(&all, None, &[]), format(16_000, 1));
        // A wide-band channel leaves no question.
        assert_eq!(possible(1, true, Some(16_000)), [format(16_000, 1)]);
    }

    #[test]
    fn the_first_look_does_not_count_as_growth() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut growth = Growth::since(start);
        growth.note(at(100), 0);
        growth.note(at(2_000), 65_536);
        assert_eq!(growth.rate(), None);
        assert_eq!(growth.guess(), Some(32_768.0));
        growth.note(at(3_000), 65_536);
        growth.note(at(4_048), 131_072);
        assert_eq!(growth.rate(), Some(32_000.0));
    }
}
