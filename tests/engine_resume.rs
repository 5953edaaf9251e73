//! A stream that is saved and goes on elsewhere says what it says undisturbed: every event, word and time of it.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "common/engine.rs"]
#[allow(dead_code)]
mod engine;

use std::sync::Arc;

use engine::*;
use gstwhisperstream::engine::{Event, Pace, Saved, SavedError, Session, SessionSettings};
use gstwhisperstream::policy::{AudioCtx, Rule};
use gstwhisperstream::speech::{BargeInSettings, VadSettings};

/// What is heard, and how.
struct Call {
    samples: Vec<i16>,
    settings: SessionSettings,
}

fn call(recording: &str, language: &str, change: fn(&mut SessionSettings)) -> Call {
    let mut settings = settings(Pace::Exact, language);
    settings.vad = Some(VadSettings::default());
    change(&mut settings);
    Call {
        samples: audio::samples(recording),
        settings,
    }
}

fn calls() -> Vec<Call> {
    vec![
        call("fr-pauses.wav", "fr", |_| {}),
        // The language is found on the way, and partials are wanted.
        call("fr-accueil.wav", "auto", |settings| {
            settings.policy.interim = true;
            settings.policy.min_chunk_ms = 700;
        }),
        call("fr-dense.wav", "fr", |settings| {
            settings.policy.audio_max_len_ms = 5_000;
            settings.policy.audio_ctx = AudioCtx::Auto;
            settings.policy.init_prompt = Some(" bonjour".into());
            settings.barge_in = BargeInSettings {
                after_ms: 300,
                min_words: 2,
            };
        }),
        call("en-greeting.wav", "en", |settings| {
            settings.policy.rule = Rule::LocalAgreement;
            settings.vad = None;
        }),
        call("en-digits.wav", "en", |settings| {
            settings.policy.beams = 3;
            settings.policy.temperature = 0.4;
            settings.policy.min_chunk_ms = 1_000;
        }),
    ]
}

/// All that is said in order with the words (what is told at once comes from another thread).
fn said(ears: &Ears) -> Vec<String> {
    ears.look(|events| {
        let told = events.iter().filter(|event| {
            !matches!(
                event,
                Event::Loading(_)
                    | Event::Loaded { .. }
                    | Event::Noticed(_)
                    | Event::Interrupting(_)
                    // Its number counts a session's drains.
                    | Event::Drained { .. }
            )
        });
        told.map(|event| format!("{event:?}")).collect()
    })
}

/// Pushes the call in pieces of 20 ms, and has it go on in another session behind each of `cuts`, by way of `carry`.
fn hear(call: &Call, cuts: &[usize], carry: impl Fn(&Call, Saved) -> Saved) -> Vec<String> {
    let (mut session, mut ears) = open(call.settings.clone());
    let mut told = Vec::new();
    let mut at = 0;
    for &end in cuts.iter().chain([&call.samples.len()]) {
        for piece in call.samples[at..end].chunks(320) {
            session.push(piece).unwrap();
        }
        at = end;
        if end == call.samples.len() {
            break;
        }
        let saved = carry(call, session.save().unwrap());
        assert_eq!(saved.position(), end as u64);
        session.close();
        told.extend(said(&ears));
        ears = Ears::default();
        let next = Session::resume(call.settings.clone(), saved, ears.listener());
        session = Arc::new(next.unwrap());
    }
    session.end().unwrap();
    told.extend(said(&ears));
    told
}

fn as_bytes(_: &Call, saved: Saved) -> Saved {
    Saved::from_bytes(&saved.to_bytes()).unwrap()
}

/// The audio stays where it was, and is given back from there.
fn without_audio(call: &Call, saved: Saved) -> Saved {
    let whole = saved.to_bytes().len();
    let held = saved.audio();
    let bytes = saved.without_audio().to_bytes();
    assert!(
        bytes.len() < 64_000 && bytes.len() <= whole,
        "{} of {whole} bytes, {held:?}",
        bytes.len()
    );
    let mut saved = Saved::from_bytes(&bytes).unwrap();
    assert_eq!(saved.audio(), held);
    saved.fill(call.samples[held.start as usize..held.end as usize].to_vec());
    saved
}

/// So many places, the same at every run; some in step with passes, some not.
fn cuts(call: &Call, count: usize) -> Vec<usize> {
    let mut dice = 88_172_645_463_325_252_u64;
    let mut cuts: Vec<usize> = (0..count)
        .map(|n| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let at = dice as usize % call.samples.len();
            let chunk = call.settings.policy.min_chunk_ms as usize * 16;
            if n % 3 == 0 { at / chunk * chunk } else { at }
        })
        .collect();
    cuts.sort_unstable();
    cuts
}

#[test]
fn it_says_what_it_says_undisturbed() {
    keep_model();
    for (number, call) in calls().iter().enumerate() {
        let undisturbed = hear(call, &[], as_bytes);
        let words = undisturbed
            .iter()
            .filter(|event| event.starts_with("Words"));
        assert!(words.count() > 1, "call {number}: {undisturbed:?}");
        let cuts = cuts(call, 9);
        for carry in [as_bytes as fn(&Call, Saved) -> Saved, without_audio] {
            let resumed = hear(call, &cuts, carry);
            assert_eq!(resumed, undisturbed, "call {number}, cut at {cuts:?}");
        }
    }
}

#[test]
fn bytes_that_are_no_saved_stream_are_told_apart() {
    keep_model();
    let (session, _ears) = open(settings(Pace::Exact, "fr"));
    session.push(&audio::samples("fr-court.wav")).unwrap();
    let saved = session.save().unwrap();
    let bytes = saved.to_bytes();
    assert!(Saved::from_bytes(&bytes).is_ok());
    let of = |bytes: &[u8]| Saved::from_bytes(bytes).unwrap_err();
    assert_eq!(of(b""), SavedError::Other);
    assert_eq!(of(b"RIFF\0\x01 something else"), SavedError::Other);
    for end in [5, 6, 20, 37, 38, bytes.len() / 2, bytes.len() - 1] {
        let told = of(&bytes[..end]);
        assert!(
            matches!(told, SavedError::Damaged | SavedError::Other),
            "{end}"
        );
    }
    for at in (38..bytes.len()).step_by(bytes.len() / 50) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert_eq!(of(&flipped), SavedError::Damaged, "{at}");
    }
    let mut newer = bytes;
    newer[5] = 9;
    assert_eq!(of(&newer), SavedError::Format { found: 9 });
}

#[test]
fn one_whose_audio_is_not_given_back_is_refused_in_a_sentence() {
    keep_model();
    let (session, _ears) = open(settings(Pace::Exact, "fr"));
    session
        .push(&audio::samples("fr-court.wav")[..12_345])
        .unwrap();
    let saved = session.save().unwrap().without_audio();
    let ears = Ears::default();
    match Session::resume(settings(Pace::Exact, "fr"), saved.clone(), ears.listener()) {
        Err(error) => assert!(error.to_string().contains("samples"), "{error}"),
        Ok(_session) => assert!(ears.wait_failed().contains("samples of audio are there")),
    }
    let (fresh, _ears) = open(settings(Pace::Exact, "fr"));
    let saved = fresh.save().unwrap();
    assert_eq!((saved.position(), saved.utterance()), (0, 0));
}
