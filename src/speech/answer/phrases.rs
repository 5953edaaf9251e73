//! Phrases that tell a human from a machine: lists, and the format of a file that replaces them.
//!
//! A line is `side weight phrase`:
//!
//! ```text
//! # A remark. Sections name the language of the lines below; [*] is any, and so is a line before the first section.
//! [fr]
//! human     1.2  allô
//! machine   1.5  vous êtes bien sur
//! machine   1.0  répond*
//! no-answer 1.5  n'est pas attribué
//! ```
//!
//! Sides are `human`, `machine`, `no-answer` and `fax`. A weight is a number from 0.05 to 10: how many votes the phrase
//! gives its side, where one vote more than the other sides have is enough for a verdict. A word that ends in `*` stands
//! for all words that begin so.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::text::fold;

/// What a phrase speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Human,
    Machine,
    NoAnswer,
    Fax,
}

impl Side {
    const NAMES: [(&str, Side); 4] = [
        ("human", Side::Human),
        ("machine", Side::Machine),
        ("no-answer", Side::NoAnswer),
        ("fax", Side::Fax),
    ];

    fn named(name: &str) -> Option<Side> {
        let found = Side::NAMES.iter().find(|(known, _)| *known == name)?;
        Some(found.1)
    }
}

/// A phrase and what it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Phrase {
    pub side: Side,
    /// Votes; one more than the other sides have is enough for a verdict.
    pub weight: f32,
    /// As written in the list.
    pub text: String,
    /// `fr`, `en`, ...; none: any language.
    pub language: Option<String>,
    /// Folded, one after the other. Never empty.
    pub(super) words: Vec<Pattern>,
}

/// One word of a phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Word(String),
    /// Words that begin so.
    Beginning(String),
}

impl Pattern {
    pub fn fits(&self, word: &str) -> bool {
        match self {
            Pattern::Word(own) => own == word,
            Pattern::Beginning(own) => word.starts_with(own.as_str()),
        }
    }

    pub fn is_filler(&self) -> bool {
        matches!(self, Pattern::Word(word) if super::text::is_filler(word))
    }
}

/// The lists in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phrases {
    pub(super) phrases: Vec<Phrase>,
}

/// Why a file of phrases cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PhrasesError {
    #[error("The phrase file {} cannot be read: {error}. Name a UTF-8 text file that exists", .path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}, line {line}: {wrong}", .path.display())]
    Line {
        path: PathBuf,
        /// From 1.
        line: usize,
        wrong: Wrong,
    },
    #[error("The phrase file {} holds no phrase. Write lines such as \"human 1.0 hello\"", .path.display())]
    Empty { path: PathBuf },
}

/// What is wrong with a line of phrases.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Wrong {
    #[error(
        "\"{0}\" is no side. Begin the line with human, machine, no-answer or fax, as in \"human 1.0 hello\""
    )]
    Side(String),
    #[error(
        "\"{0}\" is no weight. Behind the side write a number from 0.05 to 10, as in \"human 1.0 hello\""
    )]
    Weight(String),
    #[error("there is no phrase. Behind the weight write its words, as in \"human 1.0 hello\"")]
    Phrase,
    #[error(
        "\"{0}\" is no section. Write a language in brackets, as in \"[fr]\", or \"[*]\" for any"
    )]
    Section(String),
    #[error("the line is not UTF-8 text. Save the file as UTF-8")]
    Encoding,
}

const LEAST: f32 = 0.05;
const MOST: f32 = 10.0;

impl Phrases {
    /// The lists that come with the crate, French and English.
    pub fn built_in() -> Phrases {
        static BUILT_IN: LazyLock<Phrases> = LazyLock::new(|| {
            // A test reads them line by line: here a bad line could only be left out.
            let lists = [include_str!("lists/fr.txt"), include_str!("lists/en.txt")];
            let phrases = lists.iter().flat_map(|list| {
                let mut language = None;
                list.lines()
                    .filter_map(move |line| parse_line(line, &mut language).ok()?)
            });
            Phrases {
                phrases: phrases.collect(),
            }
        });
        BUILT_IN.clone()
    }

