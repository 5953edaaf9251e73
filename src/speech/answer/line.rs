//! What was heard on the line so far: the clock, who spoke when, tones.

use std::time::Duration;

pub use crate::speech::tones::Kind as ToneKind;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: Duration,
    pub end: Duration,
}

impl Span {
    fn overlaps(&self, other: &Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What of it lies in `other`.
    fn within(&self, other: &Span) -> Option<Span> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(Span { start, end })
    }

    pub fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// The clock: a short stretch of audio was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub start: Duration,
    pub duration: Duration,
    /// Whether somebody speaks at its end; none if nobody can tell.
    pub speaking: Option<bool>,
    /// If so, since how long.
    pub speech: Duration,
}

/// A tone, or what was heard of it so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    pub kind: ToneKind,
    pub start: Duration,
    pub duration: Duration,
    /// Whether it has ended.
    pub ended: bool,
    /// Hz.
    pub frequency: f64,
    /// dBFS.
    pub level: f64,
}

impl Tone {
    pub fn span(&self) -> Span {
        Span {
            start: self.start,
            end: self.start.saturating_add(self.duration),
        }
    }
}

/// Voice is found a little before and behind a tone that sets it off.
const TONE_MARGIN: Duration = Duration::from_millis(200);
/// What lies further back is of no use any more.
const KEPT: Duration = Duration::from_secs(30);

/// All that was heard since the call began, but no more than half a minute.
#[derive(Clone, Debug, Default)]
pub struct Line {
    now: Duration,
    /// In order, apart.
    spans: Vec<Span>,
    /// Since when somebody speaks.
    open: Option<Duration>,
    /// Somebody told of speech: words alone need not.
    voiced: bool,
    words: Vec<Span>,
    tones: Vec<Tone>,
}

impl Line {
    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn heard(&mut self, heard: &Heard) {
        let end = heard.start.saturating_add(heard.duration);
        self.now = self.now.max(end);
        match heard.speaking {
            Some(true) => {
                self.voiced = true;
                let since = end.saturating_sub(heard.speech.max(heard.duration));
                self.open.get_or_insert(since);
            }
            // Its end is told behind the text; until then this is near enough.
            Some(false) => {
                if let Some(start) = self.open.take() {
                    self.close(Span {
                        start,
                        end: heard.start,
                    });
                }
            }
            None => {}
        }
        self.forget();
    }

    pub fn speech_start(&mut self, at: Duration) {
        self.voiced = true;
        let known = self.spans.iter().any(|span| at < span.end);
        if self.open.is_none() && !known {
            self.open = Some(at);
        }
    }

    pub fn speech_end(&mut self, span: Span) {
        self.voiced = true;
        if self.open.is_some_and(|open| open < span.end) {
            self.open = None;
        }
        self.close(span);
    }

    /// Puts a finished stretch of speech in the place of what was known of it.
    fn close(&mut self, span: Span) {
        self.spans.retain(|known| !known.overlaps(&span));
        if span.start < span.end {
            self.spans.push(span);
            self.spans.sort_by_key(|span| span.start);
        }
    }

    /// Words tell of speech where nobody else does. They may be ahead of the clock where there is none.
    pub fn word(&mut self, span: Span) {
        self.words.push(span);
    }

    pub fn tone(&mut self, tone: Tone) {
        let span = tone.span();
        // What was said of it before it ended.
        self.tones
            .retain(|known| known.kind != tone.kind || known.start != tone.start);
        self.now = self.now.max(span.end);
        self.tones.push(tone);
    }

    pub fn tones(&self) -> &[Tone] {
        &self.tones
    }

    /// All that is before `start` is of another call.
    pub fn begin(&mut self, start: Duration) {
        self.spans.retain(|span| span.end > start);
        self.words.retain(|span| span.end > start);
        self.tones.retain(|tone| tone.span().end > start);
    }

    fn forget(&mut self) {
        if let Some(horizon) = self.now.checked_sub(KEPT) {
            self.begin(horizon);
        }
    }

    /// Where somebody spoke from `start` to now, in order, without the tones that were taken for speech.
    pub fn speech(&self, start: Duration) -> Vec<Span> {
        let whole = Span {
            start,
            end: self.now,
        };
        let open = self.open.map(|start| Span {
            start,
            end: self.now,
        });
        let mut spans = match self.voiced {
            true => self.spans.clone(),
            false => joined(&self.words),
        };
        spans.extend(open);
        let mut voice = Vec::new();
        let mut until = start;
        for span in &spans {
            let unheard = Span {
                start: until,
                end: whole.end,
            };
            if let Some(part) = span.within(&unheard) {
                until = part.end;
                voice.extend(self.without_tones(part));
            }
        }
        voice
    }

    /// Whether a word is a tone that was taken for one: most of it lies in it.
    pub fn is_tone(&self, word: &Span) -> bool {
        let within = |tone: &Tone| word.within(&tone.span()).map(|part| part.length());
        let covered: Duration = self.tones.iter().filter_map(within).sum();
        covered > word.length() / 2
    }

