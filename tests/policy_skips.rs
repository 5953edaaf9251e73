//! Passes that could decide nothing are not run.

#[path = "common/scripted.rs"]
mod scripted;

use gstwhisperstream::policy::{Compat, PolicySettings};
use scripted::{Script, Stream, silence, speech};

const SECOND: usize = 16_000;

fn french() -> PolicySettings {
    PolicySettings {
        language: "fr".into(),
        ..PolicySettings::default()
    }
}

/// Silence, then a chunk at whose very end somebody starts to speak: whether a pass ran over that.
fn runs_for_an_onset(settings: PolicySettings) -> (bool, u32) {
    let mut stream = Stream::new(settings);
    stream.chunk(&silence(SECOND), false, Script::default());
    let onset = [silence(SECOND / 4), speech(SECOND / 4)].concat();
    let (ran, outcome) = stream.chunk(&onset, false, Script::default());
    (ran, outcome.guards.quiet)
}

#[test]
fn sound_too_new_to_be_believed_is_not_asked_for() {
    assert_eq!(runs_for_an_onset(french()), (false, 1));
    let sooner = PolicySettings {
        frame_threshold: 4,
        ..french()
    };
    assert!(
        runs_for_an_onset(sooner).0,
        "believed a fifth of a second in"
    );
    let interim = PolicySettings {
        interim: true,
        ..french()
    };
    assert!(runs_for_an_onset(interim).0, "partials show it");
    let compat = PolicySettings {
        compat: Compat::SimulStreaming,
        ..french()
    };
    assert!(runs_for_an_onset(compat).0, "the reference always asks");
}

/// A word, then what the network says over a little silence; then more silence, which ends the utterance.
fn ends_after(says: &[(&str, usize)]) -> (bool, String) {
    let mut stream = Stream::new(french());
    let mut text = String::new();
    let mut hear = |stream: &mut Stream, audio: &[f32], script| {
        let (ran, outcome) = stream.chunk(audio, false, script);
        text.extend(outcome.release.into_iter().map(|release| release.text));
        (ran, outcome.utterance_end)
    };
    let script = stream.plan(&[(" oui", 40)]);
    assert!(hear(&mut stream, &speech(SECOND), script).0);
    let script = stream.plan(says);
    assert!(hear(&mut stream, &silence(SECOND * 3 / 10), script).0);
    let script = stream.plan(&[(" encore", 60), ("", 0)]);
    let (ran, ended) = hear(&mut stream, &silence(SECOND * 3 / 10), script);
    assert!(ended, "half a second of silence ends an utterance");
    (ran, text)
}

#[test]
fn an_utterance_that_was_told_ends_without_a_pass() {
    let (ran, text) = ends_after(&[(" oui", 20), ("", 0)]);
    assert!(!ran);
    assert_eq!(text, " oui");
}

#[test]
fn an_utterance_of_which_something_was_not_believed_ends_with_a_pass() {
    let (ran, text) = ends_after(&[(" oui", 20), (" encore", 64)]);
    assert!(ran);
    assert_eq!(text, " oui encore");
}
