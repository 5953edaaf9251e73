//! Where `compat=none` leaves the reference, one test each: what the deviation cures.
//! The reference's own behaviour is pinned beside it where that fits in a line.

#[path = "common/scripted.rs"]
mod scripted;

use gstwhisperstream::policy::{Compat, PolicySettings};
use scripted::{Say, Script, Stream, silence, speech};

const SECOND: usize = 16_000;

fn ours() -> PolicySettings {
    PolicySettings {
        language: "fr".into(),
        ..PolicySettings::default()
    }
}

fn reference() -> PolicySettings {
    PolicySettings {
        compat: Compat::SimulStreaming,
        ..ours()
    }
}

fn text(outcome: &gstwhisperstream::policy::Outcome) -> String {
    outcome
        .release
        .as_ref()
        .map(|r| r.text.clone())
        .unwrap_or_default()
}

/// The network would rather end than speak, and has a word as second choice.
fn rather_nothing(stream: &Stream, frame: usize) -> Script {
    let say = Say {
        prefer: vec![stream.tokenizer.specials().eot, stream.token(" oui")],
        frame,
    };
    Script {
        says: [say].into(),
        ..Script::default()
    }
}

#[test]
fn nothing_new_adds_no_word_behind_a_forced_prefix() {
    for (settings, invented) in [(ours(), ""), (reference(), " oui")] {
        let mut stream = Stream::new(settings);
        let first = stream.plan(&[(" non", 20), (" non", 80)]);
        stream.chunk(&speech(2 * SECOND), false, first);
        let script = rather_nothing(&stream, 30);
        let (ran, outcome) = stream.chunk(&speech(SECOND), false, script);
        assert!(ran);
        assert_eq!(text(&outcome), invented);
    }
}

#[test]
fn timestamps_and_non_speech_tokens_are_never_said() {
    let mut stream = Stream::new(ours());
    let timestamp = stream.tokenizer.specials().timestamp_begin + 7;
    let word = stream.token(" oui");
    // 7 is on the scripted model's suppress list.
    let says =
        [vec![timestamp, 7, word], vec![timestamp, word]].map(|prefer| Say { prefer, frame: 20 });
    let script = Script {
        says: says.into(),
        ..Script::default()
    };
    let (_, outcome) = stream.chunk(&speech(2 * SECOND), true, script);
    assert_eq!(text(&outcome), " oui oui");
}

#[test]
fn a_pass_without_speech_by_the_network_says_nothing() {
    for (no_speech, said) in [(0.7, ""), (0.5, " oui")] {
        let mut stream = Stream::new(ours());
        let script = Script {
            no_speech,
            ..stream.plan(&[(" oui", 20), ("", 0)])
        };
        let (_, outcome) = stream.chunk(&speech(2 * SECOND), false, script);
        assert_eq!(text(&outcome), said);
        assert_eq!(outcome.guards.no_speech, u32::from(said.is_empty()));
    }
}

#[test]
fn the_no_speech_row_is_that_of_start_of_transcript() {
    let mut stream = Stream::new(PolicySettings {
        init_prompt: Some(" bonjour marie".into()),
        ..ours()
    });
    stream.policy.insert(&speech(2 * SECOND));
    let Ok(mut pass) = stream.policy.begin(false) else {
        panic!("no pass")
    };
    let gstwhisperstream::policy::Ask::Step { tokens, probe_row } = pass.first() else {
        panic!("no step")
    };
    assert_eq!(tokens[0], stream.tokenizer.specials().sot_prev);
    assert_eq!(tokens[probe_row.unwrap()], stream.tokenizer.specials().sot);
}

#[test]
fn a_constant_attention_column_decides_nothing_by_nan() {
    let mut stream = Stream::new(ours());
    let script = Script {
        flat: true,
        ..stream.plan(&[(" oui", 0), (" non", 0), ("", 0)])
    };
    let (_, outcome) = stream.chunk(&speech(2 * SECOND), false, script);
    assert_eq!(text(&outcome), " oui non");
    for word in outcome.release.unwrap().words {
        assert!(word.end > word.start && word.confidence.is_finite());
    }
}

#[test]
fn more_tokens_than_anyone_can_say_are_cut_and_counted() {
    let mut stream = Stream::new(ours());
    let says: Vec<(&str, usize)> = [" un", " deux", " trois", " quatre"]
        .iter()
        .cycle()
        .map(|&w| (w, 10))
        .take(60)
        .collect();
    let says: Vec<_> = says
        .iter()
        .enumerate()
        .map(|(i, &(w, f))| (if i % 7 == 3 { " oui" } else { w }, f))
        .collect();
    let script = stream.plan(&says);
    let (_, outcome) = stream.chunk(&speech(SECOND), false, script);
    assert_eq!(outcome.guards.rate, 1);
    assert!(
        text(&outcome).split_whitespace().count() <= 18,
        "{}",
        text(&outcome)
    );
}

