//! After the verdict: the end of a machine's greeting, and beeps.

use std::time::Duration;

use super::line::{Line, Tone, ToneKind};

/// A machine has finished its greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GreetingEnd {
    /// When it ended.
    pub at: Duration,
    /// By its beep; else by silence.
    pub beep: bool,
}

/// A beep whose end is never told counts as ended after this.
const LONGEST_BEEP: Duration = Duration::from_secs(3);

/// Listens on.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Whether a greeting is expected to end.
    greeting: bool,
    silence: Duration,
    /// End of the speech whose end was told.
    told: Option<Duration>,
    beeped: bool,
    /// Start of the last beep told.
    last_beep: Option<Duration>,
    /// What was said before is of the verdict already.
    from: Duration,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    GreetingEnd(GreetingEnd),
    Beep(Tone),
}

impl Watch {
    /// `start` is that of the call.
    pub fn new(is_machine: bool, silence: Duration, start: Duration) -> Watch {
        Watch {
            greeting: is_machine,
            silence,
            told: None,
            beeped: false,
            last_beep: None,
            from: start,
        }
    }

    /// What there is to tell now.
    pub fn look(&mut self, line: &Line) -> Vec<Found> {
        let mut found = Vec::new();
        let is_new = |tone: &&Tone| {
            tone.kind == ToneKind::Beep
                && tone.span().end > self.from
                && self.last_beep.is_none_or(|last| tone.start > last)
                && (tone.ended || line.now() >= tone.start.saturating_add(LONGEST_BEEP))
        };
        if let Some(beep) = line.tones().iter().find(is_new) {
            self.last_beep = Some(beep.start);
            if self.greeting && !self.beeped {
                found.push(Found::GreetingEnd(GreetingEnd {
                    at: beep.start,
                    beep: true,
                }));
            }
            self.beeped = true;
            found.push(Found::Beep(*beep));
        }
        if let Some(end) = self.silent_since(line) {
            self.told = Some(end);
            found.push(Found::GreetingEnd(GreetingEnd {
                at: end,
                beep: false,
            }));
        }
        found
    }

    /// End of the greeting, if it is over and that was not told. One that goes on after a long pause ends once more.
    fn silent_since(&self, line: &Line) -> Option<Duration> {
        if !self.greeting || self.beeped {
            return None;
        }
        let end = line.quiet_since(self.from)?;
        let is_new = self.told.is_none_or(|told| end > told);
        (is_new && line.now() >= end.saturating_add(self.silence)).then_some(end)
    }
}
