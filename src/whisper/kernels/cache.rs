//! Keys and values as attention reads them.

use rayon::prelude::*;

use super::format::Format;
use super::math::ToHalves;
use super::rows::Rows;
use super::scratch;
use super::simd::dispatch;

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

    /// Becomes what `other` is; both were made alike, and this one holds no more positions. Copies only what was pushed.
    pub fn follow(&mut self, other: &KeyValues) {
        let panels = other.len.div_ceil(PANEL);
        copy_heads(
            (&mut self.keys, &other.keys),
            other.panels * other.key_panel(),
            panels * other.key_panel(),
        );
        copy_heads(
            (&mut self.values, &other.values),
            other.panels * other.value_panel(),
            panels * other.value_panel(),
        );
        self.len = other.len;
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
        let (width, padded, words) = (self.width, self.padded(), self.key_words());
        let format = self.format;
        let parallel = count * self.heads * width >= PARALLEL;
        let (key_head, value_head) = (
            self.panels * self.key_panel(),
            self.panels * self.value_panel(),
        );
        if key_head == 0 || value_head == 0 {
            return;
        }
        let pack = |(head, (keys, values)): (usize, (&mut [u32], &mut [u32]))| {
            let mut place = Place {
                keys,
                values,
                words,
                padded,
                rounded: vec![0; words],
            };
            for i in 0..count {
                let (k, v) = (
                    k.part(i, head * width, width),
                    v.part(i, head * width, width),
                );
                match format {
                    Format::Single => place.singles(first + i, k, v),
                    _ => place.halves(first + i, k, v),
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

impl Clone for KeyValues {
    /// Room that was not used costs no memory in the copy either.
    fn clone(&self) -> KeyValues {
        let mut copy = KeyValues::new(self.format, self.panels * PANEL, self.heads, self.width);
        copy.follow(self);
        copy
    }
}

/// Copies the first `used` words of each head's `room`.
fn copy_heads((to, from): (&mut [u32], &[u32]), room: usize, used: usize) {
    let heads = to.chunks_exact_mut(room.max(1));
    for (to, from) in heads.zip(from.chunks_exact(room.max(1))) {
        if let (Some(to), Some(from)) = (to.get_mut(..used), from.get(..used)) {
            to.copy_from_slice(from);
        }
    }
}

/// One head's memory.
struct Place<'a> {
    keys: &'a mut [u32],
    values: &'a mut [u32],
    /// Of one key.
    words: usize,
    /// Width of the values.
    padded: usize,
    /// A row as bf16.
    rounded: Vec<u32>,
}

impl Place<'_> {
    fn round(&mut self, from: &[f32]) {
        let to = &mut self.rounded;
        dispatch(ToHalves { from, to });
    }

    fn singles(&mut self, position: usize, k: &[f32], v: &[f32]) {
        let column = column(self.keys, self.words, position);
        for (to, x) in column.zip(k) {
            *to = x.to_bits();
        }
        let row = self.values.chunks_exact_mut(self.padded).nth(position);
        for (to, x) in row.into_iter().flatten().zip(v) {
            *to = x.to_bits();
        }
    }

    fn halves(&mut self, position: usize, k: &[f32], v: &[f32]) {
        // Two components side by side in each word.
        self.round(k);
        for (to, &word) in column(self.keys, self.words, position).zip(&self.rounded) {
            *to = word;
        }
        // Two positions side by side in each word.
        self.round(v);
        let row = self.values.chunks_exact_mut(self.padded).nth(position / 2);
        let row = scratch::halves(row.unwrap_or_default());
        let halves = scratch::halves(&mut self.rounded);
        let pairs = row.as_chunks_mut().0.iter_mut().zip(halves);
        if position.is_multiple_of(2) {
            pairs.for_each(|([even, _], &mut half)| *even = half);
        } else {
            pairs.for_each(|([_, odd], &mut half)| *odd = half);
        }
    }
}

/// Where the words of a key go.
fn column(keys: &mut [u32], words: usize, position: usize) -> impl Iterator<Item = &mut u32> {
    let (panel, lane) = (position / PANEL, position % PANEL);
    let panel = keys.chunks_exact_mut(words * PANEL).nth(panel);
    let rows = panel.unwrap_or_default().as_chunks_mut::<PANEL>().0;
    rows.iter_mut().filter_map(move |row| row.get_mut(lane))
}
