//! Prompts: what stands in front of the window, and what changes when they change.

#[path = "common/scripted.rs"]
#[allow(dead_code)]
mod scripted;

use gstwhisperstream::policy::PolicySettings;
use scripted::{Script, Stream, silence, speech};

const SECOND: usize = 16_000;

fn settings() -> PolicySettings {
    PolicySettings {
        language: "fr".into(),
        ..PolicySettings::default()
    }
}

/// Says a word in an utterance of its own; what stood in front of its window.
fn say(stream: &mut Stream, word: &str) -> String {
    let script = stream.plan(&[(word, 20), ("", 0)]);
    let (ran, _) = stream.chunk(&speech(SECOND), false, script);
    assert!(ran, "no pass over {word:?}");
    let prompt = stream.asked.iter().rev().find(|tokens| tokens.len() > 1);
    let prompt = prompt.unwrap();
    let specials = stream.tokenizer.specials();
    let sot = prompt.iter().position(|&t| t == specials.sot).unwrap();
    let context = prompt[..sot].strip_prefix(&[specials.sot_prev]);
    stream.tokenizer.decode(context.unwrap_or_default())
}

fn pause(stream: &mut Stream) {
    for _ in 0..2 {
        stream.chunk(&silence(SECOND), false, Script::default());
    }
}

#[test]
fn key_terms_stand_behind_the_static_prompt() {
    let with = |terms: &str, fixed: Option<&str>| {
        let mut stream = Stream::new(PolicySettings {
            keyterms: Some(terms.into()),
            static_init_prompt: fixed.map(Into::into),
            ..settings()
        });
        say(&mut stream, " oui")
    };
    assert_eq!(with("Dupont, gare de Lyon", None), " Dupont, gare de Lyon.");
    assert_eq!(with(" Dupont ,, ", Some("Allô.")), "Allô. Dupont.");
    assert_eq!(with(" , ", None), "");
}

#[test]
fn a_prompt_that_changes_is_heeded_from_the_next_utterance_on() {
    let mut stream = Stream::new(PolicySettings {
        static_init_prompt: Some("Bonjour.".into()),
        init_prompt: Some(" Un.".into()),
        ..settings()
    });
    assert_eq!(say(&mut stream, " oui"), "Bonjour. Un.");
    stream
        .policy
        .update(PolicySettings {
            static_init_prompt: Some("Salut.".into()),
            init_prompt: Some(" Deux.".into()),
            keyterms: Some("Paris".into()),
            ..settings()
        })
        .unwrap();
    assert_eq!(say(&mut stream, " non"), "Bonjour. Un.", "in mid-utterance");
    pause(&mut stream);
    let now = say(&mut stream, " merci");
    assert_eq!(now, "Salut. Paris. Un. oui non Deux.");
}

#[test]
fn a_static_prompt_that_stays_is_not_said_again() {
    let fixed = |init: &str| PolicySettings {
        static_init_prompt: Some("Bonjour.".into()),
        init_prompt: Some(init.into()),
        ..settings()
    };
    let mut stream = Stream::new(fixed(" Un."));
    say(&mut stream, " oui");
    // Interim changes at once, and asks for nothing else.
    let settings = PolicySettings {
        interim: true,
        ..fixed(" Un.")
    };
    stream.policy.update(settings).unwrap();
    pause(&mut stream);
    assert_eq!(say(&mut stream, " non"), "Bonjour. Un. oui");
}

#[test]
fn a_new_prompt_does_not_ask_for_the_language_again() {
    let auto = |prompt: Option<&str>| PolicySettings {
        language: "auto".into(),
        init_prompt: prompt.map(Into::into),
        ..settings()
    };
    let mut stream = Stream::new(auto(None));
    let script = Script {
        language: Some(("fr", 0.9)),
        ..stream.plan(&[(" oui", 160), ("", 0)])
    };
    let (_, outcome) = stream.chunk(&speech(4 * SECOND), false, script);
    assert_eq!(outcome.language.unwrap().code, "fr");
    stream.policy.update(auto(Some(" Un."))).unwrap();
    stream.chunk(&silence(SECOND), false, Script::default());
    let asked = stream.asked.len();
    assert!(say(&mut stream, " non").ends_with(" Un."));
    let alone = stream.asked[asked..]
        .iter()
        .filter(|tokens| tokens.len() == 1);
    // The answers to " non", no question about the language.
    assert!(
        alone
            .clone()
            .all(|t| t[0] != stream.tokenizer.specials().sot)
    );
}

#[test]
fn prompts_that_leave_no_room_are_refused_and_the_old_ones_stay() {
    let mut stream = Stream::new(settings());
    let long = PolicySettings {
        keyterms: Some("anticonstitutionnellement, ".repeat(100)),
        ..settings()
    };
    let refusal = stream.policy.update(long).unwrap_err().to_string();
    assert!(refusal.contains("keyterms"), "{refusal}");
    assert_eq!(say(&mut stream, " oui"), "");
}

#[test]
fn a_pass_that_ends_within_a_word_drops_it() {
    let told = |word_weights: Option<Vec<f32>>, is_last: bool| {
        let mut stream = Stream::new(settings());
        let script = Script {
            word_weights,
            ..stream.plan(&[(" oui", 10), (" non", 30), (" merci", 94)])
        };
        let (_, outcome) = stream.chunk(&speech(2 * SECOND), is_last, script);
        let release = outcome.release.as_ref();
        release.map(|r| r.text.clone()).unwrap_or_default()
    };
    // Two words in 100 frames, of which the second begins with the newest frame: the first ends right before, or long ago.
    let at = |frame: usize| {
        let mut weights = vec![0.001; 1500];
        (weights[frame], weights[99]) = (0.95, 0.9);
        Some(weights)
    };
    assert_eq!(told(None, false), " oui non");
    assert_eq!(told(at(98), false), " oui non");
    assert_eq!(told(at(60), false), " oui");
    // The last pass of an utterance drops nothing.
    assert_eq!(told(at(60), true), " oui non merci");
}
