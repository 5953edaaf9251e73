//! A kernel compiled for each tier of x86 processors.

// What makes the calls sound is said once, above the first.
#![allow(unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::{_MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT};

use super::Kernel;
use super::avx2::Avx2;
use super::avx512::Avx512;
use crate::whisper::kernels::amx;

/// Round to nearest, raise nothing.
pub const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

// SAFETY (all six): callers have checked the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16")]
pub unsafe fn run_amx<K: Kernel>(kernel: K) -> K::Output {
    amx::set_up();
    let output = kernel.run::<Avx512<AMX>>();
    amx::release();
    output
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16")]
pub unsafe fn run_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512<BF16>>()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub unsafe fn run_avx512_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512<VNNI>>()
}

#[target_feature(enable = "avx512f,avx512bw")]
pub unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512<PLAIN>>()
}

#[target_feature(enable = "avx2,fma,avxvnni")]
pub unsafe fn run_avx_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2<VNNI>>()
}

#[target_feature(enable = "avx2,fma")]
pub unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2<PLAIN>>()
}

/// Dot products that a tier has: none, of bytes, of bytes and of bf16, both and tiles.
pub const PLAIN: u8 = 0;
pub const VNNI: u8 = 1;
pub const BF16: u8 = 2;
pub const AMX: u8 = 3;
