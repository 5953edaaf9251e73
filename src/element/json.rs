//! `application/x-json`: one object and a newline a buffer.

use std::io;

use gst::ClockTime;
use serde::Serialize;
use serde_json::ser::Formatter;

use super::cues::{TimedWord, harmless, readable, tidy};

/// What all pieces of a stream have in common.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Spoken, once it is known.
    pub language: Option<String>,
    /// How sure that is, 0 to 1; 1 where it was set. Not in the JSON.
    pub probability: f32,
    /// Which side of the call this is.
    pub leg: Option<String>,
}

impl Stream {
    /// How sure the language is, if it is known.
    pub fn probability(&self) -> Option<f64> {
        self.language.as_ref().map(|_| f64::from(self.probability))
    }
}

/// What one buffer says, ready for either format.
#[derive(Clone, Debug)]
pub struct Piece {
    pub words: Vec<TimedWord>,
    /// Of a caption: its lines.
    pub lines: Vec<String>,
    /// Under `compat=simulstreaming`: the text as the reference has it.
    pub verbatim: Option<String>,
    pub start: ClockTime,
    pub end: ClockTime,
    pub utterance: u64,
    /// The last of its utterance.
    pub is_final: bool,
    /// Stream position at which it was decided.
    pub decided: ClockTime,
}

impl Piece {
    /// The text of a `text/x-raw` buffer.
    pub fn text(&self) -> String {
        match &self.verbatim {
            Some(text) => harmless(text),
            None if !self.lines.is_empty() => {
                let lines: Vec<String> = self.lines.iter().map(|line| harmless(line)).collect();
                lines.join("\n")
            }
            None => readable(&self.words),
        }
    }

    /// The line of an `application/x-json` buffer; `seconds` maps to stream time.
    pub fn json(&self, stream: &Stream, seconds: impl Fn(ClockTime) -> f64) -> String {
        match &self.verbatim {
            Some(text) => self.reference_json(text, &seconds),
            None => self.own_json(stream, &seconds),
        }
    }

    fn own_json(&self, stream: &Stream, seconds: &dyn Fn(ClockTime) -> f64) -> String {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| OwnWord {
                start: seconds(word.start),
                end: seconds(word.end),
                text: tidy(&word.text),
                tokens: &word.tokens,
                confidence: thousandths(word.confidence),
            })
            .collect();
        let object = Own {
            start: seconds(self.start),
            end: seconds(self.end),
            text: tidy(
                &self
                    .words
                    .iter()
                    .map(|w| w.text.as_str())
                    .collect::<String>(),
            ),
            tokens: self.tokens(),
            words,
            is_final: self.is_final,
            confidence: thousandths(self.confidence()),
            language: stream.language.as_deref(),
            utterance: self.utterance,
            leg: stream.leg.as_deref(),
        };
        // Plain data: it cannot fail.
        let mut line = serde_json::to_string(&object).unwrap_or_default();
        line.push('\n');
        line
    }

    fn reference_json(&self, text: &str, seconds: &dyn Fn(ClockTime) -> f64) -> String {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| ReferenceWord {
                start: seconds(word.start),
                end: seconds(word.end),
                text: &word.text,
                tokens: &word.tokens,
            })
            .collect();
        let object = Reference {
            start: seconds(self.start),
            end: seconds(self.end),
            text,
            tokens: self.tokens(),
            words,
            emission_time: seconds(self.decided),
        };
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut line, AsPython);
        // Plain data into memory: it cannot fail.
        let _ = object.serialize(&mut serializer);
        line.push(b'\n');
        String::from_utf8(line).unwrap_or_default()
    }

    fn tokens(&self) -> Vec<u32> {
        self.words
            .iter()
            .flat_map(|word| word.tokens.iter().copied())
            .collect()
    }

    /// Geometric mean over the tokens of all words.
    pub fn confidence(&self) -> f32 {
        let weight = |word: &TimedWord| word.tokens.len().max(1) as f32;
        let tokens: f32 = self.words.iter().map(weight).sum();
        if tokens == 0.0 {
            return 0.0;
        }
        let log: f32 = self
            .words
            .iter()
            .map(|w| weight(w) * w.confidence.max(1e-6).ln())
            .sum();
        (log / tokens).exp()
    }
}