    /// Reads a file of phrases.
    ///
    /// # Errors
    /// A sentence that names the file, the line, what is wrong there and what to write.
    pub fn read(path: &Path) -> Result<Phrases, PhrasesError> {
        let bytes = std::fs::read(path).map_err(|error| PhrasesError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        let bad = |line, wrong| PhrasesError::Line {
            path: path.to_owned(),
            line,
            wrong,
        };
        let mut phrases = Vec::new();
        let mut language = None;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        for (n, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = std::str::from_utf8(line).map_err(|_| bad(n + 1, Wrong::Encoding))?;
            phrases.extend(parse_line(line, &mut language).map_err(|wrong| bad(n + 1, wrong))?);
        }
        if phrases.is_empty() {
            return Err(PhrasesError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Phrases { phrases })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Phrase> {
        self.phrases.iter()
    }

    /// Whether there are phrases for this language alone.
    pub fn knows(&self, language: &str) -> bool {
        self.iter()
            .any(|phrase| phrase.language.as_deref() == Some(language))
    }
}

/// A phrase, or nothing if the line is empty, a remark or a section (which it then enters).
fn parse_line(line: &str, language: &mut Option<String>) -> Result<Option<Phrase>, Wrong> {
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() {
        return Ok(None);
    }
    if line.starts_with('[') {
        *language = section(line)?;
        return Ok(None);
    }
    let (side, rest) = first_word(line);
    let side = Side::named(side).ok_or_else(|| Wrong::Side(side.to_owned()))?;
    let (number, text) = first_word(rest);
    let weight = number
        .parse()
        .ok()
        .filter(|weight| (LEAST..=MOST).contains(weight))
        .ok_or_else(|| Wrong::Weight(number.to_owned()))?;
    let words: Vec<Pattern> = text.split_whitespace().flat_map(patterns).collect();
    if words.is_empty() {
        return Err(Wrong::Phrase);
    }
    Ok(Some(Phrase {
        side,
        weight,
        text: text.to_owned(),
        language: language.clone(),
        words,
    }))
}

fn section(line: &str) -> Result<Option<String>, Wrong> {
    let name = line.strip_prefix('[').and_then(|l| l.strip_suffix(']'));
    match name.map(str::trim) {
        Some("*") => Ok(None),
        Some(name)
            if (2..=3).contains(&name.len()) && name.chars().all(|c| c.is_ascii_lowercase()) =>
        {
            Ok(Some(name.to_owned()))
        }
        _ => Err(Wrong::Section(line.to_owned())),
    }
}

fn first_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

/// A written word may be several: "j'écoute".
fn patterns(written: &str) -> Vec<Pattern> {
    match written.strip_suffix('*') {
        Some(beginning) => {
            let mut parts: Vec<String> = fold(beginning);
            let last = parts.pop();
            let whole = parts.into_iter().map(Pattern::Word);
            whole.chain(last.map(Pattern::Beginning)).collect()
        }
        None => fold(written).into_iter().map(Pattern::Word).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Phrase>, Wrong> {
        parse_line(line, &mut None)
    }

    #[test]
    fn a_line_is_side_weight_phrase() {
        let phrase = parse("machine  1.5  vous êtes bien sur # the usual one")
            .unwrap()
            .unwrap();
        assert_eq!((phrase.side, phrase.weight), (Side::Machine, 1.5));
        assert_eq!(phrase.text, "vous êtes bien sur");
        assert_eq!(phrase.words.len(), 4);
    }

    #[test]
    fn remarks_and_empty_lines_are_nothing() {
        for line in ["", "   ", "# human 1.0 hello"] {
            assert_eq!(parse(line), Ok(None));
        }
    }

    #[test]
    fn each_mistake_is_named() {
        let wrong = |line| parse(line).unwrap_err();
        assert_eq!(wrong("humain 1.0 allô"), Wrong::Side("humain".into()));
        assert_eq!(wrong("human allô"), Wrong::Weight("allô".into()));
        assert_eq!(wrong("human 0 allô"), Wrong::Weight("0".into()));
        assert_eq!(wrong("human NaN allô"), Wrong::Weight("NaN".into()));
        assert_eq!(wrong("human -1 allô"), Wrong::Weight("-1".into()));
        assert_eq!(wrong("human"), Wrong::Weight(String::new()));
        assert_eq!(wrong("human 1.0"), Wrong::Phrase);
        assert_eq!(wrong("human 1.0 ?!"), Wrong::Phrase);
        assert_eq!(wrong("[French]"), Wrong::Section("[French]".into()));
        assert_eq!(wrong("[fr"), Wrong::Section("[fr".into()));
    }

    #[test]
    fn sections_name_the_language() {
        let mut language = None;
        let mut line = |text| parse_line(text, &mut language).unwrap();
        assert_eq!(line("human 1.0 allô").unwrap().language, None);
        line("[fr]");
        assert_eq!(
            line("human 1.0 allô").unwrap().language.as_deref(),
            Some("fr")
        );
        line("[*]");
        assert_eq!(line("human 1.0 allô").unwrap().language, None);
    }

    #[test]
    fn every_line_of_the_built_in_lists_is_a_phrase() {
        for list in [include_str!("lists/fr.txt"), include_str!("lists/en.txt")] {
            let mut language = None;
            for (n, line) in list.lines().enumerate() {
                parse_line(line, &mut language)
                    .unwrap_or_else(|wrong| panic!("{}: {wrong}", n + 1));
            }
        }
        let phrases = Phrases::built_in();
        assert!(phrases.knows("fr") && phrases.knows("en") && !phrases.knows("de"));
    }

    #[test]
    fn no_phrase_stands_twice_in_the_built_in_lists() {
        let phrases = Phrases::built_in();
        for (n, phrase) in phrases.iter().enumerate() {
            let twice = phrases
                .iter()
                .skip(n + 1)
                .find(|other| other.words == phrase.words && other.language == phrase.language);
            assert_eq!(twice, None, "{phrase:?}");
        }
    }
}
