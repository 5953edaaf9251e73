//! Words into readable text: spaces and punctuation. Pure; cues are cut in [`crate::text`].

use std::time::Duration;

use gst::ClockTime;
use serde::{Deserialize, Serialize};

use super::saved::instant;
use crate::text::{Rewrite, Spoken};

/// A committed word on the segment's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedWord {
    /// As decoded: with its leading space, if it has one.
    pub text: String,
    pub tokens: Vec<u32>,
    #[serde(with = "instant")]
    pub start: ClockTime,
    #[serde(with = "instant")]
    pub end: ClockTime,
    pub confidence: f32,
}

impl Spoken for TimedWord {
    fn text(&self) -> &str {
        &self.text
    }

    fn start(&self) -> Duration {
        self.start.into()
    }

    fn end(&self) -> Duration {
        self.end.into()
    }
}

impl Rewrite for TimedWord {
    fn set_text(&mut self, text: String) {
        self.text = text;
        self.tokens.clear();
    }
}

/// An instant on the segment's clock.
pub fn clock_time(time: Duration) -> ClockTime {
    ClockTime::try_from(time).unwrap_or(ClockTime::MAX)
}

/// Joins punctuation to the word before it, so that no buffer holds a lone comma.
pub fn attach_punctuation(words: Vec<TimedWord>) -> Vec<TimedWord> {
    let mut joined: Vec<TimedWord> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(last) if is_attached(&word.text) => {
                last.text.push_str(&word.text);
                last.tokens.extend(word.tokens);
                last.end = last.end.max(word.end);
            }
            _ => joined.push(word),
        }
    }
    joined
}

/// The words' text on one line, with single spaces; fit for SubRip and WebVTT cues, whose syntax it cannot break.
pub fn readable(words: &[TimedWord]) -> String {
    let joined: String = words.iter().map(|word| word.text.as_str()).collect();
    harmless(&tidy(&joined))
}

/// Single spaces between words, none at the ends, no control characters.
pub fn tidy(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Takes out what would end a cue or open a timing line: line breaks and `-->`.
pub fn harmless(text: &str) -> String {
    text.replace(['\n', '\r', '\0', '\u{85}', '\u{2028}', '\u{2029}'], " ")
        .replace("-->", "→")
}

fn is_attached(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(char::is_whitespace)
        && text
            .trim_end()
            .chars()
            .all(|c| ".,;:!?…%)]}»\"'’”。、，；：！？）".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> ClockTime {
        ClockTime::from_mseconds(ms)
    }

    fn word(text: &str, start: u64, end: u64) -> TimedWord {
        TimedWord {
            text: text.into(),
            tokens: vec![1],
            start: ms(start),
            end: ms(end),
            confidence: 1.0,
        }
    }

    #[test]
    fn every_time_is_a_clock_time() {
        // GStreamer has this number for no time at all.
        let none = Duration::from_nanos(u64::MAX);
        assert_eq!(clock_time(none), ClockTime::MAX);
        assert_eq!(clock_time(Duration::MAX), ClockTime::MAX);
        assert_eq!(clock_time(Duration::from_millis(7)), ms(7));
    }

    #[test]
    fn words_are_joined_by_single_spaces() {
        let words = [
            word(" il", 0, 1),
            word("  fait", 1, 2),
            word(" beau\n", 2, 3),
        ];
        assert_eq!(readable(&words), "il fait beau");
    }

    #[test]
    fn text_cannot_break_a_cue() {
        let words = [word(" a\n\nb", 0, 1), word(" 00:01 --> 00:02\r", 1, 2)];
        assert_eq!(readable(&words), "a b 00:01 → 00:02");
    }

    #[test]
    fn scripts_without_spaces_stay_without() {
        assert_eq!(
            readable(&[word("你好", 0, 1), word("世界", 1, 2)]),
            "你好世界"
        );
    }

    #[test]
    fn punctuation_joins_the_word_before() {
        let words = attach_punctuation(vec![
            word(" oui", 0, 300),
            word(",", 300, 320),
            word(" non", 400, 600),
        ]);
        assert_eq!(words.len(), 2);
        assert_eq!(words[0].text, " oui,");
        assert_eq!(words[0].end, ms(320));
        assert_eq!(words[0].tokens, [1, 1]);
    }
}
