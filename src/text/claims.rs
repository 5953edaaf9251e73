//! What the rules come to on words made up and random.

use std::time::Duration;

use super::cues::{Cue, CueRules, Cues};
use super::layout::width;
use super::redact::{MARGIN, Redactor, Span};
use super::{Word, remove_fillers};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn word(text: &str, start: u64, end: u64) -> Word {
    Word {
        text: text.into(),
        start: ms(start),
        end: ms(end),
    }
}

/// A word every `pace` ms from `start` on, with their leading spaces.
fn said(text: &str, start: u64, pace: u64) -> Vec<Word> {
    text.split_whitespace()
        .enumerate()
        .map(|(n, text)| {
            let at = start + n as u64 * pace;
            word(&format!(" {text}"), at, at + pace * 4 / 5)
        })
        .collect()
}

fn text_of(words: &[Word]) -> String {
    let text: String = words.iter().map(|word| word.text.as_str()).collect();
    text.trim().to_owned()
}

fn all_cues(words: Vec<Word>, end: Duration) -> Vec<Cue<Word>> {
    let mut cues = Cues::unhurried(CueRules::default());
    let mut done = cues.add(words);
    done.extend(cues.take(end));
    done
}

/// Random numbers that are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Talk of any kind: long words and short ones, commas, sentences, pauses, hurry.
fn talk(seed: u64) -> Vec<Word> {
    let mut dice = Dice(seed * 2 + 0x9E37_79B9);
    let mut at = dice.roll(3_000);
    let count = 1 + dice.roll(80);
    let pace = 120 + dice.roll(400);
    (0..count)
        .map(|_| {
            let letters = match dice.roll(12) {
                0 => 1 + dice.roll(50),
                _ => 1 + dice.roll(11),
            };
            let mut text: String = (0..letters)
                .map(|n| char::from(b'a' + n as u8 % 26))
                .collect();
            match dice.roll(10) {
                0 => text.push('.'),
                1 => text.push(','),
                _ => {}
            }
            let start = at;
            at += pace / 2 + dice.roll(pace);
            let end = at;
            at += match dice.roll(9) {
                0 => dice.roll(2_500),
                _ => 0,
            };
            word(&format!(" {text}"), start, end)
        })
        .collect()
}

#[test]
fn whatever_is_said_the_cues_keep_the_rules() {
    let rules = CueRules::default();
    for seed in 0..200 {
        let words = talk(seed);
        let spoken = text_of(&words);
        let end = words.last().unwrap().end + ms(seed % 3_000);
        for ahead in [Cues::live(rules), Cues::unhurried(rules)] {
            let mut gatherer = ahead;
            let mut cues = Vec::new();
            for few in words.chunks(1 + seed as usize % 7) {
                cues.extend(gatherer.add(few.to_vec()));
            }
            cues.extend(gatherer.take(end));
            let told: Vec<String> = cues.iter().map(|cue| text_of(&cue.words)).collect();
            assert_eq!(told.join(" "), spoken, "no word is lost, split or moved");
            for cue in &cues {
                let lines = &cue.lines;
                assert_eq!(lines.join(" "), text_of(&cue.words));
                let is_long_word = cue.words.iter().any(|w| width(&w.text) > rules.line_chars);
                if !is_long_word {
                    assert!(lines.len() <= rules.lines, "{lines:?}");
                    assert!(
                        lines.iter().all(|l| width(l) <= rules.line_chars),
                        "{lines:?}"
                    );
                }
                assert_eq!(cue.start, cue.words[0].start);
                assert!(cue.end > cue.start);
                let heard = cue.words.last().unwrap().end - cue.start;
                assert!(cue.end - cue.start <= rules.longest.max(heard), "{cue:?}");
            }
            for pair in cues.windows(2) {
                assert!(pair[0].end <= pair[1].start, "{pair:?}");
                let next = pair[1].start - pair[0].end;
                let last = pair[0].words.last().unwrap();
                // Short only of what lies between two words.
                assert!(
                    next >= rules.gap || pair[1].start - pair[0].start <= rules.gap,
                    "{pair:?}"
                );
                assert!(pair[0].end + rules.gap >= last.end, "{pair:?}");
            }
        }
    }
}

#[test]
fn a_break_falls_between_sentences_and_not_behind_an_article() {
    let words = said(
        "Bonjour, je vous appelle au sujet de votre contrat d'assurance. Avez-vous deux minutes pour que je vous explique l'offre ?",
        0,
        330,
    );
    let cues = all_cues(words, ms(20_000));
    let lines: Vec<String> = cues.iter().map(|cue| cue.lines.join("|")).collect();
    assert_eq!(
        lines,
        [
            "Bonjour, je vous appelle au sujet|de votre contrat d'assurance.",
            "Avez-vous deux minutes|pour que je vous explique l'offre ?"
        ]
    );
}

#[test]
fn no_word_is_left_alone() {
    for pace in [250, 330, 400] {
        let words = said(
            "if you want to speak to one of our agents please stay on the line and we will answer you as soon as we can tomorrow",
            0,
            pace,
        );
        for cue in all_cues(words, ms(60_000)) {
            assert!(cue.words.len() > 2, "{:?}", cue.lines);
        }
    }
}

