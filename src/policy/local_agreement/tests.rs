//! LocalAgreement on made-up hypotheses: words with times that jitter, as a network's do.

use super::agreement::Agreement;
use super::trimming::cut;
use crate::policy::settings::BufferTrimming;
use crate::policy::{Samples, Word};

const SECOND: Samples = 16_000;

fn word(text: &str, start: f64, end: f64) -> Word {
    let at = |seconds: f64| (seconds * SECOND as f64) as Samples;
    Word {
        text: format!(" {text}"),
        tokens: vec![1],
        start: at(start),
        end: at(end),
        confidence: 0.9,
    }
}

/// Words of `text`, half a second each, from `start` on.
fn words(text: &str, start: f64) -> Vec<Word> {
    text.split_whitespace()
        .enumerate()
        .map(|(n, text)| {
            let start = start + n as f64 * 0.5;
            word(text, start, start + 0.45)
        })
        .collect()
}

fn text(words: &[Word]) -> String {
    let texts: Vec<&str> = words.iter().map(|w| w.text.trim()).collect();
    texts.join(" ")
}

/// Pseudo-random numbers, the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }

    /// Seconds, up to `most` either way.
    fn jitter(&mut self, most: f64) -> f64 {
        (self.below(2001) as f64 / 1000.0 - 1.0) * most
    }
}

#[test]
fn what_two_passes_in_a_row_have_in_common_is_told() {
    let mut agreement = Agreement::default();
    assert!(agreement.hear(words("bonjour je", 0.0)).is_empty());
    let told = agreement.hear(words("bonjour jeudi matin", 0.0));
    assert_eq!(text(&told), "bonjour");
    assert_eq!(text(agreement.rest()), "jeudi matin");
    let told = agreement.hear(words("bonjour jeudi matin à", 0.0));
    assert_eq!(text(&told), "jeudi matin");
    assert_eq!(text(&agreement.tell_all()), "à");
}

#[test]
fn one_pass_is_no_agreement() {
    let mut agreement = Agreement::default();
    for hypothesis in ["un deux", "trois quatre", "un deux", "trois quatre"] {
        assert!(agreement.hear(words(hypothesis, 0.0)).is_empty());
    }
}

#[test]
fn a_pass_that_found_nothing_breaks_the_agreement() {
    let mut agreement = Agreement::default();
    agreement.hear(words("merci", 0.0));
    assert!(agreement.hear(Vec::new()).is_empty());
    assert!(agreement.hear(words("merci", 0.0)).is_empty());
    assert_eq!(text(&agreement.hear(words("merci", 0.0))), "merci");
}

#[test]
fn what_was_told_is_not_told_again_when_its_spelling_changes() {
    let mut agreement = Agreement::default();
    agreement.hear(words("oui bonjour.", 0.0));
    assert_eq!(
        text(&agreement.hear(words("oui bonjour.", 0.0))),
        "oui bonjour."
    );
    for _ in 0..2 {
        // Heard late, so that time alone would not know it again.
        agreement.hear(vec![
            word("oui", 0.0, 0.4),
            word("Bonjour,", 0.85, 1.2),
            word("Marie", 1.2, 1.6),
        ]);
    }
    assert_eq!(text(agreement.told()), "oui bonjour. Marie");
}

#[test]
fn a_word_said_twice_is_told_twice() {
    let mut agreement = Agreement::default();
    agreement.hear(words("non", 0.0));
    agreement.hear(words("non", 0.0));
    agreement.hear(words("non non non", 0.0));
    agreement.hear(words("non non non", 0.0));
    assert_eq!(text(agreement.told()), "non non non");
}

#[test]
fn words_told_follow_each_other() {
    let mut agreement = Agreement::default();
    agreement.hear(vec![word("un", 0.0, 0.6)]);
    agreement.hear(vec![word("un", 0.0, 0.6)]);
    for _ in 0..2 {
        agreement.hear(vec![word("un", 0.0, 0.5), word("deux", 0.5, 0.55)]);
    }
    let told = agreement.told();
    assert_eq!(text(told), "un deux");
    assert!(told[1].start >= told[0].end && told[1].end > told[1].start);
}

#[test]
fn what_leaves_the_window_is_told_as_the_last_pass_heard_it() {
    let mut agreement = Agreement::default();
    agreement.hear(words("un deux trois quatre", 0.0));
    assert_eq!(text(&agreement.tell_before(SECOND)), "un deux");
    assert_eq!(text(agreement.rest()), "trois quatre");
}

