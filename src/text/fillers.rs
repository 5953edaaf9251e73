//! Speech without its hesitations: "euh", "um", "äh", by language, whole words only.

use super::{Bare, Rewrite, bare, ends_sentence};

/// A language's fillers, in lower case. A letter that is drawn out ("euhhh", "mmm") is written once there, but a lone m
/// is a letter.
const FILLERS: &[(&str, &[&str])] = &[
    (
        "fr",
        &["euh", "heu", "euhm", "heum", "hum", "hm", "m", "mh"],
    ),
    ("en", &["um", "uh", "uhm", "erm", "er", "hm", "m"]),
    ("de", &["äh", "ähm", "ehm", "öh", "öhm", "hm", "m"]),
    ("es", &["eh", "ehm", "em", "m"]),
    ("it", &["ehm", "uhm", "m"]),
    ("pt", &["hum", "ehm", "hm", "m"]),
    ("nl", &["uh", "uhm", "ehm", "hm", "m"]),
];

/// Those that are a word in none of these languages ("um" is German and Portuguese, "er" German, "hum" English).
const ANY: &[&str] = &["euh", "heu", "uhm", "ähm", "äh", "ehm", "hm", "m"];

/// Whether a word is a filler of the language; of an unknown one, whether it can be nothing else.
pub fn is_filler(text: &str, language: Option<&str>) -> bool {
    let word = bare(text).word.to_lowercase();
    let fillers = language
        .and_then(|language| FILLERS.iter().find(|(code, _)| *code == language))
        .map_or(ANY, |(_, fillers)| fillers);
    // "euh-euh".
    !word.is_empty()
        && word
            .split('-')
            .all(|part| part.chars().count() > 1 && fillers.contains(&drawn_in(part).as_str()))
}

/// Letters that are repeated, written once.
fn drawn_in(word: &str) -> String {
    let mut short = String::with_capacity(word.len());
    for c in word.chars() {
        // "err" is no hesitation.
        if !short.ends_with(c) || c == 'r' {
            short.push(c);
        }
    }
    short
}

/// The words without the fillers. What ends a sentence goes over to the word before, if it is among these, and what opens a
/// quotation or a bracket to the word behind; a filler's commas go with it. All else stays as it is, capitals too.
pub fn remove_fillers<W: Rewrite>(words: Vec<W>, language: Option<&str>) -> Vec<W> {
    let mut kept: Vec<W> = Vec::with_capacity(words.len());
    let mut opening = String::new();
    for mut word in words {
        if is_filler(word.text(), language) {
            let Bare { before, behind, .. } = bare(word.text());
            let ending = behind.trim_end();
            let closes = |c: char| ")]}»”\"".contains(c);
            let opened = before.trim();
            // What it opens and closes itself goes with it.
            if !ending.contains(closes) {
                opening.push_str(opened);
            }
            // Dots that trail off are the hesitation's own.
            let trails_off = ending.contains('…') || ending.contains("..");
            let ends = ends_sentence(ending) && !trails_off;
            let end = ends.then(|| ending.to_owned());
            if let (Some(end), Some(last)) = (end, kept.last_mut()) {
                end_sentence(last, &end, !opened.is_empty());
            }
            continue;
        }
        if !opening.is_empty() {
            let text = word.text();
            let (space, rest) = text.split_at(text.len() - text.trim_start().len());
            let opened = format!("{space}{opening}{rest}");
            word.set_text(opened);
            opening.clear();
        }
        kept.push(word);
    }
    kept
}

/// Puts what ended the sentence behind its last word, in place of a comma.
fn end_sentence<W: Rewrite>(last: &mut W, end: &str, was_enclosed: bool) {
    let text = last.text();
    if ends_sentence(text) {
        return;
    }
    let closes = |c: char| ")]}»”\"".contains(c);
    let end = match was_enclosed {
        true => end.trim_start_matches(closes),
        false => end,
    };
    let text = text.trim_end().trim_end_matches([',', ';', ':']);
    let ended = format!("{}{end}", text.trim_end());
    last.set_text(ended);
}
