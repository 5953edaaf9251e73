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
    /// The kernel runs inside [`super::amx::set_up`] and `release`.
    const TILES: bool = false;
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

    // Below, lanes are also words of 32 bits that hold something else than a f32.

    /// Words of two bf16: the products of `self` and `w`, both added to the f32 `sum`.
    unsafe fn dot_halves(self, w: Self, sum: Self) -> Self;
    /// Words of four bytes, `self` unsigned and `w` signed: their products, all added to the i32 `sum`. Exact.
    unsafe fn dot_bytes(self, w: Self, sum: Self) -> Self;
    /// The f32 of each i32.
    unsafe fn integers(self) -> Self;
    /// Rounds to bf16, to nearest even.
    unsafe fn store_halves(self, to: *mut u16);
    /// Rounds to whole numbers, to nearest even; for values in 0..=255.
    unsafe fn store_bytes(self, to: *mut u8);
}

/// A computation written over [`Simd`]. `run` must be `#[inline(always)]`.
pub trait Kernel {
    type Output;
    /// # Safety
    /// As [`Simd`]'s.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// What a processor may offer, the richest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// AVX-512 as below, and Intel's tile unit.
    Amx,
    /// AVX-512 with dot products of bytes and of bf16.
    Avx512Bf16,
    /// AVX-512 with dot products of bytes.
    Avx512Vnni,
    Avx512,
    /// AVX2 with dot products of bytes.
    AvxVnni,
    Avx2,
    /// Arrays, as the compiler vectorises them (NEON on ARM).
    Portable,
}

impl Tier {
    pub const ALL: [Tier; 7] = [
        Tier::Amx,
        Tier::Avx512Bf16,
        Tier::Avx512Vnni,
        Tier::Avx512,
        Tier::AvxVnni,
        Tier::Avx2,
        Tier::Portable,
    ];

    /// The best this processor has.
    pub fn best() -> Tier {
        static BEST: OnceLock<Tier> = OnceLock::new();
        *BEST.get_or_init(|| {
            let mut found = Tier::ALL.into_iter().filter(|tier| tier.available());
            found.next().unwrap_or(Tier::Portable)
        })
    }

    /// Whether this processor can run it.
    pub fn available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 =
                || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            match self {
                Tier::Amx => Tier::Avx512Bf16.available() && super::amx::available(),
                Tier::Avx512Bf16 => {
                    Tier::Avx512Vnni.available() && is_x86_feature_detected!("avx512bf16")
                }
                Tier::Avx512Vnni => avx512() && is_x86_feature_detected!("avx512vnni"),
                Tier::Avx512 => avx512(),
                Tier::AvxVnni => avx2() && is_x86_feature_detected!("avxvnni"),
                Tier::Avx2 => avx2(),
                Tier::Portable => true,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Tier::Portable
        }
    }

    /// The tier that runs the same f32 arithmetic, without what f32 has no use for.
    fn of_f32(self) -> Tier {
        match self {
            Tier::Amx | Tier::Avx512Bf16 | Tier::Avx512Vnni => Tier::Avx512,
            Tier::AvxVnni => Tier::Avx2,
            other => other,
        }
    }
}

/// Runs `kernel`, which computes in f32, on the best tier.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    dispatch_on(Tier::best(), kernel)
}

/// Runs `kernel`, which computes in f32, on `tier`, or portably where the processor lacks it.
#[inline]
pub fn dispatch_on<K: Kernel>(tier: Tier, kernel: K) -> K::Output {
    match tier.of_f32() {
        // SAFETY (here and below): the tier was found on this processor.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 if tier.available() => unsafe { x86::run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 if tier.available() => unsafe { x86::run_avx2(kernel) },
        // SAFETY: arrays need no instructions of their own.
        _ => unsafe { kernel.run::<Portable>() },
    }
}

