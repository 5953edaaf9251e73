//! Products on the tile unit of Intel's server processors (AMX): 16 x 16 sums from one instruction.
//!
//! Stable Rust knows neither the instructions nor how to detect them, so both are spelled out here. A thread has the tiles
//! only from [`set_up`] to [`release`]: nothing of them outlives a kernel, and whoever else uses tiles on the thread must set them up
//! again, as the rules ask.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

use super::view::View;

/// Rows and columns of one step: two tiles each way, so that each tile loaded serves two products.
pub const SIDE: usize = 32;
/// Words of an input row in one tile.
pub const DEPTH: usize = 16;

/// Whether this process may use tiles, and they compute what they should.
pub fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && is_permitted() && computes_right())
}

fn has_tiles() -> bool {
    // Leaf 7: bf16, tiles, int8. Leaf 1: the system saves extended state; bits 17 and 18 of its mask are the tiles.
    const TILES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    const OSXSAVE: u32 = 1 << 27;
    const STATE: u64 = 0b11 << 17;
    if __cpuid(0).eax < 7
        || __cpuid_count(7, 0).edx & TILES != TILES
        || __cpuid(1).ecx & OSXSAVE == 0
    {
        return false;
    }
    #[target_feature(enable = "xsave")]
    fn state() -> u64 {
        // SAFETY: register 0 is there wherever XSAVE is.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: OSXSAVE says that the instruction is there.
    unsafe { state() & STATE == STATE }
}

/// Asks the kernel for the tiles' state, once for all threads.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the call changes no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// Compares one step of each kind with plain arithmetic: what is wrong here is not used.
fn computes_right() -> bool {
    let words = |seed: u32| -> Vec<u32> {
        let mix = |i: u32| {
            i.wrapping_add(seed)
                .wrapping_mul(0x9e37_79b9)
                .rotate_left(15)
        };
        (0..(SIDE * SIDE) as u32).map(|i| mix(mix(i))).collect()
    };
    let (a, b) = (words(1), words(2));
    let at = |x: &[u32], i: usize| x.get(i).copied().unwrap_or_default();
    let view = |x: &[u32]| View {
        start: x.as_ptr().cast::<f32>(),
        stride: SIDE,
    };

    let mut sums = vec![7f32.to_bits(); SIDE * SIDE];
    let to = View {
        start: sums.as_mut_ptr().cast::<f32>(),
        stride: SIDE,
    };
    let mut expected = vec![0i32; SIDE * SIDE];
    for (i, sum) in expected.iter_mut().enumerate() {
        for k in 0..SIDE {
            let x = at(&a, i / SIDE * SIDE + k).to_ne_bytes();
            let w = at(&b, k * SIDE + i % SIDE).to_ne_bytes();
            for (x, w) in x.into_iter().zip(w) {
                *sum += i32::from(x) * i32::from(w as i8);
            }
        }
    }
    // SAFETY: the tiles were found and permitted; 32 rows of 32 words each.
    unsafe {
        set_up();
        bytes(SIDE, view(&a), view(&b), to, false);
        release();
    }
    if sums.iter().zip(&expected).any(|(a, b)| *a as i32 != *b) {
        return false;
    }

    // Small whole numbers as bf16: their sums are exact in any order.
    let small = |x: &u32| {
        let half = |x: u32| (((x % 16) as f32).to_bits() >> 16) & 0xffff;
        half(*x) | half(*x >> 8) << 16
    };
    let (a, b): (Vec<u32>, Vec<u32>) =
        (a.iter().map(small).collect(), b.iter().map(small).collect());
    let mut sums = vec![1f32; SIDE * SIDE];
    let to = View {
        start: sums.as_mut_ptr(),
        stride: SIDE,
    };
    // SAFETY: as above.
    unsafe {
        set_up();
        halves(SIDE, view(&a), view(&b), to, true);
        release();
    }
    sums.iter().enumerate().all(|(i, sum)| {
        let products = (0..SIDE).map(|k| {
            let (x, w) = (at(&a, i / SIDE * SIDE + k), at(&b, k * SIDE + i % SIDE));
            let (low, high) = (
                |x: u32| f32::from_bits(x << 16),
                |x: u32| f32::from_bits(x & 0xffff_0000),
            );
            low(x) * low(w) + high(x) * high(w)
        });
        *sum == 1.0 + products.sum::<f32>()
    })
}

/// Eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPE: Shape = Shape {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Sets the tiles up on this thread, until [`release`].
///
/// # Safety
/// The process may use tiles; nobody else keeps something in those of this thread.
#[inline(always)]
pub unsafe fn set_up() {
    // SAFETY: the caller's; the shape is a static of the 64 bytes that are read.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPE, options(nostack, readonly)) };
}

/// # Safety
/// As [`set_up`]'s.
#[inline(always)]
pub unsafe fn release() {
    // SAFETY: the caller's; no memory is touched.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// One step of 32 x 32 sums over `k` words (a multiple of 16) by `$dot`.
macro_rules! step {
    ($name:ident, $dot:literal, $what:literal) => {
        #[doc = $what]
        ///
        /// # Safety
        /// The tiles are set up; the views must be good for 32 rows of `k` words, `k` rows of 32, and 32 rows of 32.
        #[inline(always)]
        pub unsafe fn $name(
            k: usize,
            a: View<*const f32>,
            b: View<*const f32>,
            c: View<*mut f32>,
            accumulate: bool,
        ) {
            // SAFETY: the caller's: every load and store is a tile inside one of the views.
            unsafe {
                let lower = c.start.add(16 * c.stride);
                if accumulate {
                    asm!(
                        "tileloadd tmm0, [{upper} + {stride}]",
                        "tileloadd tmm1, [{upper} + {stride} + 64]",
                        "tileloadd tmm2, [{lower} + {stride}]",
                        "tileloadd tmm3, [{lower} + {stride} + 64]",
                        upper = in(reg) c.start,
                        lower = in(reg) lower,
                        stride = in(reg) 4 * c.stride,
                        options(nostack, readonly),
                    );
                } else {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "tilezero tmm2",
                        "tilezero tmm3",
                        options(nostack, nomem),
                    );
                }
                asm!(
                    "2:",
                    "tileloadd tmm4, [{upper} + {a_stride}]",
                    "tileloadd tmm6, [{b} + {b_stride}]",
                    concat!($dot, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{b} + {b_stride} + 64]",
                    concat!($dot, " tmm1, tmm4, tmm7"),
                    "tileloadd tmm5, [{lower} + {a_stride}]",
                    concat!($dot, " tmm2, tmm5, tmm6"),
                    concat!($dot, " tmm3, tmm5, tmm7"),
                    "add {upper}, 64",
                    "add {lower}, 64",
                    "add {b}, {b_step}",
                    "dec {steps}",
                    "jnz 2b",
                    upper = inout(reg) a.start => _,
                    lower = inout(reg) a.start.add(16 * a.stride) => _,
                    a_stride = in(reg) 4 * a.stride,
                    b = inout(reg) b.start => _,
                    b_stride = in(reg) 4 * b.stride,
                    b_step = in(reg) 4 * DEPTH * b.stride,
                    steps = inout(reg) k / DEPTH => _,
                    options(nostack, readonly),
                );
                asm!(
                    "tilestored [{upper} + {stride}], tmm0",
                    "tilestored [{upper} + {stride} + 64], tmm1",
                    "tilestored [{lower} + {stride}], tmm2",
                    "tilestored [{lower} + {stride} + 64], tmm3",
                    upper = in(reg) c.start,
                    lower = in(reg) lower,
                    stride = in(reg) 4 * c.stride,
                    options(nostack),
                );
            }
        }
    };
}

step!(
    bytes,
    "tdpbusd",
    "Words of four bytes: unsigned inputs, signed weights, i32 sums."
);
step!(halves, "tdpbf16ps", "Words of two bf16, f32 sums.");
