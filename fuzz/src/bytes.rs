//! Decisions out of bytes, for targets whose input is no format. Where the bytes are at their end all is zero.

/// Times and numbers at which sums go wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    62_499,
    40_000_001,
    1_000_000_000,
    3_600_000_000_000,
    1 << 32,
    1 << 53,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    pub fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[usize::from(self.u8()) % these.len()]
    }

    /// Any number, extreme ones often.
    pub fn number(&mut self) -> u64 {
        match self.u8() % 4 {
            0 => self.one_of(&NUMBERS),
            1 => self.one_of(&NUMBERS).wrapping_add(u64::from(self.u16())),
            2 => u64::from(self.u16()),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.u8())),
        }
    }

    /// So many bytes of sound: silence, noise, speech, or what stands here, again and again.
    pub fn samples(&mut self, count: usize) -> Vec<u8> {
        match self.u8() % 4 {
            0 => vec![0; count],
            1 => {
                let mut state = u32::from(self.u16()) | 1;
                let noise = std::iter::repeat_with(|| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                });
                noise.take(count).collect()
            }
            2 => {
                let from = usize::from(self.u16()) * 2 % SPEECH.len();
                SPEECH[from..].iter().copied().take(count).collect()
            }
            _ => {
                let piece = &self.rest[..self.rest.len().min(64)];
                piece.iter().copied().cycle().take(count).collect()
            }
        }
    }
}

/// So many bytes of speech.
pub fn speech(count: usize) -> Vec<u8> {
    SPEECH.iter().copied().cycle().take(count).collect()
}

/// A recording, without its header.
static SPEECH: &[u8] = {
    let wav = include_bytes!("../../tests/audio/en-short.wav");
    wav.split_at(44).1
};
