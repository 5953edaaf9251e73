//! One RTP source (SSRC): its packets in order, each with its place on the call's clock.
//!
//! The clock of a call starts with its first packet and is the receiver's. A source's first packet is where it arrived;
//! from there on timestamps say where a packet belongs, whatever was lost, late or not sent. Only where timestamps and
//! arrivals part does the source move: at once if its sender stopped its clock on hold, and by imperceptible steps if the
//! clock runs wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use super::codec::Payload;

/// A packet whose place on the clock is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub time: Duration,
    pub payload: Payload,
    /// Empty: nothing to hear.
    pub bytes: Box<[u8]>,
}

/// A packet as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    pub sequence: u16,
    pub timestamp: u32,
    pub payload: Payload,
    /// Empty where there is nothing to hear: such a packet only keeps the count.
    pub bytes: &'a [u8],
    pub at: Duration,
    /// How far behind its timestamp the sender was when it sent it: of an event that lasts, its length so far.
    pub behind: Duration,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Where it belongs.
    At(Duration),
    Duplicate,
    /// It was lost and comes when its time is over, or a second time.
    Late,
    /// Its sequence number makes no sense yet.
    Stray,
}

/// RFC 3550, A.1: a jump beyond this is another sequence, if a second packet confirms it.
const DROPOUT: i32 = 3_000;
/// Where timestamps and arrivals are so far apart, the sender's clock was set anew.
const RESET: i64 = 2_000_000_000;
/// How far a source may be from its arrivals before it is moved at once, and over which time that is watched.
const DRIFT: i64 = 100_000_000;
const WINDOW: Duration = Duration::from_secs(5);
/// So far it is moved each time if it is less: clocks that are wrong by 400 parts in a million are followed, and a network
/// that is slow for a while moves no word.
const STEP: i64 = 2_000_000;
/// Packets that wait at most: a minute of them.
const MOST: usize = 3_000;
/// Where extended sequence numbers start: there may be earlier ones.
const FIRST: u64 = 1 << 32;

pub struct Stream {
    pub ssrc: u32,
    /// When its last packet arrived.
    pub heard: Duration,
    /// Packets that it sent, those of no use too.
    pub packets: u64,
    sequence: u16,
    extended: u64,
    suspect: Option<u16>,
    anchor: Option<Anchor>,
    queue: BTreeMap<u64, Placed>,
    /// The last that was taken out of the queue.
    taken: u64,
}

struct Anchor {
    clock: u32,
    timestamp: u32,
    /// Of `timestamp`, counted from the anchor.
    ticks: i64,
    /// ns, of tick 0.
    origin: i64,
    window: Duration,
    /// The least delay of the window, ns.
    least: i64,
}

impl Anchor {
    fn new(packet: &Arrived) -> Anchor {
        Anchor {
            clock: packet.payload.clock,
            timestamp: packet.timestamp,
            ticks: 0,
            origin: ns(packet.at) - ns(packet.behind),
            window: packet.at,
            least: i64::MAX,
        }
    }

    fn ticks(&self, timestamp: u32) -> i64 {
        self.ticks + i64::from(timestamp.wrapping_sub(self.timestamp).cast_signed())
    }

    fn time(&self, ticks: i64) -> i64 {
        let clock = i64::from(self.clock.max(1));
        // In two parts: a day of 48 kHz does not fit as nanoseconds of ticks.
        let (whole, rest) = (ticks.div_euclid(clock), ticks.rem_euclid(clock));
        self.origin
            .saturating_add(whole.saturating_mul(1_000_000_000))
            .saturating_add(rest * 1_000_000_000 / clock)
    }
}

impl Stream {
    pub fn new(ssrc: u32, sequence: u16, at: Duration) -> Stream {
        Stream {
            ssrc,
            heard: at,
            packets: 0,
            sequence,
            extended: FIRST,
            suspect: None,
            anchor: None,
            queue: BTreeMap::new(),
            taken: 0,
        }
    }

    pub fn push(&mut self, packet: Arrived) -> Kept {
        self.packets += 1;
        self.heard = packet.at;
        let step = i32::from(packet.sequence.wrapping_sub(self.sequence).cast_signed());
        let mut number = self.extended.saturating_add_signed(step.into());
        let is_newest = if step.abs() <= DROPOUT {
            step > 0 || self.packets == 1
        } else if self.suspect == Some(packet.sequence) {
            // The sender started over.
            number = self.extended + 1;
            self.anchor = None;
            true
        } else {
            self.suspect = Some(packet.sequence.wrapping_add(1));
            return Kept::Stray;
        };
        self.suspect = None;
        if is_newest {
            (self.sequence, self.extended) = (packet.sequence, number);
        }
        let time = self.place(&packet, is_newest);
        if number <= self.taken {
            return Kept::Late;
        }
        if self.queue.contains_key(&number) {
            return Kept::Duplicate;
        }
        let time = Duration::from_nanos(u64::try_from(time).unwrap_or(0));
        let placed = Placed {
            time,
            payload: packet.payload,
            bytes: packet.bytes.into(),
        };
        self.queue.insert(number, placed);
        if self.queue.len() > MOST {
            self.queue.pop_first();
        }
        Kept::At(time)
    }

    /// ns on the call's clock.
    fn place(&mut self, packet: &Arrived, is_newest: bool) -> i64 {
        let anchor = match &mut self.anchor {
            Some(anchor) if anchor.clock == packet.payload.clock => anchor,
            // The first, or a codec with timestamps of another rate.
            anchor => anchor.insert(Anchor::new(packet)),
        };
        let ticks = anchor.ticks(packet.timestamp);
        let time = anchor.time(ticks);
        if !is_newest {
            return time;
        }
        let delay = ns(packet.at) - ns(packet.behind) - time;
        if delay.abs() > RESET {
            *anchor = Anchor::new(packet);
            return anchor.origin;
        }
        (anchor.timestamp, anchor.ticks) = (packet.timestamp, ticks);
        anchor.least = anchor.least.min(delay);
        if packet.at >= anchor.window + WINDOW {
            anchor.origin += match anchor.least.abs() > DRIFT {
                true => anchor.least,
                false => anchor.least.clamp(-STEP, STEP),
            };
            (anchor.window, anchor.least) = (packet.at, i64::MAX);
        }
        anchor.time(ticks)
    }

    /// The next packet, if it belongs before `until`; and how many before it are missing.
    pub fn take(&mut self, until: Duration) -> Option<(Placed, u64)> {
        let first = self.queue.first_entry()?;
        if first.get().time >= until {
            return None;
        }
        let (number, packet) = first.remove_entry();
        let missing = match self.taken {
            0 => 0,
            taken => number - taken - 1,
        };
        self.taken = number;
        Some((packet, missing))
    }

    /// Whether the packet that would be next is lost, or late: later ones are there.
    pub fn lacks_next(&self) -> bool {
        let next = self.queue.first_key_value();
        next.is_some_and(|(number, _)| self.taken > 0 && *number > self.taken + 1)
    }

    /// Where its next packet belongs.
    pub fn next(&self) -> Option<Duration> {
        self.queue.first_key_value().map(|(_, packet)| packet.time)
    }
}

fn ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 4)
}
