//! Multiply-adds on vector registers: enough independent sums to hide the latency, no memory.

use std::arch::asm;

use super::Probe;

/// Makes a loop that updates every sum once a round from the operands `$a` and `$b`.
macro_rules! registers {
    ($name:ident, $feature:literal, $load:literal, $zero:literal, $op:literal, [$($sum:tt)*], $a:tt, $b:tt, $each:expr) => {
        #[target_feature(enable = $feature)]
        fn $name(rounds: usize, a: &[u8; 64], b: &[u8; 64]) -> usize {
            // SAFETY: the caller has found the feature; the loads read 64 bytes at most of what they are given.
            unsafe {
                asm!(
                    $(concat!($zero, " ", $sum, ", ", $sum, ", ", $sum),)*
                    concat!($load, " ", $a, ", [{a}]"),
                    concat!($load, " ", $b, ", [{b}]"),
                    "2:",
                    $(concat!($op, " ", $sum, ", ", $a, ", ", $b),)*
                    "dec {rounds}",
                    "jnz 2b",
                    rounds = inout(reg) rounds.max(1) => _,
                    a = in(reg) a,
                    b = in(reg) b,
                    out($a) _,
                    out($b) _,
                    $(out($sum) _,)*
                    options(nostack, readonly),
                );
            }
            let sums = [$($sum),*].len();
            rounds.max(1) * sums * $each
        }
    };
}

macro_rules! zmm {
    ($name:ident, $feature:literal, $op:literal, $each:expr) => {
        registers!(
            $name, $feature, "vmovdqu64", "vpxord", $op,
            ["zmm0" "zmm1" "zmm2" "zmm3" "zmm4" "zmm5" "zmm6" "zmm7" "zmm8" "zmm9" "zmm10" "zmm11"
             "zmm12" "zmm13" "zmm14" "zmm15" "zmm16" "zmm17" "zmm18" "zmm19" "zmm20" "zmm21" "zmm22" "zmm23"],
            "zmm24", "zmm25", $each
        );
    };
}

macro_rules! ymm {
    ($name:ident, $feature:literal, $op:literal, $each:expr) => {
        registers!(
            $name, $feature, "vmovdqu", "vpxor", $op,
            ["ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7" "ymm8" "ymm9" "ymm10" "ymm11"],
            "ymm12", "ymm13", $each
        );
    };
}

zmm!(fma_zmm, "avx512f", "vfmadd231ps", 16 * 2);
ymm!(fma_ymm, "avx2,fma", "vfmadd231ps", 8 * 2);
zmm!(dot_bf16_zmm, "avx512f,avx512bf16", "vdpbf16ps", 32 * 2);
zmm!(dot_int8_zmm, "avx512f,avx512vnni", "vpdpbusd", 64 * 2);
ymm!(dot_int8_ymm, "avx2,avxvnni", "{{vex}} vpdpbusd", 32 * 2);

/// Neither denormal nor so large that sums overflow.
fn floats() -> ([u8; 64], [u8; 64]) {
    let bytes = |value: f32| std::array::from_fn(|i| value.to_le_bytes()[i % 4]);
    (bytes(0.999), bytes(0.001))
}

fn halves() -> ([u8; 64], [u8; 64]) {
    let bytes = |value| std::array::from_fn(|i| half::bf16::from_f32(value).to_le_bytes()[i % 2]);
    (bytes(0.999), bytes(0.001))
}

fn integers() -> ([u8; 64], [u8; 64]) {
    (
        std::array::from_fn(|i| 200 - 3 * i as u8),
        std::array::from_fn(|i| (90 - i as i8) as u8),
    )
}

pub fn f32() -> Vec<Probe> {
    let mut found = Vec::new();
    if is_x86_feature_detected!("avx512f") {
        found.push(Probe {
            instruction: "vfmadd231ps zmm",
            run: |rounds| {
                let (a, b) = floats();
                // SAFETY: the feature was just found.
                unsafe { fma_zmm(rounds, &a, &b) }
            },
        });
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        found.push(Probe {
            instruction: "vfmadd231ps ymm",
            run: |rounds| {
                let (a, b) = floats();
                // SAFETY: the features were just found.
                unsafe { fma_ymm(rounds, &a, &b) }
            },
        });
    }
    found
}

pub fn bf16() -> Vec<Probe> {
    let mut found = Vec::new();
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
        found.push(Probe {
            instruction: "vdpbf16ps zmm",
            run: |rounds| {
                let (a, b) = halves();
                // SAFETY: the features were just found.
                unsafe { dot_bf16_zmm(rounds, &a, &b) }
            },
        });
    }
    found
}

pub fn int8() -> Vec<Probe> {
    let mut found = Vec::new();
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        found.push(Probe {
            instruction: "vpdpbusd zmm",
            run: |rounds| {
                let (a, b) = integers();
                // SAFETY: the features were just found.
                unsafe { dot_int8_zmm(rounds, &a, &b) }
            },
        });
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
        found.push(Probe {
            instruction: "vpdpbusd ymm",
            run: |rounds| {
                let (a, b) = integers();
                // SAFETY: the features were just found.
                unsafe { dot_int8_ymm(rounds, &a, &b) }
            },
        });
    }
    if found.is_empty() && is_x86_feature_detected!("avx2") {
        found.push(Probe {
            instruction: "vpmaddubsw + vpmaddwd ymm",
            run: |rounds| {
                let (a, b) = integers();
                // SAFETY: the feature was just found.
                unsafe { multiply_int8_ymm(rounds, &a, &b) }
            },
        });
    }
    found
}

/// Before VNNI: bytes to pairs, pairs to sums of four, sums to the total.
#[target_feature(enable = "avx2")]
fn multiply_int8_ymm(rounds: usize, a: &[u8; 64], b: &[u8; 64]) -> usize {
    macro_rules! rounds_of {
        ($($sum:tt $part:tt),*) => {{
            // SAFETY: the caller has found AVX2; the loads read 32 bytes of the 64 that they are given.
            unsafe {
                asm!(
                    "vpcmpeqw ymm12, ymm12, ymm12",
                    "vpabsw ymm12, ymm12",
                    "vmovdqu ymm13, [{a}]",
                    "vmovdqu ymm14, [{b}]",
                    $(concat!("vpxor ", $sum, ", ", $sum, ", ", $sum),)*
                    "2:",
                    $(
                        concat!("vpmaddubsw ", $part, ", ymm13, ymm14"),
                        concat!("vpmaddwd ", $part, ", ", $part, ", ymm12"),
                        concat!("vpaddd ", $sum, ", ", $sum, ", ", $part),
                    )*
                    "dec {rounds}",
                    "jnz 2b",
                    rounds = inout(reg) rounds.max(1) => _,
                    a = in(reg) a,
                    b = in(reg) b,
                    $(out($sum) _, out($part) _,)*
                    out("ymm12") _, out("ymm13") _, out("ymm14") _,
                    options(nostack, readonly),
                );
            }
            rounds.max(1) * [$($sum),*].len() * 32 * 2
        }};
    }
    rounds_of!("ymm0" "ymm6", "ymm1" "ymm7", "ymm2" "ymm8", "ymm3" "ymm9", "ymm4" "ymm10", "ymm5" "ymm11")
}
