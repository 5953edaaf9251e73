//! The query string of `/v1/listen`: what a client wants of the transcription.

use std::time::Duration;

use crate::call::{Encoding, Format, Setting, Source, Wanted};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Query {
    pub wanted: Wanted,
    pub channels: u32,
    /// Whether texts that may change are told.
    pub interim: bool,
    /// Whether ends of utterances are told (`speech_final`).
    pub endpointing: bool,
    /// Silence behind the last word after which `UtteranceEnd` is told.
    pub utterance_end: Option<Duration>,
    pub vad_events: bool,
    /// Punctuation and capitals as written; otherwise bare words.
    pub punctuate: bool,
}

/// Why a query is refused, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    #[error("{name} cannot be {value:?}: it takes {takes}")]
    Value {
        name: &'static str,
        value: String,
        takes: &'static str,
    },
    #[error("{0} is not done by this server; leave it out")]
    NotDone(&'static str),
    #[error("these are too many keyterms: at most {MOST_KEYTERMS} bytes together")]
    Keyterms,
}

/// Bytes of all keyterms together: some 500 tokens.
const MOST_KEYTERMS: usize = 2_000;
/// Channels that can be told apart: each is transcribed on its own.
const MOST_CHANNELS: u32 = 8;
/// Shorter silences are within speech: a network that hears phrases is not served by cutting between words. ms
const LEAST_ENDPOINTING: u32 = 200;

impl Query {
    pub fn of(pairs: &[(String, String)]) -> Result<Query, BadQuery> {
        let last = |name: &str| {
            let found = pairs.iter().rev().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        if last("callback").is_some_and(|url| !url.is_empty()) {
            return Err(BadQuery::NotDone("callback"));
        }
        let flag = |name| flag(name, last(name));
        let channels = number("channels", last("channels"), 1, MOST_CHANNELS)?.unwrap_or(1);
        let legs = match flag("multichannel")? && channels > 1 {
            true => (0..channels).map(|number| number.to_string()).collect(),
            false => Vec::new(),
        };
        let rate = number("sample_rate", last("sample_rate"), 4_000, 192_000)?;
        let source = source(last("encoding"), rate, channels)?;
        let interim = flag("interim_results")?;
        let mut settings = vec![Setting::new("interim", interim.to_string())];
        let endpointing = match last("endpointing") {
            Some("false") => false,
            None | Some("" | "true") => true,
            given => {
                let ms = number("endpointing", given, 0, 10_000)?.unwrap_or(0);
                if ms >= LEAST_ENDPOINTING {
                    settings.push(Setting::new("vad-min-silence", ms.to_string()));
                } else if ms > 0 {
                    let least = LEAST_ENDPOINTING.to_string();
                    settings.push(Setting::new("vad-min-silence", least));
                }
                true
            }
        };
        let utterance_end = number("utterance_end_ms", last("utterance_end_ms"), 1_000, 60_000)?;
        match last("language") {
            Some("multi") => settings.push(Setting::new("language", "auto")),
            Some(language) if !language.is_empty() => {
                settings.push(Setting::new("language", language));
            }
            _ if flag("detect_language")? => settings.push(Setting::new("language", "auto")),
            _ => {}
        }
        // A boost behind a keyword means nothing here.
        let keyterms = pairs.iter().filter_map(|(key, value)| match key.as_str() {
            "keyterm" => Some(value.as_str()),
            "keywords" => Some(value.split(':').next().unwrap_or_default()),
            _ => None,
        });
        if let Some(keyterms) = self::keyterms(keyterms)? {
            settings.push(keyterms);
        }
        if last("filler_words") == Some("false") {
            settings.push(Setting::new("fillers", "remove"));
        }
        // Of what can be redacted there, numbers are what this server finds.
        if last("redact").is_some_and(|what| what != "false") {
            settings.push(Setting::new("redact", "digits"));
        }
        Ok(Query {
            wanted: Wanted {
                source,
                settings,
                legs,
                ..Wanted::default()
            },
            channels,
            interim,
            endpointing,
            utterance_end: utterance_end.map(|ms| Duration::from_millis(ms.into())),
            vad_events: flag("vad_events")?,
            punctuate: flag("punctuate")? || flag("smart_format")? || flag("dictation")?,
        })
    }
}

/// Terms to expect, as the element takes them; `None`: there are none.
pub fn keyterms<'a>(terms: impl Iterator<Item = &'a str>) -> Result<Option<Setting>, BadQuery> {
    // The element's list is separated by commas.
    let terms: Vec<_> = terms
        .map(|term| term.replace(',', " ").trim().to_owned())
        .filter(|term| !term.is_empty())
        .collect();
    let list = terms.join(", ");
    match list.len() {
        0 => Ok(None),
        1..=MOST_KEYTERMS => Ok(Some(Setting::new("keyterms", list))),
        _ => Err(BadQuery::Keyterms),
    }
}

