//! Which phrases stand in what was said, and what they count together.

use std::time::Duration;

use super::Word;
use super::phrases::{Phrase, Phrases, Side};
use super::text::{fold, is_filler};

/// Fillers that may stand between two words of a phrase and are not of it.
const MOST_FILLERS: usize = 2;
/// A phrase whose words were hardly recognised counts this share of its weight.
const LEAST_TRUST: f32 = 0.3;
/// Confidence from which on words count in full; from there down to none in proportion.
const TRUSTED: f32 = 0.5;

/// A phrase found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub side: Side,
    pub text: String,
    /// Weight of the phrase, less where its words are uncertain.
    pub votes: f32,
    pub start: Duration,
    pub end: Duration,
}

/// What all phrases found count together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Votes {
    pub hits: Vec<Hit>,
}

impl Votes {
    pub fn of(&self, side: Side) -> f32 {
        let hits = self.hits.iter().filter(|hit| hit.side == side);
        hits.map(|hit| hit.votes).sum()
    }

    /// Finds the phrases of `language` (none: of all languages) in `words`. Long phrases are found before short ones, of equally long
    /// ones the heavier; no word counts in two, and a phrase said twice counts once.
    pub fn count(phrases: &Phrases, language: Option<&str>, words: &[Word]) -> Votes {
        let parts = parts(words);
        let language = language.filter(|language| phrases.knows(language));
        let spoken = |phrase: &&Phrase| match (&phrase.language, language) {
            (Some(own), Some(spoken)) => own == spoken,
            _ => true,
        };
        let mut found: Vec<(&Phrase, usize, usize)> = Vec::new();
        for phrase in phrases.iter().filter(spoken) {
            for start in 0..parts.len() {
                if let Some(length) = parts.get(start..).and_then(|rest| length(phrase, rest)) {
                    found.push((phrase, start, start + length));
                }
            }
        }
        found.sort_by(|(a, a_start, _), (b, b_start, _)| {
            let by_length = b.words.len().cmp(&a.words.len());
            let by_weight = b.weight.total_cmp(&a.weight);
            by_length.then(by_weight).then(a_start.cmp(b_start))
        });
        let mut taken = vec![false; parts.len()];
        let mut kept: Vec<(&Phrase, usize, usize)> = Vec::new();
        for (phrase, start, end) in found {
            let Some(place) = taken.get_mut(start..end) else {
                continue;
            };
            if place.iter().any(|taken| *taken) {
                continue;
            }
            place.fill(true);
            if !kept.iter().any(|(known, ..)| known.words == phrase.words) {
                kept.push((phrase, start, end));
            }
        }
        kept.sort_by_key(|(_, start, _)| *start);
        let hit = |(phrase, start, end): (&Phrase, usize, usize)| {
            Some(hit(phrase, parts.get(start..end)?))
        };
        Votes {
            hits: kept.into_iter().filter_map(hit).collect(),
        }
    }
}

/// A folded part of a word.
struct Part<'a> {
    text: String,
    word: &'a Word,
}

fn parts<'a>(words: &'a [Word]) -> Vec<Part<'a>> {
    let of = |word: &'a Word| {
        fold(&word.text)
            .into_iter()
            .map(move |text| Part { text, word })
    };
    words.iter().flat_map(of).collect()
}

/// How many of `parts` the phrase takes if it stands at their beginning. Fillers may be missing inside it or added.
fn length(phrase: &Phrase, parts: &[Part]) -> Option<usize> {
    let mut at = 0;
    let mut fillers = 0;
    let last = phrase.words.len().saturating_sub(1);
    for (n, pattern) in phrase.words.iter().enumerate() {
        loop {
            let part = parts.get(at);
            match part {
                Some(part) if pattern.fits(&part.text) => {
                    at += 1;
                    break;
                }
                // Neither the first nor the last: a phrase begins and ends with words of its own.
                _ if n > 0 && n < last && pattern.is_filler() => break,
                Some(part) if n > 0 && is_filler(&part.text) && fillers < MOST_FILLERS => {
                    at += 1;
                    fillers += 1;
                }
                _ => return None,
            }
        }
    }
    Some(at)
}

