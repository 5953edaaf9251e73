//! All parsers of foreign bytes, by name.

use std::time::Duration;

use doors::call::Setting;
use doors::fuzzing as doors_of;
use gstwhisperstream::whisper::fuzzing as weights;

use crate::{calls, element, server, sip};

/// What every pipeline is set to, so that passes cost the least: what the network computes is not what is tried here.
pub fn quick() -> Vec<Setting> {
    vec![
        Setting::new("precision", "int8"),
        Setting::new("audio-ctx", "auto"),
    ]
}

#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub parse: fn(&[u8]) -> String,
    /// It runs one in so many times of what is asked for.
    pub slowness: u64,
    /// Longer than any execution may take, thrice in a row: the machine may have been busy once.
    pub patience: Duration,
    /// Bytes it may ask for at once.
    pub most: usize,
    /// Much of it is in C: a fault may end the process without a word.
    pub is_foreign: bool,
}

impl Target {
    /// How often it runs where `count` executions are asked for.
    pub fn share(&self, count: u64) -> u64 {
        (count / self.slowness).max(1)
    }
}

pub fn all() -> Vec<Target> {
    let weights = weights::TARGETS.into_iter();
    let plain = weights
        .chain(doors_of::TARGETS)
        .map(|(name, parse)| Target {
            name,
            parse,
            // One writes files, and waits for a thread that reads them.
            slowness: if name == "recording" { 20 } else { 1 },
            patience: Duration::from_secs(1),
            // Inputs are 64 kB at most, the parsers' own tables are smaller.
            most: 64 << 20,
            is_foreign: false,
        });
    let whole = |name, parse, slowness| Target {
        name,
        parse,
        slowness,
        patience: Duration::from_secs(30),
        // A model loads.
        most: 1 << 30,
        is_foreign: true,
    };
    let slow = [
        whole("esl-wire", doors_of::esl_wire, 10),
        whole("rtp-leg", doors_of::rtp_leg, 100),
        whole("element", element::parse, 100),
        whole("call-raw", calls::raw, 200),
        whole("call-media", calls::media, 200),
        whole("session", server::session, 400),
        whole("wire", server::wire, 200),
        whole("sip-wire", sip::wire, 1_000),
    ];
    plain.chain(slow).collect()
}
