//! What a verdict says.

use std::time::Duration;

use super::Word;

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Human,
    Machine,
    NoAnswer,
    Fax,
    Unknown,
}

impl Outcome {
    /// As in messages: `human`, `machine`, `no-answer`, `fax`, `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Human => "human",
            Outcome::Machine => "machine",
            Outcome::NoAnswer => "no-answer",
            Outcome::Fax => "fax",
            Outcome::Unknown => "unknown",
        }
    }
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Words.
    Phrase,
    /// Lengths of voice and silence.
    Cadence,
    Tone,
    /// Nobody spoke.
    Silence,
    /// The time was over and nothing decided.
    Timeout,
}

impl Cause {
    /// As in messages: `phrase`, `cadence`, `tone`, `silence`, `timeout`.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Phrase => "phrase",
            Cause::Cadence => "cadence",
            Cause::Tone => "tone",
            Cause::Silence => "silence",
            Cause::Timeout => "timeout",
        }
    }
}

/// What is at the other end, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub cause: Cause,
    /// 0 to 1; 0.5 is a guess.
    pub confidence: f32,
    /// All that was understood so far.
    pub words: Vec<Word>,
    /// The phrases that were found in it, of every side, as the lists have them.
    pub phrases: Vec<String>,
    /// Audio heard when it was given.
    pub at: Duration,
    /// Audio heard from the start of the call.
    pub took: Duration,
}

impl Verdict {
    /// The words, joined.
    pub fn text(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| word.text.trim()).collect();
        words.join(" ")
    }
}
