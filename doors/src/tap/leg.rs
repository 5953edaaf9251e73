//! One side of a call: the packets that one party sends, made into samples on the call's clock.

use std::collections::VecDeque;
use std::time::Duration;

use rtp_types::RtpPacket;
use serde::Serialize;

use super::codec::{Coding, Formats, Payload};
use super::conceal::Concealer;
use super::decoder::{Decoder, Piece};
use super::dtmf::{Digit, Keys, Report};
use super::stream::{Arrived, Kept, Placed, Stream};
use super::{RATE, samples, time};

/// What was counted on a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Packets that arrived.
    pub packets: u64,
    /// That never came, or too late.
    pub lost: u64,
    pub late: u64,
    pub duplicates: u64,
    /// Not RTP, or of a source that is not this leg's.
    pub strays: u64,
    /// Of a payload type or a codec that cannot be decoded.
    pub undecodable: u64,
    /// How often the source (SSRC) changed.
    pub changes: u64,
}

/// A source that was silent for so long may be followed by another.
const QUIET: Duration = Duration::from_millis(100);
/// Sources that are remembered at a time.
const SOURCES: usize = 4;
/// Samples that begin this close to where the last ended follow them: what rounding and resampling move.
const SEAM: u64 = RATE as u64 / 200;
/// A shorter hole is none of the speaker's: the source's clock was moved.
const PAUSE: usize = RATE as usize / 50;

/// One side of a call.
pub struct Leg {
    pub name: String,
    pub formats: Formats,
    pub count: Count,
    /// When its last packet came.
    pub heard: Option<Duration>,
    streams: Vec<Stream>,
    /// SSRC of the one that is heard.
    current: Option<u32>,
    decoder: Option<Decoder>,
    /// Of whom the decoder is, and where its last packet ended.
    decoded: Option<(u32, u64)>,
    /// From sample `taken` on.
    audio: VecDeque<i16>,
    taken: u64,
    /// Fills holes that lost packets left.
    concealer: Concealer,
    keys: Keys,
    digits: Vec<Digit>,
    /// Payload types of which it was said that nobody knows them.
    unknown: u128,
    /// A reason for which the leg is deaf, said once.
    lacks: Option<Payload>,
}

impl Leg {
    pub fn new(name: impl Into<String>, formats: Formats) -> Leg {
        Leg {
            name: name.into(),
            formats,
            count: Count::default(),
            heard: None,
            streams: Vec::new(),
            current: None,
            decoder: None,
            decoded: None,
            audio: VecDeque::new(),
            taken: 0,
            concealer: Concealer::default(),
            keys: Keys::default(),
            digits: Vec::new(),
            unknown: 0,
            lacks: None,
        }
    }

    /// A datagram that arrived at `at` on the call's clock.
    pub fn push(&mut self, datagram: &[u8], at: Duration) {
        let Ok(packet) = RtpPacket::parse(datagram) else {
            self.count.strays += 1;
            return;
        };
        let payload_type = packet.payload_type();
        let Some(payload) = self.formats.get(payload_type) else {
            self.unknown_type(payload_type);
            return;
        };
        self.count.packets += 1;
        self.heard = Some(at);
        let report = match payload.coding {
            Coding::Event => Report::read(packet.payload(), payload.clock),
            _ => None,
        };
        let arrived = Arrived {
            sequence: packet.sequence_number(),
            timestamp: packet.timestamp(),
            payload,
            bytes: if payload.is_audio() {
                packet.payload()
            } else {
                &[]
            },
            at,
            behind: report.map_or(Duration::ZERO, |report| report.length),
        };
        let ssrc = packet.ssrc();
        let kept = self.stream(ssrc, &arrived).push(arrived);
        match kept {
            Kept::At(start) => {
                if let Some(report) = report {
                    let over = self.keys.report(packet.timestamp(), report, start, at);
                    self.digits.extend(over);
                }
            }
            Kept::Duplicate => self.count.duplicates += 1,
            Kept::Late => self.count.late += 1,
            Kept::Stray => self.count.strays += 1,
        }
        self.choose(ssrc, at);
    }

    fn stream(&mut self, ssrc: u32, packet: &Arrived) -> &mut Stream {
        let known = self.streams.iter().position(|stream| stream.ssrc == ssrc);
        let index = known.unwrap_or_else(|| {
            if self.streams.len() >= SOURCES {
                let oldest = self.streams.iter().enumerate();
                let oldest = oldest
                    .filter(|(_, stream)| Some(stream.ssrc) != self.current)
                    .min_by_key(|(_, stream)| stream.heard);
                if let Some((oldest, _)) = oldest {
                    self.streams.remove(oldest);
                }
            }
            self.streams
                .push(Stream::new(ssrc, packet.sequence, packet.at));
            self.streams.len() - 1
        });
        // It is there: the index was found or made just now.
        #[allow(clippy::indexing_slicing)]
        &mut self.streams[index]
    }

    /// Which source is heard: the one there is, until it is quiet and another speaks.
    fn choose(&mut self, ssrc: u32, at: Duration) {
        if self.current == Some(ssrc) {
            return;
        }
        let find = |ssrc| self.streams.iter().find(|stream| stream.ssrc == ssrc);
        let is_free = self
            .current
            .and_then(find)
            .is_none_or(|current| at.saturating_sub(current.heard) > QUIET);
        // One packet may have lost its way; two are a source.
        let is_source = find(ssrc).is_some_and(|stream| stream.packets > 1);
        if (self.current.is_none() || (is_free && is_source))
            && let Some(before) = self.current.replace(ssrc)
        {
            self.count.changes += 1;
            tracing::info!(leg = %self.name, "the source changed from SSRC {before:08x} to {ssrc:08x}");
        }
    }