fn source(encoding: Option<&str>, rate: Option<u32>, channels: u32) -> Result<Source, BadQuery> {
    let (encoding, usual) = match encoding {
        Some("linear16") => (Encoding::S16le, 16_000),
        Some("mulaw") => (Encoding::Mulaw, 8_000),
        Some("alaw") => (Encoding::Alaw, 8_000),
        // In containers, which say what is in them.
        None | Some("" | "opus" | "ogg-opus" | "flac") => return Ok(Source::Media),
        Some(other) => {
            return Err(BadQuery::Value {
                name: "encoding",
                value: other.chars().take(32).collect(),
                takes: "linear16, mulaw or alaw; opus, ogg-opus or flac in a container (Ogg, WebM, FLAC), for which it may be left out",
            });
        }
    };
    Ok(Source::Raw(Format {
        encoding,
        rate: rate.unwrap_or(usual),
        channels,
    }))
}

fn flag(name: &'static str, value: Option<&str>) -> Result<bool, BadQuery> {
    match value {
        None | Some("" | "false" | "False" | "0") => Ok(false),
        Some("true" | "True" | "1") => Ok(true),
        Some(other) => Err(BadQuery::Value {
            name,
            value: other.chars().take(32).collect(),
            takes: "true or false",
        }),
    }
}

fn number(
    name: &'static str,
    value: Option<&str>,
    least: u32,
    most: u32,
) -> Result<Option<u32>, BadQuery> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let parsed = value.parse().ok();
    match parsed.filter(|number| (least..=most).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(BadQuery::Value {
            name,
            value: value.chars().take(32).collect(),
            takes: match name {
                "channels" => "a whole number from 1 to 8",
                "sample_rate" => "hertz from 4000 to 192000",
                "utterance_end_ms" => "milliseconds from 1000 to 60000",
                _ => "milliseconds from 0 to 10000, or false",
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &[(&str, &str)]) -> Result<Query, BadQuery> {
        let pairs: Vec<_> = text
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        Query::of(&pairs)
    }

    fn setting(query: &Query, name: &str) -> Option<String> {
        let settings = query.wanted.settings.iter();
        let mut named = settings.filter(|setting| setting.name == name);
        named.next_back().map(|setting| setting.value.clone())
    }

    #[test]
    fn what_the_sdk_sends_is_understood() {
        let query = query(&[
            ("model", "nova-3"),
            ("encoding", "mulaw"),
            ("sample_rate", "8000"),
            ("channels", "2"),
            ("multichannel", "true"),
            ("language", "fr-FR"),
            ("interim_results", "true"),
            ("endpointing", "300"),
            ("utterance_end_ms", "1000"),
            ("keyterm", "Dupont, Marie"),
            ("keyterm", "compte joint"),
            ("keywords", "virement:2"),
        ])
        .unwrap();
        assert!(matches!(
            query.wanted.source,
            Source::Raw(Format {
                encoding: Encoding::Mulaw,
                rate: 8_000,
                channels: 2
            })
        ));
        assert_eq!(query.wanted.legs, ["0", "1"]);
        assert_eq!(setting(&query, "language").as_deref(), Some("fr-FR"));
        assert_eq!(setting(&query, "vad-min-silence").as_deref(), Some("300"));
        assert_eq!(
            setting(&query, "keyterms").as_deref(),
            Some("Dupont  Marie, compte joint, virement")
        );
        assert_eq!(query.utterance_end, Some(Duration::from_secs(1)));
        assert!(query.interim && query.endpointing && !query.punctuate);
    }

    #[test]
    fn without_an_encoding_a_container_is_expected() {
        let query = query(&[("smart_format", "true"), ("endpointing", "false")]).unwrap();
        assert!(matches!(query.wanted.source, Source::Media));
        assert!(query.punctuate && !query.endpointing);
    }

    #[test]
    fn a_short_endpointing_does_not_cut_between_words() {
        let query = query(&[("endpointing", "10")]).unwrap();
        assert_eq!(setting(&query, "vad-min-silence").as_deref(), Some("200"));
    }

    #[test]
    fn what_cannot_be_done_is_said_in_a_sentence() {
        for (wrong, says) in [
            (("encoding", "g729"), "linear16"),
            (("sample_rate", "-1"), "hertz"),
            (("channels", "9"), "1 to 8"),
            (("utterance_end_ms", "20"), "1000"),
            (("interim_results", "perhaps"), "true or false"),
            (("callback", "https://example.org"), "leave it out"),
        ] {
            let refused = query(&[wrong]).unwrap_err().to_string();
            assert!(refused.contains(says), "{wrong:?}: {refused}");
        }
        let long = "x".repeat(3_000);
        assert_eq!(
            query(&[("keyterm", &long)]).unwrap_err(),
            BadQuery::Keyterms
        );
    }
}
