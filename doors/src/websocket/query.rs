//! What a client asks for by the query of its address: the audio's form, what it wants to be told, and properties of the
//! element.

use std::time::Duration;

use crate::call::{Encoding, Format, Setting, Source, Wanted};

use super::message::{POLICY, UNSUPPORTED};

/// What is told beside finals, and under which id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    pub id: Option<String>,
    pub partials: bool,
    pub utterances: bool,
    pub acks: bool,
    pub events: bool,
    pub format: Format,
    /// Elements that hear.
    pub ears: usize,
    /// Where the client's stream begins.
    pub start: Duration,
}

/// Why a query is refused, in a sentence.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BadQuery {
    #[error("the query of the address cannot be read: {0}")]
    Form(String),
    #[error("{name} cannot be {value:?}: it takes {takes}")]
    Value {
        name: String,
        value: String,
        takes: &'static str,
    },
    #[error(
        "{legs} legs are named, but the audio has {channels} channels: name one for each, or none"
    )]
    Legs { legs: usize, channels: u32 },
}

impl BadQuery {
    /// With which the socket is closed.
    pub fn code(&self) -> u16 {
        match self {
            BadQuery::Value { name, .. } if name == "encoding" || name == "rate" => UNSUPPORTED,
            _ => POLICY,
        }
    }
}

/// Longest name of a leg, in characters.
const LEG: usize = 64;
/// A month; nobody's stream is longer.
const LATEST_START: u64 = 31 * 24 * 3_600_000;

impl Asked {
    /// Reads a query; what is no name of the door's is a property of the element.
    pub fn read(query: &str) -> Result<(Asked, Wanted), BadQuery> {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).map_err(|err| BadQuery::Form(err.to_string()))?;
        let mut asked = Asked::default();
        let mut wanted = Wanted::default();
        for (name, value) in pairs {
            let bad = |takes| BadQuery::Value {
                name: name.clone(),
                value: value.clone(),
                takes,
            };
            match name.as_str() {
                "id" => asked.id = Some(value),
                "partials" => asked.partials = flag(&value).ok_or_else(|| bad(FLAG))?,
                "utterances" => asked.utterances = flag(&value).ok_or_else(|| bad(FLAG))?,
                "acks" => asked.acks = flag(&value).ok_or_else(|| bad(FLAG))?,
                "events" => asked.events = flag(&value).ok_or_else(|| bad(FLAG))?,
                "encoding" => {
                    asked.format.encoding =
                        encoding(&value).ok_or_else(|| bad("s16le, s16be, mulaw or alaw"))?;
                }
                "rate" | "sample_rate" => {
                    asked.format.rate = value
                        .parse()
                        .ok()
                        .filter(|rate| (8_000..=48_000).contains(rate))
                        .ok_or_else(|| bad("8000 to 48000 Hz"))?;
                }
                "channels" => {
                    asked.format.channels = value
                        .parse()
                        .ok()
                        .filter(|channels| (1..=2).contains(channels))
                        .ok_or_else(|| bad("1 or 2"))?;
                }
                "legs" => {
                    wanted.legs = legs(&value).ok_or_else(|| {
                        bad("different names, at most 64 characters each, with commas between")
                    })?;
                }
                "start_ms" | "resume_ms" => {
                    let ms = value
                        .parse()
                        .ok()
                        .filter(|ms| *ms <= LATEST_START)
                        .ok_or_else(|| bad("milliseconds, a month at most"))?;
                    asked.start = Duration::from_millis(ms);
                }
                _ => wanted
                    .settings
                    .push(Setting::new(name.replace('_', "-"), value)),
            }
        }
        if !wanted.legs.is_empty() && wanted.legs.len() != asked.format.channels as usize {
            return Err(BadQuery::Legs {
                legs: wanted.legs.len(),
                channels: asked.format.channels,
            });
        }
        if asked.partials {
            wanted.settings.push(Setting::new("interim", "true"));
        }
        asked.ears = wanted.legs.len().max(1);
        wanted.source = Source::Raw(asked.format);
        wanted.start = asked.start;
        Ok((asked, wanted))
    }
}

