//! Rows of inputs.

/// Input rows that may overlap (a convolution's do).
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [f32],
    /// Values from one row to the next.
    pub stride: usize,
    pub count: usize,
}

impl<'a> Rows<'a> {
    /// `values` as rows that follow each other without gaps.
    pub fn new(values: &'a [f32], width: usize) -> Rows<'a> {
        Rows {
            values,
            stride: width,
            count: values.len() / width.max(1),
        }
    }

    /// The same rows from column `first` on.
    pub fn columns(&self, first: usize) -> Rows<'a> {
        Rows {
            values: self.values.get(first..).unwrap_or_default(),
            ..*self
        }
    }

    /// `count` of the rows.
    pub fn rows(&self, first: usize, count: usize) -> Rows<'a> {
        Rows {
            values: self.values.get(first * self.stride..).unwrap_or_default(),
            count,
            ..*self
        }
    }

    /// `len` values of row `i`.
    pub fn part(&self, i: usize, first: usize, len: usize) -> &'a [f32] {
        let start = i * self.stride + first;
        self.values.get(start..start + len).unwrap_or_default()
    }
}