/// Runs `kernel`, which also computes on bf16 or bytes, on `tier`, or portably where the processor lacks it.
#[inline]
pub fn dispatch_words<K: Kernel>(tier: Tier, kernel: K) -> K::Output {
    match tier {
        // SAFETY (here and below): the tier was found on this processor.
        #[cfg(target_arch = "x86_64")]
        Tier::Amx if tier.available() => unsafe { x86::run_amx(kernel) },
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512Bf16 if tier.available() => unsafe { x86::run_avx512_bf16(kernel) },
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512Vnni if tier.available() => unsafe { x86::run_avx512_vnni(kernel) },
        #[cfg(target_arch = "x86_64")]
        Tier::AvxVnni if tier.available() => unsafe { x86::run_avx_vnni(kernel) },
        _ => dispatch_on(tier, kernel),
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::{Kernel, Simd};

    /// Round to nearest, raise nothing.
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

    // SAFETY (all six): callers have checked the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16")]
    pub unsafe fn run_amx<K: Kernel>(kernel: K) -> K::Output {
        unsafe {
            super::super::amx::set_up();
            let output = kernel.run::<Avx512<AMX>>();
            super::super::amx::release();
            output
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16")]
    pub unsafe fn run_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Avx512<BF16>>() }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub unsafe fn run_avx512_vnni<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Avx512<VNNI>>() }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Avx512<PLAIN>>() }
    }

    #[target_feature(enable = "avx2,fma,avxvnni")]
    pub unsafe fn run_avx_vnni<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Avx2<VNNI>>() }
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Avx2<PLAIN>>() }
    }

    /// Dot products that a tier has: none, of bytes, of bytes and of bf16, both and tiles.
    const PLAIN: u8 = 0;
    const VNNI: u8 = 1;
    const BF16: u8 = 2;
    const AMX: u8 = 3;

    #[derive(Clone, Copy)]
    pub struct Avx512<const DOTS: u8>(__m512);

    // SAFETY (every method): only reached from `run_avx512`; pointers are the caller's word.
    #[rustfmt::skip]
    impl<const DOTS: u8> Simd for Avx512<DOTS> {
        const LANES: usize = 16;
        const TILES: bool = DOTS == AMX;
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
        #[inline(always)]
        unsafe fn dot_halves(self, w: Self, sum: Self) -> Self {
            unsafe {
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
        }
        #[inline(always)]
        unsafe fn dot_bytes(self, w: Self, sum: Self) -> Self {
            unsafe {
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
        }
        #[inline(always)]
        unsafe fn integers(self) -> Self {
            unsafe { Self(_mm512_cvtepi32_ps(_mm512_castps_si512(self.0))) }
        }
        #[inline(always)]
        unsafe fn store_halves(self, to: *mut u16) {
            unsafe {
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
        }
        #[inline(always)]
        unsafe fn store_bytes(self, to: *mut u8) {
            unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(self.0))) }
        }
    }

    #[derive(Clone, Copy)]
    pub struct Avx2<const DOTS: u8>(__m256);

    impl<const DOTS: u8> Avx2<DOTS> {
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
    impl<const DOTS: u8> Simd for Avx2<DOTS> {
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
        #[inline(always)]
        unsafe fn dot_halves(self, w: Self, sum: Self) -> Self {
            unsafe {
                let (x, w) = (_mm256_castps_si256(self.0), _mm256_castps_si256(w.0));
                let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
                let high = |x| _mm256_castsi256_ps(_mm256_and_si256(x, upper));
                let low = |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x));
                let sum = _mm256_fmadd_ps(high(x), high(w), sum.0);
                Self(_mm256_fmadd_ps(low(x), low(w), sum))
            }
        }
        #[inline(always)]
        unsafe fn dot_bytes(self, w: Self, sum: Self) -> Self {
            unsafe {
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
        }
        #[inline(always)]
        unsafe fn integers(self) -> Self {
            unsafe { Self(_mm256_cvtepi32_ps(_mm256_castps_si256(self.0))) }
        }
        #[inline(always)]
        unsafe fn store_halves(self, to: *mut u16) {
            unsafe {
                let bits = _mm256_castps_si256(self.0);
                let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
                let rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
                let halves = _mm256_srli_epi32::<16>(rounded);
                let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
                _mm_storeu_si128(to.cast(), _mm_packus_epi32(low, high));
            }
        }
        #[inline(always)]
        unsafe fn store_bytes(self, to: *mut u8) {
            unsafe {
                let whole = _mm256_cvtps_epi32(self.0);
                let (low, high) = (_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
                let words = _mm_packus_epi32(low, high);
                _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
            }
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
        unsafe { to.cast::<[u16; 8]>().write_unaligned(halves) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        let bytes = unsafe { self.round() }.0.map(|x| x as u8);
        unsafe { to.cast::<[u8; 8]>().write_unaligned(bytes) }
    }
}
