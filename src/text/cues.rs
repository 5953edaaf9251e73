//! Cues: which words are shown together, from when to when, in which lines.
//!
//! The rules are what subtitlers usually agree on: two lines of 42 characters, no more characters a second than people
//! read, a cue for a second at least and seven at most, nothing overlaps, phrases stay together, a word is never split
//! nor left alone. Where they contradict each other, the least evil is looked for over all ways to cut the words at hand.

use std::time::Duration;

use super::layout::{break_cost, fit, is_apart, joined, lines, width};
use super::{Spoken, ends_sentence};

/// A pause that ends a cue.
const PAUSE: Duration = Duration::from_secs(1);
/// What one more cue costs.
const ANOTHER: f64 = 2.0;
/// What a cue of one word costs, and one that is gone in less than the shortest time.
const ORPHAN: f64 = 6.0;
/// What each second costs that a reader lacks.
const HURRIED: f64 = 3.0;
/// What each second of a pause costs within a cue, beyond one that nobody notices.
const SPANNING: f64 = 6.0;
const UNNOTICED: Duration = Duration::from_millis(250);
/// What a sentence costs that begins in one cue and goes on in the next, if it could have begun there.
const STRADDLING: f64 = 2.0;

/// What a cue must be like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CueRules {
    /// Characters of a line (wide ones count twice), and lines of a cue.
    pub line_chars: usize,
    pub lines: usize,
    /// Characters that people read in a second.
    pub chars_per_second: f64,
    /// A cue stays at least this long, if the next leaves it the time, and at most this long.
    pub shortest: Duration,
    pub longest: Duration,
    /// From the end of a cue to the start of the next, so that the eye sees a change.
    pub gap: Duration,
}

impl Default for CueRules {
    fn default() -> CueRules {
        CueRules {
            line_chars: 42,
            lines: 2,
            chars_per_second: 17.0,
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(7),
            gap: Duration::from_millis(80),
        }
    }
}

/// A rule that makes no sense: a whole sentence with value, reason and remedy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RulesError {
    #[error("a line of {0} characters holds no phrase; 20 to 80 are good, 42 is usual")]
    Line(usize),
    #[error("{0} lines make no cue; 1 to 4 do, 2 are usual")]
    Lines(usize),
    #[error("nobody reads {0} characters a second; people read 12 to 20")]
    Speed(f64),
}

impl CueRules {
    /// Refuses the first value that makes no sense.
    pub fn check(&self) -> Result<(), RulesError> {
        if !(10..=200).contains(&self.line_chars) {
            return Err(RulesError::Line(self.line_chars));
        }
        if !(1..=4).contains(&self.lines) {
            return Err(RulesError::Lines(self.lines));
        }
        if !(5.0..=50.0).contains(&self.chars_per_second) {
            return Err(RulesError::Speed(self.chars_per_second));
        }
        Ok(())
    }

    /// Time to read a text.
    fn reading(&self, chars: usize) -> Duration {
        let seconds = chars as f64 / self.chars_per_second.max(1.0);
        Duration::from_secs_f64(seconds.min(3_600.0)).max(self.shortest)
    }
}

/// Words that are shown together.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue<W> {
    pub words: Vec<W>,
    pub start: Duration,
    pub end: Duration,
    pub lines: Vec<String>,
}

/// Gathers words until they make cues.
#[derive(Clone, Debug)]
pub struct Cues<W> {
    rules: CueRules,
    /// Cues that are held back for what may come: the more, the better they are cut.
    ahead: usize,
    pending: Vec<W>,
}

impl<W: Spoken + Clone> Cues<W> {
    /// For a live reader: a cue leaves as soon as the next has begun.
    pub fn live(rules: CueRules) -> Cues<W> {
        let (ahead, pending) = (1, Vec::new());
        Cues {
            rules,
            ahead,
            pending,
        }
    }

