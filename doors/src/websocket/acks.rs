//! From where a client that has lost its server may go on.
//!
//! Behind an utterance, in the silence before the next: who replays its stream from there, telling the new server so by
//! `resume_ms`, hears nothing twice and misses nothing.

use std::collections::HashMap;
use std::time::Duration;

use crate::call::{Event, Span};

/// Stretches of speech of a leg that are remembered; more than can be waiting for their words.
const MOST: usize = 64;

#[derive(Debug, Default)]
struct Leg {
    /// Since when somebody speaks.
    speaks: Option<Duration>,
    /// Speech whose utterance is not over, oldest first.
    spoken: Vec<Span>,
    /// Words of an utterance that is not over were told.
    open: bool,
    /// Where its last utterance ended.
    over: Option<Duration>,
}

/// Watches a call's events.
#[derive(Debug, Default)]
pub struct Acks {
    legs: HashMap<Option<String>, Leg>,
}

impl Acks {
    /// The position that is safe behind this event, if that is news.
    pub fn note(&mut self, event: &Event) -> Option<Duration> {
        match event {
            Event::SpeechStart(span) => self.leg(span).speaks = Some(span.start),
            Event::SpeechEnd(span) => {
                let leg = self.leg(span);
                leg.speaks = None;
                leg.spoken.push(span.clone());
                if leg.spoken.len() > MOST {
                    leg.spoken.remove(0);
                }
            }
            Event::Words(words) => self.leg(&words.span).open = true,
            Event::Final(words) => {
                let end = words.span.end;
                let leg = self.leg(&words.span);
                leg.open = false;
                let known = leg
                    .spoken
                    .iter()
                    .take_while(|span| span.start < end)
                    .count();
                let silent = leg.spoken.drain(..known).map(|span| span.end).max();
                leg.over = Some(silent.unwrap_or(end).max(end));
                return self.safe();
            }
            _ => {}
        }
        None
    }

    /// Where no leg's words would be lost or said twice.
    fn safe(&self) -> Option<Duration> {
        let over = self.legs.values().filter_map(|leg| leg.over).max()?;
        let keeps = |leg: &Leg| {
            leg.open
                || leg.speaks.is_some_and(|since| since < over)
                || leg.spoken.iter().any(|span| span.start < over)
        };
        (!self.legs.values().any(keeps)).then_some(over)
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

    fn note(acks: &mut Acks, event: Event) -> Option<u128> {
        acks.note(&event).map(|position| position.as_millis())
    }

    #[test]
    fn the_end_of_the_speech_is_safe() {
        let mut acks = Acks::default();
        assert_eq!(
            note(&mut acks, Event::SpeechStart(span(None, 400, 400))),
            None
        );
        assert_eq!(
            note(&mut acks, Event::Words(words(span(None, 420, 900)))),
            None
        );
        assert_eq!(
            note(&mut acks, Event::SpeechEnd(span(None, 400, 1_900))),
            None
        );
        // The next has begun before the last words of the first are known.
        assert_eq!(
            note(&mut acks, Event::SpeechStart(span(None, 2_600, 2_600))),
            None
        );
        let first = Event::Final(words(span(None, 420, 1_850)));
        assert_eq!(note(&mut acks, first), Some(1_900));
    }

    #[test]
    fn without_a_voice_detector_it_is_the_end_of_the_words() {
        let mut acks = Acks::default();
        let end = Event::Final(words(span(None, 420, 1_850)));
        assert_eq!(note(&mut acks, end), Some(1_850));
    }

    #[test]
    fn a_leg_that_is_not_done_keeps_the_others() {
        let mut acks = Acks::default();
        let (a, b) = (Some("a"), Some("b"));
        note(&mut acks, Event::SpeechStart(span(b, 1_000, 1_000)));
        note(&mut acks, Event::SpeechEnd(span(a, 400, 1_900)));
        assert_eq!(
            note(&mut acks, Event::Final(words(span(a, 420, 1_850)))),
            None
        );
        note(&mut acks, Event::SpeechEnd(span(b, 1_000, 3_000)));
        let end = Event::Final(words(span(b, 1_100, 2_950)));
        assert_eq!(note(&mut acks, end), Some(3_000));
    }
}
