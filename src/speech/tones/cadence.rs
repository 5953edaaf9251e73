//! What the tones of networks and faxes are: frequencies, lengths, cadences (ITU-T E.180 and its supplement 2, Bellcore
//! SR-2275, ITU-T T.30 and V.8), and how much of one must be heard to be sure.

use super::Kind;
use super::examine::{Look, Made};
use super::line::ms;
use super::track::Burst;

/// What is heard in one burst of a call-progress tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// 350 and 440 Hz: dial tone of North America and the United Kingdom.
    Dial,
    /// 440 and 480 Hz, or 400 and 450: ring-back of North America, of the United Kingdom.
    Ring,
    /// 480 and 620 Hz: busy and congestion of North America.
    Busy,
    /// 400, 425 and 440 Hz: everything else, told apart by cadence.
    Hz400,
    Hz425,
    Hz440,
}

/// The pairs, in Hz.
const PAIRS: [(f64, f64, Sound); 4] = [
    (350.0, 440.0, Sound::Dial),
    (440.0, 480.0, Sound::Ring),
    (400.0, 450.0, Sound::Ring),
    (480.0, 620.0, Sound::Busy),
];
/// By how much each may be off.
const PAIR_OFF: f64 = 7.0;

/// Single tones: lowest and highest frequency.
const SINGLES: [(f64, f64, Sound); 3] = [
    (393.0, 408.0, Sound::Hz400),
    (417.0, 433.0, Sound::Hz425),
    (434.0, 446.0, Sound::Hz440),
];

/// The call-progress tone that may be heard in a look.
pub fn sound(look: &Look) -> Option<Sound> {
    match look.made {
        Made::Two(low, high) => PAIRS
            .iter()
            .find(|(a, b, _)| (a - low).abs() <= PAIR_OFF && (b - high).abs() <= PAIR_OFF)
            .filter(|_| look.is_clean())
            .map(|(_, _, sound)| *sound),
        Made::One(hz) => SINGLES
            .iter()
            .find(|(low, high, _)| (*low..=*high).contains(&hz))
            .filter(|_| look.is_steady())
            .map(|(_, _, sound)| *sound),
    }
}

/// Which tone a running burst of `sound` is for sure, and how long the next burst may be in coming.
pub fn running(sound: Sound, length: u64) -> Option<(Kind, u64)> {
    match sound {
        Sound::Dial if length >= ms(1_200) => Some((Kind::Dial, 0)),
        Sound::Ring if length >= ms(280) => Some((Kind::RingBack, RING_PAUSE)),
        Sound::Busy if length >= ms(350) => Some((Kind::Busy, BUSY_PAUSE)),
        // No ring-back lasts longer than 2 s.
        Sound::Hz400 | Sound::Hz425 | Sound::Hz440 if length >= ms(2_300) => Some((Kind::Dial, 0)),
        _ => None,
    }
}

/// Which tone it is once the burst has ended; `before`: length of the burst of the same sound before it, and of the pause
/// between them.
pub fn ended(sound: Sound, on: u64, before: Option<(u64, u64)>) -> Option<(Kind, u64)> {
    let within = |x: u64, low: u64, high: u64| (ms(low)..=ms(high)).contains(&x);
    match sound {
        Sound::Dial => return None,
        Sound::Ring => return within(on, 150, 3_000).then_some((Kind::RingBack, RING_PAUSE)),
        Sound::Busy if within(on, 130, 320) => return Some((Kind::Congestion, BUSY_PAUSE)),
        Sound::Busy => return within(on, 320, 700).then_some((Kind::Busy, BUSY_PAUSE)),
        Sound::Hz400 | Sound::Hz425 | Sound::Hz440 => {}
    }
    // At 440 Hz only France rings, 1.5 s long.
    let shortest_ring = if sound == Sound::Hz440 { 1_200 } else { 800 };
    if within(on, shortest_ring, 2_000) {
        return Some((Kind::RingBack, RING_PAUSE));
    }
    let (last, off) = before?;
    let alike = |by: u64| last.abs_diff(on) <= ms(by);
    if within(on, 130, 320) && within(off, 130, 320) && alike(60) {
        Some((Kind::Congestion, BUSY_PAUSE))
    } else if within(on, 320, 620) && within(off, 320, 650) && alike(80) {
        Some((Kind::Busy, BUSY_PAUSE))
    } else if within(last, 150, 260) && within(off, 150, 260) && within(on, 500, 700) {
        // Italy's dial tone: 0.2 on, 0.2 off, 0.6 on, 1.0 off.
        Some((Kind::Dial, ms(2_300)))
    } else if sound == Sound::Hz400
        && (within(last, 350, 450) && within(off, 300, 400) && within(on, 180, 270)
            || within(last, 180, 270) && within(off, 475, 575) && within(on, 350, 450))
    {
        // The United Kingdom's congestion: 0.4 on, 0.35 off, 0.225 on, 0.525 off.
        Some((Kind::Congestion, BUSY_PAUSE))
    } else {
        None
    }
}

/// A ring-back pauses for 4 s, Spain's for 3.
const RING_PAUSE: u64 = ms(5_500);
const BUSY_PAUSE: u64 = ms(1_100);

