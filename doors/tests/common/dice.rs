//! Chance that can be repeated.

/// Pseudo-random numbers, the same for the same seed, which is not 0.
pub struct Dice(pub u64);

impl Dice {
    /// From 0 up to, not including, `below`.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
