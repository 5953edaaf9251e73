//! How loud a call is, every half second.

use serde::Serialize;

use crate::call::Format;

/// The level of half a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Seconds.
    pub start: f64,
    /// dB below full scale, by channel; digital silence is -96.
    pub db: Vec<f64>,
}

/// Adds up the squares of samples.
pub struct Meter {
    format: Format,
    odd: Vec<u8>,
    sums: Vec<f64>,
    frames: u64,
    told: u64,
}

impl Meter {
    pub fn new(format: Format) -> Meter {
        Meter {
            format,
            odd: Vec::new(),
            sums: vec![0.0; format.channels.max(1) as usize],
            frames: 0,
            told: 0,
        }
    }

    /// The half seconds that these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Level> {
        let frame = self.sums.len() * 2;
        let half = u64::from(self.format.rate / 2).max(1);
        self.odd.extend_from_slice(bytes);
        let whole = self.odd.len() - self.odd.len() % frame;
        let bytes: Vec<u8> = self.odd.drain(..whole).collect();
        let mut levels = Vec::new();
        for frame in bytes.chunks_exact(frame) {
            for (sum, pair) in self.sums.iter_mut().zip(frame.chunks_exact(2)) {
                let sample = pair.try_into().map(i16::from_le_bytes).unwrap_or_default();
                *sum += (f64::from(sample) / 32_768.0).powi(2);
            }
            self.frames += 1;
            if self.frames.is_multiple_of(half) {
                let decibel = |sum: &f64| {
                    let db = 10.0 * (sum / half as f64).max(2.5e-10).log10();
                    (db * 10.0).round() / 10.0
                };
                levels.push(Level {
                    start: self.told as f64 * 0.5,
                    db: self.sums.iter().map(decibel).collect(),
                });
                self.told += 1;
                self.sums.fill(0.0);
            }
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Encoding;

    #[test]
    fn a_full_square_wave_is_0_db_and_silence_96_below() {
        let format = Format {
            encoding: Encoding::S16le,
            rate: 8_000,
            channels: 2,
        };
        let mut meter = Meter::new(format);
        let mut bytes = Vec::new();
        for _ in 0..4_000 {
            bytes.extend(i16::MIN.to_le_bytes());
            bytes.extend(0i16.to_le_bytes());
        }
        // However it is cut.
        let mut levels = Vec::new();
        for piece in bytes.chunks(7) {
            levels.extend(meter.push(piece));
        }
        assert_eq!(
            levels,
            [Level {
                start: 0.0,
                db: vec![0.0, -96.0]
            }]
        );
    }
}
