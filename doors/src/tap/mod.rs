//! The tap: what is said in calls that come as RTP, on ports, in a capture, or by SIP.
//!
//! Every call has one clock, which starts at its first packet (in SIP: when it is answered). Each [`leg`] lays its samples on
//! it, where the packets belong, and silence where nothing came; all legs together are the channels of one
//! [`call`](crate::call). So a word's time is its place in the call, whatever was lost, late, or not sent.

pub mod capture;
pub mod codec;
pub mod conceal;
pub mod conversation;
pub mod decoder;
pub mod dtmf;
pub mod leg;
pub mod print;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub mod stream;

use std::time::Duration;

/// Hz, of what legs make of packets: what the element takes.
pub const RATE: u32 = 16_000;

/// The sample that belongs at `time`.
fn samples(time: Duration) -> u64 {
    let rest = u64::from(time.subsec_nanos()) * u64::from(RATE);
    // To the nearest: a hundred years of seconds fit.
    time.as_secs() * u64::from(RATE) + (rest + 500_000_000) / 1_000_000_000
}

/// When a sample is.
fn time(samples: u64) -> Duration {
    let (whole, rest) = (samples / u64::from(RATE), samples % u64::from(RATE));
    Duration::from_secs(whole) + Duration::from_nanos(rest * 1_000_000_000 / u64::from(RATE))
}
