//! From decided tokens to words with times.
//!
//! Two assemblers: [`Fragments`] emits what a pass committed at once, as the reference does; [`WholeWords`] holds the
//! pieces of a word until it is known to be complete, so that nobody reads "messag" and "erie".

use super::{Release, Samples, Word};
use crate::whisper::{FRAME, Tokenizer};

/// A decided token with its place in the stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedToken {
    pub id: u32,
    /// Stream position of the frame the token attends to (AlignAtt's argmax).
    pub attended: Samples,
    /// Where the token's sound starts and ends, by the attention's mass.
    pub start: Samples,
    pub end: Samples,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// Shortest word we tell of: a word never has zero length.
const SHORTEST_WORD: Samples = FRAME as Samples;

/// exp(mean log-probability), 0 to 1.
fn confidence(tokens: &[TimedToken]) -> f32 {
    let mean = tokens.iter().map(|t| t.logprob).sum::<f32>() / tokens.len().max(1) as f32;
    mean.exp().clamp(0.0, 1.0)
}

/// The reference's way: words as they are committed, incomplete UTF-8 held back by one token (docs/policy.md).
#[derive(Clone, Debug, Default)]
pub struct Fragments {
    held: Option<TimedToken>,
    last_end: Option<Samples>,
}

impl Fragments {
    /// What the pass that committed `tokens` emits. `steps` are the frames attended in every step of the pass, dropped
    /// ones included, as stream positions; `stream_end` is given in the last pass.
    pub fn take(
        &mut self,
        tokens: &[TimedToken],
        steps: &[Samples],
        stream_end: Option<Samples>,
        tokenizer: &Tokenizer,
        language: Option<&str>,
    ) -> Option<Release> {
        let mut all: Vec<TimedToken> = self
            .held
            .take()
            .into_iter()
            .chain(tokens.iter().copied())
            .collect();
        let ids = |tokens: &[TimedToken]| tokens.iter().map(|t| t.id).collect::<Vec<_>>();
        let ends_broken = tokenizer
            .split_to_words(&ids(&all), Some("zh"))
            .last()
            .is_some_and(|w| w.text.ends_with('\u{fffd}'));
        if ends_broken {
            self.held = all.pop();
        }
        let text = tokenizer.decode(&ids(&all));
        if text.is_empty() {
            return None;
        }
        // The reference reads times off the pass's steps in order: a token held back from an earlier pass shifts them.
        let first = steps.first().copied();
        let mut frames = self
            .held
            .iter()
            .filter_map(|_| first)
            .chain(steps.iter().copied());
        let mut last = first.unwrap_or_default();
        let mut position = || {
            last = frames.next().unwrap_or(last);
            last
        };
        let mut rest = all.as_slice();
        let mut words = Vec::new();
        for split in tokenizer.split_to_words(&ids(&all), language) {
            let (mine, others) = rest.split_at(split.tokens.len().min(rest.len()));
            rest = others;
            let at: Vec<Samples> = mine.iter().map(|_| position()).collect();
            let (Some(&start), Some(&end)) = (at.first(), at.last()) else {
                continue;
            };
            words.push(Word {
                text: split.text,
                tokens: split.tokens,
                start,
                end,
                confidence: confidence(mine),
            });
        }
        let start = words.iter().map(|w| w.start).min()?;
        let millisecond = 16;
        let start = self
            .last_end
            .map_or(start, |last| start.max(last + millisecond));
        let end = stream_end
            .or(words.iter().map(|w| w.end).max())?
            .max(start + millisecond);
        self.last_end = Some(end);
        Some(Release {
            words,
            text,
            start,
            end,
        })
    }
}

/// Our way: a word leaves when it is complete, all its tokens and bytes with it.
#[derive(Clone, Debug, Default)]
pub struct WholeWords {
    pending: Vec<TimedToken>,
    last_end: Samples,
}

