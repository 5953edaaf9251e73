//! From decided tokens to words with times.
//!
//! Two assemblers: [`Fragments`] emits what a pass committed at once, as the reference does; [`WholeWords`] holds the
//! pieces of a word until it is known to be complete, so that nobody reads "messag" and "erie".

use serde::{Deserialize, Serialize};

use super::{Release, Samples, Word};
use crate::whisper::{FRAME, Tokenizer};

/// A decided token with its place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WholeWords {
    pending: Vec<TimedToken>,
    last_end: Samples,
}

/// What is known of the audio behind the tokens that are added.
pub struct Behind<'a> {
    /// The token decoded behind them (the dropped one too) and where it starts to sound, if there is one.
    pub next: Option<(u32, Samples)>,
    /// No more tokens come.
    pub all: bool,
    /// Where the sound that runs at a position stops, but not behind a limit.
    pub sound_end: &'a dyn Fn(Samples, Samples) -> Samples,
}

impl WholeWords {
    /// Adds committed tokens and releases the words that are complete. The token behind tells whether the last one is:
    /// without it that one waits, unless no more comes.
    pub fn take(
        &mut self,
        tokens: &[TimedToken],
        behind: &Behind,
        tokenizer: &Tokenizer,
        language: Option<&str>,
    ) -> Option<Release> {
        self.pending.extend_from_slice(tokens);
        let groups = group(&self.pending, tokenizer, language);
        let starts_word =
            |&(next, _): &(u32, Samples)| starts_word(&self.pending, next, tokenizer, language);
        let complete = behind.all || behind.next.as_ref().is_some_and(starts_word);
        let leaving = groups.len() - usize::from(!complete && !groups.is_empty());

        let mut rest = std::mem::take(&mut self.pending).into_iter();
        let mut timed: Vec<(Group, Vec<TimedToken>)> = Vec::new();
        for g in groups {
            let tokens = rest.by_ref().take(g.tokens.len()).collect();
            timed.push((g, tokens));
        }
        let starts: Vec<Option<Samples>> = timed
            .iter()
            .map(|(_, tokens)| tokens.first().map(|t| t.start))
            .collect();
        for (_, tokens) in timed.split_off(leaving) {
            self.pending.extend(tokens);
        }

        let mut words: Vec<Word> = Vec::new();
        for (at, (group, tokens)) in timed.into_iter().enumerate() {
            let text = group.text.replace('\u{fffd}', "");
            let Some(first) = tokens.first().filter(|_| !text.trim().is_empty()) else {
                continue;
            };
            let start = first.start.max(self.last_end);
            let sounded = tokens.iter().map(|t| t.end).max().unwrap_or(start);
            // A word lasts until the next one starts or the sound stops: attention tells starts, not ends.
            let next = starts
                .get(at + 1)
                .copied()
                .flatten()
                .or(behind.next.map(|(_, start)| start));
            let limit = next.unwrap_or(Samples::MAX);
            let end = (behind.sound_end)(sounded, limit)
                .min(limit)
                .max(start + SHORTEST_WORD);
            self.last_end = end;
            words.push(Word {
                text,
                tokens: group.tokens,
                start,
                end,
                confidence: confidence(&tokens),
            });
        }
        let (start, end) = (words.first()?.start, words.last()?.end);
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
        sound_end: &dyn Fn(Samples, Samples) -> Samples,
        tokenizer: &Tokenizer,
        language: Option<&str>,
    ) -> Vec<Word> {
        let behind = Behind {
            next: None,
            all: true,
            sound_end,
        };
        self.clone()
            .take(tokens, &behind, tokenizer, language)
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
