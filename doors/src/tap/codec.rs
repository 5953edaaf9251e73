//! What RTP's payload types are: by RFC 3551 those that are fixed, by SDP or by option the others.

use std::collections::BTreeMap;
use std::str::FromStr;

/// What a payload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Pcmu,
    Pcma,
    G722,
    Opus,
    /// Samples in network order; `clock` is their rate.
    L16 {
        channels: u8,
    },
    /// RFC 3389: silence, described.
    ComfortNoise,
    /// RFC 4733: keys that were pressed.
    Event,
}

/// A payload type's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    pub coding: Coding,
    /// Hz, of the timestamps.
    pub clock: u32,
}

const fn payload(coding: Coding, clock: u32) -> Payload {
    Payload { coding, clock }
}

/// Telephone events where nobody said where they are: what nearly all phones use.
const EVENTS: u8 = 101;

impl Payload {
    /// As `a=rtpmap` names it: `opus`, 48000, 2. `None`: not one that can be decoded here.
    pub fn named(name: &str, clock: u32, channels: u8) -> Option<Payload> {
        let name = name.to_ascii_lowercase();
        let sane = (8_000..=192_000).contains(&clock) && (1..=2).contains(&channels);
        Some(match name.as_str() {
            "pcmu" | "pcma" if clock != 8_000 || channels != 1 => return None,
            "pcmu" => payload(Coding::Pcmu, 8_000),
            "pcma" => payload(Coding::Pcma, 8_000),
            // Its samples are 16 kHz; RFC 3551 says 8000 by mistake, and so do all.
            "g722" => payload(Coding::G722, 8_000),
            "opus" => payload(Coding::Opus, 48_000),
            "l16" if sane => payload(Coding::L16 { channels }, clock),
            "cn" if sane => payload(Coding::ComfortNoise, clock),
            "telephone-event" if sane => payload(Coding::Event, clock),
            _ => return None,
        })
    }

    pub fn is_audio(&self) -> bool {
        !matches!(self.coding, Coding::ComfortNoise | Coding::Event)
    }

    pub fn name(&self) -> &'static str {
        match self.coding {
            Coding::Pcmu => "PCMU",
            Coding::Pcma => "PCMA",
            Coding::G722 => "G722",
            Coding::Opus => "opus",
            Coding::L16 { .. } => "L16",
            Coding::ComfortNoise => "CN",
            Coding::Event => "telephone-event",
        }
    }
}

/// Which payload type means what, on one leg.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    told: BTreeMap<u8, Payload>,
    /// What types that nobody told of are.
    other: Option<Payload>,
}

impl Formats {
    pub fn insert(&mut self, payload_type: u8, payload: Payload) {
        self.told.insert(payload_type & 0x7f, payload);
    }

    pub fn get(&self, payload_type: u8) -> Option<Payload> {
        if let Some(payload) = self.told.get(&payload_type) {
            return Some(*payload);
        }
        match payload_type {
            EVENTS => Some(payload(Coding::Event, 8_000)),
            96..=127 => self.other,
            fixed => Self::fixed(fixed),
        }
    }

    /// The types of RFC 3551 that can be decoded here.
    pub fn fixed(payload_type: u8) -> Option<Payload> {
        Some(match payload_type {
            0 => payload(Coding::Pcmu, 8_000),
            8 => payload(Coding::Pcma, 8_000),
            9 => payload(Coding::G722, 8_000),
            10 => payload(Coding::L16 { channels: 2 }, 44_100),
            11 => payload(Coding::L16 { channels: 1 }, 44_100),
            13 => payload(Coding::ComfortNoise, 8_000),
            _ => return None,
        })
    }

    /// Where formats of SDP and of options meet, the latter win.
    pub fn extend(&mut self, more: &Formats) {
        self.told.extend(more.told.iter());
        self.other = more.other.or(self.other);
    }

    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && self.other.is_none()
    }
}

/// `--codec`: what arrives, if the payload types do not say it themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecOption {
    pub payload_type: Option<u8>,
    pub payload: Payload,
}

/// Why a `--codec` is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no codec: write pcmu, pcma, g722, opus, l16/16000 or l16/44100/2, cn or telephone-event, \
     with =TYPE behind it for a payload type of 0 to 127, as in opus=111"
)]
pub struct BadCodec(String);

impl FromStr for CodecOption {
    type Err = BadCodec;

    fn from_str(text: &str) -> Result<CodecOption, BadCodec> {
        let read = || {
            let (name, payload_type) = match text.split_once('=') {
                Some((name, number)) => {
                    let number = number.parse::<u8>().ok().filter(|number| *number < 128)?;
                    (name, Some(number))
                }
                None => (text, None),
            };
            let mut parts = name.split('/');
            let name = parts.next()?;
            let clock = match parts.next() {
                Some(clock) => clock.parse().ok()?,
                None if name.eq_ignore_ascii_case("l16") => 16_000,
                None => 8_000,
            };
            let channels = match parts.next() {
                Some(channels) => channels.parse().ok()?,
                None => 1,
            };
            let payload = Payload::named(name, clock, channels)?;
            Some(CodecOption {
                payload_type,
                payload,
            })
        };
        read().ok_or_else(|| BadCodec(text.into()))
    }
}

impl FromIterator<CodecOption> for Formats {
    fn from_iter<I: IntoIterator<Item = CodecOption>>(options: I) -> Formats {
        let mut formats = Formats::default();
        for option in options {
            match option.payload_type {
                Some(payload_type) => formats.insert(payload_type, option.payload),
                None => formats.other = Some(option.payload),
            }
        }
        formats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_read_as_they_are_written() {
        let read = |text: &str| text.parse::<CodecOption>();
        let opus = read("opus=111").unwrap();
        assert_eq!(opus.payload_type, Some(111));
        assert_eq!(opus.payload, payload(Coding::Opus, 48_000));
        let l16 = read("L16/44100/2").unwrap();
        assert_eq!(l16.payload, payload(Coding::L16 { channels: 2 }, 44_100));
        for bad in ["", "mp3", "opus=200", "opus=x", "l16/7", "l16/16000/9"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fixed_types_need_no_word() {
        let formats: Formats = ["opus".parse::<CodecOption>().unwrap()]
            .into_iter()
            .collect();
        assert_eq!(formats.get(0).unwrap().coding, Coding::Pcmu);
        assert_eq!(formats.get(101).unwrap().coding, Coding::Event);
        assert_eq!(formats.get(111).unwrap().coding, Coding::Opus);
        assert_eq!(formats.get(72), None);
        assert_eq!(Formats::default().get(96), None);
    }
}
