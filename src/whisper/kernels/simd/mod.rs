//! Lanes of f32, and of words that hold something else: AVX-512, AVX2 with FMA, and arrays.
//!
//! A kernel is written once over [`Simd`]; [`dispatch`] compiles it for every tier and picks one at run time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use super::choice;
use portable::Portable;

/// Some lanes of f32. All methods are thin, and inlined into the kernel that was compiled for the tier.
///
/// # Safety
/// The processor must have the tier's instructions; pointers must be good for `LANES` values.
pub trait Simd: Copy {
    const LANES: usize;
    /// The kernel runs inside [`crate::whisper::kernels::amx::set_up`] and `release`.
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

    /// The best this processor has, or that the operator lets us use.
    pub fn best() -> Tier {
        static BEST: OnceLock<Tier> = OnceLock::new();
        *BEST.get_or_init(|| {
            if let Some(tier) = choice::forced() {
                return tier;
            }
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
                Tier::Amx => {
                    Tier::Avx512Bf16.available() && crate::whisper::kernels::amx::available()
                }
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
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier was just found on this processor.
        Tier::Avx512 if tier.available() => unsafe { x86::run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier was just found on this processor.
        Tier::Avx2 if tier.available() => unsafe { x86::run_avx2(kernel) },
        // SAFETY: arrays need no instructions of their own.
        _ => unsafe { kernel.run::<Portable>() },
    }
}

/// Runs `kernel`, which also computes on bf16 or bytes, on `tier`, or portably where the processor lacks it.
#[inline]
pub fn dispatch_words<K: Kernel>(tier: Tier, kernel: K) -> K::Output {
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier was just found on this processor.
        Tier::Amx if tier.available() => unsafe { x86::run_amx(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier was just found on this processor.
        Tier::Avx512Bf16 if tier.available() => unsafe { x86::run_avx512_bf16(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier was just found on this processor.
        Tier::Avx512Vnni if tier.available() => unsafe { x86::run_avx512_vnni(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier was just found on this processor.
        Tier::AvxVnni if tier.available() => unsafe { x86::run_avx_vnni(kernel) },
        _ => dispatch_on(tier, kernel),
    }
}
