//! Text that people can use: cues for subtitles, speech without its fillers, digits masked. Pure: words with their times
//! in, words out; no GStreamer, no threads, no clock.

#[cfg(test)]
mod claims;
pub mod cues;
pub mod digits;
pub mod fillers;
mod layout;
pub mod redact;
pub mod subtitles;

use std::time::Duration;

pub use cues::{Cue, CueRules, Cues, RulesError};
pub use fillers::remove_fillers;
pub use redact::Redactor;
pub use subtitles::Subtitles;

/// A word with its time.
pub trait Spoken {
    /// As decoded: with its leading space, if it has one, and its punctuation.
    fn text(&self) -> &str;
    fn start(&self) -> Duration;
    fn end(&self) -> Duration;
}

/// A word of its own, with nothing but its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    text: String,
    start: Duration,
    end: Duration,
}

impl Word {
    /// A word without its space: it gets one, unless its script has none between words.
    pub fn new(text: &str, start: Duration, end: Duration) -> Word {
        let is_unspaced = |c: char| {
            matches!(u32::from(c), 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0xA4CF
                | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x20000..=0x3FFFD)
        };
        let space = match text.trim_start().starts_with(is_unspaced) {
            true => "",
            false => " ",
        };
        Word {
            text: format!("{space}{}", text.trim()),
            start,
            end,
        }
    }
}

impl Spoken for Word {
    fn text(&self) -> &str {
        &self.text
    }

    fn start(&self) -> Duration {
        self.start
    }

    fn end(&self) -> Duration {
        self.end
    }
}

impl Rewrite for Word {
    fn set_text(&mut self, text: String) {
        self.text = text;
    }
}

/// A word whose text can be changed; its time stays.
pub trait Rewrite: Spoken {
    /// The tokens of a changed text are not known any more.
    fn set_text(&mut self, text: String);
}

/// A word between the punctuation around it.
struct Bare<'a> {
    before: &'a str,
    word: &'a str,
    behind: &'a str,
}

/// `text` cut into what stands before its first letter or digit, what stands behind its last, and the word between.
fn bare(text: &str) -> Bare<'_> {
    let start = text.find(char::is_alphanumeric).unwrap_or(text.len());
    let (before, rest) = text.split_at(start);
    let end = rest
        .char_indices()
        .rfind(|(_, c)| c.is_alphanumeric())
        .map_or(0, |(at, c)| at + c.len_utf8());
    let (word, behind) = rest.split_at(end);
    Bare {
        before,
        word,
        behind,
    }
}

/// Whether the text ends a sentence.
fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end().trim_end_matches(['"', '»', '”', '’', ')']);
    text.trim_end()
        .ends_with(['.', '?', '!', '…', '。', '？', '！'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_stands_between_punctuation() {
        let parts = |text| {
            let Bare {
                before,
                word,
                behind,
            } = bare(text);
            (before, word, behind)
        };
        assert_eq!(parts(" «euh…»"), (" «", "euh", "…»"));
        assert_eq!(parts(" avez-vous ?"), (" ", "avez-vous", " ?"));
        assert_eq!(parts(" l'été,"), (" ", "l'été", ","));
        assert_eq!(parts("..."), ("...", "", ""));
        assert_eq!(parts(""), ("", "", ""));
    }

    #[test]
    fn a_quoted_sentence_ends_too() {
        assert!(ends_sentence(" oui. »") && ends_sentence("no?\""));
        assert!(!ends_sentence(" oui,") && !ends_sentence(""));
    }
}
