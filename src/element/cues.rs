//! Words into readable text: spaces, punctuation, and cues for subtitles. Pure.

use gst::ClockTime;

/// Most characters of a cue: two lines of 42, the usual width of subtitles.
const CUE_CHARS: usize = 84;
/// From here on a cue ends with its sentence.
const SENTENCE_CHARS: usize = 42;
/// Longest cue.
const CUE_LONGEST: ClockTime = ClockTime::from_seconds(6);
/// A cue stays this long, if nothing follows it sooner.
const CUE_SHORTEST: ClockTime = ClockTime::from_seconds(1);
/// A pause that ends a cue.
const CUE_PAUSE: ClockTime = ClockTime::from_seconds(1);

/// A committed word on the segment's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedWord {
    /// As decoded: with its leading space, if it has one.
    pub text: String,
    pub tokens: Vec<u32>,
    pub start: ClockTime,
    pub end: ClockTime,
    pub confidence: f32,
}

/// Words that leave together.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    pub words: Vec<TimedWord>,
    pub start: ClockTime,
    pub end: ClockTime,
}

/// Gathers words until they make a readable cue.
#[derive(Debug, Default)]
pub struct Cues {
    pending: Vec<TimedWord>,
}

impl Cues {
    /// Takes words in; returns the cues that they completed.
    pub fn add(&mut self, words: Vec<TimedWord>) -> Vec<Cue> {
        let mut done = Vec::new();
        for word in words {
            if self.breaks_before(&word) {
                done.extend(self.take(word.start));
            }
            self.pending.push(word);
        }
        done
    }

    /// Nothing later starts before `until`: returns the cue that this ends, if any.
    pub fn quiet(&mut self, until: ClockTime) -> Option<Cue> {
        let (first, last) = (self.pending.first()?, self.pending.last()?);
        let pause = until >= last.end.saturating_add(CUE_PAUSE);
        let full = until >= first.start.saturating_add(CUE_LONGEST);
        if pause || full {
            self.take(until)
        } else {
            None
        }
    }

    /// Returns what is left; `end` is where the audio ends.
    pub fn take(&mut self, end: ClockTime) -> Option<Cue> {
        let words = std::mem::take(&mut self.pending);
        let start = words.first()?.start;
        let spoken = words.last()?.end;
        let lingering = start.saturating_add(CUE_SHORTEST).min(end);
        Some(Cue {
            words,
            start,
            end: spoken.max(lingering),
        })
    }

    /// Where the cue being gathered starts.
    pub fn start(&self) -> Option<ClockTime> {
        self.pending.first().map(|word| word.start)
    }

    /// Forgets what was gathered.
    pub fn clear(&mut self) {
        self.pending.clear();
    }

    fn breaks_before(&self, word: &TimedWord) -> bool {
        let (Some(first), Some(last)) = (self.pending.first(), self.pending.last()) else {
            return false;
        };
        if is_attached(&word.text) {
            return false;
        }
        let chars: usize = self.pending.iter().map(|w| w.text.chars().count()).sum();
        let sentence = last
            .text
            .trim_end()
            .ends_with(['.', '?', '!', '…', '。', '？', '！']);
        chars + word.text.chars().count() > CUE_CHARS
            || word.end > first.start.saturating_add(CUE_LONGEST)
            || word.start >= last.end.saturating_add(CUE_PAUSE)
            || (sentence && chars >= SENTENCE_CHARS)
    }
}

/// Joins punctuation to the word before it, so that no buffer holds a lone comma.
pub fn attach_punctuation(words: Vec<TimedWord>) -> Vec<TimedWord> {
    let mut joined: Vec<TimedWord> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(last) if is_attached(&word.text) => {
                last.text.push_str(&word.text);
                last.tokens.extend(word.tokens);
                last.end = last.end.max(word.end);
            }
            _ => joined.push(word),
        }
    }
    joined
}

/// The words' text on one line, with single spaces; fit for SubRip and WebVTT cues, whose syntax it cannot break.
pub fn readable(words: &[TimedWord]) -> String {
    let joined: String = words.iter().map(|word| word.text.as_str()).collect();
    harmless(&tidy(&joined))
}