#[test]
fn a_loop_is_cut_to_one_turn_and_counted() {
    let mut stream = Stream::new(ours());
    let says: Vec<(&str, usize)> = [" un", " deux", " trois"]
        .iter()
        .cycle()
        .map(|&w| (w, 100))
        .take(30)
        .collect();
    let script = stream.plan(&says);
    let (_, outcome) = stream.chunk(&speech(4 * SECOND), true, script);
    assert_eq!(text(&outcome), " un deux trois");
    assert_eq!(outcome.guards.repetition, 9);
}

#[test]
fn the_context_survives_a_short_pause_and_not_a_long_one() {
    for (pause, kept) in [(3, true), (6, false)] {
        let mut stream = Stream::new(ours());
        let script = stream.plan(&[(" oui", 20), ("", 0)]);
        stream.chunk(&speech(SECOND), false, script);
        for _ in 0..pause {
            stream.chunk(&silence(SECOND), false, Script::default());
        }
        let script = stream.plan(&[(" non", 60), ("", 0)]);
        let (ran, _) = stream.chunk(&speech(SECOND), false, script);
        assert!(ran);
        let asked = stream
            .asked
            .iter()
            .rev()
            .find(|tokens| tokens.len() > 1)
            .unwrap();
        assert_eq!(
            asked.contains(&stream.token(" oui")),
            kept,
            "after {pause} s: {asked:?}"
        );
    }
}

#[test]
fn a_word_leaves_whole() {
    let mut stream = Stream::new(ours());
    let pieces = stream.tokenizer.encode(" messagerie");
    assert!(pieces.len() > 1);
    let says = |tokens: &[u32], frame| {
        tokens
            .iter()
            .map(|&t| Say {
                prefer: vec![t],
                frame,
            })
            .collect::<Vec<_>>()
    };
    // The pass ends inside the word: the piece behind is attended too close to the end.
    let mut plan = says(&pieces[..1], 20);
    plan.extend(says(&pieces[1..2], 99));
    let (_, outcome) = stream.chunk(
        &speech(2 * SECOND),
        false,
        Script {
            says: plan.into(),
            ..Script::default()
        },
    );
    assert_eq!(text(&outcome), "");
    let mut plan = says(&pieces[1..], 40);
    plan.extend(says(&[stream.token(" oui")], 149));
    let (_, outcome) = stream.chunk(
        &speech(SECOND),
        false,
        Script {
            says: plan.into(),
            ..Script::default()
        },
    );
    assert_eq!(text(&outcome), " messagerie");
    assert_eq!(outcome.release.unwrap().words[0].tokens, pieces);
}

#[test]
fn hyphens_and_apostrophes_do_not_split_a_word() {
    let mut stream = Stream::new(ours());
    let script = stream.plan(&[(" avez", 20), ("-", 24), ("vous", 26), (" oui", 99)]);
    let (_, outcome) = stream.chunk(&speech(2 * SECOND), false, script);
    let words: Vec<String> = outcome
        .release
        .unwrap()
        .words
        .into_iter()
        .map(|w| w.text)
        .collect();
    assert_eq!(words, [" avez-vous"]);
}

#[test]
fn an_incomplete_character_is_held_with_all_its_tokens() {
    let mut stream = Stream::new(PolicySettings {
        language: "zh".into(),
        ..ours()
    });
    let tokens = stream.tokenizer.encode("龘");
    assert!(tokens.len() > 1, "{tokens:?}");
    let (before, behind) = tokens.split_at(tokens.len() - 1);
    let plan = |tokens: &[u32], frame| {
        tokens
            .iter()
            .map(|&t| Say {
                prefer: vec![t],
                frame,
            })
            .collect::<Vec<_>>()
    };
    let mut says = plan(before, 20);
    says.extend(plan(behind, 99));
    let (_, outcome) = stream.chunk(
        &speech(2 * SECOND),
        false,
        Script {
            says: says.into(),
            ..Script::default()
        },
    );
    assert_eq!(text(&outcome), "");
    let script = Script {
        says: plan(behind, 30).into(),
        ..Script::default()
    };
    let (_, outcome) = stream.chunk(&speech(SECOND), true, script);
    assert_eq!(text(&outcome), "龘");
}

#[test]
fn scrolling_moves_only_the_words_whose_audio_left() {
    let settings = PolicySettings {
        min_chunk_ms: 2000,
        audio_max_len_ms: 4000,
        ..ours()
    };
    let mut stream = Stream::new(settings);
    // One pass says a word in the first chunk's audio and one in the second's.
    stream.policy.insert(&speech(2 * SECOND));
    let script = stream.plan(&[(" un", 30), (" deux", 150), (" oui", 199)]);
    stream.chunk(&speech(2 * SECOND), false, script);
    let script = stream.plan(&[("", 0)]);
    stream.chunk(&speech(2 * SECOND), false, script);
    let asked = stream.asked.last().unwrap();
    let sot = asked
        .iter()
        .position(|&t| t == stream.tokenizer.specials().sot)
        .unwrap();
    assert!(asked[..sot].contains(&stream.token(" un")), "{asked:?}");
    assert!(asked[sot..].contains(&stream.token(" deux")), "{asked:?}");
}

