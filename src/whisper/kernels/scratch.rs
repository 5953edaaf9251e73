//! Memory that a thread keeps from one kernel to the next.

use std::cell::Cell;

use super::math::Steps;

thread_local! {
    static WORDS: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
    static STEPS: Cell<Vec<Steps>> = const { Cell::new(Vec::new()) };
}

/// Lends `len` words of whatever was left in them.
pub fn words<R>(len: usize, f: impl FnOnce(&mut [u32]) -> R) -> R {
    let mut kept = WORDS.take();
    if kept.len() < len {
        kept.resize(len, 0);
    }
    let result = f(kept.get_mut(..len).unwrap_or_default());
    WORDS.set(kept);
    result
}

/// Lends one value for each row.
pub fn steps<R>(len: usize, f: impl FnOnce(&mut [Steps]) -> R) -> R {
    let mut kept = STEPS.take();
    if kept.len() < len {
        kept.resize(len, Steps::default());
    }
    let result = f(kept.get_mut(..len).unwrap_or_default());
    STEPS.set(kept);
    result
}

/// Words as the bf16 they hold.
pub fn halves(words: &mut [u32]) -> &mut [u16] {
    // SAFETY: the same memory; any bits are a u16.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// Words as the bytes they hold.
pub fn bytes(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: the same memory; any bits are a u8.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len()) }
}

/// Words as the f32 they hold.
pub fn singles(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: the same memory; any bits are a f32.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

/// Makes the last word zero: what lies behind the last value meets weights of zero, but must be a number.
pub fn clear_last(words: &mut [u32]) -> &mut [u32] {
    if let Some(last) = words.last_mut() {
        *last = 0;
    }
    words
}
