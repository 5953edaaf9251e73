//! What a gateway sends of a leg: audio, and what is asked in between, in order.

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

pub use bytes::Bytes;

/// Of what is in the messages; a worker that reads another one leaves the call to others.
pub const FORMAT: u32 = 1;
/// Samples of a message: 100 ms.
pub const PIECE: usize = 1_600;
/// Messages end so many samples behind multiples of it: a pass that is due at one waits for the voice detector's frame, which ends
/// behind it.
pub const BEHIND: usize = 320;
/// More than any gateway of ours puts into one: 2 s.
const MOST: usize = 64_000;

const NUMBER: &str = "Whisperstream-Number";
const KIND: &str = "Whisperstream-Kind";
const SAMPLE: &str = "Whisperstream-Sample";
const TIME: &str = "Whisperstream-Time";

/// How a leg begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    pub format: u32,
    /// Properties of the element.
    pub settings: Vec<(String, String)>,
    /// The leg's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<String>,
    /// Whether the lines of the element's src pad are told, too.
    #[serde(default)]
    pub lines: bool,
    /// Where the stream begins, in ns of the client's.
    pub start: u64,
}

/// A message, without its number.
#[derive(Clone, Debug, PartialEq)]
pub enum Audio {
    Begin(Begin),
    Samples {
        /// Number of the first one in the leg.
        sample: u64,
        /// Running time of the first one, in ns.
        time: u64,
        /// S16LE, 16 kHz, mono.
        bytes: Bytes,
    },
    Flush {
        marker: String,
    },
    Set {
        name: String,
        value: String,
    },
    /// Nothing was said for a while; the gateway is there.
    Keep,
    /// No more comes; the tail is to be told.
    End,
    /// Nobody wants to know any more.
    Cancel,
}

/// Why a message is not one of ours, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    #[error("it has no header {0} that can be read")]
    Header(&'static str),
    #[error("{0:?} is no kind of message that is known here")]
    Kind(String),
    #[error("{0} bytes are no samples of 16 bits")]
    Odd(usize),
    #[error("{0} bytes are more than a message may have")]
    Long(usize),
    #[error("its contents cannot be read")]
    Contents,
}

impl Audio {
    /// Headers and contents of the `number`th message of a leg.
    pub fn write(&self, number: u64) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        headers.insert(NUMBER, number.to_string());
        headers.insert(KIND, self.kind());
        let contents = match self {
            Audio::Begin(begin) => json(begin),
            Audio::Samples {
                sample,
                time,
                bytes,
            } => {
                headers.insert(SAMPLE, sample.to_string());
                headers.insert(TIME, time.to_string());
                bytes.clone()
            }
            Audio::Flush { marker } => json(&serde_json::json!({ "marker": marker })),
            Audio::Set { name, value } => json(&(name, value)),
            Audio::Keep | Audio::End | Audio::Cancel => Bytes::new(),
        };
        (headers, contents)
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Audio::Begin(_) => "begin",
            Audio::Samples { .. } => "audio",
            Audio::Flush { .. } => "flush",
            Audio::Set { .. } => "set",
            Audio::Keep => "keep",
            Audio::End => "end",
            Audio::Cancel => "cancel",
        }
    }

    /// Reads what [`write`](Self::write) wrote: its number, and itself.
    pub fn read(headers: Option<&HeaderMap>, contents: &Bytes) -> Result<(u64, Audio), BadMessage> {
        let header = |name| headers.and_then(|headers| headers.get(name));
        let whole = |name| {
            let number = header(name).and_then(|value| value.as_str().parse::<u64>().ok());
            number.ok_or(BadMessage::Header(name))
        };
        if contents.len() > MOST {
            return Err(BadMessage::Long(contents.len()));
        }
        let number = whole(NUMBER)?;
        let kind = header(KIND).ok_or(BadMessage::Header(KIND))?.as_str();
        let audio = match kind {
            "begin" => Audio::Begin(from_json(contents)?),
            "audio" if contents.len() % 2 == 1 => return Err(BadMessage::Odd(contents.len())),
            "audio" => Audio::Samples {
                sample: whole(SAMPLE)?,
                time: whole(TIME)?,
                bytes: contents.clone(),
            },
            "flush" => {
                #[derive(Deserialize)]
                struct Flush {
                    marker: String,
                }
                let Flush { marker } = from_json(contents)?;
                Audio::Flush { marker }
            }
            "set" => {
                let (name, value) = from_json(contents)?;
                Audio::Set { name, value }
            }
            "keep" => Audio::Keep,
            "end" => Audio::End,
            "cancel" => Audio::Cancel,
            other => return Err(BadMessage::Kind(other.chars().take(32).collect())),
        };
        Ok((number, audio))
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Numbers and texts can always be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn from_json<'a, T: Deserialize<'a>>(contents: &'a Bytes) -> Result<T, BadMessage> {
    serde_json::from_slice(contents).map_err(|_| BadMessage::Contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let begin = Begin {
            format: FORMAT,
            settings: vec![("language".into(), "fr".into())],
            leg: Some("caller".into()),
            lines: true,
            start: 7,
        };
        let messages = [
            Audio::Begin(begin),
            Audio::Samples {
                sample: 1_600,
                time: u64::MAX,
                bytes: vec![1, 2, 3, 4].into(),
            },
            Audio::Flush {
                marker: "\"é".into(),
            },
            Audio::Set {
                name: "language".into(),
                value: "de".into(),
            },
            Audio::Keep,
            Audio::End,
            Audio::Cancel,
        ];
        for (number, message) in messages.into_iter().enumerate() {
            let (headers, contents) = message.write(number as u64);
            let read = Audio::read(Some(&headers), &contents);
            assert_eq!(read, Ok((number as u64, message)));
        }
    }

    #[test]
    fn what_is_no_message_is_refused_in_a_sentence() {
        let samples = Audio::Samples {
            sample: 0,
            time: 0,
            bytes: Bytes::new(),
        };
        let (headers, _) = samples.write(0);
        let with = |name: &str, value: &str| {
            let mut headers = headers.clone();
            headers.insert(name, value);
            headers
        };
        let none = HeaderMap::new();
        for (headers, bytes, refused) in [
            (&none, 2, BadMessage::Header(NUMBER)),
            (&with(NUMBER, "-1"), 2, BadMessage::Header(NUMBER)),
            (&with(TIME, "1e9"), 2, BadMessage::Header(TIME)),
            (&with(KIND, "video"), 2, BadMessage::Kind("video".into())),
            (&with(KIND, "begin"), 2, BadMessage::Contents),
            (&headers, 3, BadMessage::Odd(3)),
            (&headers, 64_002, BadMessage::Long(64_002)),
        ] {
            let contents = vec![0; bytes].into();
            assert_eq!(Audio::read(Some(headers), &contents), Err(refused));
        }
        assert!(Audio::read(None, &Bytes::new()).is_err());
    }
}