    fn unknown_type(&mut self, payload_type: u8) {
        // RTCP on the same port (RFC 5761).
        if (64..96).contains(&payload_type) {
            return;
        }
        self.count.undecodable += 1;
        let bit = 1u128 << payload_type;
        if self.unknown & bit == 0 {
            self.unknown |= bit;
            tracing::warn!(
                leg = %self.name,
                "payload type {payload_type} is of no known codec; say which with --codec NAME={payload_type}, or with an SDP file"
            );
        }
    }

    /// Samples up to `until`: silence where nothing was sent, and what may have been said where packets are lost. What belongs
    /// there and comes later is lost.
    pub fn take(&mut self, until: Duration, to: &mut Vec<i16>) {
        self.play(until);
        let end = samples(until);
        let wanted = usize::try_from(end.saturating_sub(self.taken)).unwrap_or(0);
        let there = wanted.min(self.audio.len());
        to.extend(self.audio.drain(..there));
        if wanted > there {
            let is_lost = self
                .decoded
                .and_then(|(ssrc, _)| self.streams.iter().find(|stream| stream.ssrc == ssrc))
                .is_some_and(Stream::lacks_next);
            to.extend(self.hole(wanted - there, is_lost));
        }
        self.taken = self.taken.max(end);
    }

    /// Keys that were pressed since this was asked last.
    pub fn digits(&mut self, now: Duration) -> Vec<Digit> {
        self.digits.extend(self.keys.abandoned(now));
        std::mem::take(&mut self.digits)
    }

    /// The key whose end did not come.
    pub fn last_digits(&mut self) -> Vec<Digit> {
        self.digits.extend(self.keys.finish());
        std::mem::take(&mut self.digits)
    }

    fn play(&mut self, until: Duration) {
        // Those that are not heard keep what is recent, in case they come to be.
        let now = time(self.taken);
        let current = self.current;
        for stream in &mut self.streams {
            if Some(stream.ssrc) != current
                && self.decoded.is_none_or(|(ssrc, _)| ssrc != stream.ssrc)
            {
                while stream.take(now).is_some() {}
            }
        }
        loop {
            let heard = |stream: &&mut Stream| {
                Some(stream.ssrc) == current
                    || self.decoded.is_some_and(|(ssrc, _)| ssrc == stream.ssrc)
            };
            let next = self
                .streams
                .iter_mut()
                .filter(heard)
                .filter_map(|stream| Some((stream.next()?, stream)))
                .min_by_key(|(next, _)| *next);
            let Some((packet, missing, ssrc)) = next.and_then(|(_, stream)| {
                let (packet, missing) = stream.take(until)?;
                Some((packet, missing, stream.ssrc))
            }) else {
                return;
            };
            self.count.lost += missing;
            self.hear(ssrc, &packet, missing > 0);
        }
    }

    /// `is_lost`: what belongs before it did not come.
    fn hear(&mut self, ssrc: u32, packet: &Placed, is_lost: bool) {
        if packet.bytes.is_empty() || self.keys.sounds(packet.time) {
            return;
        }
        let is_same = self.decoded.is_some_and(|(of, _)| of == ssrc)
            && self
                .decoder
                .as_ref()
                .is_some_and(|decoder| decoder.payload() == packet.payload);
        if !is_same {
            if self.lacks == Some(packet.payload) {
                self.count.undecodable += 1;
                return;
            }
            match Decoder::new(packet.payload) {
                Ok(decoder) => self.decoder = Some(decoder),
                Err(err) => {
                    tracing::error!(leg = %self.name, "the audio cannot be heard: {err}");
                    self.lacks = Some(packet.payload);
                    self.count.undecodable += 1;
                    return;
                }
            }
            self.decoded = Some((ssrc, 0));
        }
        let begin = samples(packet.time);
        let follows = !is_lost
            && self
                .decoded
                .is_some_and(|(_, end)| begin.abs_diff(end) <= SEAM);
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        match decoder.decode(&packet.bytes, packet.time, follows) {
            Ok(pieces) => {
                for (number, piece) in pieces.into_iter().enumerate() {
                    self.lay(ssrc, piece, is_lost && number == 0);
                }
            }
            Err(_) => {
                self.count.undecodable += 1;
                // A fresh one may do better with what follows.
                self.decoder = None;
            }
        }
    }

    /// Lays samples where they belong; what is over already falls away.
    fn lay(&mut self, ssrc: u32, (start, mut piece): Piece, is_lost: bool) {
        let end = self.taken + self.audio.len() as u64;
        let mut start = samples(start);
        if start.abs_diff(end) <= SEAM {
            start = end;
        }
        let over = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let gap = usize::try_from(start.saturating_sub(end)).unwrap_or(0);
        if gap > 0 {
            let hole = self.hole(gap, is_lost || gap < PAUSE);
            self.audio.extend(hole);
        }
        self.decoded = Some((ssrc, start + piece.len() as u64));
        let rest = piece.get_mut(over..).unwrap_or_default();
        self.concealer.hear(rest);
        self.audio.extend(rest.iter());
    }

    /// What stands where nothing came.
    fn hole(&mut self, length: usize, is_lost: bool) -> Vec<i16> {
        if !is_lost {
            self.concealer.forget();
        }
        self.concealer.invent(length)
    }
}
