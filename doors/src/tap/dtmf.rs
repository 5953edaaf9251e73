//! Keys that a caller presses, as RFC 4733 sends them: one event in many packets, its end three times.

use std::time::Duration;

use serde::Serialize;

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Digit {
    /// `0` to `9`, `*`, `#`, `A` to `D`; `!` is a flash of the hook.
    pub digit: char,
    #[serde(serialize_with = "crate::call::seconds")]
    pub start: Duration,
    #[serde(serialize_with = "crate::call::seconds")]
    pub end: Duration,
}

/// What a payload of four bytes says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub digit: char,
    pub is_end: bool,
    /// How long it lasts so far.
    pub length: Duration,
}

impl Report {
    /// `None`: too short, or not a key.
    pub fn read(payload: &[u8], clock: u32) -> Option<Report> {
        let [event, flags, high, low, ..] = payload else {
            return None;
        };
        let digit = match event {
            0..=9 => char::from(b'0' + event),
            10 => '*',
            11 => '#',
            12..=15 => char::from(b'A' + (event - 12)),
            16 => '!',
            _ => return None,
        };
        let ticks = u64::from(u16::from_be_bytes([*high, *low]));
        let length = Duration::from_nanos(ticks * 1_000_000_000 / u64::from(clock.max(1)));
        Some(Report {
            digit,
            is_end: flags & 0x80 != 0,
            length,
        })
    }
}

/// An event whose packets stop coming is over.
const ABANDONED: Duration = Duration::from_millis(500);

/// Puts the packets of an event together.
#[derive(Default)]
pub struct Keys {
    current: Option<Pressed>,
    /// Timestamp of the one told last: its end comes three times.
    told: Option<u32>,
    /// Where there was a tone last.
    tone: Option<(Duration, Duration)>,
}

struct Pressed {
    timestamp: u32,
    digit: Digit,
    heard: Duration,
}

impl Keys {
    /// A packet of an event that began at `start`. Returns a key that is over.
    pub fn report(
        &mut self,
        timestamp: u32,
        report: Report,
        start: Duration,
        now: Duration,
    ) -> Option<Digit> {
        if self.told == Some(timestamp) {
            return None;
        }
        // A new key ends the one before, whose ends were lost.
        let mut over = None;
        if self
            .current
            .as_ref()
            .is_some_and(|key| key.timestamp != timestamp)
        {
            over = self.finish();
        }
        let key = self.current.get_or_insert(Pressed {
            timestamp,
            digit: Digit {
                digit: report.digit,
                start,
                end: start,
            },
            heard: now,
        });
        key.heard = now;
        key.digit.end = key.digit.end.max(start + report.length);
        self.tone = Some((key.digit.start, key.digit.end));
        if report.is_end {
            over.or(self.finish())
        } else {
            over
        }
    }

    /// A key none of whose packets came for a while.
    pub fn abandoned(&mut self, now: Duration) -> Option<Digit> {
        let heard = self.current.as_ref()?.heard;
        (now > heard + ABANDONED).then(|| self.finish()).flatten()
    }

    pub fn finish(&mut self) -> Option<Digit> {
        let key = self.current.take()?;
        self.told = Some(key.timestamp);
        Some(key.digit)
    }

    /// Whether a key sounds at `time`: the tone beside its events is not speech.
    pub fn sounds(&self, time: Duration) -> bool {
        self.tone
            .is_some_and(|(start, end)| time >= start && time < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_key_is_told_once_however_often_its_end_comes() {
        let mut keys = Keys::default();
        let read = |bytes: [u8; 4]| Report::read(&bytes, 8_000).unwrap();
        let begun = read([5, 10, 0, 160]);
        let over = read([5, 0x8a, 3, 32]);
        assert_eq!(keys.report(100, begun, ms(40), ms(60)), None);
        let digit = keys.report(100, over, ms(40), ms(140)).unwrap();
        assert_eq!(
            (digit.digit, digit.start, digit.end),
            ('5', ms(40), ms(140))
        );
        assert_eq!(keys.report(100, over, ms(40), ms(160)), None);
        assert!(keys.sounds(ms(100)) && !keys.sounds(ms(140)));
    }

    #[test]
    fn a_key_whose_end_is_lost_is_told_all_the_same() {
        let mut keys = Keys::default();
        let begun = Report::read(&[11, 10, 0, 160], 8_000).unwrap();
        keys.report(100, begun, ms(0), ms(20));
        assert_eq!(keys.abandoned(ms(400)), None);
        assert_eq!(keys.abandoned(ms(600)).map(|digit| digit.digit), Some('#'));
        keys.report(900, begun, ms(700), ms(720));
        let before = keys.report(1_800, begun, ms(900), ms(920));
        assert_eq!(before.map(|digit| digit.start), Some(ms(700)));
    }

    #[test]
    fn what_is_no_key_is_no_report() {
        assert_eq!(Report::read(&[5, 0, 0], 8_000), None);
        assert_eq!(Report::read(&[], 8_000), None);
        assert_eq!(Report::read(&[200, 0, 0, 160], 8_000), None);
    }
}