    fn without_tones(&self, span: Span) -> Vec<Span> {
        let mut parts = vec![span];
        for tone in &self.tones {
            let tone = tone.span();
            let tone = Span {
                start: tone.start.saturating_sub(TONE_MARGIN),
                end: tone.end.saturating_add(TONE_MARGIN),
            };
            parts = parts
                .iter()
                .flat_map(|part| {
                    let before = Span {
                        end: part.end.min(tone.start),
                        ..*part
                    };
                    let behind = Span {
                        start: part.start.max(tone.end),
                        ..*part
                    };
                    [before, behind]
                })
                .filter(|part| part.start < part.end)
                .collect();
        }
        parts
    }

    /// Since when nobody speaks; none while somebody does, or if nobody did since `start`.
    pub fn quiet_since(&self, start: Duration) -> Option<Duration> {
        let end = self.speech(start).last()?.end;
        (end < self.now).then_some(end)
    }
}

/// Words that follow each other closely are one stretch of speech.
fn joined(words: &[Span]) -> Vec<Span> {
    const GAP: Duration = Duration::from_millis(300);
    let mut words = words.to_vec();
    words.sort_by_key(|span| span.start);
    let mut spans: Vec<Span> = Vec::new();
    for word in words {
        match spans.last_mut() {
            Some(last) if word.start <= last.end.saturating_add(GAP) => {
                last.end = last.end.max(word.end);
            }
            _ => spans.push(word),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn span(start: u64, end: u64) -> Span {
        Span {
            start: ms(start),
            end: ms(end),
        }
    }

    fn clock(line: &mut Line, until: u64, speaking: bool) {
        while line.now() < ms(until) {
            let since = line.open.map(|open| line.now() + ms(100) - open);
            line.heard(&Heard {
                start: line.now(),
                duration: ms(100),
                speaking: Some(speaking),
                speech: since.unwrap_or(ms(100)),
            });
        }
    }

    #[test]
    fn speech_goes_on_until_its_end_is_told() {
        let mut line = Line::default();
        clock(&mut line, 500, false);
        line.speech_start(ms(430));
        clock(&mut line, 1500, true);
        assert_eq!(line.speech(ms(0)), [span(430, 1500)]);
        assert_eq!(line.quiet_since(ms(0)), None);
        line.speech_end(span(430, 1010));
        clock(&mut line, 1800, false);
        assert_eq!(line.speech(ms(0)), [span(430, 1010)]);
        assert_eq!(line.quiet_since(ms(0)), Some(ms(1010)));
    }

    #[test]
    fn the_clock_alone_tells_of_speech_until_the_events_come() {
        let mut line = Line::default();
        clock(&mut line, 500, false);
        clock(&mut line, 1500, true);
        clock(&mut line, 1700, false);
        assert_eq!(line.speech(ms(0)), [span(500, 1500)]);
        // Late: the true start and end.
        line.speech_start(ms(450));
        line.speech_end(span(450, 1000));
        assert_eq!(line.speech(ms(0)), [span(450, 1000)]);
    }

    #[test]
    fn a_tone_is_no_speech() {
        let mut line = Line::default();
        clock(&mut line, 400, false);
        clock(&mut line, 2500, true);
        line.tone(Tone {
            kind: ToneKind::RingBack,
            start: ms(600),
            duration: ms(1500),
            ended: false,
            frequency: 425.0,
            level: -20.0,
        });
        assert_eq!(line.speech(ms(0)), [span(2300, 2500)]);
    }

    #[test]
    fn words_within_a_tone_are_none() {
        let mut line = Line::default();
        line.tone(Tone {
            kind: ToneKind::Beep,
            start: ms(600),
            duration: ms(400),
            ended: true,
            frequency: 1000.0,
            level: -20.0,
        });
        assert!(line.is_tone(&span(700, 900)));
        assert!(line.is_tone(&span(800, 1100)));
        assert!(!line.is_tone(&span(900, 1200)));
        assert!(!line.is_tone(&span(100, 500)));
    }

    #[test]
    fn what_was_before_the_call_does_not_count() {
        let mut line = Line::default();
        clock(&mut line, 1000, true);
        line.begin(ms(600));
        clock(&mut line, 1500, false);
        assert_eq!(line.speech(ms(600)), [span(600, 1000)]);
    }

    #[test]
    fn words_tell_of_speech_where_nothing_else_does() {
        let mut line = Line::default();
        line.word(span(300, 500));
        line.word(span(600, 900));
        line.word(span(1500, 1600));
        line.heard(&Heard {
            start: ms(0),
            duration: ms(3000),
            speaking: None,
            speech: ms(0),
        });
        assert_eq!(line.speech(ms(0)), [span(300, 900), span(1500, 1600)]);
    }

    #[test]
    fn a_long_call_is_forgotten() {
        let mut line = Line::default();
        for second in 0..3600 {
            line.speech_end(span(second * 1000, second * 1000 + 500));
            clock(&mut line, second * 1000 + 900, false);
        }
        assert!(line.spans.len() < 40);
    }
}
