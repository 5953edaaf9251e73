//! What is done to words before anybody sees them: fillers left out, digits masked.

use gst::ClockTime;

use super::cues::{TimedWord, clock_time, tidy};
use super::{Fillers, Redact};
use crate::text::redact::{Redacted, Redactor};
use crate::text::{Spoken, fillers, remove_fillers};

/// A stream's edits.
#[derive(Debug, Default)]
pub struct Edits {
    fillers: Fillers,
    redact: Redact,
    redactor: Redactor<TimedWord>,
}

impl Edits {
    pub fn new(fillers: Fillers, redact: Redact) -> Edits {
        Edits {
            fillers,
            redact,
            redactor: Redactor::default(),
        }
    }

    /// Words that were decided: those that can be said, and the stretches whose sound is to be muted.
    pub fn take(
        &mut self,
        words: Vec<TimedWord>,
        language: Option<&str>,
        is_final: bool,
    ) -> Redacted<TimedWord> {
        let words = match self.fillers {
            Fillers::Keep => words,
            Fillers::Remove => remove_fillers(words, language),
        };
        match self.redact {
            Redact::None => Redacted {
                words,
                spans: Vec::new(),
            },
            Redact::Digits => {
                let mut known = self.redactor.take(words);
                if is_final {
                    let rest = self.redactor.end_utterance();
                    known.words.extend(rest.words);
                    known.spans.extend(rest.spans);
                }
                known
            }
        }
    }

    /// What is held back for what may follow it.
    pub fn release(&mut self) -> Redacted<TimedWord> {
        self.redactor.release()
    }

    /// As [`release`](Self::release), at the end of an utterance.
    pub fn end_utterance(&mut self) -> Redacted<TimedWord> {
        self.redactor.end_utterance()
    }

    /// Where the first word that is held back starts.
    pub fn start(&self) -> Option<ClockTime> {
        self.redactor.start().map(clock_time)
    }

    /// What is held back, and why.
    pub fn held(&self) -> &Redactor<TimedWord> {
        &self.redactor
    }

    /// Goes on with what another has held back.
    pub fn hold(&mut self, held: Redactor<TimedWord>) {
        self.redactor = held;
    }

    /// Forgets what is held back.
    pub fn forget(&mut self) {
        self.redactor.reset();
    }

    /// Whether words may be other than the engine's.
    pub fn is_any(&self) -> bool {
        self.fillers != Fillers::Keep || self.redact != Redact::None
    }

    /// What is said of an utterance so far: the committed text, and the words behind it that may change.
    pub fn preview<T>(
        &self,
        committed: &str,
        tail: Vec<(TimedWord, T)>,
        language: Option<&str>,
    ) -> (String, Vec<(TimedWord, T)>) {
        if !self.is_any() {
            return (committed.to_owned(), tail);
        }
        let is_said =
            |text: &str| self.fillers == Fillers::Keep || !fillers::is_filler(text, language);
        let committed = committed.split_whitespace().filter(|text| is_said(text));
        let committed: Vec<String> = committed.map(|text| format!(" {text}")).collect();
        let mut tail: Vec<(TimedWord, T)> = tail
            .into_iter()
            .filter(|(word, _)| is_said(word.text()))
            .collect();
        if self.redact == Redact::None {
            return (committed.concat(), tail);
        }
        let all = committed.iter().map(String::as_str);
        let all = all.chain(tail.iter().map(|(word, _)| word.text()));
        let mut masked = self.redactor.preview(all).into_iter();
        let committed: String = masked.by_ref().take(committed.len()).collect();
        for ((word, _), text) in tail.iter_mut().zip(masked) {
            if word.text != text {
                word.tokens.clear();
                word.text = text;
            }
        }
        (committed, tail)
    }

    /// Text of words that are not decided, on one line.
    pub fn preview_text(&self, text: &str, language: Option<&str>) -> String {
        let (text, _) = self.preview::<()>(text, Vec::new(), language);
        tidy(&text)
    }
}
