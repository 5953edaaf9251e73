//! What is at the other end of a call: a human, a machine, a fax, nobody.
//!
//! The [`Detector`] is told what is heard (a clock of audio, speech, words, tones) and tells a [`Verdict`] once a call, as
//! early as it can be sure. It asks for a flush of the transcriber before it judges what it may not have been told yet.
//! Afterwards it goes on listening for the end of a machine's greeting and for its beep.
//!
//! All times are audio's own, from any zero, and never run backwards.

use std::time::Duration;

mod cadence;
mod detector;
mod line;
mod phrases;
mod settings;
mod text;
mod verdict;
mod votes;
mod watch;

pub use cadence::{Cadence, CadenceSettings, FRAME, Reason, SILENCE_THRESHOLD, Status, is_voice};
pub use detector::{Action, Detector};
pub use line::{Heard, Span, Tone, ToneKind};
pub use phrases::{Phrase, Phrases, PhrasesError, Side, Wrong};
pub use settings::{Contradiction, Settings};
pub(super) use text::fold;
pub use verdict::{Cause, Outcome, Verdict};
pub use votes::{Hit, Votes};
pub use watch::GreetingEnd;

/// A word as it was recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub text: String,
    pub start: Duration,
    pub end: Duration,
    /// 0 to 1.
    pub confidence: f32,
}

/// Words of certainty, 300 ms each.
#[cfg(test)]
fn words_of_text(text: &str) -> Vec<Word> {
    let word = |(n, text): (usize, &str)| Word {
        text: text.into(),
        start: Duration::from_millis(300 * n as u64),
        end: Duration::from_millis(300 * n as u64 + 250),
        confidence: 0.9,
    };
    text.split_whitespace().enumerate().map(word).collect()
}
