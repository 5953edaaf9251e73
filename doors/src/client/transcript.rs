//! What was told so far, and what of it is told again after a server is lost.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;

use super::screen::Screen;

/// Decided words, in milliseconds of the stream.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Said {
    pub beg_ms: u64,
    pub end_ms: u64,
    pub text: String,
    #[serde(default)]
    pub words: Vec<SaidWord>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SaidWord {
    pub text: String,
    pub beg_ms: u64,
    pub end_ms: u64,
}

impl Said {
    /// As it lies in a stream of which the server knows only what is behind `ms`.
    pub fn behind(mut self, ms: u64) -> Said {
        let behind = |at: u64| at.saturating_add(ms);
        (self.beg_ms, self.end_ms) = (behind(self.beg_ms), behind(self.end_ms));
        for word in &mut self.words {
            (word.beg_ms, word.end_ms) = (behind(word.beg_ms), behind(word.end_ms));
        }
        self
    }
}

/// How a server says where it may be gone on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// By acknowledgements: from there it says the same again.
    Acks,
    /// Not at all: the end of the last words is as good as any.
    Silent,
}

/// What is told again.
#[derive(Debug, PartialEq)]
enum Again {
    Nothing,
    /// These, as they were: all of it is known.
    Exactly(VecDeque<Said>),
    /// What lies before the end of what was told.
    ByTime,
    /// The words around the place where the audio was cut.
    Overlap,
}

pub struct Transcript {
    screen: Screen,
    manner: Manner,
    acked: u64,
    told_until: u64,
    /// Told since the last acknowledgement.
    since: VecDeque<Said>,
    /// The last words told.
    last: VecDeque<String>,
    again: Again,
}

/// Releases that are remembered; of a server that acknowledges none for so long, the rest is compared by its time.
const MOST: usize = 4096;
/// Words said again where the audio was cut, at most; and how far behind the cut they begin.
const OVERLAP: usize = 5;
const OVERLAP_MS: u64 = 300;

impl Transcript {
    pub fn new(screen: Screen) -> Transcript {
        Transcript {
            screen,
            manner: Manner::Silent,
            acked: 0,
            told_until: 0,
            since: VecDeque::new(),
            last: VecDeque::new(),
            again: Again::Nothing,
        }
    }

    pub fn shows_partials(&self) -> bool {
        self.screen.shows_partials()
    }

    /// From where a new connection should be sent the audio.
    pub fn resume_at(&self) -> Duration {
        Duration::from_millis(match self.manner {
            Manner::Acks => self.acked,
            Manner::Silent => self.told_until,
        })
    }

    /// The server has said who it is.
    pub fn manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// A connection begins at `start`.
    pub fn replay(&mut self, start: Duration) {
        let start = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
        self.again = match self.manner {
            _ if self.told_until == 0 => Again::Nothing,
            Manner::Acks if start == self.acked && !self.since.is_empty() => {
                Again::Exactly(self.since.clone())
            }
            Manner::Acks if start < self.told_until => Again::ByTime,
            Manner::Acks => Again::Nothing,
            Manner::Silent => Again::Overlap,
        };
    }

    /// Decided words came: those that are news are printed.
    pub fn said(&mut self, said: Said) {
        if let Some(news) = self.keep(said) {
            self.screen.words(&news);
        }
    }

    /// Keeps what is news, and gives it.
    pub(crate) fn keep(&mut self, said: Said) -> Option<Said> {
        let news = self.news(said)?;
        self.told_until = self.told_until.max(news.end_ms);
        for word in news.text.split_whitespace() {
            self.last.push_back(bare(word));
            if self.last.len() > OVERLAP {
                self.last.pop_front();
            }
        }
        self.since.push_back(news.clone());
        if self.since.len() > MOST {
            self.since.pop_front();
        }
        Some(news)
    }

    fn news(&mut self, mut said: Said) -> Option<Said> {
        if let Again::Exactly(known) = &mut self.again {
            if known.front() == Some(&said) {
                known.pop_front();
                if known.is_empty() {
                    self.again = Again::Nothing;
                }
                return None;
            }
            // It decides otherwise than the one before.
            self.again = Again::ByTime;
        }
        match self.again {
            Again::Nothing | Again::Exactly(_) => {}
            Again::ByTime if said.beg_ms >= self.told_until => self.again = Again::Nothing,
            Again::ByTime => {
                let until = self.told_until;
                let middle = |beg: u64, end: u64| beg + end.saturating_sub(beg) / 2;
                if said.words.is_empty() {
                    return (middle(said.beg_ms, said.end_ms) >= until).then_some(said);
                }
                said.words
                    .retain(|word| middle(word.beg_ms, word.end_ms) >= until);
                said.beg_ms = said.words.first()?.beg_ms;
                said.text = text(&said.words);
            }
            Again::Overlap => {
                self.again = Again::Nothing;
                if said.beg_ms < self.told_until.saturating_add(OVERLAP_MS) {
                    return self.without_overlap(said);
                }
            }
        }
        Some(said)
    }