fn thousandths(x: f32) -> f64 {
    (f64::from(x) * 1000.0).round() / 1000.0
}

#[derive(Serialize)]
struct Own<'a> {
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<u32>,
    words: Vec<OwnWord<'a>>,
    is_final: bool,
    confidence: f64,
    language: Option<&'a str>,
    utterance: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<&'a str>,
}

#[derive(Serialize)]
struct OwnWord<'a> {
    start: f64,
    end: f64,
    text: String,
    tokens: &'a [u32],
    confidence: f64,
}

/// The fields that the reference prints, in its order.
#[derive(Serialize)]
struct Reference<'a> {
    start: f64,
    end: f64,
    text: &'a str,
    tokens: Vec<u32>,
    words: Vec<ReferenceWord<'a>>,
    emission_time: f64,
}

#[derive(Serialize)]
struct ReferenceWord<'a> {
    start: f64,
    end: f64,
    text: &'a str,
    tokens: &'a [u32],
}

/// Spacing and escapes of Python's `json.dumps`.
struct AsPython;

impl Formatter for AsPython {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        for c in text.chars() {
            if c.is_ascii() && c != '\x7f' {
                w.write_all(&[c as u8])?;
            } else if c == '\x7f' {
                w.write_all(b"\x7f")?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(w, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(verbatim: Option<&str>) -> Piece {
        let word = |text: &str, start, end, tokens: &[u32]| TimedWord {
            text: text.into(),
            tokens: tokens.to_vec(),
            start: ClockTime::from_mseconds(start),
            end: ClockTime::from_mseconds(end),
            confidence: 0.5,
        };
        Piece {
            words: vec![word(" all", 400, 400, &[439]), word("ô", 580, 580, &[2851])],
            lines: Vec::new(),
            verbatim: verbatim.map(Into::into),
            start: ClockTime::from_mseconds(400),
            end: ClockTime::from_mseconds(581),
            utterance: 3,
            is_final: true,
            decided: ClockTime::from_mseconds(1_000),
        }
    }

    fn seconds(time: ClockTime) -> f64 {
        time.nseconds() as f64 / 1e9
    }

    fn french() -> Stream {
        Stream {
            language: Some("fr".into()),
            probability: 0.75,
            leg: None,
        }
    }

    #[test]
    fn our_object_has_the_fields_of_the_table() {
        assert_eq!(
            piece(None).json(&french(), seconds),
            concat!(
                r#"{"start":0.4,"end":0.581,"text":"allô","tokens":[439,2851],"words":["#,
                r#"{"start":0.4,"end":0.4,"text":"all","tokens":[439],"confidence":0.5},"#,
                r#"{"start":0.58,"end":0.58,"text":"ô","tokens":[2851],"confidence":0.5}],"#,
                r#""is_final":true,"confidence":0.5,"language":"fr","utterance":3}"#,
                "\n"
            )
        );
    }

    #[test]
    fn in_compat_the_line_is_the_reference_s() {
        assert_eq!(
            piece(Some(" allô")).json(&french(), seconds),
            concat!(
                r#"{"start": 0.4, "end": 0.581, "text": " all\u00f4", "tokens": [439, 2851], "words": ["#,
                r#"{"start": 0.4, "end": 0.4, "text": " all", "tokens": [439]}, "#,
                r#"{"start": 0.58, "end": 0.58, "text": "\u00f4", "tokens": [2851]}], "emission_time": 1.0}"#,
                "\n"
            )
        );
    }

    #[test]
    fn characters_beyond_the_first_plane_are_two_escapes() {
        let line = piece(Some("😀")).json(&Stream::default(), seconds);
        assert!(line.contains(r#""\ud83d\ude00""#), "{line}");
    }
}
