//! What the machine could do at best, measured: loops on registers for each precision, a stream through memory.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod amx;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod vector;

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use super::precision::Precision;

/// Rates over all threads.
pub struct Machine {
    pub threads: usize,
    /// By the fastest instruction for each precision, or `None` where there is none.
    f32: Peak,
    bf16: Option<Peak>,
    int8: Option<Peak>,
    /// Reads of memory far larger than any cache, GB/s.
    pub bandwidth: f64,
}

/// Operations a second (a multiply-add counts two), and what reaches them.
#[derive(Clone, Copy)]
pub struct Peak {
    /// Gop/s.
    pub rate: f64,
    pub instruction: &'static str,
}

/// A loop on registers: runs so many rounds, returns how many operations that was.
type Loop = fn(usize) -> usize;

/// A loop that this processor can run.
struct Probe {
    instruction: &'static str,
    run: Loop,
}

impl Machine {
    pub fn measure(threads: usize) -> Machine {
        let fastest = |probes: Vec<Probe>| {
            let peaks = probes.iter().map(|probe| peak(probe, threads));
            peaks.max_by(|a, b| a.rate.total_cmp(&b.rate))
        };
        Machine {
            threads,
            f32: fastest(probes(Precision::F32)).unwrap_or_else(|| peak(&PORTABLE, threads)),
            bf16: fastest(probes(Precision::Bf16)),
            int8: fastest(probes(Precision::Int8)),
            bandwidth: read_bandwidth(threads),
        }
    }

    /// The best rate at which sums can be made of products in this precision. Where the processor has no
    /// instruction for it, or a slow one, that is f32's.
    pub fn peak(&self, precision: Precision) -> Peak {
        let own = match precision {
            Precision::F32 => None,
            Precision::Bf16 => self.bf16,
            Precision::Int8 => self.int8,
        };
        match own {
            Some(own) if own.rate > self.f32.rate => own,
            _ => self.f32,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} threads", self.threads)?;
        let peaks = [
            ("f32", Some(self.f32)),
            ("bf16", self.bf16),
            ("int8", self.int8),
        ];
        for (name, peak) in peaks {
            match peak {
                Some(Peak { rate, instruction }) => {
                    write!(f, ", {name} {rate:.0} Gop/s ({instruction})")?
                }
                None => write!(f, ", {name} without instructions of its own")?,
            }
        }
        write!(f, ", memory reads {:.1} GB/s", self.bandwidth)
    }
}

/// What `precision` can be computed with here.
fn probes(precision: Precision) -> Vec<Probe> {
    #[cfg(target_arch = "x86_64")]
    let probes = match precision {
        Precision::F32 => vector::f32(),
        Precision::Bf16 => vector::bf16().into_iter().chain(amx::bf16()).collect(),
        Precision::Int8 => vector::int8().into_iter().chain(amx::int8()).collect(),
    };
    #[cfg(not(target_arch = "x86_64"))]
    let probes = match precision {
        Precision::F32 => vec![PORTABLE],
        Precision::Bf16 | Precision::Int8 => Vec::new(),
    };
    probes
}

/// What the compiler makes of a loop, where nothing better is known.
const PORTABLE: Probe = Probe {
    instruction: "compiled",
    run: |rounds| {
        let mut sums = [black_box(0f32); 64];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = *sum * 0.999 + 0.001;
            }
        }
        black_box(sums);
        rounds * 64 * 2
    },
};

/// Best of a few runs of some 20 ms.
fn peak(probe: &Probe, threads: usize) -> Peak {
    const RUNS: usize = 25;
    let mut rounds = 1 << 10;
    let rate = |rounds: usize| {
        let start = Instant::now();
        let operations: usize = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| (probe.run)(rounds)))
                .collect();
            running.into_iter().filter_map(|t| t.join().ok()).sum()
        });
        let took = start.elapsed().as_secs_f64();
        (operations as f64 / took / 1e9, took)
    };
    while rate(rounds).1 < 0.02 {
        rounds *= 2;
    }
    Peak {
        rate: (0..RUNS).map(|_| rate(rounds).0).fold(0.0, f64::max),
        instruction: probe.instruction,
    }
}

/// Best of a few runs, in GB/s over `threads` threads.
fn read_bandwidth(threads: usize) -> f64 {
    let buffer = vec![1u64; 1 << 26];
    let bytes = buffer.len() * 8;
    let best = (0..9).map(|_| {
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
