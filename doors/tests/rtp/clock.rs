//! Clocks that run apart: an hour of packets, each of which must be placed where it was spoken on the receiver's clock.

use std::time::Duration;

use doors::tap::codec::{Coding, Payload};
use doors::tap::stream::{Arrived, Kept, Stream};

use crate::dice::Dice;

const PCMU: Payload = Payload {
    coding: Coding::Pcmu,
    clock: 8_000,
};

/// How far packets of a sender whose clock is fast by `ppm` are from where they were spoken, at most; they are on the way for
/// `way` of their time.
fn farthest(ppm: f64, way: impl Fn(f64, &mut Dice) -> Duration) -> f64 {
    let mut stream = Stream::new(7, 0, Duration::ZERO);
    let (mut farthest, mut dice) = (0.0_f64, Dice(11));
    for number in 0..180_000_u32 {
        // In the receiver's time.
        let spoken = f64::from(number) * 0.02 / (1.0 + ppm * 1e-6);
        let late = if number == 0 {
            Duration::ZERO
        } else {
            way(spoken, &mut dice)
        };
        let kept = stream.push(Arrived {
            sequence: number as u16,
            timestamp: number.wrapping_mul(160).wrapping_sub(100_000),
            payload: PCMU,
            bytes: &[0; 160],
            at: Duration::from_secs_f64(spoken) + late,
            behind: Duration::ZERO,
        });
        let Kept::At(placed) = kept else {
            panic!("packet {number} is not kept: {kept:?}");
        };
        farthest = farthest.max((placed.as_secs_f64() - spoken).abs());
        while stream.take(placed).is_some() {}
    }
    farthest
}

#[test]
fn an_hour_of_clocks_that_run_apart_moves_no_word() {
    let at_once = |_: f64, _: &mut Dice| Duration::ZERO;
    let jitter = |_: f64, dice: &mut Dice| Duration::from_micros(dice.roll(60_000));
    for ppm in [-200.0, -50.0, 50.0, 200.0] {
        assert!(farthest(ppm, at_once) < 0.010, "{ppm} ppm");
        assert!(farthest(ppm, jitter) < 0.020, "{ppm} ppm, with jitter");
    }
    assert!(farthest(0.0, at_once) < 1e-6);
}

#[test]
fn a_network_that_is_slow_for_a_while_moves_no_word() {
    // 90 ms more for half a minute, now and then, and once for good.
    let slow = |spoken: f64, dice: &mut Dice| {
        let is_slow = spoken % 600.0 > 570.0;
        Duration::from_micros(dice.roll(5_000) + if is_slow { 90_000 } else { 0 })
    };
    assert!(farthest(0.0, slow) < 0.040);
    assert!(farthest(200.0, slow) < 0.040);
}
