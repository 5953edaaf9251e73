//! `audio-ctx=auto`: how much is encoded, and when all of it is after all.

#[path = "common/scripted.rs"]
mod scripted;

use gstwhisperstream::policy::{AudioCtx, Compat, PolicySettings};
use scripted::{Script, Stream, speech};

const SECOND: usize = 16_000;

fn auto() -> PolicySettings {
    PolicySettings {
        language: "fr".into(),
        audio_ctx: AudioCtx::Auto,
        ..PolicySettings::default()
    }
}

fn frames_of(settings: PolicySettings, seconds: usize) -> usize {
    let mut stream = Stream::new(settings);
    stream.policy.insert(&speech(seconds * SECOND));
    let Ok(pass) = stream.policy.begin(false) else {
        panic!("no pass over {seconds} s of speech");
    };
    let window = pass.window();
    assert_eq!(window.mel.len(), 80 * 3000);
    window.frames
}

#[test]
fn exact_encodes_all_and_auto_the_audio_with_a_margin() {
    let exact = PolicySettings {
        audio_ctx: AudioCtx::Exact,
        ..auto()
    };
    assert_eq!(frames_of(exact, 4), 1500);
    for (seconds, least) in [(1, 256), (4, 200 + 128), (10, 500 + 128)] {
        let frames = frames_of(auto(), seconds);
        assert!(
            frames.is_multiple_of(16) && (least..least + 16).contains(&frames),
            "{seconds} s: {frames} frames"
        );
    }
    assert_eq!(frames_of(auto(), 30), 1500);
}

#[test]
fn the_reference_is_never_inexact() {
    let settings = PolicySettings {
        compat: Compat::SimulStreaming,
        ..auto()
    };
    let refusal = settings.check().unwrap_err().to_string();
    for part in ["audio-ctx", "simulstreaming", "exact"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

/// A text that runs in a loop, then one that does not.
fn astray_then_right(stream: &Stream) -> Script {
    let mut script = stream.plan(&[(" non", 20); 7]);
    script
        .says
        .extend(stream.plan(&[(" oui", 40), ("", 0)]).says);
    script
}

#[test]
fn what_a_part_of_the_window_led_astray_is_heard_again_in_full() {
    let mut stream = Stream::new(auto());
    let script = astray_then_right(&stream);
    let (ran, outcome) = stream.chunk(&speech(4 * SECOND), true, script);
    assert!(ran);
    let text = outcome.release.map(|release| release.text);
    assert_eq!(text.as_deref(), Some(" oui"));
    assert_eq!(outcome.guards.repeated, 1);
    assert_eq!(outcome.guards.repetition, 0, "nothing of it was cut");
    assert_eq!(stream.windows.last(), Some(&1500));
}

#[test]
fn a_whole_window_is_not_heard_twice() {
    let mut stream = Stream::new(PolicySettings {
        audio_ctx: AudioCtx::Exact,
        ..auto()
    });
    let script = astray_then_right(&stream);
    let (_, outcome) = stream.chunk(&speech(4 * SECOND), true, script);
    assert_eq!(outcome.guards.repeated, 0);
    assert!(outcome.guards.repetition > 0);
    assert!(stream.windows.is_empty());
}