/// Single spaces between words, none at the ends, no control characters.
pub fn tidy(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Takes out what would end a cue or open a timing line: line breaks and `-->`.
pub fn harmless(text: &str) -> String {
    text.replace(['\n', '\r', '\0', '\u{85}', '\u{2028}', '\u{2029}'], " ")
        .replace("-->", "→")
}

fn is_attached(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(char::is_whitespace)
        && text
            .trim_end()
            .chars()
            .all(|c| ".,;:!?…%)]}»\"'’”。、，；：！？）".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> ClockTime {
        ClockTime::from_mseconds(ms)
    }

    fn word(text: &str, start: u64, end: u64) -> TimedWord {
        TimedWord {
            text: text.into(),
            tokens: vec![1],
            start: ms(start),
            end: ms(end),
            confidence: 1.0,
        }
    }

    /// Twenty words of seven letters, one every 250 ms.
    fn speech() -> Vec<TimedWord> {
        (0..20)
            .map(|n| word(" bonjour", n * 250, n * 250 + 200))
            .collect()
    }

    #[test]
    fn words_are_joined_by_single_spaces() {
        let words = [
            word(" il", 0, 1),
            word("  fait", 1, 2),
            word(" beau\n", 2, 3),
        ];
        assert_eq!(readable(&words), "il fait beau");
    }

    #[test]
    fn text_cannot_break_a_cue() {
        let words = [word(" a\n\nb", 0, 1), word(" 00:01 --> 00:02\r", 1, 2)];
        assert_eq!(readable(&words), "a b 00:01 → 00:02");
    }

    #[test]
    fn scripts_without_spaces_stay_without() {
        assert_eq!(
            readable(&[word("你好", 0, 1), word("世界", 1, 2)]),
            "你好世界"
        );
    }

    #[test]
    fn punctuation_joins_the_word_before() {
        let words = attach_punctuation(vec![
            word(" oui", 0, 300),
            word(",", 300, 320),
            word(" non", 400, 600),
        ]);
        assert_eq!(words.len(), 2);
        assert_eq!(words[0].text, " oui,");
        assert_eq!(words[0].end, ms(320));
        assert_eq!(words[0].tokens, [1, 1]);
    }

    #[test]
    fn a_cue_holds_at_most_two_lines() {
        let mut cues = Cues::default();
        let done = cues.add(speech());
        assert_eq!(done.len(), 1);
        for cue in done.iter().chain(cues.take(ms(5_000)).iter()) {
            let text = readable(&cue.words);
            assert!(text.chars().count() <= CUE_CHARS, "{text}");
        }
    }

    #[test]
    fn a_cue_lasts_at_most_six_seconds() {
        let mut cues = Cues::default();
        let slow = (0..10)
            .map(|n| word(" a", n * 900, n * 900 + 800))
            .collect();
        for cue in cues.add(slow) {
            assert!(cue.end - cue.start <= CUE_LONGEST);
        }
    }

    #[test]
    fn a_pause_ends_a_cue() {
        let mut cues = Cues::default();
        let done = cues.add(vec![word(" allô", 0, 400), word(" bonjour", 2_000, 2_500)]);
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].end, ms(1_000));
        assert_eq!(cues.start(), Some(ms(2_000)));
        assert_eq!(cues.quiet(ms(3_400)), None);
        assert_eq!(cues.quiet(ms(3_500)).map(|cue| cue.end), Some(ms(3_000)));
        assert_eq!(cues.start(), None);
    }

    #[test]
    fn a_cue_never_outlasts_the_next_word() {
        let mut cues = Cues::default();
        cues.add(speech());
        let mut longer = Cues::default();
        longer.add(vec![word(" a", 0, 100)]);
        assert_eq!(longer.take(ms(300)).map(|cue| cue.end), Some(ms(300)));
    }

    #[test]
    fn a_sentence_ends_a_cue_that_is_long_enough() {
        let mut cues = Cues::default();
        let long = word(
            " vous êtes bien sur la messagerie de Jean Dupont.",
            0,
            3_000,
        );
        assert_eq!(
            cues.add(vec![long, word(" laissez", 3_100, 3_400)]).len(),
            1
        );
        let mut short = Cues::default();
        assert!(
            short
                .add(vec![word(" Oui.", 0, 300), word(" Non.", 400, 700)])
                .is_empty()
        );
    }

    #[test]
    fn punctuation_never_starts_a_cue() {
        let mut cues = Cues::default();
        let done = cues.add(vec![word(" oui", 0, 300), word("!", 5_000, 9_000)]);
        assert!(done.is_empty());
    }
}
