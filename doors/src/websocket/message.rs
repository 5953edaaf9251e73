//! What is said on the socket, both ways.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::{Event, Partial, Span, Word, Words};

/// Close codes (RFC 6455, 7.4).
pub const NORMAL: u16 = 1000;
pub const GOING_AWAY: u16 = 1001;
pub const PROTOCOL: u16 = 1002;
pub const UNSUPPORTED: u16 = 1003;
pub const NOT_TEXT: u16 = 1007;
pub const POLICY: u16 = 1008;
pub const TOO_BIG: u16 = 1009;
pub const FAILED: u16 = 1011;
pub const TRY_AGAIN: u16 = 1013;

/// What the server says. Times are milliseconds of the client's stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply<'a> {
    Ready {
        /// Hz of the audio that is expected.
        sample_rate: u32,
        /// The call's id, as in `/calls`.
        call: &'a str,
        /// Where the first sample lies.
        start_ms: u64,
    },
    /// Decided words.
    Final {
        #[serde(flatten)]
        said: Said<'a>,
        /// The utterance ends with them, as far as is known now.
        last: bool,
    },
    /// An utterance is over: all of it again.
    Utterance {
        #[serde(flatten)]
        said: Said<'a>,
    },
    /// What is being said.
    Partial {
        #[serde(flatten)]
        said: Said<'a>,
        committed: &'a str,
        tail: &'a str,
    },
    /// All said before the flush is told.
    Flushed {
        #[serde(skip_serializing_if = "Option::is_none")]
        marker: Option<&'a str>,
    },
    /// A client that loses its server may go on from here.
    Ack {
        ms: u64,
    },
    /// All is told.
    Ended,
    Error {
        message: &'a str,
    },
}

/// Words, and where they were said.
#[derive(Debug, Serialize)]
pub struct Said<'a> {
    beg_ms: u64,
    end_ms: u64,
    text: &'a str,
    utterance: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    words: Vec<SaidWord<'a>>,
}

#[derive(Debug, Serialize)]
struct SaidWord<'a> {
    text: &'a str,
    beg_ms: u64,
    end_ms: u64,
    confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stability: Option<u32>,
}

impl<'a> From<&'a Word> for SaidWord<'a> {
    fn from(word: &'a Word) -> Self {
        SaidWord {
            text: &word.text,
            beg_ms: ms(word.start),
            end_ms: ms(word.end),
            // To the thousandth, as the element's JSON has it.
            confidence: (word.confidence * 1000.0).round() / 1000.0,
            stability: word.stability,
        }
    }
}

impl<'a> Said<'a> {
    fn of(span: &'a Span, text: &'a str, language: Option<&'a String>, words: &'a [Word]) -> Self {
        Said {
            beg_ms: ms(span.start),
            end_ms: ms(span.end),
            text: text.trim(),
            utterance: span.utterance,
            leg: span.leg.as_deref(),
            language: language.map(String::as_str),
            words: words.iter().map(SaidWord::from).collect(),
        }
    }
}

impl<'a> From<&'a Words> for Said<'a> {
    fn from(said: &'a Words) -> Self {
        Said::of(&said.span, &said.text, said.language.as_ref(), &said.words)
    }
}

impl<'a> From<&'a Partial> for Said<'a> {
    fn from(said: &'a Partial) -> Self {
        Said::of(&said.span, &said.text, said.language.as_ref(), &said.words)
    }
}

/// To the nearest millisecond.
pub fn ms(time: Duration) -> u64 {
    u64::try_from((time.as_nanos() + 500_000) / 1_000_000).unwrap_or(u64::MAX)
}

/// Serialized; what these types hold always can be.
pub fn json(said: &impl Serialize) -> String {
    serde_json::to_string(said).unwrap_or_default()
}

/// Told on request (`events=1`), in the event's own form: times in seconds.
pub fn is_extra(event: &Event) -> bool {
    match event {
        Event::Loading { .. }
        | Event::Loaded
        | Event::SpeechStart(_)
        | Event::SpeechEnd(_)
        | Event::BargeIn { .. }
        | Event::Language { .. }
        | Event::Redact(_)
        | Event::Verdict(_)
        | Event::GreetingEnd { .. }
        | Event::Beep { .. }
        | Event::Digit { .. }
        | Event::Dropped(_)
        | Event::Overload { .. }
        | Event::Warning { .. } => true,
        Event::Words(_)
        | Event::Final(_)
        | Event::Partial(_)
        | Event::Line(_)
        | Event::SpeechTold(_)
        | Event::Quiet(_)
        | Event::Flushed { .. }
        | Event::Figures { .. }
        | Event::Other(_)
        | Event::Failed { .. }
        | Event::Ended => false,
    }
}

/// What a client says in text.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// All said so far is wanted now.
    Flush { marker: Option<String> },
    /// No more audio comes.
    End,
}

/// Longest marker of a flush, in bytes.
const MARKER: usize = 256;

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BadCommand {
    #[error("{0:?} is no command: send flush or end, or {{\"type\":\"flush\",\"marker\":\"...\"}}")]
    Unknown(String),
    #[error("a marker has {MARKER} bytes at most")]
    Marker,
}

impl Command {
    pub fn read(text: &str) -> Result<Command, BadCommand> {
        #[derive(Deserialize)]
        #[serde(tag = "type", rename_all = "lowercase")]
        enum Typed {
            Flush {
                marker: Option<String>,
            },
            #[serde(alias = "eof")]
            End {},
        }
        match text.trim() {
            "flush" => Ok(Command::Flush { marker: None }),
            "end" | "eof" => Ok(Command::End),
            text => match serde_json::from_str(text) {
                Ok(Typed::Flush { marker })
                    if marker.as_ref().is_some_and(|m| m.len() > MARKER) =>
                {
                    Err(BadCommand::Marker)
                }
                Ok(Typed::Flush { marker }) => Ok(Command::Flush { marker }),
                Ok(Typed::End {}) => Ok(Command::End),
                Err(_) => Err(BadCommand::Unknown(text.chars().take(60).collect())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_or_json() {
        let flush = |marker: Option<&str>| Command::Flush {
            marker: marker.map(str::to_owned),
        };
        for (text, command) in [
            ("flush", flush(None)),
            (" flush\n", flush(None)),
            (r#"{"type":"flush"}"#, flush(None)),
            (r#"{"marker":"x","type":"flush"}"#, flush(Some("x"))),
            ("end", Command::End),
            ("eof", Command::End),
            (r#"{"type":"eof"}"#, Command::End),
            (r#"{"type":"end"}"#, Command::End),
        ] {
            assert_eq!(Command::read(text), Ok(command), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "flsh",
            "{}",
            "[1]",
            r#"{"type":"flush","marker":7}"#,
            "null",
            "\u{0}",
        ] {
            assert!(
                matches!(Command::read(text), Err(BadCommand::Unknown(_))),
                "{text}"
            );
        }
        let long = format!(
            r#"{{"type":"flush","marker":"{}"}}"#,
            "x".repeat(MARKER + 1)
        );
        assert_eq!(Command::read(&long), Err(BadCommand::Marker));
    }
}
