//! The sound of a dump: WAV, S16LE, 16 kHz, mono.

use crate::whisper::SAMPLE_RATE;

/// Bytes in front of the sound.
pub const HEADER_BYTES: u64 = 44;

/// The header of a file with `bytes` of sound. Beyond 4 GiB (37 hours) it tells of as much as it can; the sound goes on
/// behind it all the same.
pub fn header(bytes: u64) -> [u8; HEADER_BYTES as usize] {
    let sound = u32::try_from(bytes).unwrap_or(u32::MAX - 37) & !1;
    let rate = SAMPLE_RATE as u32;
    let mut header = [0; HEADER_BYTES as usize];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &sound.saturating_add(36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16u32.to_le_bytes(),
        // PCM, one channel.
        &1u16.to_le_bytes(),
        &1u16.to_le_bytes(),
        &rate.to_le_bytes(),
        &(2 * rate).to_le_bytes(),
        &2u16.to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &sound.to_le_bytes(),
    ];
    for (to, from) in header.iter_mut().zip(fields.concat()) {
        *to = from;
    }
    header
}

/// A sample as it came in: what the policy gets is that, divided by 32768.
pub fn pcm(sample: f32) -> i16 {
    (sample * 32_768.0).round() as i16
}

/// What the policy gets.
pub fn sample(pcm: i16) -> f32 {
    f32::from(pcm) / 32_768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_comes_back_as_it_was() {
        for value in i16::MIN..=i16::MAX {
            assert_eq!(pcm(sample(value)), value);
        }
    }

    #[test]
    fn the_header_is_one_that_readers_take() {
        let mut file = header(6).to_vec();
        file.extend([1, 0, 2, 0, 3, 0]);
        let mut reader = hound::WavReader::new(file.as_slice()).unwrap();
        assert_eq!(reader.spec().sample_rate, 16_000);
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [1, 2, 3]);
    }

    #[test]
    fn more_than_a_header_can_tell_of_is_told_as_its_most() {
        let header = header(1 << 40);
        assert_eq!(header[40..], (u32::MAX - 37).to_le_bytes()[..]);
        assert_eq!(header[4..8], (u32::MAX - 1).to_le_bytes()[..]);
    }
}
