//! Eight lanes in an array, as the compiler vectorises them.

// What makes the methods sound is said once, above the implementation.
#![allow(unsafe_op_in_unsafe_fn)]

use super::Simd;

/// Eight lanes in an array: the scalar twin of the others, and what other processors run.
#[derive(Clone, Copy)]
pub struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut lanes = self.0;
        for (a, b) in lanes.iter_mut().zip(other.0) {
            *a = f(*a, b);
        }
        Self(lanes)
    }
}

// SAFETY (`load` and what stores): the pointers are the caller's word.
impl Simd for Portable {
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(from.cast::<[f32; 8]>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        to.cast::<[f32; 8]>().write_unaligned(self.0)
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        let mut lanes = self.0;
        for ((x, a), b) in lanes.iter_mut().zip(a.0).zip(b.0) {
            // Fused only where that is one instruction.
            *x = if cfg!(target_arch = "aarch64") {
                x.mul_add(a, b)
            } else {
                *x * a + b
            };
        }
        Self(lanes)
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        /// 1.5 * 2^23: adding it leaves no room for a fraction.
        const MAGIC: f32 = 12_582_912.0;
        Self(self.0.map(|x| (x + MAGIC) - MAGIC))
    }
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        self.zip(n, |x, n| {
            x * f32::from_bits(((n as i32 + 127) << 23) as u32)
        })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self.0.iter().sum()
    }
    #[inline(always)]
    unsafe fn max_lane(self) -> f32 {
        self.0.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    unsafe fn dot_halves(self, w: Self, sum: Self) -> Self {
        let mut lanes = sum.0;
        for ((sum, x), w) in lanes.iter_mut().zip(self.0).zip(w.0) {
            let (x, w) = (x.to_bits(), w.to_bits());
            let high = |x: u32| f32::from_bits(x & 0xffff_0000);
            let low = |x: u32| f32::from_bits(x << 16);
            *sum += high(x) * high(w);
            *sum += low(x) * low(w);
        }
        Self(lanes)
    }
    #[inline(always)]
    unsafe fn dot_bytes(self, w: Self, sum: Self) -> Self {
        let mut lanes = sum.0;
        for ((sum, x), w) in lanes.iter_mut().zip(self.0).zip(w.0) {
            let (x, w) = (x.to_bits().to_ne_bytes(), w.to_bits().to_ne_bytes());
            let mut total = sum.to_bits() as i32;
            for (x, w) in x.into_iter().zip(w) {
                total = total.wrapping_add(i32::from(x) * i32::from(w as i8));
            }
            *sum = f32::from_bits(total as u32);
        }
        Self(lanes)
    }
    #[inline(always)]
    unsafe fn integers(self) -> Self {
        Self(self.0.map(|x| x.to_bits() as i32 as f32))
    }
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16) {
        let halves = self.0.map(|x| {
            let bits = x.to_bits();
            (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
        });
        to.cast::<[u16; 8]>().write_unaligned(halves)
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        let bytes = self.round().0.map(|x| x as u8);
        to.cast::<[u8; 8]>().write_unaligned(bytes)
    }
}
