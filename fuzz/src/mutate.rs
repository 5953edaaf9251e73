//! Changes inputs at random, the same way for the same seed.

/// Numbers at which readers go wrong.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    7,
    8,
    31,
    32,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];
/// Values at which readers of JSON go wrong.
const VALUES: [&str; 16] = [
    "0",
    "-1",
    "1e400",
    "0.5",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "[[0,0]]",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[1,[2,[3]]]",
];

pub struct Mutator {
    state: u64,
}

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = if self.below(4) == 0 { length } else { 16 };
        start..(start + 1 + self.below(most)).min(length)
    }

    /// One of `pool`, changed in one to eight places.
    pub fn mutate(&mut self, pool: &[Vec<u8>], longest: usize) -> Vec<u8> {
        let mut input = pool[self.below(pool.len())].clone();
        for _ in 0..1 << self.below(4) {
            self.change(&mut input, pool);
        }
        input.truncate(longest);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        if input.is_empty() {
            input.push(self.next() as u8);
            return;
        }
        let length = input.len();
        let at = self.below(length);
        match self.below(14) {
            0 => input[at] ^= 1 << self.below(8),
            1 => input[at] = self.next() as u8,
            2 | 3 => {
                let width = 1 << self.below(4);
                let number = NUMBERS[self.below(NUMBERS.len())];
                let number = if self.below(2) == 0 {
                    number
                } else {
                    number.wrapping_add(length as u64)
                };
                for (to, from) in input[at..].iter_mut().zip(number.to_le_bytes()).take(width) {
                    *to = from;
                }
            }
            4 => drop(input.drain(self.range(length))),
            5 => {
                let range = self.range(length);
                let piece = input[range].to_vec();
                let times = 1 + self.below(4);
                input.splice(at..at, piece.repeat(times));
            }
            6 => {
                let range = self.range(length);
                let piece = input[range].to_vec();
                let end = (at + piece.len()).min(length);
                input.splice(at..end, piece);
            }
            7 => {
                let other = &pool[self.below(pool.len())];
                if !other.is_empty() {
                    let range = self.range(other.len());
                    let end = (at + self.below(range.len() + 1)).min(length);
                    input.splice(at..end, other[range].to_vec());
                }
            }
            8 => input.truncate(at),
            9 | 10 => self.replace_value(input, at),
            11 | 12 => self.replace_word(input, at, pool),
            _ => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let width = 1 << self.below(4);
                input.splice(at..at, number[..width].to_vec());
            }
        }
    }

    /// Puts a word of another input in the place of one behind `at`: names and keywords stay what they are.
    fn replace_word(&mut self, input: &mut Vec<u8>, at: usize, pool: &[Vec<u8>]) {
        let other = &pool[self.below(pool.len())];
        let from = self.below(other.len());
        let (new, old) = (word(other, from), word(input, at));
        input.splice(old, other[new].to_vec());
    }

    /// Puts another value in the place of a number or a string of JSON behind `at`.
    fn replace_value(&mut self, input: &mut Vec<u8>, at: usize) {
        let is_digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
        let Some(start) = input[at..]
            .iter()
            .position(|byte| is_digit(byte) || *byte == b'"')
        else {
            return;
        };
        let start = at + start;
        let length = if input[start] == b'"' {
            let end = input[start + 1..].iter().position(|&byte| byte == b'"');
            end.map_or(1, |end| end + 2)
        } else {
            input[start..]
                .iter()
                .take_while(|byte| is_digit(byte))
                .count()
        };
        let value = VALUES[self.below(VALUES.len())];
        input.splice(start..start + length, value.bytes());
    }
}

/// The letters, digits and signs between that follow each other from the first one behind `at`.
fn word(input: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let rest = input.get(at..).unwrap_or_default();
    let start = rest.iter().position(is_letter).unwrap_or(rest.len());
    let length = rest[start..]
        .iter()
        .take_while(|byte| is_letter(byte))
        .count();
    at.min(input.len()) + start..at.min(input.len()) + start + length
}
