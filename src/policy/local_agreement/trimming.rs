//! Where a buffer that has grown too long is cut.

use crate::policy::settings::BufferTrimming;
use crate::policy::{Samples, Word};
use crate::whisper::SAMPLE_RATE;

/// A pause between two words that parts segments: a breath.
const PAUSE: Samples = SAMPLE_RATE as Samples / 5;

/// The place to cut a buffer of which `told` were told and `rest` is the newest hypothesis behind them; `None` where nothing
/// was told. It is the last end of a segment with words told in front of it, failing that of the words told. Where no pause
/// is, the word in front of the end is kept: a cut between two words that run into each other would hurt one of them, and
/// this one is known when it is heard again.
pub fn cut(told: &[Word], rest: &[Word], way: BufferTrimming) -> Option<Samples> {
    let place = |(at, (word, next)): (usize, (&Word, &Word))| match pauses(word, next) {
        true => Some(word.end.midpoint(next.start)),
        // In front of the first word there is nothing to cut.
        false => (at > 0 && ends_sentence(word, next)).then_some(word.start),
    };
    let sentence = || {
        // Of two words told: a sentence is known to be over when the next has begun.
        let pairs = told.iter().zip(told.iter().skip(1)).enumerate();
        let ends = pairs.filter(|(_, (word, next))| ends_sentence(word, next));
        ends.filter_map(place).next_back()
    };
    let segment = || {
        let pairs = told.iter().zip(told.iter().skip(1).chain(rest.first()));
        pairs.enumerate().filter_map(place).last()
    };
    let end = match way {
        BufferTrimming::Sentence => sentence().or_else(segment),
        BufferTrimming::Segment => segment(),
    };
    end.or(told.last().map(|word| word.start))
}

fn pauses(word: &Word, next: &Word) -> bool {
    next.start >= word.end + PAUSE
}

/// Whether `word` ends a sentence: it has the mark of an end, and `next` does not go on in lower case, as behind an
/// abbreviation.
fn ends_sentence(word: &Word, next: &Word) -> bool {
    let closes = |c: char| matches!(c, '"' | '\'' | ')' | ']' | '»' | '”' | '’' | '」' | '』');
    let text = word.text.trim_end().trim_end_matches(closes).trim_end();
    let marked = text.ends_with(['.', '?', '!', '…', '。', '？', '！', '।', '؟', '۔']);
    let begins = next.text.chars().find(|c| c.is_alphanumeric());
    marked && !begins.is_some_and(char::is_lowercase)
}