#[test]
fn times_hold_when_several_chunks_scroll_out_at_once() {
    for (compat, start) in [(Compat::None, 4.0), (Compat::SimulStreaming, 2.0)] {
        let settings = PolicySettings {
            min_chunk_ms: 1000,
            audio_max_len_ms: 4000,
            compat,
            ..ours()
        };
        let mut stream = Stream::new(settings);
        stream.policy.insert(&speech(2 * SECOND));
        stream.policy.insert(&speech(2 * SECOND));
        let script = stream.plan(&[(" oui", 50), ("", 0)]);
        let (_, outcome) = stream.chunk(&speech(4 * SECOND), true, script);
        let got = outcome.release.unwrap().words[0].start as f64 / 16_000.0 - 1.0;
        assert!((got - start).abs() < 0.2, "{compat:?}: {got}");
    }
}

#[test]
fn the_language_is_not_locked_before_two_seconds_of_speech() {
    let mut stream = Stream::new(PolicySettings {
        language: "auto".into(),
        ..ours()
    });
    let script = Script {
        language: Some(("en", 0.6)),
        ..stream.plan(&[(" oui", 10), ("", 0)])
    };
    let (_, outcome) = stream.chunk(&speech(SECOND), false, script);
    assert_eq!((text(&outcome), outcome.language), (String::new(), None));
    for _ in 0..3 {
        let script = Script {
            language: Some(("fr", 0.9)),
            ..stream.plan(&[(" oui", 10), ("", 0)])
        };
        let (_, outcome) = stream.chunk(&speech(SECOND), false, script);
        if let Some(language) = &outcome.language {
            assert_eq!((language.code, text(&outcome).as_str()), ("fr", " oui"));
            assert!((language.probability - 0.9).abs() < 0.01);
            return;
        }
    }
    panic!("never locked");
}

#[test]
fn a_language_is_heard_again_after_a_pause() {
    let mut stream = Stream::new(PolicySettings {
        language: "auto".into(),
        ..ours()
    });
    let script = Script {
        language: Some(("fr", 0.9)),
        ..stream.plan(&[(" oui", 10), ("", 0)])
    };
    let (_, outcome) = stream.chunk(&speech(4 * SECOND), false, script);
    assert_eq!(outcome.language.unwrap().code, "fr");
    for _ in 0..3 {
        stream.chunk(&silence(SECOND), false, Script::default());
    }
    let script = Script {
        language: Some(("en", 0.9)),
        ..stream.plan(&[(" yes", 60), ("", 0)])
    };
    let (_, outcome) = stream.chunk(&speech(4 * SECOND), false, script);
    assert_eq!(outcome.language.unwrap().code, "en");
}

#[test]
fn quiet_audio_runs_no_pass() {
    let mut stream = Stream::new(ours());
    for _ in 0..10 {
        let (ran, outcome) = stream.chunk(&silence(SECOND), false, Script::default());
        assert!(!ran && outcome.release.is_none() && outcome.guards.quiet == 1);
    }
    let mut stream = Stream::new(reference());
    assert!(stream.chunk(&silence(SECOND), false, Script::default()).0);
}

#[test]
fn an_utterance_ends_after_a_pause_with_all_it_held() {
    let mut stream = Stream::new(ours());
    let script = stream.plan(&[(" oui", 99)]);
    let (_, outcome) = stream.chunk(&speech(2 * SECOND), false, script);
    assert_eq!(text(&outcome), "", "too close to the end to be believed");
    let script = stream.plan(&[(" oui", 90), ("", 0)]);
    let (_, outcome) = stream.chunk(&silence(SECOND), false, script);
    assert!(outcome.utterance_end);
    assert_eq!(text(&outcome), " oui");
}

#[test]
fn interim_changes_nothing_that_is_committed() {
    let run = |interim| {
        let mut stream = Stream::new(PolicySettings { interim, ..ours() });
        let mut said = Vec::new();
        let script = stream.plan(&[(" un", 20), (" deux", 95), (" trois", 97), ("", 0)]);
        let (_, first) = stream.chunk(&speech(2 * SECOND), false, script);
        said.push(first.release);
        let script = stream.plan(&[(" deux", 95), (" trois", 145), (" quatre", 147), ("", 0)]);
        let (_, second) = stream.chunk(&speech(SECOND), false, script);
        said.push(second.release);
        (said, first.partial, second.partial, stream.asked.len())
    };
    let (without, none, _, steps_without) = run(false);
    let (with, first, second, steps_with) = run(true);
    assert_eq!(without, with);
    assert!(none.is_empty() && steps_with > steps_without);
    let words = |partial: &[gstwhisperstream::policy::PartialWord]| {
        partial
            .iter()
            .map(|p| (p.word.text.clone(), p.stability))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words(&first),
        [(" deux".to_owned(), 1), (" trois".to_owned(), 1)]
    );
    assert_eq!(
        words(&second),
        [(" trois".to_owned(), 2), (" quatre".to_owned(), 1)]
    );
}
