//! Payloads to samples, by GStreamer's decoders: `decoder ! audioconvert ! audioresample`, driven packet by packet.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::RATE;
use super::codec::{Coding, Payload};
use crate::call::{OpenError, make};

/// Samples and where they begin on the call's clock.
pub type Piece = (Duration, Vec<i16>);

/// Decodes one stream of one coding. Nothing runs beside it: [`decode`](Self::decode) returns what came out.
pub struct Decoder {
    payload: Payload,
    bin: gst::Bin,
    entry: gst::Pad,
    /// Linked, but held by nobody else.
    exit: gst::Pad,
    out: Arc<Mutex<Vec<Piece>>>,
    /// Where the last packet began.
    last: Option<Duration>,
}

/// The packet could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

impl Decoder {
    pub fn new(payload: Payload) -> Result<Decoder, OpenError> {
        let mut chain = Vec::new();
        let caps = match payload.coding {
            Coding::Pcmu => {
                chain.push(make("mulawdec")?);
                coded("audio/x-mulaw", 8_000)
            }
            Coding::Pcma => {
                chain.push(make("alawdec")?);
                coded("audio/x-alaw", 8_000)
            }
            Coding::G722 => {
                chain.push(make("avdec_g722")?);
                coded("audio/G722", 16_000)
            }
            Coding::Opus => {
                let decoder = make("opusdec")?;
                // Garbage is skipped, however much of it comes.
                if decoder.find_property("max-errors").is_some() {
                    decoder.set_property("max-errors", -1);
                }
                chain.push(decoder);
                gst::Caps::builder("audio/x-opus")
                    .field("channel-mapping-family", 0)
                    .build()
            }
            Coding::L16 { channels } => {
                let caps = gst::Caps::builder("audio/x-raw")
                    .field("format", "S16BE")
                    .field("layout", "interleaved")
                    .field("rate", i32::try_from(payload.clock).unwrap_or(i32::MAX))
                    .field("channels", i32::from(channels));
                match channels {
                    2 => caps.field("channel-mask", gst::Bitmask::new(3)).build(),
                    _ => caps.build(),
                }
            }
            Coding::ComfortNoise | Coding::Event => {
                return Err(OpenError::Refused("there is no audio in it".into()));
            }
        };
        chain.push(make("audioconvert")?);
        chain.push(make("audioresample")?);
        let raw = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", RATE as i32)
            .field("channels", 1)
            .build();
        let filter = make("capsfilter")?;
        filter.set_property("caps", &raw);
        chain.push(filter);
        Self::start(payload, chain, &caps).map_err(|err| {
            OpenError::Refused(format!("{} cannot be decoded here: {err}", payload.name()))
        })
    }

    fn start(
        payload: Payload,
        chain: Vec<gst::Element>,
        caps: &gst::Caps,
    ) -> Result<Decoder, gst::glib::BoolError> {
        let missing = || gst::glib::bool_error!("an element lacks a pad");
        let bin = gst::Bin::new();
        bin.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        let first = chain.first().and_then(|first| first.static_pad("sink"));
        let last = chain.last().and_then(|last| last.static_pad("src"));
        let sink = gst::GhostPad::with_target(&first.ok_or_else(missing)?)?;
        let src = gst::GhostPad::with_target(&last.ok_or_else(missing)?)?;
        bin.add_pad(&sink)?;
        bin.add_pad(&src)?;
        let out: Arc<Mutex<Vec<Piece>>> = Arc::default();
        let pieces = Arc::clone(&out);
        let exit = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                if let Some(piece) = piece(&buffer) {
                    let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
                    pieces.push(piece);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(|_, _, _| true)
            .build();
        let entry = gst::Pad::builder(gst::PadDirection::Src).build();
        exit.set_active(true)?;
        entry.set_active(true)?;
        let unlinked = |_| gst::glib::bool_error!("its pads do not fit");
        src.link(&exit).map_err(unlinked)?;
        entry.link(&sink).map_err(unlinked)?;
        bin.set_state(gst::State::Playing)
            .map_err(|_| gst::glib::bool_error!("the decoder does not start"))?;
        let decoder = Decoder {
            payload,
            bin,
            entry,
            exit,
            out,
            last: None,
        };
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let events = [
            gst::event::StreamStart::new("rtp"),
            gst::event::Caps::new(caps),
            gst::event::Segment::new(&segment),
        ];
        for event in events {
            decoder.entry.push_event(event);
        }
        Ok(decoder)
    }

    pub fn payload(&self) -> Payload {
        self.payload
    }

    /// Decodes a payload that begins at `time`. `follows`: right behind the one before.
    pub fn decode(
        &mut self,
        payload: &[u8],
        time: Duration,
        follows: bool,
    ) -> Result<Vec<Piece>, Undecodable> {
        // GStreamer complains aloud of samples that are not whole.
        if let Coding::L16 { channels } = self.payload.coding
            && !payload.len().is_multiple_of(2 * usize::from(channels))
        {
            return Err(Undecodable);
        }
        let mut buffer = gst::Buffer::from_slice(payload.to_vec());
        if let Some(buffer) = buffer.get_mut() {
            let pts = u64::try_from(time.as_nanos()).map_err(|_| Undecodable)?;
            buffer.set_pts(gst::ClockTime::try_from(pts).map_err(|_| Undecodable)?);
            if !follows || self.last.is_none() {
                buffer.set_flags(gst::BufferFlags::DISCONT);
            }
        }
        self.last = Some(time);
        let pushed = self.entry.push(buffer);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let pieces = std::mem::take(&mut *out);
        match pushed {
            Ok(_) => Ok(pieces),
            Err(_) => Err(Undecodable),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.entry.set_active(false);
        let _ = self.exit.set_active(false);
        let _ = self.bin.set_state(gst::State::Null);
    }
}

fn coded(name: &str, rate: i32) -> gst::Caps {
    gst::Caps::builder(name)
        .field("rate", rate)
        .field("channels", 1)
        .build()
}

fn piece(buffer: &gst::BufferRef) -> Option<Piece> {
    let start = Duration::from_nanos(buffer.pts()?.nseconds());
    let map = buffer.map_readable().ok()?;
    let samples = map
        .chunks_exact(2)
        .filter_map(|bytes| Some(i16::from_le_bytes(bytes.try_into().ok()?)));
    Some((start, samples.collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use gst::glib;

    use super::*;
    use crate::tap::codec::Formats;

    #[test]
    fn samples_that_are_not_whole_are_undecodable_and_those_behind_them_are_not() {
        static COMPLAINED: AtomicBool = AtomicBool::new(false);
        crate::init().unwrap();
        let base = Some("GStreamer-Base");
        glib::log_set_handler(base, glib::LogLevels::all(), false, true, |_, _, _| {
            COMPLAINED.store(true, Ordering::Relaxed);
        });
        let stereo = Formats::fixed(10).unwrap();
        let mut decoder = Decoder::new(stereo).unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(decoder.decode(&[1, 2, 3], second, false), Err(Undecodable));
        let decoded = decoder.decode(&[0; 4 * 882], second * 2, false).unwrap();
        assert_eq!(decoded.len(), 1);
        assert!(!COMPLAINED.load(Ordering::Relaxed));
    }
}