    /// Without the words that it begins with and the text so far ends with.
    fn without_overlap(&self, mut said: Said) -> Option<Said> {
        let words: Vec<&str> = said.text.split_whitespace().collect();
        let most = words.len().min(self.last.len());
        let repeats = |n: &usize| {
            let told = self.last.iter().skip(self.last.len() - n);
            told.zip(&words).all(|(told, word)| *told == bare(word))
        };
        let Some(n) = (1..=most).rev().find(repeats) else {
            return Some(said);
        };
        let rest = words.get(n..).filter(|rest| !rest.is_empty())?;
        let (rest, count) = (rest.join(" "), words.len());
        said.text = rest;
        if said.words.len() == count {
            said.words.drain(..n);
            said.beg_ms = said.words.first()?.beg_ms;
        } else {
            said.words.clear();
        }
        Some(said)
    }

    /// From `ms` on a new server would say the same.
    pub fn ack(&mut self, ms: u64) {
        if ms >= self.acked {
            self.acked = ms;
            self.since.retain(|said| said.beg_ms >= ms);
        }
    }

    pub fn partial(&mut self, tail: &str) {
        if self.again == Again::Nothing {
            self.screen.partial(tail);
        }
    }

    pub fn flushed(&mut self) {
        if self.again == Again::Nothing {
            self.screen.flushed();
        }
    }

    /// The server is gone, and with it what was not decided.
    pub fn lost(&mut self) {
        self.screen.partial("");
    }

    pub fn close(&mut self) {
        self.screen.close();
    }
}

/// As the element writes it: a word that begins with an apostrophe's end joins on.
fn text(words: &[SaidWord]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.text.trim()).collect();
    words.join(" ")
}

fn bare(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(beg_ms: u64, end_ms: u64, text: &str) -> Said {
        let words: Vec<_> = text.split(' ').collect();
        let each = (end_ms - beg_ms) / words.len() as u64;
        Said {
            beg_ms,
            end_ms,
            text: text.into(),
            words: (0..)
                .zip(&words)
                .map(|(n, word)| SaidWord {
                    text: (*word).into(),
                    beg_ms: beg_ms + n * each,
                    end_ms: beg_ms + (n + 1) * each,
                })
                .collect(),
        }
    }

    fn transcript(manner: Manner) -> Transcript {
        let mut transcript = Transcript::new(Screen::new(true));
        transcript.manner(manner);
        transcript
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn times_beyond_all_streams_are_no_overflow() {
        let mut transcript = transcript(Manner::Silent);
        let late = said(u64::MAX - 1, u64::MAX, "bonjour").behind(1_000);
        assert_eq!((late.beg_ms, late.words[0].end_ms), (u64::MAX, u64::MAX));
        transcript.said(late);
        transcript.replay(transcript.resume_at());
        let again = said(u64::MAX - 1, u64::MAX, "bonjour");
        assert_eq!(transcript.keep(again), None);
    }

    #[test]
    fn what_is_told_again_as_it_was_is_not_printed() {
        let mut transcript = transcript(Manner::Acks);
        transcript.said(said(400, 900, "bonjour je"));
        transcript.ack(1_100);
        transcript.said(said(1_500, 2_000, "vous appelle"));
        transcript.said(said(2_000, 2_400, "au sujet"));
        assert_eq!(transcript.resume_at(), ms(1_100));
        transcript.replay(ms(1_100));
        assert_eq!(transcript.news(said(1_500, 2_000, "vous appelle")), None);
        assert_eq!(transcript.news(said(2_000, 2_400, "au sujet")), None);
        let news = said(2_400, 2_500, "de");
        assert_eq!(transcript.news(news.clone()), Some(news));
    }

    #[test]
    fn what_is_decided_otherwise_is_told_from_where_the_text_had_come_to() {
        let mut transcript = transcript(Manner::Acks);
        transcript.said(said(1_500, 2_100, "vous appelle au"));
        transcript.replay(ms(0));
        let news = transcript.news(said(1_500, 2_300, "vous appelez au sujet"));
        let news = news.unwrap();
        assert_eq!((news.text.as_str(), news.beg_ms), ("sujet", 2_100));
        transcript.said(said(2_400, 2_500, "de"));
        assert_eq!(transcript.again, Again::Nothing);
    }

    #[test]
    fn without_acks_words_around_the_cut_are_told_once() {
        let mut transcript = transcript(Manner::Silent);
        transcript.said(said(400, 2_000, "bonjour je vous appelle"));
        assert_eq!(transcript.resume_at(), ms(2_000));
        transcript.replay(ms(2_000));
        let news = transcript
            .news(said(2_010, 2_500, "Appelle, au sujet"))
            .unwrap();
        assert_eq!(news.text, "au sujet");
        // Said twice later on is said twice.
        transcript.said(news);
        let twice = said(2_500, 2_700, "sujet");
        assert_eq!(transcript.news(twice.clone()), Some(twice));
    }

    #[test]
    fn a_pause_at_the_cut_repeats_nothing() {
        let mut transcript = transcript(Manner::Silent);
        transcript.said(said(400, 500, "non"));
        transcript.replay(ms(500));
        let later = said(1_500, 1_700, "non");
        assert_eq!(transcript.news(later.clone()), Some(later));
    }
}
