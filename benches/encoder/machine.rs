//! What the machine could do at best, measured, and what a model asks of it.

use std::hint::black_box;
use std::time::Instant;

use crate::synthetic::Shape;

/// Best of a few runs, in GFLOP/s over `threads` threads.
pub fn fma_peak(threads: usize) -> f64 {
    const ROUNDS: usize = 4_000_000;
    let best = (0..3).map(|_| {
        let start = Instant::now();
        let flops: usize = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| fma(ROUNDS))).collect();
            running.into_iter().filter_map(|t| t.join().ok()).sum()
        });
        flops as f64 / start.elapsed().as_secs_f64() / 1e9
    });
    best.fold(0.0, f64::max)
}

/// Runs independent multiply-adds on registers; returns how many operations that was.
fn fma(rounds: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just found.
        return unsafe { fma_avx512(rounds) };
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
        // SAFETY: the features were just found.
        return unsafe { fma_avx2(rounds) };
    }
    let mut sums = [black_box(0f32); 64];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = *sum * 0.999 + 0.001;
        }
    }
    black_box(sums);
    rounds * 64 * 2
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn fma_avx512(rounds: usize) -> usize {
    use std::arch::x86_64::*;
    let (a, b) = (
        _mm512_set1_ps(black_box(0.999)),
        _mm512_set1_ps(black_box(0.001)),
    );
    let mut sums = [_mm512_setzero_ps(); 16];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, a, b);
        }
    }
    black_box(sums);
    rounds * 16 * 16 * 2
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fma_avx2(rounds: usize) -> usize {
    use std::arch::x86_64::*;
    let (a, b) = (
        _mm256_set1_ps(black_box(0.999)),
        _mm256_set1_ps(black_box(0.001)),
    );
    let mut sums = [_mm256_setzero_ps(); 12];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, a, b);
        }
    }
    black_box(sums);
    rounds * 12 * 8 * 2
}

/// Best of a few runs over a buffer far larger than any cache, in GB/s over `threads` threads.
pub fn read_bandwidth(threads: usize) -> f64 {
    let buffer = vec![1u64; 1 << 26];
    let bytes = buffer.len() * 8;
    let best = (0..3).map(|_| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in buffer.chunks(buffer.len().div_ceil(threads)) {
                scope.spawn(|| black_box(part.iter().fold(0u64, |a, b| a.wrapping_add(*b))));
            }
        });
        bytes as f64 / start.elapsed().as_secs_f64() / 1e9
    });
    best.fold(0.0, f64::max)
}

/// Operations of one encoder window (a multiply-add counts two).
pub fn encoder_flops(shape: &Shape) -> f64 {
    let (t, d, layers) = (1500.0, shape.d_model as f64, shape.encoder_layers as f64);
    let convolutions = 2.0 * 3.0 * d * (2.0 * t * shape.mel_bins as f64 + t * d);
    let linears = 24.0 * d * d * t * layers;
    let attention = 4.0 * t * t * d * layers;
    convolutions + linears + attention
}

/// Bytes that one step of the decoder has to read: f32 weights, cross keys and values.
pub fn step_bytes(shape: &Shape) -> f64 {
    let (d, layers) = (shape.d_model as f64, shape.decoder_layers as f64);
    // Self-attention 4 d², cross-attention's q and o 2 d², feed-forward 8 d².
    let weights = 14.0 * d * d * layers + shape.vocab as f64 * d;
    let cross = 2.0 * 1500.0 * d * layers;
    4.0 * (weights + cross)
}