/// How long to wait behind a burst of 440 Hz for the next one of a cadence: what none of them can be is none of them.
pub fn wait_for_next(on: u64) -> u64 {
    match on {
        on if (ms(180)..=ms(320)).contains(&on) => ms(350),
        on if (ms(400)..=ms(620)).contains(&on) => ms(700),
        _ => ms(60),
    }
}

/// The second and third of the special information tones, 330 ms each (Bellcore: 274 or 380), by at most 50 ms apart.
const SIT: [(f64, f64); 3] = [(895.0, 1_005.0), (1_345.0, 1_455.0), (1_745.0, 1_855.0)];
const SIT_LENGTH: (u64, u64) = (ms(200), ms(460));
const SIT_PAUSE: u64 = ms(80);
/// The third tone is sure after this much of it.
pub const SIT_SURE: u64 = ms(110);

/// Whether three bursts are special information tones; the third may go on.
pub fn is_sit(bursts: [&Burst; 3]) -> bool {
    let pitched = bursts
        .iter()
        .zip(SIT)
        .all(|(burst, (low, high))| (low..=high).contains(&burst.hz));
    let [first, second, third] = bursts;
    let long = |burst: &Burst| (SIT_LENGTH.0..=SIT_LENGTH.1).contains(&burst.length());
    let close = |a: &Burst, b: &Burst| b.start.saturating_sub(a.end) <= SIT_PAUSE;
    pitched
        && long(first)
        && long(second)
        && close(first, second)
        && close(second, third)
        && third.length() <= SIT_LENGTH.1
}

/// Whether a tone of `hz` may be the first of special information tones: 950 Hz, or Bellcore's 913.8 or 985.2. Until it
/// has lasted longer than theirs, or nothing follows, it is no beep.
pub fn may_be_sit(hz: f64) -> bool {
    [913.8, 950.0, 985.2]
        .iter()
        .any(|own| (hz - own).abs() <= 9.0)
}

pub const SIT_LONGEST: u64 = ms(420);
/// A pause behind which the second would have been heard.
pub const SIT_WAIT: u64 = ms(130);

pub fn is_second_of_sit(hz: f64) -> bool {
    let [_, (low, high), _] = SIT;
    (low..=high).contains(&hz)
}

/// The calling fax: 1100 Hz for half a second.
pub fn may_be_cng(hz: f64) -> bool {
    (1_062.0..=1_138.0).contains(&hz)
}

pub fn is_cng(hz: f64, length: u64) -> bool {
    may_be_cng(hz) && (ms(420)..=ms(580)).contains(&length)
}

/// Beyond this it is no calling fax.
pub const CNG_LONGEST: u64 = ms(600);
/// Its pause is 3 s.
pub const CNG_PAUSE: u64 = ms(4_200);
/// What was quiet for so long before it was no greeting.
pub const CNG_QUIET: u64 = ms(1_000);

/// The answering fax or modem: 2100 Hz, with reversals of the phase or without.
pub fn is_ced(look: &Look) -> bool {
    (2_083.0..=2_117.0).contains(&look.hz) && look.is_steady_answer()
}

/// It comes out of quiet.
pub const CED_QUIET: u64 = ms(200);
/// Half a second of it is sure.
pub const CED_SURE: u64 = ms(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sound: Sound, on: u64, before: Option<(u64, u64)>) -> Option<Kind> {
        ended(sound, ms(on), before.map(|(on, off)| (ms(on), ms(off)))).map(|(kind, _)| kind)
    }

    #[test]
    fn one_burst_tells_a_ring_and_two_tell_the_rest() {
        use Sound::*;
        assert_eq!(kind(Hz425, 1_000, None), Some(Kind::RingBack));
        assert_eq!(kind(Hz440, 1_500, None), Some(Kind::RingBack));
        assert_eq!(kind(Hz440, 1_000, None), None);
        assert_eq!(kind(Hz425, 500, None), None);
        assert_eq!(kind(Hz425, 500, Some((500, 500))), Some(Kind::Busy));
        assert_eq!(kind(Hz400, 375, Some((375, 375))), Some(Kind::Busy));
        assert_eq!(kind(Hz440, 250, Some((250, 250))), Some(Kind::Congestion));
        assert_eq!(kind(Hz425, 167, Some((167, 167))), Some(Kind::Congestion));
        assert_eq!(kind(Hz400, 225, Some((400, 350))), Some(Kind::Congestion));
        assert_eq!(kind(Hz400, 400, Some((225, 525))), Some(Kind::Congestion));
        assert_eq!(kind(Hz425, 600, Some((200, 200))), Some(Kind::Dial));
        assert_eq!(kind(Hz425, 500, Some((250, 2_000))), None);
    }

    #[test]
    fn north_american_pairs_are_told_by_one_burst() {
        assert_eq!(kind(Sound::Busy, 500, None), Some(Kind::Busy));
        assert_eq!(kind(Sound::Busy, 250, None), Some(Kind::Congestion));
        assert_eq!(
            running(Sound::Ring, ms(300)).map(|(kind, _)| kind),
            Some(Kind::RingBack)
        );
        assert_eq!(running(Sound::Dial, ms(300)), None);
    }

    #[test]
    fn what_waits_for_the_next_burst_waits_longer_than_its_pause() {
        assert!(wait_for_next(ms(250)) > ms(250 + 60));
        assert!(wait_for_next(ms(500)) > ms(500 + 60));
    }
}
