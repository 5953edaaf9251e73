//! LocalAgreement over a network that says what a test wants.

#[path = "common/scripted.rs"]
mod scripted;

use gstwhisperstream::policy::{
    BufferTrimming, Compat, Outcome, PartialWord, PolicySettings, Rule, Samples,
};
use scripted::{Say, Script, Stream, silence, speech};

const SECOND: usize = 16_000;
const FRAME: usize = 320;

fn agreement() -> PolicySettings {
    PolicySettings {
        rule: Rule::LocalAgreement,
        language: "fr".into(),
        ..PolicySettings::default()
    }
}

fn text(outcome: &Outcome) -> String {
    let release = outcome.release.as_ref();
    release.map(|r| r.text.clone()).unwrap_or_default()
}

/// Speech that goes on, then the words that the network hears in it, pass by pass; what each pass told.
fn told(settings: PolicySettings, passes: &[&[(&str, usize)]]) -> (Vec<String>, Stream) {
    let mut stream = Stream::new(settings);
    let told = passes.iter().map(|says| {
        let script = stream.plan(says);
        let (ran, outcome) = stream.chunk(&speech(SECOND), false, script);
        assert!(ran);
        text(&outcome)
    });
    let told = told.collect();
    (told, stream)
}

#[test]
fn what_two_passes_agree_upon_is_told() {
    let (told, _) = told(
        agreement(),
        &[
            &[(" un", 10), (" deux", 30)],
            &[(" un", 10), (" trois", 30), (" quatre", 60)],
            &[(" un", 10), (" trois", 30), (" quatre", 60), (" oui", 110)],
        ],
    );
    assert_eq!(told, ["", " un", " trois quatre"]);
}

#[test]
fn attention_stops_no_pass_and_discards_none() {
    let says: &[(&str, usize)] = &[(" un", 48), (" deux", 49), (" trois", 2), (" quatre", 49)];
    let (told, stream) = told(agreement(), &[says, says]);
    assert_eq!(told[1], " un deux trois quatre");
    // Each time the prompt and the four words.
    assert_eq!(stream.asked.len(), 10);
}

#[test]
fn nothing_told_is_forced_on_the_network() {
    let says: &[(&str, usize)] = &[(" un", 10), (" deux", 30)];
    let (told, stream) = told(agreement(), &[says, says, says]);
    assert_eq!(told, ["", " un deux", ""]);
    let prompts = stream.asked.iter().filter(|tokens| tokens.len() > 1);
    let specials = stream.tokenizer.specials();
    for prompt in prompts {
        assert_eq!(prompt.last(), Some(&specials.no_timestamps), "{prompt:?}");
    }
}

#[test]
fn the_text_may_end_before_it_begins() {
    let mut stream = Stream::new(agreement());
    let say = Say {
        prefer: vec![stream.tokenizer.specials().eot, stream.token(" merci")],
        frame: 20,
    };
    let script = || Script {
        says: [say.clone()].into(),
        ..Script::default()
    };
    for _ in 0..2 {
        let (ran, outcome) = stream.chunk(&speech(SECOND), false, script());
        assert!(ran);
        assert_eq!(text(&outcome), "");
    }
}

#[test]
fn the_end_tells_what_the_pass_before_heard() {
    let mut stream = Stream::new(agreement());
    let script = stream.plan(&[(" un", 10), (" deux", 30)]);
    let audio = [speech(SECOND), silence(SECOND / 5)].concat();
    let (_, outcome) = stream.chunk(&audio, false, script);
    assert_eq!(text(&outcome), "");
    let (ran, outcome) = stream.chunk(&[], true, Script::default());
    assert!(!ran, "it had heard all");
    assert_eq!(text(&outcome), " un deux");
    assert!(outcome.utterance_end);
}

#[test]
fn the_end_hears_what_no_pass_has_heard() {
    let mut stream = Stream::new(agreement());
    let script = stream.plan(&[(" un", 10), (" de", 45)]);
    stream.chunk(&speech(SECOND), false, script);
    let script = stream.plan(&[(" un", 10), (" deux", 45), (" trois", 70)]);
    let (ran, outcome) = stream.chunk(&speech(SECOND / 2), true, script);
    assert!(ran);
    assert_eq!(text(&outcome), " un deux trois");
    assert!(outcome.utterance_end);
}

