//! Makes tones out of bursts: what each is, when that is sure, and when it is over.

use super::cadence::{self, Sound};
use super::examine::Look;
use super::line::ms;
use super::track::{Burst, HOP};
use super::{Kind, Settings};

/// A tone is known. Positions are samples at 8 kHz.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub kind: Kind,
    pub start: u64,
    pub end: u64,
    pub hz: f64,
    pub power: f64,
    pub is_final: bool,
}

/// A beep is sure this long after it has lasted for its minimum: so long it is watched.
const SURE: u64 = ms(160);
/// Behind a short beep so long nothing else may be played.
const ALONE: u64 = ms(90);
/// Two tones this close, and of frequencies farther apart than this, are notes of a melody.
const NEXT: u64 = ms(700);
/// The shortest note: in less, speech has some that look like one.
const NOTE: u64 = ms(90);
/// So long behind a note of a melody, any other is one.
const MELODY: u64 = ms(3_000);
const ANOTHER: f64 = 0.025;
/// From here on, Hz, a tone whose harmonics lie beyond what a telephone carries, and the quiet that must be before it.
const HIGH: f64 = 1_600.0;
const HIGH_QUIET: u64 = ms(200);
/// Totals of frames that are kept.
const TOTALS: usize = 256;

/// Something goes on.
#[derive(Clone, Copy, Debug)]
struct Active {
    kind: Kind,
    start: u64,
    end: u64,
    hz: f64,
    power: f64,
    /// Start of the burst that it was heard in last.
    burst: u64,
    sound: Option<Sound>,
    /// How long the next burst may be in coming; 0: it ends with its burst.
    pause: u64,
}

/// What was heard in a burst.
#[derive(Clone, Copy, Debug)]
struct Heard {
    kind: Kind,
    /// Of the tone, which may have begun bursts before.
    start: u64,
    sound: Option<Sound>,
    pause: u64,
}

impl Heard {
    /// One burst of its own.
    fn alone(kind: Kind, burst: &Burst) -> Heard {
        Heard {
            kind,
            start: burst.start,
            sound: None,
            pause: 0,
        }
    }
}

/// A beep, but for what may follow.
#[derive(Clone, Copy, Debug)]
struct Pending {
    burst: Burst,
    look: Look,
    until: u64,
    awaits: Awaits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// The next burst of a cadence at 440 Hz.
    Cadence,
    /// The second of special information tones.
    Sit,
    /// The next note.
    Note,
}

/// A burst that has ended, as context for the next.
#[derive(Clone, Copy, Debug)]
struct Past {
    burst: Burst,
    sound: Option<Sound>,
    is_note: bool,
    is_melody: bool,
}

/// The last burst but one of a cadence.
#[derive(Clone, Copy, Debug)]
struct Before {
    start: u64,
    length: u64,
    /// Between the two.
    pause: u64,
}

/// Keeps what was heard and what goes on.
pub struct Judge {
    settings: Settings,
    /// The latest first.
    past: [Option<Past>; 4],
    active: Option<Active>,
    pending: Option<Pending>,
    /// Power of the last frames, a ring by frame number.
    totals: [f64; TOTALS],
}

impl Judge {
    pub fn new(settings: Settings) -> Judge {
        Judge {
            settings,
            past: [None; 4],
            active: None,
            pending: None,
            totals: [0.0; TOTALS],
        }
    }

    /// Keeps the power of the frame that ended at `now`.
    pub fn note_power(&mut self, now: u64, total: f64) {
        let index = usize::try_from(now / HOP).unwrap_or_default() % TOTALS;
        if let Some(slot) = self.totals.get_mut(index) {
            *slot = total;
        }
    }

    /// A burst goes on.
    pub fn running(&mut self, burst: &Burst, found: &mut dyn FnMut(Found)) {
        if let Some(active) = self
            .active
            .as_mut()
            .filter(|active| active.burst == burst.start)
        {
            active.end = burst.end;
            return;
        }
        let Some(look) = burst.look.filter(|look| self.is_loud(look)) else {
            return;
        };
        let length = burst.length();
        if let Some(sound) = cadence::sound(&look)
            && let Some((kind, pause)) = cadence::running(sound, length)
        {
            let heard = Heard {
                sound: Some(sound),
                pause,
                ..Heard::alone(kind, burst)
            };
            self.heard(heard, burst, &look, found);
        } else if cadence::is_ced(&look) {
            if length >= cadence::CED_SURE
                && !self.is_melody(burst, look.hz)
                && self.was_quiet(burst, &look, cadence::CED_QUIET)
            {
                self.heard(Heard::alone(Kind::FaxCed, burst), burst, &look, found);
            }
        } else if length >= cadence::SIT_SURE
            && let Some(start) = self.sit_before(burst)
        {
            let heard = Heard {
                start,
                ..Heard::alone(Kind::Sit, burst)
            };
            // They are no melody.
            for past in self.past.iter_mut().flatten() {
                past.is_melody = false;
            }
            self.heard(heard, burst, &look, found);
        } else if cadence::sound(&look).is_none()
            && length >= self.hold(look.hz)
            && self.may_beep(burst, &look)
        {
            self.heard(Heard::alone(Kind::Beep, burst), burst, &look, found);
        }
    }