/// Somebody speaks for ten minutes; each pass hears all words held, those at the end of the audio perhaps wrong, with times
/// that jitter. The buffer is cut as the policy cuts it.
fn ten_minutes(seed: u64, way: BufferTrimming) {
    let mut dice = Dice(seed);
    let mut at = 0.3;
    let vocabulary = [
        "un", "deux", "oui", "non", "demain", "matin.", "Alors", "je", "vous",
    ];
    let mut said = Vec::new();
    while at < 600.0 {
        let long = 0.15 + dice.below(40) as f64 / 100.0;
        let pause = if dice.below(12) == 0 { 0.5 } else { 0.0 };
        let text = vocabulary[dice.below(vocabulary.len() as u64) as usize];
        said.push(word(text, at, at + long));
        at += long + pause;
    }
    let mut agreement = Agreement::default();
    let (mut start, mut end) = (0, 0);
    let mut told: Vec<Word> = Vec::new();
    let mut longest = 0;
    while end < 600 * SECOND {
        end += SECOND / 2;
        let heard = said.iter().filter(|w| w.start >= start && w.start < end);
        let hypothesis: Vec<Word> = heard
            .map(|w| {
                let seconds = |at: Samples| at as f64 / SECOND as f64;
                let (from, to) = (dice.jitter(0.03), dice.jitter(0.03));
                let is_last = end >= 600 * SECOND;
                let cut =
                    !is_last && (w.end > end || (w.end + SECOND / 2 > end && dice.below(5) == 0));
                let text = match cut {
                    // Never twice the same.
                    true => format!("{}{end}", &w.text[..2]),
                    false => w.text.clone(),
                };
                let mut heard = word(text.trim(), seconds(w.start) + from, seconds(w.end) + to);
                heard.end = heard.end.max(heard.start + 320);
                heard
            })
            .collect();
        let fresh = agreement.hear(hypothesis);
        told.extend(fresh);
        if end - start > 15 * SECOND
            && let Some(position) = cut(agreement.told(), agreement.rest(), way)
        {
            start = start.max(position);
            agreement.scroll(start);
        }
        longest = longest.max(end - start);
    }
    let before = text(&told);
    told.extend(agreement.tell_all());
    let all = text(&told);
    assert!(all.starts_with(&before), "what was told stays");
    let truth = text(&said);
    let (all, truth): (Vec<&str>, Vec<&str>) =
        (all.split(' ').collect(), truth.split(' ').collect());
    let same = all.iter().zip(&truth).take_while(|(a, b)| a == b).count();
    assert!(
        same == truth.len() && all.len() == truth.len(),
        "seed {seed}, {way:?}: from word {same} of {}: {:?}, but {:?}",
        truth.len(),
        &all[same.min(all.len())..all.len().min(same + 8)],
        &truth[same..truth.len().min(same + 8)]
    );
    assert!(
        told.windows(2).all(|pair| pair[1].start >= pair[0].end),
        "words follow each other"
    );
    assert!(longest < 17 * SECOND, "the buffer grew to {longest}");
}

#[test]
fn ten_minutes_lose_no_word_tell_none_twice_and_stay_in_the_buffer() {
    for seed in 0..20 {
        for way in [BufferTrimming::Segment, BufferTrimming::Sentence] {
            ten_minutes(seed, way);
        }
    }
}

#[test]
fn the_buffer_is_cut_in_the_last_pause_between_words() {
    let told = [
        word("un", 1.0, 1.4),
        word("deux", 2.0, 2.4),
        word("trois", 2.5, 2.9),
    ];
    let at = |told: &[Word], rest: &[Word], way| cut(told, rest, way).map(|at| at / 1600);
    let way = BufferTrimming::Segment;
    assert_eq!(at(&told, &[], way), Some(17));
    assert_eq!(at(&told, &[word("quatre", 3.5, 4.0)], way), Some(32));
    // No pause: the last word told is heard again.
    assert_eq!(at(&told[1..], &[], way), Some(25));
    assert_eq!(at(&[], &[word("quatre", 3.5, 4.0)], way), None);
}

#[test]
fn the_buffer_is_cut_behind_a_sentence() {
    let told = [
        word("Oui.", 0.0, 0.4),
        word("M.", 0.4, 0.6),
        word("le", 0.6, 0.8),
        word("maire.", 0.8, 1.2),
        word("Non", 2.0, 2.4),
    ];
    let at = |told: &[Word], way| cut(told, &[], way).map(|at| at / 1600);
    let (sentence, segment) = (BufferTrimming::Sentence, BufferTrimming::Segment);
    assert_eq!(at(&told, sentence), Some(16));
    // What goes on in lower case was an abbreviation. Without a pause the last word is heard again.
    assert_eq!(at(&told[..4], sentence), Some(8));
    let runs_on = [&told[1..4], &[word("Non", 1.25, 1.5)]].concat();
    assert_eq!(at(&runs_on, segment), Some(8));
    let paused = [word("un", 0.0, 0.4), word("deux", 1.0, 1.4)];
    assert_eq!(at(&paused, sentence), Some(7), "no sentence, but a pause");
}