impl WholeWords {
    /// Adds committed tokens. `next` is the token decoded behind them (the dropped one too): it tells whether the last
    /// word is complete. Without one nothing is known and the last word waits, unless `all` says that no more comes.
    pub fn take(
        &mut self,
        tokens: &[TimedToken],
        next: Option<u32>,
        all: bool,
        tokenizer: &Tokenizer,
        language: Option<&str>,
    ) -> Option<Release> {
        self.pending.extend_from_slice(tokens);
        let mut groups = group(&self.pending, tokenizer, language);
        let complete =
            all || next.is_some_and(|next| starts_word(&self.pending, next, tokenizer, language));
        if !complete {
            groups.pop();
        }
        let taken: usize = groups.iter().map(|g| g.tokens.len()).sum();
        let rest = self.pending.split_off(taken.min(self.pending.len()));
        let released = std::mem::replace(&mut self.pending, rest);
        let mut slices = released.as_slice();
        let mut words: Vec<Word> = Vec::new();
        for g in groups {
            let (mine, others) = slices.split_at(g.tokens.len().min(slices.len()));
            slices = others;
            let text = g.text.replace('\u{fffd}', "");
            let (Some(first), Some(_)) = (mine.first(), mine.last()) else {
                continue;
            };
            if text.trim().is_empty() {
                continue;
            }
            let start = first.start.max(self.last_end);
            let end = mine
                .iter()
                .map(|t| t.end)
                .max()
                .unwrap_or(start)
                .max(start + SHORTEST_WORD);
            if let Some(before) = words.last_mut() {
                before.end = before.end.min(start).max(before.start + SHORTEST_WORD);
            }
            let start = words.last().map_or(start, |before| start.max(before.end));
            let end = end.max(start + SHORTEST_WORD);
            words.push(Word {
                text,
                tokens: g.tokens,
                start,
                end,
                confidence: confidence(mine),
            });
        }
        let (start, end) = (words.first()?.start, words.last()?.end);
        self.last_end = end;
        let text = words.iter().map(|w| w.text.as_str()).collect();
        Some(Release {
            words,
            text,
            start,
            end,
        })
    }

    /// Start of the word that is held back, if one is.
    pub fn held_since(&self) -> Option<Samples> {
        self.pending.first().map(|t| t.start)
    }

    /// Forgets what is held; nothing later starts before `position`.
    pub fn reset(&mut self, position: Samples) {
        self.pending.clear();
        self.last_end = position;
    }

    /// Words made of `tokens` as if they were complete (the unstable tail).
    pub fn preview(
        &self,
        tokens: &[TimedToken],
        tokenizer: &Tokenizer,
        language: Option<&str>,
    ) -> Vec<Word> {
        let mut copy = self.clone();
        copy.take(tokens, None, true, tokenizer, language)
            .map(|r| r.words)
            .unwrap_or_default()
    }
}

struct Group {
    text: String,
    tokens: Vec<u32>,
}

/// Words as a reader sees them: openai/whisper's split, with what follows without a space ("-vous", "'s", ",") joined
/// to the word before. Languages without spaces stay split at every character.
fn group(tokens: &[TimedToken], tokenizer: &Tokenizer, language: Option<&str>) -> Vec<Group> {
    let ids: Vec<u32> = tokens.iter().map(|t| t.id).collect();
    let spaced = spaced(language);
    let mut groups: Vec<Group> = Vec::new();
    for word in tokenizer.split_to_words(&ids, language) {
        match groups.last_mut() {
            Some(before) if spaced && !word.text.starts_with(char::is_whitespace) => {
                before.text.push_str(&word.text);
                before.tokens.extend(word.tokens);
            }
            _ => groups.push(Group {
                text: word.text,
                tokens: word.tokens,
            }),
        }
    }
    groups
}

/// Whether `next` begins a new word behind `pending`: it does with a space, at the end of the text, and with punctuation
/// other than what joins words (a hyphen, an apostrophe).
fn starts_word(
    pending: &[TimedToken],
    next: u32,
    tokenizer: &Tokenizer,
    language: Option<&str>,
) -> bool {
    if next >= tokenizer.specials().eot {
        return true;
    }
    let ids: Vec<u32> = pending.iter().map(|t| t.id).collect();
    if tokenizer.decode(&ids).ends_with('\u{fffd}') {
        return false;
    }
    let text = tokenizer.decode(&[next]);
    let Some(first) = text.chars().next() else {
        return true;
    };
    if !spaced(language) || first.is_whitespace() {
        return true;
    }
    first.is_ascii_punctuation() && !matches!(first, '-' | '\'')
}

/// Whether the language puts spaces between words.
fn spaced(language: Option<&str>) -> bool {
    !matches!(language, Some("zh" | "ja" | "th" | "lo" | "my" | "yue"))
}