fn hit(phrase: &Phrase, parts: &[Part]) -> Hit {
    let confidence = |part: &Part| match part.word.confidence {
        nan if nan.is_nan() => 0.0,
        confidence => confidence.clamp(0.0, 1.0),
    };
    let mean = parts.iter().map(confidence).sum::<f32>() / parts.len().max(1) as f32;
    let time = |part: Option<&Part>, of: fn(&Word) -> Duration| {
        part.map(|part| of(part.word)).unwrap_or_default()
    };
    Hit {
        side: phrase.side,
        text: phrase.text.clone(),
        votes: phrase.weight * (mean / TRUSTED).clamp(LEAST_TRUST, 1.0),
        start: time(parts.first(), |word| word.start),
        end: time(parts.last(), |word| word.end),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words_of_text;
    use super::*;

    fn phrases(lines: &str) -> Phrases {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        Phrases::read(file.path()).unwrap()
    }

    fn hits(lines: &str, text: &str) -> Vec<String> {
        let votes = Votes::count(&phrases(lines), None, &words_of_text(text));
        votes.hits.into_iter().map(|hit| hit.text).collect()
    }

    #[test]
    fn a_phrase_stands_on_word_boundaries() {
        let list = "machine 1 free\nmachine 1 fri";
        assert!(hits(list, "freedom africa fried").is_empty());
        assert_eq!(hits(list, "chez Free, oui"), ["free"]);
    }

    #[test]
    fn the_longer_phrase_takes_the_words_of_the_shorter() {
        let list = "machine 1 laisser un message\nhuman 1 voulez laisser un message";
        assert_eq!(
            hits(list, "vous voulez laisser un message"),
            ["voulez laisser un message"]
        );
        assert_eq!(
            hits(list, "veuillez laisser un message"),
            ["laisser un message"]
        );
    }

    #[test]
    fn of_equally_long_phrases_the_heavier_takes_the_words() {
        let list = "machine 0.2 zéro un\nhuman 0.6 un instant";
        assert_eq!(hits(list, "zéro un instant"), ["un instant"]);
    }

    #[test]
    fn articles_may_be_missing_or_added() {
        let list = "machine 1 après le bip\nmachine 1 laissez votre message";
        assert_eq!(hits(list, "après bip"), ["après le bip"]);
        assert_eq!(hits(list, "après le de bip"), ["après le bip"]);
        assert_eq!(
            hits(list, "laissez le votre message"),
            ["laissez votre message"]
        );
        assert!(hits(list, "après votre bip").is_empty());
        let list = "machine 1 vous êtes\nmachine 1 vous êtes au";
        assert_eq!(hits(list, "vous êtes bien"), ["vous êtes"]);
        assert_eq!(hits(list, "vous êtes au 06"), ["vous êtes au"]);
    }

    #[test]
    fn said_twice_counts_once() {
        let votes = Votes::count(
            &phrases("human 1 allô"),
            None,
            &words_of_text("allô allô allô"),
        );
        assert_eq!(votes.of(Side::Human), 1.0);
    }

    #[test]
    fn a_star_stands_for_any_ending() {
        assert_eq!(hits("no-answer 1 attribu*", "pas attribuée"), ["attribu*"]);
        assert_eq!(hits("machine 1 au 06*", "au 0612345678"), ["au 06*"]);
    }

    #[test]
    fn a_known_language_leaves_the_other_list_out() {
        let list = phrases("[fr]\nhuman 1 oui\n[en]\nmachine 1 oui\n[*]\nfax 1 oui");
        let sides = |language| {
            let votes = Votes::count(&list, language, &words_of_text("oui"));
            votes.hits.iter().map(|hit| hit.side).collect::<Vec<_>>()
        };
        // The words are taken by the first of equally long and heavy ones.
        assert_eq!(sides(Some("fr")), [Side::Human]);
        assert_eq!(sides(Some("en")), [Side::Machine]);
        assert_eq!(sides(Some("de")), [Side::Human]);
    }

    #[test]
    fn uncertain_words_count_less() {
        let mut words = words_of_text("allô");
        words[0].confidence = 0.25;
        let votes = Votes::count(&phrases("human 1 allô"), None, &words);
        assert_eq!(votes.of(Side::Human), 0.5);
        words[0].confidence = f32::NAN;
        let votes = Votes::count(&phrases("human 1 allô"), None, &words);
        assert_eq!(votes.of(Side::Human), LEAST_TRUST);
    }
}
