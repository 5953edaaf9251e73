//! Splitting tokens into words, as openai/whisper 20250625 does (`split_to_word_tokens`).

use super::{Tokenizer, WordTokens};

/// Python's `string.punctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Splits wherever the tokens so far are whole code points. Timestamps are text here, by name.
///
/// Differs from the original where that would raise or lose tokens: undecodable leftovers are a word.
pub fn on_unicode(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<WordTokens> {
    let full: Vec<char> = tokenizer.text(tokens.iter().copied()).chars().collect();
    let mut words = Vec::new();
    let mut current = Vec::new();
    let mut offset = 0;
    for &token in tokens {
        current.push(token);
        let text = tokenizer.text(current.iter().copied());
        let whole = match text.chars().position(|c| c == char::REPLACEMENT_CHARACTER) {
            None => true,
            // The text as a whole has U+FFFD at this place too: no later token will mend it.
            Some(at) => full
                .get(offset + at)
                .is_none_or(|&c| c == char::REPLACEMENT_CHARACTER),
        };
        if whole {
            offset += text.chars().count();
            let tokens = std::mem::take(&mut current);
            words.push(WordTokens { text, tokens });
        }
    }
    if !current.is_empty() {
        let text = tokenizer.text(current.iter().copied());
        words.push(WordTokens {
            text,
            tokens: current,
        });
    }
    words
}

/// Joins the pieces of [`on_unicode`] until a space, punctuation or a special token starts a new word.
pub fn on_spaces(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<WordTokens> {
    let mut words: Vec<WordTokens> = Vec::new();
    for piece in on_unicode(tokenizer, tokens) {
        let first = piece.tokens.first().copied();
        let starts = first.is_some_and(|token| token >= tokenizer.specials().eot)
            || piece.text.starts_with(' ')
            // A substring test, as upstream's `in` is: the empty string and "()" are punctuation, ")(" is not.
            || PUNCTUATION.contains(piece.text.trim_matches(is_python_space));
        match words.last_mut() {
            Some(word) if !starts => {
                word.text.push_str(&piece.text);
                word.tokens.extend(piece.tokens);
            }
            _ => words.push(piece),
        }
    }
    words
}

/// What Python's `str.strip` takes away: Unicode white space and the four ASCII separators.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
