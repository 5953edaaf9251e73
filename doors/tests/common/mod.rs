//! What the tests of all doors need: audio with its words, and one start of GStreamer.

#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::Once;

/// Starts GStreamer with the element in it, once in the process.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| doors::init().expect("GStreamer starts"));
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/audio")
        .join(name)
}

/// Samples of a recording of tests/audio: 16 kHz, mono.
pub fn samples(name: &str) -> Vec<i16> {
    let mut wav = hound::WavReader::open(file(&format!("{name}.wav"))).expect("a recording");
    wav.samples().map(|sample| sample.unwrap()).collect()
}

/// The same as S16LE.
pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

/// S16LE of a recording.
pub fn audio(name: &str) -> Vec<u8> {
    bytes(&samples(name))
}

/// What is said in a recording.
pub fn spoken(name: &str) -> String {
    let json = std::fs::read_to_string(file(&format!("{name}.json"))).expect("words");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    plain(json["text"].as_str().unwrap())
}

/// Words alone: no capitals, no punctuation.
pub fn plain(text: &str) -> String {
    let text = text.to_lowercase().replace(['-', '’'], " ");
    let bare = |word: &str| word.replace(|c: char| !c.is_alphanumeric() && c != '\'', "");
    let words: Vec<_> = text.split_whitespace().map(bare).collect();
    words
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
