//! Which code an input reached, where `scripts/fuzz --full` had the compiler count it.
//!
//! LLVM's counters (SanitizerCoverage) are a byte an edge, and are announced by a function that each object calls as it is
//! loaded. A stable compiler puts them in if it is asked to; without them nothing is announced, and nothing is ever new.

use std::sync::{Mutex, PoisonError};

/// Where the counters are: start and length.
static REGIONS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

const BLOCK: usize = 256;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Called by instrumented objects.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let (start, stop) = (start.expose_provenance(), stop.addr());
    let mut regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if stop > start && !regions.iter().any(|(at, _)| *at == start) {
        regions.push((start, stop - start));
    }
}

/// What was reached so far, by how often (in powers of two, a bit each).
pub struct Coverage {
    regions: Vec<(usize, Vec<u8>)>,
}

impl Coverage {
    pub fn new() -> Coverage {
        let regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let regions = regions.iter();
        Coverage {
            regions: regions
                .map(|(at, length)| (*at, vec![0; *length]))
                .collect(),
        }
    }

    pub fn is_there(&self) -> bool {
        !self.regions.is_empty()
    }

    /// Edges that were reached by now.
    pub fn edges(&self) -> usize {
        let seen = self.regions.iter().flat_map(|(_, seen)| seen);
        seen.filter(|seen| **seen != 0).count()
    }

    /// Forgets what was counted since the last [`take`](Self::take).
    pub fn reset(&mut self) {
        for (at, seen) in &self.regions {
            counters(*at, seen.len()).fill(0);
        }
    }

    /// Takes the counts in; whether any of them is new.
    pub fn take(&mut self) -> bool {
        let mut is_new = false;
        for (at, seen) in &mut self.regions {
            let counters = counters(*at, seen.len());
            for (counts, seen) in counters.chunks_mut(BLOCK).zip(seen.chunks_mut(BLOCK)) {
                // Nearly all: to compare a block at a time is ten times as fast.
                if ZEROS.get(..counts.len()) == Some(counts) {
                    continue;
                }
                for (count, seen) in counts.iter_mut().zip(seen) {
                    let bit = match std::mem::take(count) {
                        0 => continue,
                        count => 1_u8 << count.ilog2(),
                    };
                    is_new |= *seen & bit == 0;
                    *seen |= bit;
                }
            }
        }
        is_new
    }
}

fn counters(at: usize, length: usize) -> &'static mut [u8] {
    let start = std::ptr::with_exposed_provenance_mut(at);
    // SAFETY: the section that an object announced; it is there as long as the process is. Threads of a pipeline may count in
    // it meanwhile: a count more or less is no matter here.
    unsafe { std::slice::from_raw_parts_mut(start, length) }
}