    /// A burst has ended.
    pub fn ended(&mut self, burst: &Burst, now: u64, found: &mut dyn FnMut(Found)) {
        let look = burst.look.filter(|look| self.is_loud(look));
        let sound = look.as_ref().and_then(cadence::sound);
        let is_active = self
            .active
            .is_some_and(|active| active.burst == burst.start);
        if is_active && let Some(active) = &mut self.active {
            active.end = burst.end;
            if active.pause == 0 {
                self.close(found);
            }
        }
        let is_note = look.is_some_and(|look| look.is_note()) && burst.length() >= NOTE;
        let mut is_melody = false;
        if let Some(look) = look {
            let before = self.same_before(burst, sound);
            let told = sound.and_then(|sound| {
                let length = before.map(|before| (before.length, before.pause));
                cadence::ended(sound, burst.length(), length)
            });
            if let Some((kind, pause)) = told {
                // The two bursts by which a cadence is known are both of it.
                let two = matches!(sound, Some(Sound::Hz400 | Sound::Hz425 | Sound::Hz440))
                    && kind != Kind::RingBack;
                let start = before
                    .filter(|_| two)
                    .map_or(burst.start, |before| before.start);
                self.pending = None;
                let heard = Heard {
                    kind,
                    start,
                    sound,
                    pause,
                };
                self.heard(heard, burst, &look, found);
            } else if !is_active {
                is_melody = is_note && self.is_melody(burst, look.hz);
                self.end_of_beep(burst, &look, now, found);
            }
        }
        self.past.rotate_right(1);
        self.past[0] = Some(Past {
            burst: *burst,
            sound,
            is_note,
            is_melody,
        });
    }

    /// Time goes on. `running`: start and frequency of what is heard now, if that is of one or two tones.
    pub fn pass(&mut self, now: u64, running: Option<(u64, f64)>, found: &mut dyn FnMut(Found)) {
        if let Some(pending) = self.pending {
            let next = running.filter(|(start, _)| *start + ms(20) >= pending.burst.end);
            let is_next = |start: u64, hz: f64| match pending.awaits {
                Awaits::Cadence => (hz - pending.look.hz).abs() < 15.0,
                Awaits::Sit => {
                    cadence::is_second_of_sit(hz)
                        || (now >= start + ms(40) && is_other(hz, pending.look.hz))
                }
                Awaits::Note => now >= start + ms(40) && is_other(hz, pending.look.hz),
            };
            if next.is_some_and(|(start, hz)| is_next(start, hz)) {
                self.pending = None;
                if let [Some(past), ..] = &mut self.past {
                    past.is_melody |= pending.awaits == Awaits::Note;
                }
            } else if now >= pending.until {
                self.pending = None;
                self.close(found);
                // It has ended before it was known: told once.
                let heard = Heard::alone(Kind::Beep, &pending.burst);
                found(Active::new(heard, &pending.burst, &pending.look).tell(true));
            }
        }
        if let Some(active) = self.active
            && active.pause > 0
            && now > active.end + active.pause
            && running.is_none_or(|(_, hz)| is_other(hz, active.hz))
        {
            self.close(found);
        }
    }

    /// The line is cut: nothing more will be heard of what goes on.
    pub fn finish(&mut self, now: u64, found: &mut dyn FnMut(Found)) {
        if let Some(pending) = &mut self.pending {
            pending.until = now;
            self.pass(now, None, found);
        }
        self.close(found);
        self.past = [None; 4];
        self.totals = [0.0; TOTALS];
    }

    fn is_loud(&self, look: &Look) -> bool {
        look.power >= self.settings.floor()
    }

    /// Opens a tone, or goes on with it.
    fn heard(&mut self, heard: Heard, burst: &Burst, look: &Look, found: &mut dyn FnMut(Found)) {
        if let Some(active) = &mut self.active
            && active.kind == heard.kind
            && active.pause > 0
            && active.sound == heard.sound
            && burst.start <= active.end + active.pause
        {
            active.burst = burst.start;
            active.end = burst.end;
            return;
        }
        self.close(found);
        let active = Active::new(heard, burst, look);
        found(active.tell(false));
        self.active = Some(active);
    }

