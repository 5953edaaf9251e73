//! Digits masked: runs of three or more, in the text and as times.
//!
//! Text once released is never revised, so a word that may begin a run waits until it is known: until the third digit comes
//! (then the run is masked from its first), or a word that is no part of a number (then it goes as it is). At most two
//! digits wait, and what stands among them. Where nobody can wait, at the end of an utterance or when `latency` is used up
//! ([`Redactor::release`]), two are masked and one is not: people tell numbers in groups, with pauses between. A run that was
//! cut like that goes on behind the cut: its further digits are masked at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::digits::{Role, Run, is_digit_word};
use super::{Bare, Rewrite, bare};

/// Stands for each digit of a numeral, and for each number word.
pub const MASK: char = '#';
/// Runs of so many digits are masked.
pub const FEWEST_DIGITS: u32 = 3;
/// Or of so many, where a run is cut.
const FEWEST_CUT: u32 = 2;
/// A span begins so long before its first word and ends so long behind its last: words' times are not exact.
pub const MARGIN: Duration = Duration::from_millis(200);
/// A pause longer than this ends a run.
const PAUSE: Duration = Duration::from_secs(5);

/// A stretch in which digits are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: Duration,
    pub end: Duration,
}

/// What is known of the words by now.
#[derive(Clone, Debug, PartialEq)]
pub struct Redacted<W> {
    pub words: Vec<W>,
    /// Stretches of the digits masked in them. One that a run has in the next words goes on where this one ends.
    pub spans: Vec<Span>,
}

/// Masks a stream's digits, word by word.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Redactor<W> {
    run: Run,
    /// The run's words, as long as they are too few digits.
    held: Vec<W>,
    /// Where the run's last digits end.
    until: Duration,
    /// The run is masked: as far as this.
    masked: Option<Duration>,
    /// The run as it was when the present utterance began, and its end.
    before: Run,
}

impl<W> Default for Redactor<W> {
    fn default() -> Redactor<W> {
        Redactor {
            run: Run::default(),
            held: Vec::new(),
            until: Duration::ZERO,
            masked: None,
            before: Run::default(),
        }
    }
}

impl<W: Rewrite> Redactor<W> {
    /// Takes words in; returns those that are known, in order.
    pub fn take(&mut self, words: Vec<W>) -> Redacted<W> {
        let mut known = Redacted {
            words: Vec::new(),
            spans: Vec::new(),
        };
        for word in words {
            self.add(word, &mut known);
        }
        known
    }

    /// Lets go what is held: whoever reads it cannot wait.
    pub fn release(&mut self) -> Redacted<W> {
        let mut known = Redacted {
            words: Vec::new(),
            spans: Vec::new(),
        };
        match self.run.digits() >= FEWEST_CUT {
            true => self.mask_held(&mut known),
            false => known.words.append(&mut self.held),
        }
        known
    }

    /// As [`release`](Self::release), at the end of an utterance.
    pub fn end_utterance(&mut self) -> Redacted<W> {
        self.before = self.run;
        self.release()
    }

    /// Where the first word held starts.
    pub fn start(&self) -> Option<Duration> {
        self.held.first().map(W::start)
    }

    /// Forgets all: what comes next has nothing to do with what was.
    pub fn reset(&mut self) {
        *self = Redactor::default();
    }

    /// Masks what is said of the present utterance so far, of which nobody knows how it goes on: a run at its end is masked
    /// from its first digit.
    pub fn preview<'a>(&self, words: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut run = self.before;
        let mut texts: Vec<String> = Vec::new();
        // Of the run under way: its words that speak digits.
        let mut spoken: Vec<usize> = Vec::new();
        for text in words {
            let digits = run.digits();
            match run.add(text) {
                Role::Digits => spoken.push(texts.len()),
                Role::Joins => {}
                Role::Other if digits >= FEWEST_DIGITS => mask(&mut texts, &mut spoken),
                Role::Other => spoken.clear(),
            }
            texts.push(text.to_owned());
        }
        mask(&mut texts, &mut spoken);
        texts
    }

    fn add(&mut self, word: W, known: &mut Redacted<W>) {
        if word.start() > self.until.saturating_add(PAUSE) {
            self.end_run(known);
        }
        match self.run.add(word.text()) {
            Role::Other => {
                self.end_run(known);
                known.words.push(word);
            }
            Role::Joins if self.held.is_empty() => known.words.push(word),
            Role::Joins => self.held.push(word),
            Role::Digits => {
                self.until = word.end();
                self.held.push(word);
                if self.run.digits() >= FEWEST_DIGITS {
                    self.mask_held(known);
                }
            }
        }
    }

    /// Masks what is held, and tells where it was spoken. A stretch of the same run goes on where the one before ended.
    fn mask_held(&mut self, known: &mut Redacted<W>) {
        let Some(start) = self.held.first().map(W::start) else {
            return;
        };
        for mut word in std::mem::take(&mut self.held) {
            if let Some(text) = masked(word.text()) {
                word.set_text(text);
            }
            known.words.push(word);
        }
        let end = self.until.saturating_add(MARGIN);
        let begun = self.masked.unwrap_or(start.saturating_sub(MARGIN));
        match known.spans.last_mut().filter(|span| span.end == begun) {
            Some(span) => span.end = end,
            None => known.spans.push(Span { start: begun, end }),
        }
        self.masked = Some(end);
    }

    fn end_run(&mut self, known: &mut Redacted<W>) {
        known.words.append(&mut self.held);
        self.run = Run::default();
        self.masked = None;
    }
}

fn mask(texts: &mut [String], at: &mut Vec<usize>) {
    for at in at.drain(..) {
        if let Some(text) = texts.get_mut(at)
            && let Some(masked) = masked(text)
        {
            *text = masked;
        }
    }
}

/// The text with its digits masked; `None` if it speaks none.
fn masked(text: &str) -> Option<String> {
    if text.chars().any(char::is_numeric) {
        let hide = |c: char| if c.is_numeric() { MASK } else { c };
        return Some(text.chars().map(hide).collect());
    }
    let Bare {
        before,
        word,
        behind,
    } = bare(text);
    is_digit_word(word).then(|| format!("{before}{MASK}{behind}"))
}