    /// For a file: some cues are held back.
    pub fn unhurried(rules: CueRules) -> Cues<W> {
        let ahead = 6;
        Cues {
            ahead,
            ..Cues::live(rules)
        }
    }

    /// Takes words in; returns the cues that they completed.
    pub fn add(&mut self, words: Vec<W>) -> Vec<Cue<W>> {
        let mut done = Vec::new();
        for word in words {
            if let Some(last) = self.pending.last() {
                let is_over = is_apart(last, &word, PAUSE) || self.is_sentence();
                if is_over && break_cost(last, &word).is_some() {
                    done.extend(self.cut(word.start(), true));
                }
            }
            self.pending.push(word);
            done.extend(self.overflow());
        }
        done
    }

    /// Nothing later starts before `until`: returns the cues that this ends.
    pub fn quiet(&mut self, until: Duration) -> Vec<Cue<W>> {
        let (Some(first), Some(last)) = (self.pending.first(), self.pending.last()) else {
            return Vec::new();
        };
        let pause = until >= last.end().saturating_add(PAUSE);
        let full = self.ahead == 1 && until >= first.start().saturating_add(self.rules.longest);
        match pause || full {
            true => self.take(until),
            false => Vec::new(),
        }
    }

    /// Returns what is left. Nothing later starts before `until`.
    pub fn take(&mut self, until: Duration) -> Vec<Cue<W>> {
        self.cut(until, false)
    }

    /// Where the first cue being gathered starts.
    pub fn start(&self) -> Option<Duration> {
        self.pending.first().map(Spoken::start)
    }

    /// What is gathered.
    pub fn held(&self) -> &[W] {
        &self.pending
    }

    /// Goes on with what another has gathered.
    pub fn hold(&mut self, words: Vec<W>) {
        self.pending = words;
    }

    /// Forgets what was gathered.
    pub fn clear(&mut self) {
        self.pending.clear();
    }

    /// Whether what is gathered is a sentence long enough to be shown alone.
    fn is_sentence(&self) -> bool {
        let long = || width(&joined(&self.pending)) >= self.rules.line_chars;
        self.pending
            .last()
            .is_some_and(|last| ends_sentence(last.text()))
            && long()
    }

    /// Cuts what is gathered. `until`: where the next word starts, or before which none does.
    fn cut(&mut self, until: Duration, is_next: bool) -> Vec<Cue<W>> {
        let words = std::mem::take(&mut self.pending);
        let sizes = split(&words, &self.rules, false);
        self.dress(words, &sizes, until, is_next)
    }

    /// Cues that more words cannot change any more.
    fn overflow(&mut self) -> Vec<Cue<W>> {
        if fits(&self.pending, &self.rules) {
            return Vec::new();
        }
        let sizes = split(&self.pending, &self.rules, true);
        let Some(leaving) = sizes.len().checked_sub(self.ahead).filter(|n| *n > 0) else {
            return Vec::new();
        };
        let sizes = sizes.get(..leaving).unwrap_or_default();
        let mut words = std::mem::take(&mut self.pending);
        self.pending = words.split_off(sizes.iter().sum());
        let next = self.pending.first().map(Spoken::start).unwrap_or_default();
        self.dress(words, sizes, next, true)
    }

    /// Gives each cue its lines and its time.
    fn dress(&self, words: Vec<W>, sizes: &[usize], until: Duration, is_next: bool) -> Vec<Cue<W>> {
        let mut rest = words;
        let mut cues = Vec::with_capacity(sizes.len());
        for &size in sizes {
            let behind = rest.split_off(size.min(rest.len()));
            let words = std::mem::replace(&mut rest, behind);
            let (next, is_next) = match rest.first() {
                Some(word) => (word.start(), true),
                None => (until, is_next),
            };
            cues.extend(self.cue(words, next, is_next));
        }
        cues
    }

