//! Two-party telephone calls made of the bundled recordings: the parties speak in turn, each leg is a stream of its own,
//! and while one speaks the other's line is all but silent.

use std::path::{Path, PathBuf};

use super::score::True;

pub const RATE: usize = 16_000;
/// Between two turns, in samples.
const GAP: usize = RATE / 5;

/// One party's side of a call.
pub struct Leg {
    pub language: &'static str,
    pub samples: Vec<i16>,
    /// What is said in it, in seconds from its start.
    pub truth: Vec<True>,
}

struct Recording {
    samples: Vec<i16>,
    truth: Vec<True>,
}

#[derive(serde::Deserialize)]
struct Truth {
    words: Vec<True>,
}

/// A language's turns.
const TURNS: [(&str, &[&str]); 2] = [
    (
        "fr",
        &[
            "accueil",
            "numero",
            "court",
            "messagerie",
            "bruit",
            "dense",
            "pauses",
        ],
    ),
    ("en", &["greeting", "digits", "short", "voicemail", "noise"]),
];

/// The first `legs` legs of as many calls as that takes, `seconds` each. Leg 2 k and 2 k + 1 are call k's; calls differ in
/// language and in which recording they begin with.
pub fn legs(legs: usize, seconds: f64) -> Vec<Leg> {
    let turns = TURNS.map(|(language, names)| {
        let recordings: Vec<Recording> = names.iter().map(|n| read(language, n)).collect();
        (language, recordings)
    });
    let calls = (0..legs.div_ceil(2)).flat_map(|call| {
        let (language, turns) = &turns[call % turns.len()];
        self::call(language, turns, call / 2, seconds)
    });
    calls.take(legs).collect()
}

fn call(language: &'static str, turns: &[Recording], first: usize, seconds: f64) -> [Leg; 2] {
    let length = (seconds * RATE as f64) as usize;
    let mut call = [0, 1].map(|leg| Leg {
        language,
        samples: hiss(length, leg),
        truth: Vec::new(),
    });
    let (mut at, mut speaker) = (0, 0);
    for turn in turns.iter().cycle().skip(first).take(turns.len()) {
        // What does not fit any more leaves its place to a shorter one.
        if at + turn.samples.len() > length {
            continue;
        }
        let leg = &mut call[speaker];
        leg.samples[at..][..turn.samples.len()].copy_from_slice(&turn.samples);
        let start = at as f64 / RATE as f64;
        leg.truth.extend(turn.truth.iter().map(|word| True {
            text: word.text.clone(),
            start: word.start + start,
            end: word.end + start,
        }));
        at += turn.samples.len() + GAP;
        speaker = 1 - speaker;
    }
    call
}

/// A quiet line: noise some 75 dB below full scale.
fn hiss(samples: usize, seed: u64) -> Vec<i16> {
    let mut state = seed + 1;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 60) as i16) - 8
    };
    (0..samples).map(|_| noise()).collect()
}

fn read(language: &str, name: &str) -> Recording {
    let path = folder().join(format!("{language}-{name}.wav"));
    let truth = std::fs::read(path.with_extension("json")).expect("the truth of a recording");
    let truth: Truth = serde_json::from_slice(&truth).expect("truth is JSON");
    let mut wav = hound::WavReader::open(&path).expect("a bundled recording");
    assert_eq!(wav.spec().sample_rate as usize, RATE);
    Recording {
        samples: wav.samples().map(|s| s.expect("a sample")).collect(),
        truth: truth.words,
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio")
}
