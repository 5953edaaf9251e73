//! What a pass did, step by step: for those who want to know why it decided as it did.

use super::pass::{Decoded, Pass};
use super::{Detected, Samples, Stop};

/// A pass that is over, before it is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The utterance ends with it.
    pub ends_utterance: bool,
    /// Stream position of the window's first sample, as word times see it.
    pub base: Samples,
    /// Frames of the window that hold audio, and frames that were encoded.
    pub content: usize,
    pub encoded: usize,
    /// The language in force; what was detected, if the pass listened for it, and whether that was believed.
    pub language: Option<&'static str>,
    pub detected: Option<(Detected, bool)>,
    /// The whole prompt: context, the tokens that every window starts with, committed tokens still in the window. Empty
    /// if the pass ended before it was asked for.
    pub prompt: Vec<u32>,
    /// All that was decoded, in order; the first `kept` are decided.
    pub steps: Vec<Chosen>,
    pub kept: usize,
    pub stop: Option<Stop>,
    /// The audio ends within a word, by the CIF model.
    pub cuts_word: bool,
    /// What was decoded on behind `steps`, for a partial.
    pub tail: Vec<Chosen>,
}

/// A token that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    pub id: u32,
    /// Frame of the window that it attends to.
    pub frame: i32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

impl From<&Decoded> for Chosen {
    fn from(decoded: &Decoded) -> Chosen {
        Chosen {
            id: decoded.id,
            frame: decoded.frame,
            logprob: decoded.logprob,
        }
    }
}

impl Pass {
    /// What it has done so far.
    pub fn report(&self) -> Report {
        let found = self.language.found;
        Report {
            ends_utterance: self.from.is_last,
            base: self.from.base,
            content: self.from.content,
            encoded: self.window().frames,
            language: self.language.current,
            detected: found.map(|found| (found.into(), found.locked)),
            prompt: self.prompt.clone(),
            steps: self.steps.iter().map(Chosen::from).collect(),
            kept: self.kept,
            stop: self.stop,
            cuts_word: self.cuts_word,
            tail: self.tail.iter().map(Chosen::from).collect(),
        }
    }
}
