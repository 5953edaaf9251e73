//! The unstable tail, from pass to pass: how long each word of it has stood.

use serde::{Deserialize, Serialize};

use super::{PartialWord, Word};

/// The tail of the pass before, a text and its stability each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Partials(Vec<(String, u32)>);

impl Partials {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// `words` are the tail now; the first `gone` of the pass before have been released since.
    pub fn follow(&mut self, words: Vec<Word>, gone: usize) -> Vec<PartialWord> {
        let before = self.0.get(gone.min(self.0.len())..).unwrap_or_default();
        let mut unchanged = true;
        let partial: Vec<PartialWord> = words
            .into_iter()
            .enumerate()
            .map(|(at, word)| {
                let stood = before
                    .get(at)
                    .filter(|(text, _)| *text == word.text)
                    .map(|&(_, passes)| passes);
                unchanged &= stood.is_some();
                PartialWord {
                    stability: if unchanged { stood.unwrap_or(0) + 1 } else { 1 },
                    word,
                }
            })
            .collect();
        self.0 = partial
            .iter()
            .map(|p| (p.word.text.clone(), p.stability))
            .collect();
        partial
    }
}
