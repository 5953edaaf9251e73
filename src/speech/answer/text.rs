//! Words as phrases are compared with them: without case, accents and apostrophes, and without endings that sound alike.

/// The parts of `text` as they are compared: lower case, no accents, cut at apostrophes, hyphens and all else that is
/// neither letter nor digit. Endings that sound alike in French ("laissez", "laisser", "laissés") are made equal, because
/// a recogniser tells them apart by grammar alone; so are plurals.
pub fn fold(text: &str) -> Vec<String> {
    let plain: String = text.chars().flat_map(plain).collect();
    plain
        .split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
        .map(ending)
        .collect()
}

/// One character without its accent, in lower case. Apostrophes of every kind become one that separates.
fn plain(c: char) -> impl Iterator<Item = char> {
    let base: &[char] = match c {
        'à' | 'â' | 'ä' | 'á' | 'ã' | 'å' | 'À' | 'Â' | 'Ä' | 'Á' | 'Ã' | 'Å' => &['a'],
        'ç' | 'Ç' => &['c'],
        'é' | 'è' | 'ê' | 'ë' | 'É' | 'È' | 'Ê' | 'Ë' => &['e'],
        'î' | 'ï' | 'í' | 'ì' | 'Î' | 'Ï' | 'Í' | 'Ì' => &['i'],
        'ô' | 'ö' | 'ó' | 'ò' | 'õ' | 'Ô' | 'Ö' | 'Ó' | 'Ò' | 'Õ' => &['o'],
        'ù' | 'û' | 'ü' | 'ú' | 'Ù' | 'Û' | 'Ü' | 'Ú' => &['u'],
        'ÿ' | 'Ÿ' => &['y'],
        'ñ' | 'Ñ' => &['n'],
        'œ' | 'Œ' => &['o', 'e'],
        'æ' | 'Æ' => &['a', 'e'],
        // Accents that stand apart from their letter.
        '\u{300}'..='\u{36f}' => &[],
        _ => return Either::Other(c.to_lowercase()),
    };
    Either::Known(base.iter().copied())
}

enum Either<A, B> {
    Known(A),
    Other(B),
}

impl<A: Iterator<Item = char>, B: Iterator<Item = char>> Iterator for Either<A, B> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Either::Known(chars) => chars.next(),
            Either::Other(chars) => chars.next(),
        }
    }
}

/// Short words keep their endings: too little would be left of them.
const SHORTEST: usize = 5;

fn ending(word: &str) -> String {
    if word.len() < SHORTEST || word.chars().any(|c| c.is_ascii_digit()) {
        return word.to_owned();
    }
    let word = word.strip_suffix('s').unwrap_or(word);
    let stem = word
        .strip_suffix("er")
        .or_else(|| word.strip_suffix("ez"))
        .or_else(|| word.strip_suffix("ee"));
    match stem {
        Some(stem) => format!("{stem}e"),
        None => word.to_owned(),
    }
}

/// Words that carry no meaning of their own and that recognisers drop or add: articles, "de", the French "ne".
pub fn is_filler(word: &str) -> bool {
    const FILLERS: [&str; 22] = [
        "le", "la", "les", "l", "un", "une", "de", "du", "des", "d", "a", "au", "ne", "n", "et",
        "the", "an", "of", "to", "and", "euh", "uh",
    ];
    FILLERS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_apostrophes_do_not_count() {
        assert_eq!(fold("J’écoute"), fold("j'ecoute"));
        assert_eq!(fold("ALLÔ"), ["allo"]);
        assert_eq!(fold("allo\u{302} ?"), ["allo"]);
        assert_eq!(fold("avez-vous"), ["avez", "vous"]);
        assert_eq!(fold("cœur"), ["coeur"]);
    }

    #[test]
    fn endings_that_sound_alike_are_one() {
        for word in ["laisser", "laissé", "laissés", "laissées", "laisse"] {
            assert_eq!(fold(word), fold("laissez"), "{word}");
        }
        assert_eq!(fold("messages"), fold("message"));
    }

    #[test]
    fn digits_and_short_words_stay() {
        assert_eq!(fold("06 12 vous les"), ["06", "12", "vous", "les"]);
    }

    #[test]
    fn what_is_no_word_is_nothing() {
        assert!(fold(" … ?!").is_empty());
        assert!(fold("").is_empty());
    }
}
