//! How numbers are kept in words of 32 bits.

/// How numbers are kept for products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// f32.
    Single,
    /// bf16, summed in f32.
    Halves,
    /// Signed bytes, a scale for each output; inputs are bytes between each row's least and greatest value.
    Bytes,
}

impl Format {
    /// Inputs in one word of 32 bits.
    pub fn per_word(self) -> usize {
        match self {
            Format::Single => 1,
            Format::Halves => 2,
            Format::Bytes => 4,
        }
    }
}

/// What one step of a row of weights in -127..=127 is worth; 1 for a row of zeros.
pub fn step(row: &[f32]) -> f32 {
    let most = row.iter().fold(0f32, |most, x| most.max(x.abs()));
    if most > 0.0 && most.is_finite() {
        most / 127.0
    } else {
        1.0
    }
}

pub fn signed(x: f32, step: f32) -> i8 {
    (x / step).round_ties_even().clamp(-127.0, 127.0) as i8
}

/// One word of weights.
pub fn word(format: Format, values: &[f32], step: f32) -> u32 {
    match format {
        Format::Single => values.first().map_or(0, |x| x.to_bits()),
        Format::Halves => {
            let mut halves = [0u16; 2];
            for (to, &x) in halves.iter_mut().zip(values) {
                *to = half::bf16::from_f32(x).to_bits();
            }
            let [a, b] = halves.map(u16::to_ne_bytes);
            u32::from_ne_bytes([a[0], a[1], b[0], b[1]])
        }
        Format::Bytes => {
            let mut bytes = [0u8; 4];
            for (to, &x) in bytes.iter_mut().zip(values) {
                *to = signed(x, step) as u8;
            }
            u32::from_ne_bytes(bytes)
        }
    }
}
