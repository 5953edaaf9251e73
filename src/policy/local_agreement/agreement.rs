//! What two hypotheses in a row agree upon.

use serde::{Deserialize, Serialize};

use crate::policy::{Samples, Word};
use crate::whisper::{FRAME, SAMPLE_RATE};

/// A word whose middle lies further than this in front of the end of the last word told has been told.
const TOLERANCE: Samples = SAMPLE_RATE as Samples / 10;
/// A word that starts further than this in front of that end may be the last word told, heard again.
const OVERLAP: Samples = SAMPLE_RATE as Samples / 20;
/// Longest run of words that is compared with what was told.
const LONGEST_REPEAT: usize = 5;
/// A word never has zero length.
const SHORTEST_WORD: Samples = FRAME as Samples;

/// The words of the buffer: those told, and behind them those that the newest hypothesis has besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Agreement {
    told: Vec<Word>,
    rest: Vec<Word>,
    /// End of the last word told, whether its audio is still held or not.
    told_until: Samples,
}

impl Agreement {
    /// Takes in all words that a pass wrote down of the buffer; tells those that it and the pass before agree upon.
    pub fn hear(&mut self, hypothesis: Vec<Word>) -> Vec<Word> {
        let mut fresh = self.untold(hypothesis);
        let agreed = fresh
            .iter()
            .zip(&self.rest)
            .take_while(|(now, before)| now.text.trim() == before.text.trim())
            .count();
        self.rest = fresh.split_off(agreed);
        self.tell(fresh)
    }

    /// Tells what the newest hypothesis has in front of `position`, agreed upon or not.
    pub fn tell_before(&mut self, position: Samples) -> Vec<Word> {
        let count = self.rest.iter().take_while(|w| middle(w) < position);
        let count = count.count();
        let words = self.rest.drain(..count).collect();
        self.tell(words)
    }

    /// Tells all that the newest hypothesis has.
    pub fn tell_all(&mut self) -> Vec<Word> {
        let words = std::mem::take(&mut self.rest);
        self.tell(words)
    }

    /// Audio in front of `position` has left the buffer: returns the words told that went with it.
    pub fn scroll(&mut self, position: Samples) -> Vec<Word> {
        let gone = self.told.iter().take_while(|w| w.end <= position).count();
        self.told.drain(..gone).collect()
    }

    /// Forgets all words; nothing told later starts before `position`.
    pub fn reset(&mut self, position: Samples) {
        self.told.clear();
        self.rest.clear();
        self.told_until = position;
    }

    /// Words told whose audio is held.
    pub fn told(&self) -> &[Word] {
        &self.told
    }

    /// What the newest hypothesis has behind them.
    pub fn rest(&self) -> &[Word] {
        &self.rest
    }

    pub fn bytes(&self) -> usize {
        (self.told.capacity() + self.rest.capacity()) * size_of::<Word>()
    }

    /// Adds words to those told, each behind the one before.
    fn tell(&mut self, mut words: Vec<Word>) -> Vec<Word> {
        for word in &mut words {
            word.start = word.start.max(self.told_until);
            word.end = word.end.max(word.start + SHORTEST_WORD);
            self.told_until = word.end;
        }
        self.told.extend_from_slice(&words);
        words
    }

    /// The words of a hypothesis that were not told yet: by time, and where that leaves a doubt, by what they say.
    fn untold(&self, mut hypothesis: Vec<Word>) -> Vec<Word> {
        let old = |word: &&Word| middle(word) + TOLERANCE < self.told_until;
        let skipped = hypothesis.iter().take_while(old).count();
        let mut fresh = hypothesis.split_off(skipped);
        let repeated = self.repeated(&hypothesis, &fresh);
        fresh.drain(..repeated);
        fresh
    }

    /// How many of the `fresh` words say again what was told last; `skipped` are those in front of them.
    fn repeated(&self, skipped: &[Word], fresh: &[Word]) -> usize {
        let ends = |words: &[Word], with: &[Word]| {
            let from = words.len().checked_sub(with.len());
            from.and_then(|from| words.get(from..))
                .is_some_and(|tail| tail.iter().zip(with).all(|(a, b)| alike(a, b)))
        };
        // Somebody may say a word twice: the told ones are all there, so what follows is new.
        let last = self.told.len().saturating_sub(LONGEST_REPEAT);
        if ends(skipped, self.told.get(last..).unwrap_or_default()) {
            return 0;
        }
        let overlaps = |word: &&Word| word.start + OVERLAP < self.told_until;
        let most = fresh.iter().take(LONGEST_REPEAT).take_while(overlaps);
        (1..=most.count())
            .find(|&n| ends(&self.told, fresh.get(..n).unwrap_or_default()))
            .unwrap_or(0)
    }
}

fn middle(word: &Word) -> Samples {
    word.start.midpoint(word.end)
}

/// The same word, however it is spelled and whatever stands behind it.
fn alike(a: &Word, b: &Word) -> bool {
    let letters = |word: &Word| {
        let letters = word.text.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    letters(a) == letters(b)
}
