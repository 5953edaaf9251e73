//! Keys and values as attention reads them.

use rayon::prelude::*;

use super::linear::{Format, Rows};
use super::scratch;

/// Keys of one panel.
pub const PANEL: usize = 64;
/// Values that are worth waking threads for.
const PARALLEL: usize = 1 << 12;

/// Keys and values of some positions, packed head by head for [`super::attend`]; zero where nothing was pushed.
pub struct KeyValues {
    format: Format,
    /// Words `[heads, panels, words of a key, 64]`: of 64 keys, all first words, all second ones...
    keys: Vec<u32>,
    /// Words `[heads, panels * 64, padded width]`; as bf16, positions go in pairs: `[heads, panels * 32, padded width]`.
    values: Vec<u32>,
    len: usize,
    panels: usize,
    heads: usize,
    width: usize,
}

impl KeyValues {
    /// Room for `capacity` positions, kept as f32 ([`Format::Single`]) or bf16 (the others).
    pub fn new(format: Format, capacity: usize, heads: usize, width: usize) -> KeyValues {
        let format = match format {
            Format::Single => Format::Single,
            Format::Halves | Format::Bytes => Format::Halves,
        };
        let mut new = KeyValues {
            format,
            keys: Vec::new(),
            values: Vec::new(),
            len: 0,
            panels: capacity.div_ceil(PANEL),
            heads,
            width,
        };
        new.keys = vec![0; heads * new.panels * new.key_panel()];
        new.values = vec![0; heads * new.panels * new.value_panel()];
        new
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Positions pushed.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Forgets all positions, not the room for them.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Width of one head.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Width of a head's values in memory.
    pub fn padded(&self) -> usize {
        self.width.next_multiple_of(16)
    }

    /// Positions that share a word of values, components that share a word of a key.
    pub fn per_word(&self) -> usize {
        match self.format {
            Format::Single => 1,
            _ => 2,
        }
    }

    /// Words of one key.
    pub fn key_words(&self) -> usize {
        self.width.div_ceil(self.per_word())
    }

    fn key_panel(&self) -> usize {
        self.key_words() * PANEL
    }

    fn value_panel(&self) -> usize {
        PANEL / self.per_word() * self.padded()
    }

    /// The panels of one head's keys, and its values.
    pub fn head(&self, head: usize) -> (&[u32], &[u32]) {
        let (keys, values) = (
            self.panels * self.key_panel(),
            self.panels * self.value_panel(),
        );
        (
            self.keys
                .get(head * keys..(head + 1) * keys)
                .unwrap_or_default(),
            self.values
                .get(head * values..(head + 1) * values)
                .unwrap_or_default(),
        )
    }

    /// Appends positions: rows of `k` and `v` are `heads * width` wide. What goes beyond the room is left out.
    pub fn push(&mut self, k: Rows<'_>, v: Rows<'_>) {
        let first = self.len;
        let count = k.count.min(v.count).min(self.panels * PANEL - first);
        let (width, padded, format) = (self.width, self.padded(), self.format);
        let parallel = count * self.heads * width >= PARALLEL;
        let (key_head, value_head) = (
            self.panels * self.key_panel(),
            self.panels * self.value_panel(),
        );
        if key_head == 0 || value_head == 0 {
            return;
        }
        let pack = |(head, (keys, values)): (usize, (&mut [u32], &mut [u32]))| match format {
            Format::Single => {
                let (keys, values) = (scratch::singles(keys), scratch::singles(values));
                for i in 0..count {
                    let (to, at) = (first + i, head * width);
                    let column = keys
                        .iter_mut()
                        .skip(to / PANEL * PANEL * width + to % PANEL);
                    copy(column.step_by(PANEL), k.part(i, at, width), |x| x);
                    let row = values.iter_mut().skip(to * padded);
                    copy(row, v.part(i, at, width), |x| x);
                }
            }
            _ => {
                let words = width.div_ceil(2);
                let (keys, values) = (scratch::halves(keys), scratch::halves(values));
                let half = |x| half::bf16::from_f32(x).to_bits();
                for i in 0..count {
                    let (to, at) = (first + i, head * width);
                    // Two components side by side in each word.
                    let panel = (to / PANEL * PANEL * words + to % PANEL) * 2;
                    let from = k.part(i, at, width);
                    for (parity, from) in [(0, from), (1, from.get(1..).unwrap_or_default())] {
                        let column = keys.iter_mut().skip(panel + parity).step_by(2 * PANEL);
                        for (to, &from) in column.zip(from.iter().step_by(2)) {
                            *to = half(from);
                        }
                    }
                    // Two positions side by side in each word.
                    let row = values.iter_mut().skip(to / 2 * padded * 2 + to % 2);
                    copy(row.step_by(2), v.part(i, at, width), half);
                }
            }
        };
        let keys = self.keys.chunks_exact_mut(key_head);
        let heads = keys
            .zip(self.values.chunks_exact_mut(value_head))
            .enumerate();
        if parallel {
            let heads: Vec<_> = heads.collect();
            heads.into_par_iter().for_each(pack);
        } else {
            heads.for_each(pack);
        }
        self.len += count;
    }
}

fn copy<'a, T: 'a>(to: impl Iterator<Item = &'a mut T>, from: &[f32], f: impl Fn(f32) -> T) {
    for (to, &from) in to.zip(from) {
        *to = f(from);
    }
}
