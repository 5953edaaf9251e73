//! Matrices as kernels walk them.

/// A matrix of words in memory that is walked by rows.
#[derive(Clone, Copy)]
pub struct View<P> {
    pub start: P,
    /// Words from one row to the next.
    pub stride: usize,
}

impl View<*const f32> {
    /// # Safety
    /// The place must lie in the matrix, or just behind it.
    #[inline(always)]
    pub unsafe fn from(self, row: usize, column: usize) -> Self {
        // SAFETY: the caller's.
        let start = unsafe { self.start.add(row * self.stride + column) };
        View { start, ..self }
    }
}

impl View<*mut f32> {
    /// # Safety
    /// The place must lie in the matrix, or just behind it.
    #[inline(always)]
    pub unsafe fn from(self, row: usize, column: usize) -> Self {
        // SAFETY: the caller's.
        let start = unsafe { self.start.add(row * self.stride + column) };
        View { start, ..self }
    }
}