#[test]
fn a_cue_stays_until_it_is_read_but_never_into_the_next() {
    // 34 characters in 0.8 s: two seconds of reading.
    let fast = said("un deux trois quatre cinq six sept huit", 0, 100);
    let alone = all_cues(fast.clone(), ms(9_000));
    assert_eq!(alone[0].end, Duration::from_secs_f64(39.0 / 17.0));
    let mut followed = fast;
    followed.push(word(" neuf", 1_900, 2_200));
    let cues = all_cues(followed, ms(9_000));
    assert_eq!(cues[0].end, ms(1_820));
    assert_eq!(cues[1].start, ms(1_900));
    assert_eq!(cues[1].end, ms(2_900), "a second at least");
    // Where silence is not known, nothing is promised.
    let cut = all_cues(said("oui", 0, 100), ms(300));
    assert_eq!(cut[0].end, ms(300));
}

#[test]
fn scripts_without_spaces_are_counted_wide() {
    let words: Vec<Word> = (0..40)
        .map(|n| word("你", n * 200, n * 200 + 180))
        .collect();
    for cue in all_cues(words, ms(20_000)) {
        assert!(
            cue.lines.iter().all(|line| line.chars().count() <= 21),
            "{:?}",
            cue.lines
        );
    }
}

#[test]
fn a_live_cue_leaves_with_its_sentence() {
    let mut cues = Cues::live(CueRules::default());
    let long = "Vous êtes bien sur la messagerie de Jean Dupont.";
    assert!(cues.add(said(long, 0, 300)).is_empty());
    let done = cues.add(said("Laissez", 2_800, 300));
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].lines.join(" "), long);
    assert!(cues.quiet(ms(3_400)).is_empty());
    assert_eq!(cues.quiet(ms(4_100)).len(), 1);
    assert_eq!(cues.start(), None);
}

