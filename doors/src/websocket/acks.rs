//! From where a client that has lost its server may go on.
//!
//! Behind the words of a stretch of speech, in the silence before the next: who replays the stream from there, telling the new
//! server so by `resume_ms`, hears nothing twice and misses nothing. In a long silence that place moves on.
//!
//! At `pace=exact` the call itself begins anew there ([`super::retake`]). So what is decided behind the place never depends
//! on what was heard before it, and a new server decides the same.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::call::{Event, Span};

/// Sound this long behind the voice may belong to the last word.
const TAIL: Duration = Duration::from_millis(200);
/// So much of a silence is heard again.
const LEAD: Duration = Duration::from_secs(1);
/// Stretches of speech of a leg that may wait for their words.
const MOST: usize = 256;

#[derive(Debug, Default)]
struct Leg {
    /// Where speech begins whose words are not all told, oldest first.
    untold: VecDeque<Duration>,
    /// A voice detector listens.
    detects: bool,
    /// Up to where all is told.
    told: Duration,
}

/// Watches a call's events.
#[derive(Debug)]
pub struct Acks {
    legs: HashMap<Option<String>, Leg>,
    /// Behind the voice.
    tail: Duration,
    last: Duration,
}

impl Acks {
    /// `silence`: a pause as long as that ends speech. Nothing before `start` is heard.
    pub fn new(silence: Duration, start: Duration) -> Acks {
        Acks {
            legs: HashMap::new(),
            // The next speech may begin where the pause is over, no sooner.
            tail: TAIL.min(silence / 2),
            last: start,
        }
    }

    /// The position that is safe behind this event, if that is news. In whole milliseconds.
    pub fn note(&mut self, event: &Event) -> Option<Duration> {
        match event {
            Event::SpeechStart(span) => {
                let leg = self.leg(span);
                leg.detects = true;
                leg.untold.push_back(span.start);
                if leg.untold.len() > MOST {
                    leg.untold.pop_front();
                }
                None
            }
            Event::SpeechTold(span) => {
                let tail = self.tail;
                let leg = self.leg(span);
                leg.detects = true;
                while leg.untold.front().is_some_and(|start| *start <= span.start) {
                    leg.untold.pop_front();
                }
                leg.told = leg.told.max(span.end + tail);
                self.safe()
            }
            Event::Quiet(span) => {
                let leg = self.leg(span);
                leg.detects = true;
                if leg.untold.is_empty() {
                    let half = Duration::from_millis(500).as_millis();
                    let halves = span.end.saturating_sub(LEAD).as_millis() / half;
                    let told = Duration::from_millis(u64::try_from(halves * half).unwrap_or(0));
                    leg.told = leg.told.max(told);
                }
                self.safe()
            }
            // Without a detector, where the words of an utterance end.
            Event::Final(words) => {
                let leg = self.leg(&words.span);
                if leg.detects {
                    return None;
                }
                leg.told = leg.told.max(words.span.end);
                self.safe()
            }
            _ => None,
        }
    }

    /// Where no leg's words would be lost or said twice.
    fn safe(&mut self) -> Option<Duration> {
        let told = self.legs.values().map(|leg| leg.told).max()?;
        let ms = u64::try_from(told.as_millis()).unwrap_or(u64::MAX);
        let told = Duration::from_millis(ms);
        let speaks = |leg: &Leg| leg.untold.front().is_some_and(|start| *start < told);
        if told <= self.last || self.legs.values().any(speaks) {
            return None;
        }
        self.last = told;
        Some(told)
    }

    fn leg(&mut self, span: &Span) -> &mut Leg {
        self.legs.entry(span.leg.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;

    fn span(leg: Option<&str>, start: u64, end: u64) -> Span {
        Span {
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
            utterance: 0,
            leg: leg.map(str::to_owned),
        }
    }

    fn words(span: Span) -> Words {
        Words {
            span,
            ..Words::default()
        }
    }

    fn acks() -> Acks {
        Acks::new(Duration::from_millis(500), Duration::ZERO)
    }

    fn note(acks: &mut Acks, event: Event) -> Option<u128> {
        acks.note(&event).map(|position| position.as_millis())
    }

    #[test]
    fn the_silence_behind_the_speech_is_safe_when_its_words_are_told() {
        let mut acks = acks();
        note(&mut acks, Event::SpeechStart(span(None, 400, 400)));
        note(&mut acks, Event::Words(words(span(None, 420, 900))));
        assert_eq!(
            note(&mut acks, Event::SpeechEnd(span(None, 400, 9_900))),
            None
        );
        // An utterance may end within the speech: the rest of its words is still to come.
        let breath = Event::Final(words(span(None, 420, 5_500)));
        assert_eq!(note(&mut acks, breath), None);
        // The next has begun before the last words of the first are known.
        note(&mut acks, Event::SpeechStart(span(None, 10_600, 10_600)));
        let told = Event::SpeechTold(span(None, 400, 9_900));
        assert_eq!(note(&mut acks, told), Some(10_100));
    }

    #[test]
    fn a_short_pause_is_not_left() {
        let mut acks = Acks::new(Duration::from_millis(100), Duration::ZERO);
        let told = Event::SpeechTold(span(None, 400, 1_900));
        assert_eq!(note(&mut acks, told), Some(1_950));
    }

    #[test]
    fn silence_moves_on_unless_words_are_to_come() {
        let mut acks = acks();
        assert_eq!(
            note(&mut acks, Event::Quiet(span(None, 0, 10_060))),
            Some(9_000)
        );
        assert_eq!(note(&mut acks, Event::Quiet(span(None, 0, 10_060))), None);
        note(&mut acks, Event::SpeechStart(span(None, 12_000, 12_000)));
        assert_eq!(
            note(&mut acks, Event::Quiet(span(None, 13_000, 23_000))),
            None
        );
        let told = Event::SpeechTold(span(None, 12_000, 12_500));
        assert_eq!(note(&mut acks, told), Some(12_700));
    }

    #[test]
    fn without_a_voice_detector_it_is_the_end_of_the_words() {
        let end = Event::Final(words(span(None, 420, 1_850)));
        assert_eq!(note(&mut acks(), end), Some(1_850));
    }

    #[test]
    fn a_leg_that_is_not_done_keeps_the_others() {
        let mut acks = acks();
        let (a, b) = (Some("a"), Some("b"));
        note(&mut acks, Event::SpeechStart(span(a, 400, 400)));
        note(&mut acks, Event::SpeechStart(span(b, 1_000, 1_000)));
        let told = Event::SpeechTold(span(a, 400, 1_900));
        assert_eq!(note(&mut acks, told), None);
        let told = Event::SpeechTold(span(b, 1_000, 3_000));
        assert_eq!(note(&mut acks, told), Some(3_200));
    }
}
