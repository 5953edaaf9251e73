//! Somebody speaks while somebody else (a prompt, an agent) has the floor: when is that an interruption?
//!
//! After so much speech, or so many words, whichever is asked for and comes first; not for a backchannel ("oui",
//! "mm-hm") alone. Speech is known at once, its words are not: so when there is enough speech, a look at its words is
//! asked for, and its answer decides.

use serde::{Deserialize, Serialize};

use super::Samples;
use super::backchannel::{Said, judge};

/// Samples of a millisecond.
const MS: Samples = 16;
/// A backchannel that goes on for so long is looked at again.
const AGAIN: Samples = 300 * MS;
/// Speech of which no word was understood, although it goes on for so long, is believed.
const UNKNOWN: Samples = 200 * MS;
/// An answer that takes longer than this (in time of the stream) is not waited for.
const PATIENCE: Samples = 300 * MS;

/// When speech is an interruption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BargeInSettings {
    /// Speech that it takes, in ms; 0: it does not count.
    pub after_ms: u32,
    /// Words that it takes; 0: they do not count.
    pub min_words: u32,
}

impl BargeInSettings {
    pub fn is_on(&self) -> bool {
        self.after_ms > 0 || self.min_words > 0
    }
}

/// What made it an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was speech enough.
    Speech,
    /// There were words enough.
    Words,
}

/// An interruption.
#[derive(Clone, Debug, PartialEq)]
pub struct Interruption {
    /// Position at which it was decided, and where its speech began.
    pub at: Samples,
    pub onset: Samples,
    /// Speech so far, pauses left out.
    pub speech: Samples,
    /// Words so far, the last of which may still change.
    pub words: Vec<String>,
    pub cause: Cause,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Nothing,
    /// Look what is being said, then tell it by [`BargeIn::words`].
    Look,
    Interrupt(Interruption),
}

/// One side of a call. Positions are samples at 16 kHz.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BargeIn {
    settings: BargeInSettings,
    state: State,
    onset: Samples,
    /// Speech so far.
    speech: Samples,
    words: Vec<String>,
    said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    /// To look as soon as there is this much speech.
    Until(Samples),
    /// A look was asked for at this position.
    Looking(Samples),
    /// No word was understood: this much speech is believed.
    Unknown(Samples),
    /// It was an interruption; until the speaker stops.
    Done,
    /// Nothing counts.
    Off,
}

impl BargeIn {
    pub fn new(settings: BargeInSettings) -> BargeIn {
        BargeIn {
            settings,
            state: BargeIn::armed(&settings),
            onset: 0,
            speech: 0,
            words: Vec::new(),
            said: Said::Nothing,
        }
    }

    fn armed(settings: &BargeInSettings) -> State {
        match settings.is_on() {
            true => State::Until(Samples::from(settings.after_ms) * MS),
            false => State::Off,
        }
    }

    /// New settings, for speech to come and for speech that is no interruption yet.
    pub fn update(&mut self, settings: BargeInSettings) {
        if self.settings == settings {
            return;
        }
        self.settings = settings;
        if self.state != State::Done {
            self.state = BargeIn::armed(&settings);
        }
    }

    pub fn is_on(&self) -> bool {
        self.settings.is_on()
    }

    /// Speech has gone on since `onset`, `speech` samples by now, at `position`.
    pub fn speech(&mut self, position: Samples, onset: Samples, speech: Samples) -> Ask {
        (self.onset, self.speech) = (onset, speech);
        if self.settings.after_ms == 0 {
            return Ask::Nothing;
        }
        match self.state {
            State::Until(enough) if speech >= enough => {
                self.state = State::Looking(position);
                Ask::Look
            }
            State::Unknown(enough) if speech >= enough => self.interrupt(position, Cause::Speech),
            State::Looking(since) if position.saturating_sub(since) >= PATIENCE => {
                match self.said {
                    Said::Backchannel => self.look_again(),
                    Said::Nothing | Said::Words => self.interrupt(position, Cause::Speech),
                }
            }
            _ => Ask::Nothing,
        }
    }

    /// All words of the running speech that are known at `position`, the unsure ones too. `looked`: this is what a look
    /// has found.
    pub fn words(
        &mut self,
        position: Samples,
        words: Vec<String>,
        language: Option<&str>,
        looked: bool,
    ) -> Ask {
        if matches!(self.state, State::Done | State::Off) {
            return Ask::Nothing;
        }
        self.said = judge(words.iter().map(String::as_str), language);
        self.words = words;
        let enough = self.settings.min_words;
        if enough > 0 && self.said == Said::Words && self.words.len() as u64 >= u64::from(enough) {
            return self.interrupt(position, Cause::Words);
        }
        match (self.state, self.said) {
            (State::Looking(_), said) if looked => match said {
                Said::Words => self.interrupt(position, Cause::Speech),
                Said::Backchannel => self.look_again(),
                Said::Nothing => {
                    self.state = State::Unknown(self.speech + UNKNOWN);
                    Ask::Nothing
                }
            },
            (State::Unknown(_), Said::Backchannel) => self.look_again(),
            (State::Unknown(_), Said::Words) => self.interrupt(position, Cause::Speech),
            _ => Ask::Nothing,
        }
    }