    fn cue(&self, words: Vec<W>, next: Duration, is_next: bool) -> Option<Cue<W>> {
        let rules = &self.rules;
        let (start, spoken) = (words.first()?.start(), words.last()?.end());
        let text = joined(&words);
        let wanted = start
            .saturating_add(rules.reading(width(&text)))
            .min(start.saturating_add(rules.longest))
            .max(spoken);
        let end = match is_next {
            true => {
                let gap = next.saturating_sub(rules.gap);
                wanted.min(if gap > start { gap } else { next })
            }
            // Silence is known up to there and no further.
            false => wanted.min(next.max(spoken)),
        };
        let lines = lines(&words, rules.line_chars, rules.lines);
        Some(Cue {
            words,
            start,
            end: end.max(start),
            lines,
        })
    }
}

/// Whether words can be shown together.
fn fits<W: Spoken>(words: &[W], rules: &CueRules) -> bool {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return true;
    };
    words.len() == 1
        || (last.end().saturating_sub(first.start()) <= rules.longest
            && fit(words, rules.line_chars, rules.lines))
}

/// How many words each cue gets: of all ways the one that costs least. `open`: more words follow, so the last cue is
/// not judged.
fn split<W: Spoken>(words: &[W], rules: &CueRules, open: bool) -> Vec<usize> {
    // The cheapest way to cut the first n words: its cost, and the size of its last cue.
    let mut ways: Vec<(f64, usize)> = vec![(0.0, 0)];
    for end in 1..=words.len() {
        let mut best = (f64::INFINITY, 1);
        for size in 1..=end {
            let start = end - size;
            let cue = words.get(start..end).unwrap_or_default();
            if !fits(cue, rules) {
                break;
            }
            let next = words.get(end);
            let Some(cost) = cost(
                words.get(..start).and_then(<[W]>::last),
                cue,
                next,
                rules,
                open,
            ) else {
                continue;
            };
            let before = ways.get(start).map_or(f64::INFINITY, |way| way.0);
            if before + cost < best.0 {
                best = (before + cost, size);
            }
        }
        if best.0.is_infinite() {
            // Nothing fits: better a cue that is too long than none.
            let before = ways.last().map_or(0.0, |way| way.0);
            best = (before + 100.0, 1);
        }
        ways.push(best);
    }
    let mut sizes = Vec::new();
    let mut at = words.len();
    while let Some(&(_, size)) = ways.get(at).filter(|way| way.1 > 0) {
        sizes.push(size);
        at -= size;
    }
    sizes.reverse();
    sizes
}

/// What a cue costs; `None` where it cannot end.
fn cost<W: Spoken>(
    before: Option<&W>,
    cue: &[W],
    next: Option<&W>,
    rules: &CueRules,
    open: bool,
) -> Option<f64> {
    let (first, last) = (cue.first()?, cue.last()?);
    let end = match next {
        Some(next) => break_cost(last, next)?,
        None => 0.0,
    };
    let mut cost = ANOTHER + end;
    if next.is_none() && open {
        return Some(cost);
    }
    let text = joined(cue);
    let chars = width(&text);
    let until = next.map_or(last.end() + PAUSE, Spoken::start);
    let shown = until.saturating_sub(first.start());
    let lacking = rules.reading(chars).saturating_sub(shown).as_secs_f64();
    cost += HURRIED * lacking;
    let is_sentence = ends_sentence(last.text()) && before.is_none_or(|w| ends_sentence(w.text()));
    let is_alone = before.is_none() && next.is_none();
    if cue.len() == 1 && !is_sentence && !is_alone {
        cost += ORPHAN;
    }
    let inner_pauses = cue.windows(2).filter_map(|pair| match pair {
        [left, right] => Some(right.start().saturating_sub(left.end())),
        _ => None,
    });
    for pause in inner_pauses {
        cost += SPANNING * pause.saturating_sub(UNNOTICED).as_secs_f64();
    }
    let (_, inner) = cue.split_last()?;
    let straddles = !ends_sentence(last.text()) && inner.iter().any(|w| ends_sentence(w.text()));
    if straddles && next.is_some() {
        cost += STRADDLING;
    }
    Some(cost)
}
