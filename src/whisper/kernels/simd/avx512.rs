//! Sixteen lanes of AVX-512.

// A method is an instruction or two: what makes them sound is said once, above the implementation.
#![allow(unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::Simd;
use super::x86::{AMX, BF16, NEAREST, PLAIN};

/// `DOTS`: which dot products the processor has.
#[derive(Clone, Copy)]
pub struct Avx512<const DOTS: u8>(__m512);

// SAFETY (every method): only reached from `run_avx512` and those above it; pointers are the caller's word.
#[rustfmt::skip]
impl<const DOTS: u8> Simd for Avx512<DOTS> {
    const LANES: usize = 16;
    const TILES: bool = DOTS == AMX;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self { Self(_mm512_set1_ps(x)) }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self { Self(_mm512_loadu_ps(from)) }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) { _mm512_storeu_ps(to, self.0) }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self { Self(_mm512_add_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self { Self(_mm512_sub_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self { Self(_mm512_mul_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self { Self(_mm512_div_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self { Self(_mm512_min_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self { Self(_mm512_max_ps(self.0, other.0)) }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        Self(_mm512_fmadd_ps(self.0, a.0, b.0))
    }
    #[inline(always)]
    unsafe fn round(self) -> Self { Self(_mm512_roundscale_ps::<NEAREST>(self.0)) }
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self { Self(_mm512_scalef_ps(self.0, n.0)) }
    #[inline(always)]
    unsafe fn sum(self) -> f32 { _mm512_reduce_add_ps(self.0) }
    #[inline(always)]
    unsafe fn max_lane(self) -> f32 { _mm512_reduce_max_ps(self.0) }
    #[inline(always)]
    unsafe fn dot_halves(self, w: Self, sum: Self) -> Self {
        let (x, w) = (_mm512_castps_si512(self.0), _mm512_castps_si512(w.0));
        if DOTS >= BF16 {
            let (x, w) = (transmute::<__m512i, __m512bh>(x), transmute::<__m512i, __m512bh>(w));
            return Self(_mm512_dpbf16_ps(sum.0, x, w));
        }
        // A bf16 is the upper half of its f32.
        let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        let high = |x| _mm512_castsi512_ps(_mm512_and_si512(x, upper));
        let low = |x| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(x));
        let sum = _mm512_fmadd_ps(high(x), high(w), sum.0);
        Self(_mm512_fmadd_ps(low(x), low(w), sum))
    }
    #[inline(always)]
    unsafe fn dot_bytes(self, w: Self, sum: Self) -> Self {
        let (x, w) = (_mm512_castps_si512(self.0), _mm512_castps_si512(w.0));
        let sum = _mm512_castps_si512(sum.0);
        let sum = if DOTS == PLAIN {
            // Products of bytes in pairs of sixteen bits: even bytes, then odd ones; no pair overflows.
            let even = _mm512_madd_epi16(
                _mm512_and_si512(x, _mm512_set1_epi16(0xff)),
                _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(w)),
            );
            let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(x), _mm512_srai_epi16::<8>(w));
            _mm512_add_epi32(_mm512_add_epi32(sum, even), odd)
        } else {
            _mm512_dpbusd_epi32(sum, x, w)
        };
        Self(_mm512_castsi512_ps(sum))
    }
    #[inline(always)]
    unsafe fn integers(self) -> Self {
        Self(_mm512_cvtepi32_ps(_mm512_castps_si512(self.0)))
    }
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16) {
        if DOTS >= BF16 {
            let halves = _mm512_cvtneps_pbh(self.0);
            return _mm256_storeu_si256(to.cast(), transmute::<__m256bh, __m256i>(halves));
        }
        let bits = _mm512_castps_si512(self.0);
        // Half a unit of the last place, less one unless that place is odd.
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
        _mm256_storeu_si256(to.cast(), halves);
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(self.0)))
    }
}
