//! What listeners say to show that they listen: it takes the floor from nobody.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::answer::fold;

/// One language's, as they are said; folded before they are compared.
struct List {
    language: &'static str,
    said: &'static [&'static str],
}

const LISTS: [List; 6] = [
    List {
        language: "fr",
        said: &[
            "oui",
            "ouais",
            "d'accord",
            "ok",
            "okay",
            "mm",
            "mmh",
            "hum",
            "hm",
            "mm-hm",
            "ah",
            "ah bon",
            "ah oui",
            "très bien",
            "voilà",
            "bien sûr",
            "bien",
            "c'est ça",
            "entendu",
            "exactement",
            "tout à fait",
            "je vois",
            "parfait",
            "super",
            "eh oui",
        ],
    },
    List {
        language: "en",
        said: &[
            "yes",
            "yeah",
            "yep",
            "yup",
            "ok",
            "okay",
            "mm",
            "hm",
            "hmm",
            "mhm",
            "mm-hm",
            "uh-huh",
            "uh",
            "huh",
            "right",
            "sure",
            "i see",
            "ah",
            "oh",
            "all right",
            "alright",
            "of course",
            "exactly",
            "good",
            "great",
            "fine",
            "got it",
        ],
    },
    List {
        language: "de",
        said: &[
            "ja",
            "jaja",
            "genau",
            "okay",
            "ok",
            "mhm",
            "hm",
            "aha",
            "ach so",
            "gut",
            "klar",
            "richtig",
            "verstehe",
            "alles klar",
            "stimmt",
            "super",
        ],
    },
    List {
        language: "es",
        said: &[
            "sí",
            "ya",
            "vale",
            "ok",
            "okay",
            "ajá",
            "claro",
            "bueno",
            "mm",
            "mhm",
            "de acuerdo",
            "entiendo",
            "bien",
            "muy bien",
            "exacto",
            "perfecto",
        ],
    },
    List {
        language: "it",
        said: &[
            "sì",
            "ok",
            "okay",
            "va bene",
            "certo",
            "mm",
            "mhm",
            "ah",
            "bene",
            "d'accordo",
            "capisco",
            "esatto",
            "giusto",
            "perfetto",
        ],
    },
    List {
        language: "nl",
        said: &[
            "ja", "jaja", "oké", "ok", "hm", "mm", "mhm", "precies", "goed", "prima", "klopt", "ah",
        ],
    },
];

/// A phrase, word by word, as it is compared.
type Folded = Vec<String>;

/// The lists, by language.
static FOLDED: LazyLock<Vec<(&str, Vec<Folded>)>> = LazyLock::new(|| {
    let folded = |list: &List| list.said.iter().map(|said| fold(said)).collect();
    let lists = LISTS.iter();
    lists.map(|list| (list.language, folded(list))).collect()
});

/// What the words of somebody who listens come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// No word.
    Nothing,
    /// Backchannels, or the beginning of one.
    Backchannel,
    /// Something of their own.
    Words,
}

/// Judges `words`; where the language is not known, by the lists of all.
pub fn judge<'a>(words: impl Iterator<Item = &'a str>, language: Option<&str>) -> Said {
    let words: Vec<String> = words.flat_map(fold).collect();
    if words.is_empty() {
        return Said::Nothing;
    }
    let known = FOLDED.iter().any(|list| Some(list.0) == language);
    let lists = FOLDED
        .iter()
        .filter(|list| !known || Some(list.0) == language);
    let all: Vec<&[String]> = lists.flat_map(|list| &list.1).map(Vec::as_slice).collect();
    if is_made_of(&words, &all) {
        Said::Backchannel
    } else {
        Said::Words
    }
}

/// Whether `words` is a row of `phrases`, of which the last may be cut short.
fn is_made_of(words: &[String], phrases: &[&[String]]) -> bool {
    if words.is_empty() {
        return true;
    }
    phrases
        .iter()
        .any(|phrase| match words.strip_prefix(*phrase) {
            Some(rest) => is_made_of(rest, phrases),
            None => phrase.starts_with(words),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, language: Option<&str>) -> Said {
        judge(text.split_whitespace(), language)
    }

    #[test]
    fn backchannels_are_no_words_of_their_own() {
        for text in [
            "oui",
            "Oui,",
            "D’accord.",
            "d'",
            "OK oui d'accord",
            "ah bon",
            "très",
            "mm-hm",
            "ouais ouais",
        ] {
            assert_eq!(said(text, Some("fr")), Said::Backchannel, "{text}");
        }
        for text in ["yeah", "I", "I see", "uh-huh okay", "all right"] {
            assert_eq!(said(text, Some("en")), Said::Backchannel, "{text}");
        }
    }

    #[test]
    fn words_are() {
        for text in ["oui mais", "non", "attendez", "oui je voudrais", "see"] {
            assert_eq!(said(text, Some("fr")), Said::Words, "{text}");
        }
        assert_eq!(said("oui", Some("en")), Said::Words);
    }

    #[test]
    fn without_a_known_language_all_lists_count() {
        for language in [None, Some("xx")] {
            assert_eq!(said("oui okay", language), Said::Backchannel);
            assert_eq!(said("wait", language), Said::Words);
        }
        assert_eq!(said("", None), Said::Nothing);
        assert_eq!(said("… ?", Some("fr")), Said::Nothing);
    }
}
