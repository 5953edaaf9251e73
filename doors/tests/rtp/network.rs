//! A network between a sender and the tap, and what senders do by themselves: a pure function of packets and a seed.

use std::time::Duration;

use crate::dice::Dice;
use crate::sender::Sent;

/// Which packets do not arrive, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Each for itself.
    Random(u64),
    /// Five in a row on average (Gilbert's model).
    Burst(u64),
}

/// Packets in a burst, on average.
const BURST: u64 = 5;
/// Of the dice.
const SIDES: u64 = 1_000_000;

/// A packet's time on the way, beyond that of the fastest, at most; and how many of a hundred arrive twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub jitter: Duration,
    pub twice: u64,
}

/// Those that arrive. The first always does: it sets the call's clock.
pub fn lose(packets: &[Sent], loss: Loss, seed: u64) -> Vec<Sent> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut in_burst = false;
    let mut arrives = |number: usize| {
        let lost = match loss {
            Loss::Random(percent) => dice.roll(100) < percent,
            Loss::Burst(percent) => {
                let chance = match in_burst {
                    true => SIDES - SIDES / BURST,
                    false => SIDES * percent / (BURST * (100 - percent)),
                };
                in_burst = dice.roll(SIDES) < chance;
                in_burst
            }
        };
        number == 0 || !lost
    };
    let arrived = packets.iter().enumerate();
    arrived
        .filter(|(number, _)| arrives(*number))
        .map(|(_, packet)| packet.clone())
        .collect()
}

/// Late each for itself, so out of order, and some of them twice. The first is not late.
pub fn shake(packets: &[Sent], way: Way, seed: u64) -> Vec<Sent> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let longest = u64::try_from(way.jitter.as_micros()).unwrap();
    let mut arrived = Vec::new();
    for (number, packet) in packets.iter().enumerate() {
        let mut packet = packet.clone();
        let late = if number == 0 { 0 } else { dice.roll(longest) };
        packet.at += Duration::from_micros(late);
        if dice.roll(100) < way.twice {
            let mut again = packet.clone();
            again.at += Duration::from_millis(3);
            arrived.push(again);
        }
        arrived.push(packet);
    }
    arrived
}

/// From a sender whose clock is fast by so many parts in a million: its packets come that much sooner.
pub fn skew(packets: &[Sent], ppm: i64) -> Vec<Sent> {
    let at = |at: Duration| {
        let ns = i128::try_from(at.as_nanos()).unwrap() * 1_000_000 / i128::from(1_000_000 + ppm);
        Duration::from_nanos(u64::try_from(ns).unwrap())
    };
    packets
        .iter()
        .map(|packet| Sent {
            at: at(packet.at),
            bytes: packet.bytes.clone(),
        })
        .collect()
}

/// From another source from packet `at` on: other SSRC, sequence numbers and timestamps, and no pause.
pub fn change_source(packets: &[Sent], at: usize) -> Vec<Sent> {
    let mut changed = packets.to_vec();
    for packet in changed.iter_mut().skip(at) {
        packet.set_ssrc(77);
        packet.set_sequence(packet.sequence().wrapping_add(30_000));
        packet.set_timestamp(packet.timestamp().wrapping_add(123_456_789));
    }
    changed
}

/// A peak of a silent packet of PCMU at most.
const SILENT: i32 = 200;
/// Silent packets that are still sent, and how often comfort noise is sent behind them.
const HANGOVER: usize = 10;
const NOISE: usize = 10;

/// PCMU whose sender is silent when nobody speaks (DTX), but for comfort noise five times a second. Sequence numbers count what
/// is sent.
pub fn pause(packets: &[Sent]) -> Vec<Sent> {
    let (mut sent, mut silent) = (Vec::<Sent>::new(), 0);
    for packet in packets {
        let peak = packet.bytes[12..].iter().map(|byte| linear(*byte).abs());
        silent = if peak.max() <= Some(SILENT) {
            silent + 1
        } else {
            0
        };
        let mut packet = packet.clone();
        packet.bytes[1] &= 0x7f;
        match silent {
            0..=HANGOVER => {}
            silent if (silent - HANGOVER) % NOISE == 1 => {
                packet.bytes.truncate(12);
                packet.bytes[1] = 13;
                packet.bytes.push(70);
            }
            _ => continue,
        }
        if let Some(before) = sent.last() {
            packet.set_sequence(before.sequence().wrapping_add(1));
        }
        sent.push(packet);
    }
    sent
}

/// A sample of G.711's µ-law.
fn linear(byte: u8) -> i32 {
    let bits = i32::from(!byte);
    let magnitude = (((bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4);
    match bits & 0x80 {
        0 => magnitude - 0x84,
        _ => 0x84 - magnitude,
    }
}
