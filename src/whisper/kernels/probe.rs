//! Which tier computes fastest in a format, measured once: what a processor has and what it is quick at are two things
//! (bf16 dot products of some Intel processors are slower than f32 without them).

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::choice;
use super::format::Format;
use super::simd::{Kernel, Simd, Tier, dispatch_words};
use super::tile::{self, Bytes, Halves, Single};
use super::view::View;

/// A poorer tier is taken only if it is quicker by more than what two measurements differ by.
const MARGIN: f64 = 0.8;

/// The tier for products in `format`.
pub fn fastest(format: Format) -> Tier {
    static FASTEST: [OnceLock<Tier>; 3] = [const { OnceLock::new() }; 3];
    let [single, halves, bytes] = &FASTEST;
    let slot = match format {
        Format::Single => single,
        Format::Halves => halves,
        Format::Bytes => bytes,
    };
    *slot.get_or_init(|| choose(format))
}

fn choose(format: Format) -> Tier {
    if let Some(tier) = choice::forced() {
        return tier;
    }
    let mut best = (Tier::Portable, Duration::MAX);
    for tier in Tier::ALL.into_iter().filter(|tier| tier.available()) {
        let time = time(tier, format);
        if best.1 == Duration::MAX || time.as_secs_f64() < best.1.as_secs_f64() * MARGIN {
            best = (tier, time);
        }
    }
    best.0
}

/// A product of about 400,000 words, the best of a few runs.
fn time(tier: Tier, format: Format) -> Duration {
    const ROWS: usize = 96;
    const WORDS: usize = 64;
    const COLUMNS: usize = 64;
    // Ones as f32 and as bf16, and some bytes.
    let x = vec![f32::from_bits(0x3f80_3f80); ROWS * WORDS];
    let w = vec![f32::from_bits(0x3f80_3f80); WORDS * COLUMNS];
    let mut to = vec![0f32; ROWS * COLUMNS];
    let runs = (0..9).map(|_| {
        let start = Instant::now();
        let trial = Trial {
            format,
            shape: (ROWS, WORDS, COLUMNS),
            x: black_box(&x),
            w: black_box(&w),
            to: &mut to,
        };
        dispatch_words(tier, trial);
        black_box(&to);
        start.elapsed()
    });
    runs.min().unwrap_or(Duration::MAX)
}

struct Trial<'a> {
    format: Format,
    shape: (usize, usize, usize),
    x: &'a [f32],
    w: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Trial<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (rows, words, columns) = self.shape;
        assert!(self.x.len() >= rows * words && self.w.len() >= words * columns);
        assert!(self.to.len() >= rows * columns);
        let x = View {
            start: self.x.as_ptr(),
            stride: words,
        };
        let w = View {
            start: self.w.as_ptr(),
            stride: columns,
        };
        let to = View {
            start: self.to.as_mut_ptr(),
            stride: columns,
        };
        // SAFETY: the shapes were checked.
        unsafe {
            match self.format {
                Format::Single => tile::product::<S, Single>(self.shape, x, w, to, false),
                Format::Halves => tile::product::<S, Halves>(self.shape, x, w, to, false),
                Format::Bytes => tile::product::<S, Bytes>(self.shape, x, w, to, false),
            }
        }
    }
}
