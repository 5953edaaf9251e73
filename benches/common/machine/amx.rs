//! Products of tiles (AMX), by inline assembly: stable Rust has neither the intrinsics nor the feature names.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

use super::Probe;

/// Eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Tiles {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const TILES: Tiles = Tiles {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Two by two tiles of sums from two and two of operands, as a register-blocked product would have them.
macro_rules! tiles {
    ($name:ident, $op:literal, $each:expr) => {
        /// # Safety
        /// The processor has the instruction, and the system lets the process use tiles.
        unsafe fn $name(rounds: usize, operand: &[u8; 1024]) -> usize {
            let rounds = rounds.max(1);
            // SAFETY: the caller vouches for the instructions; a load reads 16 rows of 64 bytes. The compiler keeps
            // nothing in tiles, and they are released at the end.
            unsafe {
                asm!(
                    "ldtilecfg [{tiles}]",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "tileloadd tmm4, [{operand} + {stride}*1]",
                    "tileloadd tmm5, [{operand} + {stride}*1]",
                    "tileloadd tmm6, [{operand} + {stride}*1]",
                    "tileloadd tmm7, [{operand} + {stride}*1]",
                    "2:",
                    concat!($op, " tmm0, tmm4, tmm6"),
                    concat!($op, " tmm1, tmm4, tmm7"),
                    concat!($op, " tmm2, tmm5, tmm6"),
                    concat!($op, " tmm3, tmm5, tmm7"),
                    "dec {rounds}",
                    "jnz 2b",
                    "tilerelease",
                    tiles = in(reg) &TILES,
                    operand = in(reg) operand,
                    stride = in(reg) 64usize,
                    rounds = inout(reg) rounds => _,
                    options(nostack, readonly),
                );
            }
            rounds * 4 * 16 * 16 * $each
        }
    };
}

tiles!(dot_bf16, "tdpbf16ps", 32 * 2);
tiles!(dot_int8, "tdpbusd", 64 * 2);

pub fn bf16() -> Vec<Probe> {
    let found = has(22).then_some(Probe {
        instruction: "tdpbf16ps",
        run: |rounds| {
            let value = half::bf16::from_f32(0.01).to_le_bytes();
            let operand = std::array::from_fn(|i| value[i % 2]);
            // SAFETY: `has` has looked.
            unsafe { dot_bf16(rounds, &operand) }
        },
    });
    found.into_iter().collect()
}

pub fn int8() -> Vec<Probe> {
    let found = has(25).then_some(Probe {
        instruction: "tdpbusd",
        run: |rounds| {
            // SAFETY: `has` has looked.
            unsafe { dot_int8(rounds, &std::array::from_fn(|i| i as u8)) }
        },
    });
    found.into_iter().collect()
}

/// Whether leaf 7 of CPUID has the kind of product (its bit in EDX) and tiles, and the system lets us use them.
fn has(kind: u32) -> bool {
    const TILE: u32 = 24;
    #[allow(unused_unsafe)]
    // SAFETY: every processor of this kind has CPUID.
    let (leaves, edx) = unsafe { (__cpuid_count(0, 0).eax, __cpuid_count(7, 0).edx) };
    leaves >= 7 && edx & (1 << TILE) != 0 && edx & (1 << kind) != 0 && is_allowed()
}

/// Asks the system for the state of tiles, once a process.
fn is_allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        if !cfg!(target_os = "linux") {
            return false;
        }
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
        const TILE_DATA: i64 = 18;
        let answer: i64;
        // SAFETY: a system call that reads no memory of ours; it changes rcx and r11.
        unsafe {
            asm!(
                "syscall",
                inout("rax") ARCH_PRCTL => answer,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") TILE_DATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        answer == 0
    })
}