const FLAG: &str = "1 or 0";

fn flag(value: &str) -> Option<bool> {
    match value {
        "" | "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn encoding(value: &str) -> Option<Encoding> {
    match value.to_ascii_lowercase().as_str() {
        "s16le" | "linear16" | "pcm" => Some(Encoding::S16le),
        "s16be" | "l16" => Some(Encoding::S16be),
        "mulaw" | "ulaw" | "pcmu" => Some(Encoding::Mulaw),
        "alaw" | "pcma" => Some(Encoding::Alaw),
        _ => None,
    }
}

fn legs(value: &str) -> Option<Vec<String>> {
    let legs: Vec<String> = value.split(',').map(|leg| leg.trim().to_owned()).collect();
    let named = |leg: &String| (1..=LEG).contains(&leg.chars().count());
    let unlike = |(i, leg): (usize, &String)| !legs.iter().take(i).any(|other| other == leg);
    (legs.iter().all(named) && legs.iter().enumerate().all(unlike)).then_some(legs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_what_clients_of_old_send() {
        let (asked, wanted) = Asked::read("").unwrap();
        assert_eq!(asked.format, Format::default());
        assert!(wanted.settings.is_empty() && wanted.legs.is_empty());
        assert!(!asked.partials && !asked.acks && !asked.utterances && !asked.events);
    }

    #[test]
    fn names_that_are_not_the_doors_are_properties() {
        let query = "rate=8000&encoding=mulaw&language=fr&min_chunk_size=300&init-prompt=a%20b%26c&partials&start_ms=1500";
        let (asked, wanted) = Asked::read(query).unwrap();
        let format = Format {
            encoding: Encoding::Mulaw,
            rate: 8_000,
            channels: 1,
        };
        assert_eq!(asked.format, format);
        assert_eq!(wanted.start, Duration::from_millis(1_500));
        assert_eq!(
            wanted.settings,
            [
                Setting::new("language", "fr"),
                Setting::new("min-chunk-size", "300"),
                Setting::new("init-prompt", "a b&c"),
                Setting::new("interim", "true"),
            ]
        );
    }

    #[test]
    fn legs_are_the_channels_names() {
        let (asked, wanted) = Asked::read("channels=2&legs=agent,customer").unwrap();
        assert_eq!(wanted.legs, ["agent", "customer"]);
        assert_eq!(asked.ears, 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_a_sentence() {
        for (query, sentence) in [
            (
                "rate=fast",
                r#"rate cannot be "fast": it takes 8000 to 48000 Hz"#,
            ),
            (
                "rate=7999",
                r#"rate cannot be "7999": it takes 8000 to 48000 Hz"#,
            ),
            (
                "rate=-1",
                r#"rate cannot be "-1": it takes 8000 to 48000 Hz"#,
            ),
            (
                "encoding=flac",
                r#"encoding cannot be "flac": it takes s16le, s16be, mulaw or alaw"#,
            ),
            ("channels=0", r#"channels cannot be "0": it takes 1 or 2"#),
            (
                "channels=99999999999",
                r#"channels cannot be "99999999999": it takes 1 or 2"#,
            ),
            (
                "partials=perhaps",
                r#"partials cannot be "perhaps": it takes 1 or 0"#,
            ),
            (
                "legs=a,b",
                "2 legs are named, but the audio has 1 channels: name one for each, or none",
            ),
            (
                "channels=2&legs=a,a",
                r#"legs cannot be "a,a": it takes different names, at most 64 characters each, with commas between"#,
            ),
            (
                "channels=2&legs=,",
                r#"legs cannot be ",": it takes different names, at most 64 characters each, with commas between"#,
            ),
            (
                "start_ms=99999999999999999999",
                r#"start_ms cannot be "99999999999999999999": it takes milliseconds, a month at most"#,
            ),
        ] {
            assert_eq!(
                Asked::read(query).unwrap_err().to_string(),
                sentence,
                "{query}"
            );
        }
    }
}
