//! Where text may be broken, and how well: for cues, and for the lines within one.

use std::time::Duration;

use super::{Spoken, bare, ends_sentence};

/// Words that lean on the next one, in the languages that most telephone calls are in: articles, prepositions,
/// pronouns, conjunctions, auxiliaries. A line that ends with one reads badly.
const LEANING: &[&str] = &[
    // French
    "le", "la", "les", "l", "un", "une", "des", "du", "de", "d", "à", "au", "aux", "en", "dans",
    "sur", "sous", "par", "pour", "avec", "sans", "chez", "entre", "vers", "ce", "cet", "cette",
    "ces", "mon", "ma", "mes", "ton", "ta", "tes", "son", "sa", "ses", "notre", "nos", "votre",
    "vos", "leur", "leurs", "je", "j", "tu", "il", "elle", "on", "nous", "vous", "ils", "elles",
    "me", "te", "se", "ne", "n", "que", "qu", "qui", "et", "ou", "mais", "donc", "si", "est",
    "sont", "a", "ai", "avez", "avons", "ont", "très", "êtes", "suis", "sommes", // English
    "the", "an", "of", "to", "in", "on", "at", "by", "for", "with", "from", "into", "my", "your",
    "his", "her", "its", "our", "their", "this", "that", "these", "those", "i", "you", "he", "she",
    "it", "we", "they", "and", "or", "but", "if", "as", "is", "are", "was", "were", "be", "am",
    "has", "have", "had", "will", "would", "can", "could", "not", "very", "i'm", "you're", "it's",
    "we're", "i'll", "i'd", "please", // German, Spanish, Italian
    "der", "die", "das", "den", "dem", "ein", "eine", "einen", "und", "oder", "mit", "von", "zu",
    "im", "am", "ich", "wir", "sie", "el", "los", "las", "del", "y", "con", "por", "para", "il",
    "lo", "gli", "di", "da", "e", "con", "per",
];

/// Words before which a phrase begins.
const JOINING: &[&str] = &[
    "et", "ou", "mais", "donc", "car", "parce", "quand", "lorsque", "puis", "alors", "qui", "que",
    "and", "or", "but", "because", "when", "so", "then", "which", "who", "if", "si", "und", "oder",
    "aber", "weil", "wenn", "y", "pero", "porque", "ma", "perché",
];

/// Breaking here is as bad as this when nothing speaks for it or against it.
const PLAIN: f64 = 3.0;

/// What it costs to break between two words; `None`: never.
pub fn break_cost(before: &impl Spoken, behind: &impl Spoken) -> Option<f64> {
    let (left, right) = (before.text(), behind.text());
    if !may_break(left, right) {
        return None;
    }
    if ends_sentence(left) {
        return Some(0.0);
    }
    let pause = behind.start().saturating_sub(before.end()).as_secs_f64();
    let by_pause = (pause / 0.5).min(1.0);
    let clause = left
        .trim_end()
        .ends_with([',', ';', ':', '、', '，', '；', '：']);
    let mut cost = match clause {
        true => 0.6,
        false => PLAIN * (1.0 - 0.8 * by_pause),
    };
    if is_one_of(left, LEANING) && !clause {
        cost += 3.0 * (1.0 - 0.5 * by_pause);
    }
    if is_one_of(right, JOINING) {
        cost -= 0.8;
    }
    Some(cost.max(0.1))
}

/// Whether a line may end between these: not before closing punctuation, nor behind what opens.
fn may_break(left: &str, right: &str) -> bool {
    let closes = |c: char| ".,;:!?…%)]}»\"'’”。、，；：！？）".contains(c);
    let opens = |c: char| "([{«“‘¿¡".contains(c);
    let right = right.trim();
    let is_closing = !right.is_empty() && right.chars().all(closes);
    !is_closing && !left.trim_end().ends_with(opens)
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    let word = bare(text).word.to_lowercase();
    words.contains(&word.as_str())
}

/// The words' text on one line, with single spaces.
pub fn joined(words: &[impl Spoken]) -> String {
    let text: String = words.iter().map(Spoken::text).collect();
    tidy(&text)
}

/// Single spaces between words, none at the ends, no control characters.
fn tidy(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Columns that text takes: wide characters (Chinese, Japanese, Korean) two each.
pub fn width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(u32::from(c),
            0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x20000..=0x3FFFD)
    };
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

/// `words` cut wherever a line may end.
fn pieces<W: Spoken>(words: &[W]) -> Vec<&[W]> {
    words
        .chunk_by(|before, behind| !may_break(before.text(), behind.text()))
        .collect()
}

/// Whether words find room in so many lines: each takes in what it can. A piece that is wider than a line stands alone.
pub fn fit(words: &[impl Spoken], columns: usize, most: usize) -> bool {
    let (mut lines, mut taken) = (0, columns);
    for piece in pieces(words) {
        let text = joined(piece);
        let is_spaced = piece
            .first()
            .is_some_and(|w| w.text().starts_with(char::is_whitespace));
        let wide = width(&text);
        if taken + usize::from(is_spaced) + wide > columns {
            lines += 1;
            taken = wide;
        } else {
            taken += usize::from(is_spaced) + wide;
        }
    }
    lines <= most
}

/// `words` in at most `most` lines of `columns`, broken where it reads best, the lower line not the shorter one; if they
/// do not fit, in one line too long.
pub fn lines<W: Spoken>(words: &[W], columns: usize, most: usize) -> Vec<String> {
    let best = best_lines(&pieces(words), columns, most);
    best.map_or_else(|| vec![joined(words)], |(_, lines)| lines)
}

/// The best way to break pieces into lines, and what it costs.
fn best_lines<W: Spoken>(
    pieces: &[&[W]],
    columns: usize,
    most: usize,
) -> Option<(f64, Vec<String>)> {
    let text = |pieces: &[&[W]]| {
        let text: String = pieces
            .iter()
            .flat_map(|piece| piece.iter())
            .map(Spoken::text)
            .collect();
        tidy(&text)
    };
    let whole = text(pieces);
    if width(&whole) <= columns || pieces.len() == 1 {
        return Some((0.0, vec![whole]));
    }
    if most < 2 {
        return None;
    }
    let mut best: Option<(f64, Vec<String>)> = None;
    for at in 1..pieces.len() {
        let (top, rest) = pieces.split_at(at);
        let first = text(top);
        if width(&first) > columns && at > 1 {
            break;
        }
        let last = top.last().and_then(|piece| piece.last());
        let next = rest.first().and_then(|piece| piece.first());
        let here = last
            .zip(next)
            .and_then(|(last, next)| break_cost(last, next));
        let (Some(here), Some((below, lines))) = (here, best_lines(rest, columns, most - 1)) else {
            continue;
        };
        let (upper, lower) = (width(&first), lines.first().map_or(0, |line| width(line)));
        // Two lines of one length are read at a glance; else the upper one is better the shorter.
        let uneven = upper.abs_diff(lower) as f64 / columns as f64;
        let top_heavy = if upper > lower { uneven } else { 0.0 };
        let cost = here + below + 4.0 * uneven + 1.5 * top_heavy;
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, std::iter::once(first).chain(lines).collect()));
        }
    }
    best
}

/// Whether two words are so far apart that no cue spans them.
pub fn is_apart(before: &impl Spoken, behind: &impl Spoken, pause: Duration) -> bool {
    behind.start() >= before.end().saturating_add(pause)
}
