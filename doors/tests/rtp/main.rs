#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

//! Calls that come as RTP: on ports and in captures, whole and damaged.

#[path = "../../../benches/common/align.rs"]
mod align;
mod captures;
mod clock;
mod damage;
#[path = "../common/dice.rs"]
mod dice;
mod loss;
mod network;
mod place;
mod ports;
#[path = "../common/printed.rs"]
mod printed;
mod sender;
mod trial;

use doors::call::Setting;
use doors::exchange::{Exchange, Policy};
use printed::Printed;
use serde_json::Value;

/// An exchange whose calls are French.
fn exchange(settings: &[(&str, &str)]) -> Exchange {
    doors::init().unwrap();
    let french = [("language", "fr")];
    let settings = french.iter().chain(settings);
    Exchange::new(Policy {
        settings: settings
            .map(|(name, value)| Setting::new(*name, *value))
            .collect(),
        ..Policy::default()
    })
}

impl Printed {
    /// Decided words of a leg: text and start.
    fn words(&self, leg: &str) -> Vec<(String, f64)> {
        let mut words = Vec::new();
        for line in self.of_type("words") {
            if line["leg"] == leg {
                for word in line["words"].as_array().unwrap() {
                    let text = plain(word["text"].as_str().unwrap());
                    words.push((text, word["start"].as_f64().unwrap()));
                }
            }
        }
        words
    }

    /// When a leg said a word first, in seconds of the call.
    fn when(&self, leg: &str, word: &str) -> f64 {
        let words = self.words(leg);
        let said = words.iter().find(|(text, _)| text == word);
        said.unwrap_or_else(|| panic!("{leg} did not say {word:?}: {words:?}"))
            .1
    }

    fn count(&self, leg: &str) -> Value {
        let counts = self.of_type("leg");
        let count = counts.iter().find(|count| count["leg"] == leg);
        count.unwrap_or_else(|| panic!("no count of {leg}")).clone()
    }
}

fn plain(word: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || "'-".contains(*c);
    word.to_lowercase().chars().filter(kept).collect()
}

/// Within a third of a second: what Whisper's own word times allow.
fn assert_near(time: f64, expected: f64) {
    assert!((time - expected).abs() < 0.35, "{time} s, not {expected} s");
}

/// What is said in a file of tests/audio, and when.
fn spoken(file: &str) -> Vec<(String, f64)> {
    let text = std::fs::read_to_string(sender::audio(file).with_extension("json")).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    let words = told["words"].as_array().unwrap().iter();
    let word = |word: &Value| {
        let text = word["text"].as_str().unwrap().to_owned();
        (text, word["start"].as_f64().unwrap())
    };
    words.map(word).collect()
}
