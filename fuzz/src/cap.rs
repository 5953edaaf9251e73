//! An allocator that ends the run when a small file makes a reader ask for a lot of memory at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes at once: the readers' own fixed tables are smaller, files here are at most 64 kB.
const MOST: usize = 64 << 20;

static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// What is being read, in case.
static INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Capped;

#[global_allocator]
static ALLOCATOR: Capped = Capped;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn check(size: usize) {
    LARGEST.fetch_max(size, Ordering::Relaxed);
    if size > MOST {
        let path = std::env::temp_dir().join("whisperstream-fuzz-allocation");
        if let Ok(input) = INPUT.try_lock() {
            _ = std::fs::write(&path, input.as_slice());
        }
        eprintln!(
            "{size} bytes at once; the input is kept in {}",
            path.display()
        );
        std::process::abort();
    }
}

/// Notes what is read next.
pub fn expect(input: &[u8]) {
    if let Ok(mut kept) = INPUT.lock() {
        kept.clear();
        kept.extend_from_slice(input);
    }
}

/// The largest allocation since the last time this was asked.
pub fn largest() -> usize {
    LARGEST.swap(0, Ordering::Relaxed)
}