    /// The speaker has stopped.
    pub fn stopped(&mut self) {
        *self = BargeIn::new(self.settings);
    }

    fn look_again(&mut self) -> Ask {
        self.state = State::Until(self.speech + AGAIN);
        Ask::Nothing
    }

    fn interrupt(&mut self, at: Samples, cause: Cause) -> Ask {
        self.state = State::Done;
        Ask::Interrupt(Interruption {
            at,
            onset: self.onset,
            speech: self.speech,
            words: std::mem::take(&mut self.words),
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER_300: BargeInSettings = BargeInSettings {
        after_ms: 300,
        min_words: 0,
    };

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Speaks for `ms` in steps of 16 ms; at each look says what `known` has for it. Returns when it was interrupted.
    fn speak(barge_in: &mut BargeIn, ms: u64, known: impl Fn(u64) -> &'static str) -> Option<u64> {
        for step in 1..=ms / 16 {
            let at = step * 256;
            let mut ask = barge_in.speech(at, 0, at);
            if ask == Ask::Look {
                ask = barge_in.words(at, words(known(step * 16)), Some("fr"), true);
            }
            if let Ask::Interrupt(interruption) = ask {
                assert_eq!(interruption.cause, Cause::Speech);
                return Some(step * 16);
            }
        }
        None
    }

    #[test]
    fn enough_speech_with_words_interrupts_at_once() {
        let mut barge_in = BargeIn::new(AFTER_300);
        assert_eq!(speak(&mut barge_in, 2_000, |_| "attendez"), Some(304));
    }

    #[test]
    fn a_backchannel_alone_does_not_however_long() {
        let mut barge_in = BargeIn::new(AFTER_300);
        assert_eq!(speak(&mut barge_in, 2_000, |_| "d'accord oui"), None);
    }

    #[test]
    fn a_backchannel_that_goes_on_does() {
        let mut barge_in = BargeIn::new(AFTER_300);
        let known = |ms| if ms < 600 { "oui" } else { "oui mais attendez" };
        assert_eq!(speak(&mut barge_in, 2_000, known), Some(608));
    }

    #[test]
    fn speech_that_nobody_understands_is_believed_a_little_later() {
        let mut barge_in = BargeIn::new(AFTER_300);
        assert_eq!(speak(&mut barge_in, 2_000, |_| ""), Some(512));
        let mut short = BargeIn::new(AFTER_300);
        assert_eq!(speak(&mut short, 400, |_| ""), None);
    }

    #[test]
    fn an_answer_that_does_not_come_is_not_waited_for() {
        let mut barge_in = BargeIn::new(AFTER_300);
        let mut at = 0;
        let interruption = loop {
            at += 256;
            match barge_in.speech(at, 0, at) {
                Ask::Interrupt(interruption) => break interruption,
                _ => assert!(at < 16_000),
            }
        };
        assert_eq!(interruption.at, 304 * 16 + 304 * 16);
    }

    #[test]
    fn enough_words_interrupt_whatever_the_speech() {
        let mut barge_in = BargeIn::new(BargeInSettings {
            after_ms: 0,
            min_words: 2,
        });
        assert_eq!(barge_in.speech(90_000, 0, 90_000), Ask::Nothing);
        let mut say = |text| barge_in.words(0, words(text), Some("fr"), false);
        assert_eq!(say("attendez"), Ask::Nothing);
        assert_eq!(say("oui d'accord oui"), Ask::Nothing);
        let Ask::Interrupt(interruption) = say("oui attendez") else {
            panic!("no interruption");
        };
        assert_eq!(interruption.cause, Cause::Words);
        assert_eq!(interruption.words, ["oui", "attendez"]);
    }

    #[test]
    fn it_interrupts_once_until_the_speaker_stops() {
        let mut barge_in = BargeIn::new(AFTER_300);
        assert!(speak(&mut barge_in, 1_000, |_| "non").is_some());
        assert_eq!(speak(&mut barge_in, 5_000, |_| "non"), None);
        barge_in.stopped();
        assert!(speak(&mut barge_in, 1_000, |_| "non").is_some());
    }

    #[test]
    fn nothing_interrupts_when_it_is_off() {
        let mut barge_in = BargeIn::new(BargeInSettings::default());
        assert_eq!(speak(&mut barge_in, 5_000, |_| "non"), None);
        assert_eq!(
            barge_in.words(0, words("a b c d"), None, false),
            Ask::Nothing
        );
        barge_in.update(AFTER_300);
        assert!(speak(&mut barge_in, 1_000, |_| "non").is_some());
    }
}