#[test]
fn a_pause_ends_the_utterance_and_the_next_begins_afresh() {
    let mut stream = Stream::new(agreement());
    let script = stream.plan(&[(" un", 10), (" deux", 30)]);
    stream.chunk(&speech(SECOND), false, script);
    let script = stream.plan(&[(" un", 10), (" deux", 30)]);
    let (_, outcome) = stream.chunk(&silence(SECOND), false, script);
    assert_eq!(text(&outcome), " un deux");
    assert!(outcome.utterance_end);
    let says: &[(&str, usize)] = &[(" un", 60)];
    for expected in ["", " un"] {
        let script = stream.plan(says);
        let (_, outcome) = stream.chunk(&speech(SECOND), false, script);
        assert_eq!(text(&outcome), expected);
    }
}

#[test]
fn guards_cut_what_nobody_said() {
    let looped: Vec<(&str, usize)> = [(" un", 10), (" deux", 20)]
        .into_iter()
        .cycle()
        .take(40)
        .collect();
    let mut stream = Stream::new(agreement());
    let script = stream.plan(&looped);
    let (_, outcome) = stream.chunk(&speech(4 * SECOND), true, script);
    assert!(outcome.guards.repetition > 0);
    assert_eq!(text(&outcome), " un deux");
    let mut stream = Stream::new(agreement());
    let script = Script {
        no_speech: 0.9,
        ..stream.plan(&[(" merci", 10)])
    };
    let (_, outcome) = stream.chunk(&speech(SECOND), true, script);
    assert_eq!((text(&outcome).as_str(), outcome.guards.no_speech), ("", 1));
}

#[test]
fn partials_are_what_is_not_agreed_upon() {
    let settings = PolicySettings {
        interim: true,
        ..agreement()
    };
    let mut stream = Stream::new(settings);
    let passes: [&[(&str, usize)]; 3] = [
        &[(" un", 10), (" deux", 40)],
        &[(" un", 10), (" trois", 40), (" oui", 80)],
        &[(" un", 10), (" non", 40), (" oui", 80), (" deux", 120)],
    ];
    let shown = |partial: &[PartialWord]| {
        let shown = partial.iter().map(|p| (p.word.text.clone(), p.stability));
        shown.collect::<Vec<_>>()
    };
    let expected: [&[(&str, u32)]; 3] = [
        &[(" un", 1), (" deux", 1)],
        &[(" trois", 1), (" oui", 1)],
        &[(" non", 1), (" oui", 1), (" deux", 1)],
    ];
    for (says, expected) in passes.into_iter().zip(expected) {
        let script = stream.plan(says);
        let (_, outcome) = stream.chunk(&speech(SECOND), false, script);
        let expected: Vec<_> = expected.iter().map(|&(w, n)| (w.to_owned(), n)).collect();
        assert_eq!(shown(&outcome.partial), expected);
        let first = outcome.partial.first().map(|p| p.word.start);
        assert!(first.is_some_and(|start| outcome.quiet_until <= start));
    }
}

#[test]
fn an_unsure_language_tells_nothing_and_loses_nothing() {
    let settings = PolicySettings {
        language: "auto".into(),
        ..agreement()
    };
    let mut stream = Stream::new(settings);
    let mut all = String::new();
    for second in 0..5 {
        let script = Script {
            language: Some(("fr", 0.9)),
            ..stream.plan(&[(" un", 10), (" deux", 30)])
        };
        let (_, outcome) = stream.chunk(&speech(SECOND), second == 4, script);
        all.push_str(&text(&outcome));
    }
    assert_eq!(all, " un deux");
}