    /// What goes on is over.
    fn close(&mut self, found: &mut dyn FnMut(Found)) {
        if let Some(active) = self.active.take() {
            found(active.tell(true));
        }
    }

    /// How long a tone of `hz` must last to be a beep for sure.
    fn hold(&self, hz: f64) -> u64 {
        let sure = ms(u64::from(self.settings.min_duration_ms)) + SURE;
        if cadence::may_be_cng(hz) {
            sure.max(cadence::CNG_LONGEST)
        } else if cadence::may_be_sit(hz) {
            sure.max(cadence::SIT_LONGEST)
        } else {
            sure
        }
    }

    /// Whether a burst may be a beep by what it is and what was before.
    fn may_beep(&self, burst: &Burst, look: &Look) -> bool {
        look.is_steady()
            && self.settings.may_beep(look.hz)
            && !self.is_melody(burst, look.hz)
            // So high, the harmonics by which an instrument is known are not heard.
            && (look.hz < HIGH || self.was_quiet(burst, look, HIGH_QUIET))
    }

    fn end_of_beep(&mut self, burst: &Burst, look: &Look, now: u64, found: &mut dyn FnMut(Found)) {
        let shortest = ms(u64::from(self.settings.min_duration_ms)).saturating_sub(ms(12));
        if burst.length() < shortest || !self.may_beep(burst, look) {
            return;
        }
        let calling = self
            .active
            .is_some_and(|active| active.kind == Kind::FaxCng);
        if cadence::is_cng(look.hz, burst.length())
            && (calling || self.was_quiet(burst, look, cadence::CNG_QUIET))
        {
            let heard = Heard {
                pause: cadence::CNG_PAUSE,
                ..Heard::alone(Kind::FaxCng, burst)
            };
            self.heard(heard, burst, look, found);
            return;
        }
        let (awaits, wait) = match cadence::sound(look) {
            Some(Sound::Hz440) => (Awaits::Cadence, cadence::wait_for_next(burst.length())),
            Some(_) => return,
            None if cadence::may_be_sit(look.hz) => (Awaits::Sit, cadence::SIT_WAIT),
            None => (Awaits::Note, ALONE),
        };
        let until = burst.end + wait;
        self.pending = Some(Pending {
            burst: *burst,
            look: *look,
            until,
            awaits,
        });
        self.pass(now, None, found);
    }

    /// Whether another note was played just before.
    fn is_melody(&self, burst: &Burst, hz: f64) -> bool {
        self.past.iter().flatten().any(|past| {
            let pause = burst.start.saturating_sub(past.burst.end);
            past.is_melody && pause < MELODY
                || past.is_note && pause < NEXT && is_other(past.burst.hz, hz)
        })
    }

    /// The burst of the same sound before this one.
    fn same_before(&self, burst: &Burst, sound: Option<Sound>) -> Option<Before> {
        let past = self.past[0].filter(|past| past.sound.is_some() && past.sound == sound)?;
        Some(Before {
            start: past.burst.start,
            length: past.burst.length(),
            pause: burst.start.saturating_sub(past.burst.end),
        })
    }

    /// Where special information tones began, if this burst is their third.
    fn sit_before(&self, burst: &Burst) -> Option<u64> {
        let [Some(second), Some(first), ..] = &self.past else {
            return None;
        };
        cadence::is_sit([&first.burst, &second.burst, burst]).then_some(first.burst.start)
    }

    /// Whether it was quiet before a burst, for so long.
    fn was_quiet(&self, burst: &Burst, look: &Look, quiet: u64) -> bool {
        // Frames look back 64 ms.
        let last = burst.start / HOP;
        let first = burst.start.saturating_sub(quiet) / HOP + 7;
        (first..last).all(|frame| {
            let index = usize::try_from(frame).unwrap_or_default() % TOTALS;
            self.totals
                .get(index)
                .is_none_or(|total| *total < 0.25 * look.power)
        })
    }
}

impl Active {
    fn new(heard: Heard, burst: &Burst, look: &Look) -> Active {
        Active {
            kind: heard.kind,
            start: heard.start,
            end: burst.end,
            hz: look.hz,
            power: look.power,
            burst: burst.start,
            sound: heard.sound,
            pause: heard.pause,
        }
    }

    fn tell(&self, is_final: bool) -> Found {
        Found {
            kind: self.kind,
            start: self.start,
            end: self.end,
            hz: self.hz,
            power: self.power,
            is_final,
        }
    }
}

fn is_other(a: f64, b: f64) -> bool {
    (a - b).abs() > ANOTHER * a.max(b)
}
