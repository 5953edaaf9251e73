//! An allocator that ends the run when a small input makes a parser ask for a lot of memory at once, and a watchman that ends it
//! when a parser does not come back. Either keeps the input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any execution takes, whatever else the machine does.
const PATIENCE: Duration = Duration::from_secs(120);

/// Most bytes at once.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// What is being read, in case, since when, and where to keep it.
static NOW: Mutex<Option<Now>> = Mutex::new(None);

struct Now {
    input: Vec<u8>,
    since: Instant,
    keep: PathBuf,
}

struct Capped;

#[global_allocator]
static ALLOCATOR: Capped = Capped;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn check(size: usize) {
    LARGEST.fetch_max(size, Ordering::Relaxed);
    if size > MOST.load(Ordering::Relaxed) {
        MOST.store(usize::MAX, Ordering::Relaxed);
        give_up(&format!("{size} bytes at once"));
    }
}

fn give_up(why: &str) -> ! {
    if let Ok(Some(now)) = NOW.try_lock().as_deref() {
        _ = std::fs::write(&now.keep, &now.input);
        eprintln!("{why}; the input is kept in {}", now.keep.display());
    }
    std::process::abort();
}

/// What is read next, what it may ask for at once, and where it is kept should it be the end of the run.
pub fn expect(input: &[u8], most: usize, keep: PathBuf) {
    let input = input.to_vec();
    let since = Instant::now();
    *lock() = Some(Now { input, since, keep });
    MOST.store(most, Ordering::Relaxed);
}

/// It was read.
pub fn done() {
    MOST.store(usize::MAX, Ordering::Relaxed);
    *lock() = None;
}

/// Watches over what is read, from now on.
pub fn watch() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let is_stuck = |now: &Now| now.since.elapsed() > PATIENCE;
            let stuck = lock().as_ref().is_some_and(is_stuck);
            if stuck {
                give_up("it does not come back");
            }
        }
    });
}

/// The largest allocation since the last time this was asked.
pub fn largest() -> usize {
    LARGEST.swap(0, Ordering::Relaxed)
}

fn lock() -> std::sync::MutexGuard<'static, Option<Now>> {
    NOW.lock().unwrap_or_else(PoisonError::into_inner)
}
