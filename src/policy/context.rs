//! The text in front of the window, behind `<|startofprev|>`.

use serde::{Deserialize, Serialize};

use crate::whisper::Tokenizer;

/// Text that scrolled out of the window, begun by the prompts. The first `fixed` bytes never leave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    text: String,
    fixed: usize,
}

impl Context {
    /// Starts as the static prompt followed by the initial one.
    pub fn new(fixed: &str, prompt: Option<&str>) -> Context {
        Context {
            text: format!("{fixed}{}", prompt.unwrap_or_default()),
            fixed: fixed.len(),
        }
    }

    /// Puts other text in front, and `prompt`, if there is one, behind all that was said.
    pub fn renew(&mut self, fixed: &str, prompt: Option<&str>) {
        let said = self.text.get(self.fixed..).unwrap_or_default();
        self.text = format!("{fixed}{said}{}", prompt.unwrap_or_default());
        self.fixed = fixed.len();
    }

    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Keeps the last words of what may scroll, `most` characters of them at most.
    pub fn keep_last(&mut self, most: usize) {
        let rest = self.text.get(self.fixed..).unwrap_or_default();
        let Some(surplus) = rest.chars().count().checked_sub(most).filter(|&n| n > 0) else {
            return;
        };
        let from = rest
            .char_indices()
            .nth(surplus)
            .map_or(rest.len(), |(at, _)| at);
        // Whole words, in a language that has spaces.
        let tail = rest.get(from..).unwrap_or_default();
        let word = tail.find(char::is_whitespace).unwrap_or(0);
        self.text.drain(self.fixed..self.fixed + from + word);
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.text.capacity()
    }

    /// Tokens behind `<|startofprev|>`; none when there is no text.
    pub fn tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        if self.text.is_empty() {
            Vec::new()
        } else {
            tokenizer.encode(&self.text)
        }
    }

    /// Deletes the oldest words behind the static prompt until at most `most_context` tokens are left here and at most
    /// `most_total` together with `window_tokens`, or nothing is left to delete. Counts tokens as the reference does:
    /// what a deleted word had as part of the whole text.
    pub fn trim(
        &mut self,
        tokenizer: &Tokenizer,
        language: Option<&str>,
        window_tokens: usize,
        most_context: usize,
        most_total: usize,
    ) {
        let mut count = self.tokens(tokenizer).len();
        while count > most_context || count + window_tokens > most_total {
            let (fixed, rest) = self.text.split_at(self.fixed.min(self.text.len()));
            let words = tokenizer.split_to_words(&tokenizer.encode(rest), language);
            let Some((first, others)) = words.split_first() else {
                break;
            };
            let kept: String = others.iter().map(|word| word.text.as_str()).collect();
            self.text = format!("{fixed}{kept}");
            count = count.saturating_sub(first.tokens.len());
        }
    }
}
