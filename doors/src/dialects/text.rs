//! Words as others write them.

use std::time::Duration;

/// A word without capitals and without punctuation around it.
pub fn bare(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric() && !"%€$£".contains(c))
        .to_lowercase()
}

/// Words with a space between them; those that are only punctuation are none.
pub fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words = words.map(str::trim).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// To the millisecond.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_word_keeps_what_is_within_it() {
        assert_eq!(bare(" « L'été, "), "l'été");
        assert_eq!(bare("Avez-vous ?"), "avez-vous");
        assert_eq!(bare("5 %."), "5 %");
        assert_eq!(bare("..."), "");
        assert_eq!(joined(["", " a", "b "].into_iter()), "a b");
    }
}