#[test]
fn rules_that_make_no_sense_are_refused_with_the_value() {
    let of = |line_chars, lines, chars_per_second| CueRules {
        line_chars,
        lines,
        chars_per_second,
        ..CueRules::default()
    };
    for (rules, part) in [
        (of(3, 2, 17.0), "3 characters"),
        (of(42, 0, 17.0), "0 lines"),
        (of(42, 2, f64::NAN), "NaN"),
    ] {
        let sentence = rules.check().unwrap_err().to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
    assert!(CueRules::default().check().is_ok());
}

fn without(text: &str, language: Option<&str>) -> String {
    text_of(&remove_fillers(said(text, 0, 300), language))
}

#[test]
fn fillers_go_with_their_commas() {
    for (language, text, rest) in [
        (
            "fr",
            "Euh, bonjour, euh, je voulais, heu... savoir",
            "bonjour, je voulais, savoir",
        ),
        ("fr", "je suis, euh.", "je suis."),
        ("fr", "oui euh ?", "oui ?"),
        ("fr", "Il dit : « euh je viens »", "Il dit : « je viens »"),
        (
            "fr",
            "il a eu le numéro M. Martin",
            "il a eu le numéro M. Martin",
        ),
        ("fr", "euuuh hummm mmm oui", "oui"),
        ("en", "Um, I think, uh, it's fine.", "I think, it's fine."),
        ("en", "so (uh yes) er-er no", "so (yes) no"),
        (
            "en",
            "uh-huh the umbrella to err is human",
            "uh-huh the umbrella to err is human",
        ),
        ("en", "right, um. And then", "right. And then"),
        (
            "de",
            "Ähm, wir gehen um acht, äh, er kommt",
            "wir gehen um acht, er kommt",
        ),
        ("pt", "um homem, hum, bom", "um homem, bom"),
        ("en", "(uh) yes \"um\" no", "yes no"),
    ] {
        assert_eq!(without(text, Some(language)), rest, "{text}");
    }
    // Of an unknown language only what can be nothing else.
    assert_eq!(without("euh um acht uhm", None), "um acht");
    let kept = remove_fillers(said("bon euh alors", 0, 300), Some("fr"));
    assert_eq!(kept[1].start, ms(600), "times of others stay");
}

/// All that leaves, with what was held at the end of the utterance, and the spans.
fn redacted(text: &str) -> (String, Vec<Span>) {
    let mut redactor = Redactor::default();
    let mut out = redactor.take(said(text, 1_000, 500));
    out.words.extend(redactor.end_utterance().words);
    (text_of(&out.words), out.spans)
}

#[test]
fn runs_of_three_digits_are_masked_and_no_others() {
    for (text, expected) in [
        (
            "mon numéro est le zéro six douze quarante deux",
            "mon numéro est le # # # # #",
        ),
        ("rappelez le 06 12 34 56 78.", "rappelez le ## ## ## ## ##."),
        ("le code est 4242, merci", "le code est ####, merci"),
        ("carte 4242-4242-4242-4242", "carte ####-####-####-####"),
        ("four two oh one please", "# # # # please"),
        (
            "j'ai deux minutes et un contrat",
            "j'ai deux minutes et un contrat",
        ),
        (
            "il a quatre-vingt-dix-sept ans",
            "il a quatre-vingt-dix-sept ans",
        ),
        ("quatre vingt douze euros", "quatre vingt douze euros"),
        ("soixante dix sept euros", "soixante dix sept euros"),
        ("forty two dollars", "forty two dollars"),
        ("vingt-et-un, vingt-deux", "#, #"),
        ("deux cents euros", "# # euros"),
        ("zéro six, euh, douze et trois", "# #, euh, # et #"),
        ("un deux chat trois", "un deux chat trois"),
        ("un deux un, oui", "# # #, oui"),
        ("FR76 3000", "FR## ####"),
        ("il est 12 h", "il est 12 h"),
        ("Seven seven SEVEN", "# # #"),
    ] {
        let masked = redacted(text).0;
        assert_eq!(masked, expected, "{text}");
    }
}

#[test]
fn a_span_covers_its_digits_with_a_margin() {
    // Words from 1 s on, every 0.5 s.
    let (_, spans) = redacted("oui zéro six douze quarante voilà un deux trois");
    let span = |start, end| Span {
        start: ms(start) - MARGIN,
        end: ms(end) + MARGIN,
    };
    assert_eq!(spans, [span(1_500, 3_400), span(4_000, 5_400)]);
}

#[test]
fn at_most_two_digits_wait_and_a_run_goes_on_behind_a_cut() {
    let mut redactor = Redactor::default();
    let words = said("appelez le zéro six", 0, 500);
    assert_eq!(text_of(&redactor.take(words).words), "appelez le");
    assert_eq!(redactor.start(), Some(ms(1_000)));
    // The utterance ends: nobody can wait, and it may be the first pair of many.
    let cut = redactor.end_utterance();
    assert_eq!(text_of(&cut.words), "# #");
    assert_eq!(cut.spans[0].start, ms(1_000) - MARGIN);
    let next = redactor.take(said("douze", 3_000, 500));
    assert_eq!(text_of(&next.words), "#");
    assert_eq!(next.spans[0].start, cut.spans[0].end);
    let further = redactor.take(said("trente", 4_000, 500));
    assert_eq!(further.spans[0].start, next.spans[0].end, "without a hole");
    // A lone digit is none.
    assert_eq!(
        text_of(&Redactor::default().take(said("le six", 0, 500)).words),
        "le"
    );
    // Long after, it is another one.
    assert_eq!(
        text_of(&redactor.take(said("deux minutes", 12_000, 500)).words),
        "deux minutes"
    );
}

#[test]
fn a_partial_shows_no_digit_that_may_be_of_a_run() {
    let mut redactor = Redactor::<Word>::default();
    let preview =
        |redactor: &Redactor<Word>, text: &str| redactor.preview(text.split_whitespace()).join(" ");
    assert_eq!(preview(&redactor, "j'ai deux minutes"), "j'ai deux minutes");
    assert_eq!(preview(&redactor, "c'est le zéro"), "c'est le #");
    assert_eq!(
        preview(&redactor, "un deux trois et voilà un"),
        "# # # et voilà #"
    );
    redactor.take(said("zéro six", 0, 500));
    redactor.end_utterance();
    assert_eq!(preview(&redactor, "douze voilà"), "# voilà");
}

#[test]
fn however_words_come_the_same_is_masked() {
    let vocabulary = [
        "un", "deux", "oui", "42", "et", "zéro", "cent", "euh", "douze", "allô", "7",
    ];
    for seed in 1..300 {
        let mut dice = Dice(seed);
        let count = 1 + dice.roll(25);
        let text: Vec<&str> = (0..count)
            .map(|_| vocabulary[dice.roll(vocabulary.len() as u64) as usize])
            .collect();
        let words = said(&text.join(" "), 500, 400);
        let mut whole = Redactor::default();
        let mut all = whole.take(words.clone());
        let end = whole.end_utterance();
        all.words.extend(end.words);
        all.spans.extend(end.spans);
        let mut pieces = Redactor::default();
        let mut by_piece = Vec::new();
        let mut muted = Vec::new();
        for word in words.clone() {
            let known = pieces.take(vec![word]);
            by_piece.extend(known.words);
            muted.extend(known.spans);
        }
        let end = pieces.end_utterance();
        by_piece.extend(end.words);
        muted.extend(end.spans);
        assert_eq!(all.words, by_piece);
        assert_eq!(by_piece.len(), words.len());
        let covered =
            |spans: &[Span], at: Duration| spans.iter().any(|s| s.start <= at && at < s.end);
        for (masked, plain) in by_piece.iter().zip(&words) {
            assert_eq!((masked.start, masked.end), (plain.start, plain.end));
            if masked.text != plain.text {
                for at in [plain.start, plain.end] {
                    assert!(covered(&muted, at) && covered(&all.spans, at), "{text:?}");
                }
            }
        }
    }
}