#[test]
fn what_scrolled_out_is_the_prompt() {
    let settings = PolicySettings {
        buffer_trimming_ms: 4_000,
        ..agreement()
    };
    let (stream, _, _) = ten_minutes(settings, 60, 3);
    let specials = stream.tokenizer.specials();
    let prompt = stream.asked.iter().rev().find(|tokens| tokens.len() > 1);
    let prompt = prompt.unwrap();
    assert_eq!(prompt[0], specials.sot_prev);
    let behind = prompt.iter().position(|&t| t == specials.sot).unwrap();
    let text = stream.tokenizer.decode(&prompt[1..behind]);
    let length = text.chars().count();
    assert!((190..=200).contains(&length), "{length}: {text}");
    assert!(text.starts_with(' '), "whole words: {text}");
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// Speech without a pause, for `seconds`: each pass hears all words of its window, the newest two perhaps wrong. Returns
/// what was told, what was said, and the most frames that a window held.
fn ten_minutes(
    settings: PolicySettings,
    seconds: usize,
    seed: u64,
) -> (Stream, [String; 2], usize) {
    let vocabulary = [
        " un", " deux", " trois", " quatre", " oui", " non", " encore",
    ];
    let mut dice = Dice(seed);
    let mut stream = Stream::new(settings);
    let (mut said, mut at) = (Vec::new(), 30);
    while at < seconds * 50 - 40 {
        let fresh: Vec<_> = vocabulary
            .iter()
            .filter(|&&word| said.last().is_none_or(|&(before, _)| before != word))
            .collect();
        said.push((*fresh[dice.below(fresh.len() as u64) as usize], at));
        at += 14 + dice.below(14) as usize;
    }
    let audio = speech(seconds * SECOND);
    let (mut told, mut longest) = (String::new(), 0);
    let mut until: Samples = 0;
    for (n, chunk) in audio.chunks(SECOND / 2).enumerate() {
        let is_last = n + 1 == seconds * 2;
        let tokens: Vec<u32> = said.iter().map(|&(word, _)| stream.token(word)).collect();
        let eot = stream.tokenizer.specials().eot;
        let wrong = stream.token(" merci");
        let (_, outcome) = stream.chunk_of(chunk, is_last, |pass| {
            let report = pass.report();
            let base = (report.base as usize).div_ceil(FRAME);
            longest = longest.max(report.content);
            let heard = said.iter().zip(&tokens);
            let heard = heard.filter(|((_, at), _)| (base + 4..base + report.content).contains(at));
            let mut says: Vec<Say> = heard
                .map(|((_, at), &token)| Say {
                    prefer: vec![token],
                    frame: at - base,
                })
                .collect();
            if !is_last && dice.below(2) == 0 && n % 2 == 0 {
                let newest = says.len().saturating_sub(1 + dice.below(2) as usize);
                for say in &mut says[newest..] {
                    say.prefer = vec![wrong];
                }
            }
            says.push(Say {
                prefer: vec![eot],
                frame: report.content,
            });
            Script {
                says: says.into(),
                ..Script::default()
            }
        });
        if let Some(release) = &outcome.release {
            assert!(release.start >= until, "words follow each other");
            until = release.end;
        }
        told.push_str(&text(&outcome));
    }
    let said = said.iter().map(|&(word, _)| word).collect();
    (stream, [told, said], longest)
}

#[test]
fn ten_minutes_without_a_pause_are_told_word_for_word_from_a_bounded_buffer() {
    for (trimming, most) in [
        (BufferTrimming::Segment, 15_000),
        (BufferTrimming::Sentence, 8_000),
    ] {
        let settings = PolicySettings {
            buffer_trimming: trimming,
            buffer_trimming_ms: most,
            ..agreement()
        };
        let (stream, [told, said], longest) = ten_minutes(settings, 600, 11);
        assert_eq!(told, said);
        // A chunk more, and the newest words, which were not agreed upon.
        assert!(longest * 20 <= most as usize + 2_000, "{longest} frames");
        assert!(stream.policy.bytes() < 4 << 20, "{}", stream.policy.bytes());
    }
}

#[test]
fn a_window_shorter_than_the_trimming_length_loses_nothing_either() {
    let settings = PolicySettings {
        audio_max_len_ms: 5_000,
        ..agreement()
    };
    let (_, [told, said], longest) = ten_minutes(settings, 120, 5);
    assert_eq!(told, said);
    assert!(longest <= 250, "{longest} frames");
}

#[test]
fn what_never_agrees_is_told_before_it_leaves_the_window() {
    let settings = PolicySettings {
        audio_max_len_ms: 4_000,
        min_chunk_ms: 1_000,
        ..agreement()
    };
    let mut stream = Stream::new(settings);
    let words = [" un", " deux", " trois", " quatre", " oui", " non"];
    let mut all = Vec::new();
    for second in 0..12 {
        let (_, outcome) = stream.chunk_of(&speech(SECOND), false, |pass| {
            // A word in each second of the window, and never the same.
            let seconds = pass.report().content / 50;
            let tokens = |n: usize| words[(second + n) % words.len()];
            let says: Vec<_> = (0..seconds).map(|n| (tokens(n), n * 50 + 25)).collect();
            let script = Stream::new(agreement()).plan(&says);
            assert!(seconds <= 4);
            script
        });
        all.extend(outcome.release.into_iter().flat_map(|r| r.words));
    }
    // All but those of the last three seconds, which are still held.
    assert!((8..=10).contains(&all.len()), "{all:?}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |settings: PolicySettings| settings.check().unwrap_err().to_string();
    let compat = refused(PolicySettings {
        compat: Compat::SimulStreaming,
        ..agreement()
    });
    assert!(compat.contains("local-agreement") && compat.contains("compat to none"));
    let beams = refused(PolicySettings {
        beams: 5,
        ..agreement()
    });
    assert!(beams.contains("beams is 5") && beams.contains("local-agreement"));
    let late = refused(PolicySettings {
        buffer_trimming_ms: 40_000,
        ..agreement()
    });
    assert!(late.contains("buffer-trimming-len is 40000 ms") && late.contains("30000"));
}
