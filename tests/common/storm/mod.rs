//! Storms of state changes: pipelines that are started and stopped at random instants, with a watchdog over them.
//!
//! Everything random comes from [`Dice`], so a seed gives the same orders again; when they take effect is up to the machine.
//! `STORM_TURNS` and `STORM_SEED` set what a run takes; scripts/storms does.
#![allow(dead_code)]

pub mod held;
pub mod ride;
pub mod watch;

use std::time::{Duration, Instant};

use held::Held;
use ride::Census;

/// splitmix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// One of `0..sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    /// Up to `longest`, most often much less: half of the waits are below a tenth of it.
    pub fn wait(&mut self, longest: Duration) {
        let scale = [1, 10, 100][self.roll(3) as usize];
        let micros = longest.as_micros() as u64 / scale;
        std::thread::sleep(Duration::from_micros(self.roll(micros.max(1))));
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len() as u64) as usize]
    }
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .expect("STORM_TURNS and STORM_SEED are numbers"),
    )
}

/// Turns of a storm: `short`, if nothing else is asked for.
pub fn turns(short: u64) -> u64 {
    variable("STORM_TURNS").unwrap_or(short)
}

pub fn seed() -> u64 {
    variable("STORM_SEED").unwrap_or(8)
}

/// Says what was run, and what is held.
pub fn report(
    name: &str,
    turns: u64,
    start: Instant,
    census: &Census,
    before: &Held,
    after: &Held,
) {
    let took = start.elapsed().as_secs_f64();
    eprintln!("{name}: {turns} turns in {took:.0} s, seed {}", seed());
    for (what, times) in census {
        eprintln!("  {times:>6}  {what}");
    }
    eprintln!("  after the warm-up {before}; at the end {after}");
}

/// Nothing of a storm is left.
pub fn assert_nothing_left(before: &Held, after: &Held) {
    // GLib keeps two of its idle threads for good, sooner or later.
    assert!(
        after.threads.len() <= before.threads.len() + 2,
        "threads were left: {:?} before, {:?} after",
        before.threads,
        after.threads
    );
    // AddressSanitizer counts what is lost itself, and keeps what was freed.
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        return;
    }
    // What malloc keeps in its arenas comes and goes; at full length a session left behind would be a megabyte a turn.
    assert!(
        after.memory_kb <= before.memory_kb + 96 * 1024,
        "{before}; {after}"
    );
}
