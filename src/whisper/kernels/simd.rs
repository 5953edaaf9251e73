//! Lanes of f32: AVX-512, AVX2 with FMA, and arrays that the compiler vectorises as it can.
//!
//! A kernel is written once over [`Simd`]; [`dispatch`] compiles it for every tier and picks one at run time.

use std::sync::OnceLock;

/// Some lanes of f32. All methods are thin, and inlined into the kernel that was compiled for the tier.
///
/// # Safety
/// The processor must have the tier's instructions; pointers must be good for `LANES` values.
pub trait Simd: Copy {
    const LANES: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    /// `self * a + b`
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    /// To the nearest integer; for magnitudes below 2^22.
    unsafe fn round(self) -> Self;
    /// `self * 2^n` for integral `n` in -126..=127.
    unsafe fn scale(self, n: Self) -> Self;
    /// Sum of the lanes.
    unsafe fn sum(self) -> f32;
    /// Greatest lane.
    unsafe fn max_lane(self) -> f32;
}

/// A computation written over [`Simd`]. `run` must be `#[inline(always)]`.
pub trait Kernel {
    type Output;
    /// # Safety
    /// As [`Simd`]'s.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// What the processor offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Avx512,
    Avx2,
    Portable,
}

impl Tier {
    /// The best this processor has.
    pub fn best() -> Tier {
        static BEST: OnceLock<Tier> = OnceLock::new();
        *BEST.get_or_init(|| {
            let best = [Tier::Avx512, Tier::Avx2];
            best.into_iter()
                .find(|tier| tier.available())
                .unwrap_or(Tier::Portable)
        })
    }

    /// Whether this processor can run it.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Tier::Avx512 | Tier::Avx2 => false,
            Tier::Portable => true,
        }
    }
}

/// Runs `kernel` on the best tier.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    dispatch_on(Tier::best(), kernel)
}

/// Runs `kernel` on `tier`, or portably where the processor lacks it.
#[inline]
pub fn dispatch_on<K: Kernel>(tier: Tier, kernel: K) -> K::Output {
    match tier {
        // SAFETY: the tier was found on this processor.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 if tier.available() => unsafe { x86::run_avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 if tier.available() => unsafe { x86::run_avx2(kernel) },
        // SAFETY: arrays need no instructions of their own.
        _ => unsafe { kernel.run::<Portable>() },
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, Simd};

    /// Round to nearest, raise nothing.
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

    // SAFETY: callers have checked the features.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Avx512>() }
    }

    // SAFETY: callers have checked the features.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Avx2>() }
    }

    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    // SAFETY (every method): only reached from `run_avx512`; pointers are the caller's word.
    #[rustfmt::skip]
    impl Simd for Avx512 {
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self { unsafe { Self(_mm512_set1_ps(x)) } }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self { unsafe { Self(_mm512_loadu_ps(from)) } }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) { unsafe { _mm512_storeu_ps(to, self.0) } }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self { unsafe { Self(_mm512_add_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self { unsafe { Self(_mm512_sub_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self { unsafe { Self(_mm512_mul_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self { unsafe { Self(_mm512_div_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self { unsafe { Self(_mm512_min_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self { unsafe { Self(_mm512_max_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn mul_add(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm512_fmadd_ps(self.0, a.0, b.0)) }
        }
        #[inline(always)]
        unsafe fn round(self) -> Self { unsafe { Self(_mm512_roundscale_ps::<NEAREST>(self.0)) } }
        #[inline(always)]
        unsafe fn scale(self, n: Self) -> Self { unsafe { Self(_mm512_scalef_ps(self.0, n.0)) } }
        #[inline(always)]
        unsafe fn sum(self) -> f32 { unsafe { _mm512_reduce_add_ps(self.0) } }
        #[inline(always)]
        unsafe fn max_lane(self) -> f32 { unsafe { _mm512_reduce_max_ps(self.0) } }
    }

    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    impl Avx2 {
        #[inline(always)]
        unsafe fn lanes(self) -> [f32; 8] {
            let mut lanes = [0f32; 8];
            // SAFETY: eight lanes go to eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), self.0) };
            lanes
        }
    }

    // SAFETY (every method): only reached from `run_avx2`; pointers are the caller's word.
    #[rustfmt::skip]
    impl Simd for Avx2 {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self { unsafe { Self(_mm256_set1_ps(x)) } }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self { unsafe { Self(_mm256_loadu_ps(from)) } }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) { unsafe { _mm256_storeu_ps(to, self.0) } }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self { unsafe { Self(_mm256_add_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self { unsafe { Self(_mm256_sub_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self { unsafe { Self(_mm256_mul_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self { unsafe { Self(_mm256_div_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self { unsafe { Self(_mm256_min_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self { unsafe { Self(_mm256_max_ps(self.0, other.0)) } }
        #[inline(always)]
        unsafe fn mul_add(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, a.0, b.0)) }
        }
        #[inline(always)]
        unsafe fn round(self) -> Self { unsafe { Self(_mm256_round_ps::<NEAREST>(self.0)) } }
        #[inline(always)]
        unsafe fn scale(self, n: Self) -> Self {
            unsafe {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.0), _mm256_set1_epi32(127));
                let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
                Self(_mm256_mul_ps(self.0, power))
            }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 { unsafe { self.lanes() }.iter().sum() }
        #[inline(always)]
        unsafe fn max_lane(self) -> f32 {
            unsafe { self.lanes() }.into_iter().fold(f32::NEG_INFINITY, f32::max)
        }
    }
}

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

// SAFETY (`load` and `store`): the pointers are the caller's word.
impl Simd for Portable {
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
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
}
