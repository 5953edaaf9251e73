//! Which language a stream speaks: locked, heard again, allowed.

#[path = "common/scripted.rs"]
mod scripted;

use gstwhisperstream::policy::{
    Caution, Gate, Outcome, Pass, PolicySettings, Rule, SettingsError, Task, open,
};
use gstwhisperstream::speech::Boundary;
use gstwhisperstream::whisper::{MelFilters, Tokenizer, WhisperConfig};
use scripted::{Say, Script, Stream, config, silence, speech};

const SECOND: usize = 16_000;

fn auto(languages: &str) -> PolicySettings {
    PolicySettings {
        language: "auto".into(),
        languages: languages.into(),
        ..PolicySettings::default()
    }
}

/// A chunk in which the network hears `language` so surely.
fn hear(stream: &mut Stream, samples: usize, language: (&'static str, f32)) -> Outcome {
    let script = Script {
        language: Some(language),
        ..stream.plan(&[(" oui", 10), ("", 0)])
    };
    stream.chunk(&speech(samples), false, script).1
}

#[test]
fn a_language_is_chosen_among_those_allowed() {
    // English is the likelier by far, of German and Spanish German is.
    let mut stream = Stream::new(auto("German, es-MX,de"));
    let outcome = hear(&mut stream, 4 * SECOND, ("en", 0.9));
    let language = outcome.language.unwrap();
    assert!(["de", "es"].contains(&language.code), "{language:?}");
    // The rest is shared evenly, so of two allowed each has half.
    assert!((language.probability - 0.5).abs() < 0.01, "{language:?}");
    let mut stream = Stream::new(auto("fr,en"));
    let outcome = hear(&mut stream, 4 * SECOND, ("fr", 0.5));
    let language = outcome.language.unwrap();
    assert_eq!(language.code, "fr");
    assert!(language.probability > 0.98, "{language:?}");
}

#[test]
fn a_list_does_not_matter_to_a_language_that_is_set() {
    let mut stream = Stream::new(PolicySettings {
        language: "fr".into(),
        ..auto("de")
    });
    let outcome = hear(&mut stream, 4 * SECOND, ("de", 0.9));
    assert_eq!(outcome.language, None);
    let french = stream.tokenizer.specials().languages.iter();
    let french = french.clone().find(|l| l.0 == "fr").unwrap().1;
    assert!(stream.asked[0].contains(&french));
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    for (list, wrong) in [
        ("fr,klingon", "\"klingon\""),
        ("fr,,en", "\"\""),
        ("auto", "\"auto\""),
    ] {
        let refusal = auto(list).check().unwrap_err().to_string();
        assert!(
            refusal.contains(wrong) && refusal.contains("languages"),
            "{refusal}"
        );
    }
    assert_eq!(auto(" fr , EN-us ").check(), Ok(()));
    assert_eq!(auto("  ").allowed_languages(), Ok(Vec::new()));
}

fn opens(settings: PolicySettings, config: &WhisperConfig) -> Result<(), SettingsError> {
    let tokenizer = Tokenizer::demo().unwrap().into();
    open(settings, config, tokenizer, MelFilters::new(80).into()).map(|_| ())
}

#[test]
fn an_english_only_model_takes_lists_with_english_in_them_alone() {
    let english = WhisperConfig {
        multilingual: false,
        ..config()
    };
    let refusal = opens(auto("fr,de"), &english).unwrap_err().to_string();
    assert!(
        refusal.contains("\"fr,de\"") && refusal.contains("English-only"),
        "{refusal}"
    );
    assert_eq!(opens(auto("fr,english"), &english), Ok(()));
    let translate = PolicySettings {
        task: Task::Translate,
        ..auto("")
    };
    assert_eq!(
        opens(translate, &english),
        Err(SettingsError::CannotTranslate)
    );
}

#[test]
fn a_translation_by_a_model_that_never_learned_it_is_cautioned() {
    let turbo = WhisperConfig {
        d_model: 1280,
        encoder_layers: 32,
        encoder_heads: 20,
        decoder_layers: 4,
        decoder_heads: 20,
        ..config()
    };
    let large = WhisperConfig {
        decoder_layers: 32,
        ..turbo.clone()
    };
    let translate = PolicySettings {
        task: Task::Translate,
        ..auto("")
    };
    let caution = translate.caution(&turbo);
    assert_eq!(caution, Some(Caution::NotTrainedToTranslate));
    let sentence = caution.unwrap().to_string();
    assert!(sentence.contains("translate") && sentence.contains("large-v3-turbo"));
    assert_eq!(translate.caution(&large), None);
    assert_eq!(auto("").caution(&turbo), None);
    // It is no fault: the model may be asked all the same.
    assert_eq!(opens(translate, &turbo), Ok(()));
}

#[test]
fn a_language_that_the_model_is_too_old_for_is_refused() {
    // The demo model's vocabulary is that of the models before large-v3.
    let refusal = opens(auto("fr,yue"), &config()).unwrap_err().to_string();
    assert!(refusal.contains("\"yue\""), "{refusal}");
}

#[test]
fn nothing_is_locked_before_two_seconds_of_speech_under_either_policy() {
    for rule in [Rule::AlignAtt, Rule::LocalAgreement] {
        let mut stream = Stream::new(PolicySettings { rule, ..auto("") });
        let mut heard = Vec::new();
        for _ in 0..6 {
            let outcome = hear(&mut stream, SECOND, ("fr", 0.8));
            heard.push(outcome.language.map(|l| (l.code, l.probability)));
        }
        // Two thirds of the test's speech sound.
        let locked = heard.iter().position(Option::is_some);
        assert_eq!(locked, Some(2), "{rule:?}: {heard:?}");
        let told = heard.iter().flatten().count();
        assert_eq!(told, 1, "{rule:?}: {heard:?}");
        let (code, probability) = heard[2].unwrap();
        assert_eq!(code, "fr");
        assert!((probability - 0.8).abs() < 0.01);
    }
}

/// Speech in French, silence for so long, then speech in English; the languages that were told.
fn across_a_pause(rule: Rule, gate: Gate, pause: usize) -> Vec<&'static str> {
    let mut stream = Stream::new(PolicySettings {
        rule,
        gate,
        ..auto("")
    });
    let mut told = Vec::new();
    let mut at = 0u64;
    for language in ["fr", "en"] {
        stream.policy.speech(&Boundary::Start {
            onset: at,
            probability: 0.9,
        });
        let [oui, non] = [" oui", " non"].map(|word| stream.token(word));
        let eot = stream.tokenizer.specials().eot;
        // The last word is said shortly before the end.
        let script = |pass: &Pass| {
            let content = pass.report().content;
            let says = [(oui, 10), (non, content.saturating_sub(30)), (eot, 0)];
            let says = says.map(|(token, frame)| Say {
                prefer: vec![token],
                frame,
            });
            Script {
                says: says.into(),
                language: Some((language, 0.9)),
                ..Script::default()
            }
        };
        let mut hear = |stream: &mut Stream, audio: &[f32]| {
            let (_, outcome) = stream.chunk_of(audio, false, script);
            told.extend(outcome.language.map(|l| l.code));
            at += audio.len() as u64;
        };
        for _ in 0..2 {
            hear(&mut stream, &speech(2 * SECOND));
        }
        for _ in 0..pause {
            hear(&mut stream, &silence(SECOND));
        }
        if gate == Gate::Voice {
            let end = at - (pause * SECOND) as u64;
            let onset = end - 4 * SECOND as u64;
            stream.policy.speech(&Boundary::End { onset, end });
            stream.chunk_of(&[], false, script);
        }
    }
    told
}

#[test]
fn a_language_is_heard_again_after_two_seconds_of_silence_and_not_before() {
    for rule in [Rule::AlignAtt, Rule::LocalAgreement] {
        for gate in [Gate::Energy, Gate::Voice] {
            let what = format!("{rule:?}, {gate:?}");
            assert_eq!(across_a_pause(rule, gate, 4), ["fr", "en"], "{what}");
            assert_eq!(across_a_pause(rule, gate, 1), ["fr"], "{what}");
        }
    }
}
