//! Eight lanes of AVX2 with FMA.

// A method is an instruction or two: what makes them sound is said once, above the implementation.
#![allow(unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

use super::Simd;
use super::x86::{NEAREST, PLAIN};

/// `DOTS`: which dot products the processor has.
#[derive(Clone, Copy)]
pub struct Avx2<const DOTS: u8>(__m256);

impl<const DOTS: u8> Avx2<DOTS> {
    #[inline(always)]
    unsafe fn lanes(self) -> [f32; 8] {
        // Eight lanes go to eight values.
        let mut lanes = [0f32; 8];
        _mm256_storeu_ps(lanes.as_mut_ptr(), self.0);
        lanes
    }
}

// SAFETY (every method): only reached from `run_avx2` and `run_avx_vnni`; pointers are the caller's word.
#[rustfmt::skip]
impl<const DOTS: u8> Simd for Avx2<DOTS> {
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self { Self(_mm256_set1_ps(x)) }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self { Self(_mm256_loadu_ps(from)) }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) { _mm256_storeu_ps(to, self.0) }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self { Self(_mm256_add_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self { Self(_mm256_sub_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self { Self(_mm256_mul_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self { Self(_mm256_div_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self { Self(_mm256_min_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self { Self(_mm256_max_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        Self(_mm256_fmadd_ps(self.0, a.0, b.0))
    }
    #[inline(always)]
    unsafe fn round(self) -> Self { Self(_mm256_round_ps::<NEAREST>(self.0)) }
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.0), _mm256_set1_epi32(127));
        let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
        Self(_mm256_mul_ps(self.0, power))
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 { self.lanes().iter().sum() }
    #[inline(always)]
    unsafe fn max_lane(self) -> f32 {
        self.lanes().into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    unsafe fn dot_halves(self, w: Self, sum: Self) -> Self {
        let (x, w) = (_mm256_castps_si256(self.0), _mm256_castps_si256(w.0));
        let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
        let high = |x| _mm256_castsi256_ps(_mm256_and_si256(x, upper));
        let low = |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x));
        let sum = _mm256_fmadd_ps(high(x), high(w), sum.0);
        Self(_mm256_fmadd_ps(low(x), low(w), sum))
    }
    #[inline(always)]
    unsafe fn dot_bytes(self, w: Self, sum: Self) -> Self {
        let (x, w) = (_mm256_castps_si256(self.0), _mm256_castps_si256(w.0));
        let sum = _mm256_castps_si256(sum.0);
        let sum = if DOTS == PLAIN {
            let even = _mm256_madd_epi16(
                _mm256_and_si256(x, _mm256_set1_epi16(0xff)),
                _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)),
            );
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(w));
            _mm256_add_epi32(_mm256_add_epi32(sum, even), odd)
        } else {
            _mm256_dpbusd_avx_epi32(sum, x, w)
        };
        Self(_mm256_castsi256_ps(sum))
    }
    #[inline(always)]
    unsafe fn integers(self) -> Self {
        Self(_mm256_cvtepi32_ps(_mm256_castps_si256(self.0)))
    }
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16) {
        let bits = _mm256_castps_si256(self.0);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        let halves = _mm256_srli_epi32::<16>(rounded);
        let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
        _mm_storeu_si128(to.cast(), _mm_packus_epi32(low, high));
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        let whole = _mm256_cvtps_epi32(self.0);
        let (low, high) = (_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
        let words = _mm_packus_epi32(low, high);
        _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
    }
}
