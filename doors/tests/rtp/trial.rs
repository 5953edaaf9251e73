//! What is heard of packets that came through a network, beside what was said and beside what is heard of the same packets, all
//! of them and in time.

use doors::call::Setting;
use doors::exchange::{Exchange, Policy};
use doors::tap::rtp::{self, RtpOptions};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::align::align;
use crate::printed::Printed;
use crate::sender::{From, Sent, audio, capture};

/// A word, where it begins and where it ends, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub text: String,
    pub start: f64,
    pub end: f64,
}

fn words(words: &Value) -> Vec<Word> {
    let words = words.as_array().unwrap().iter();
    let word = |word: &Value| Word {
        text: plain(word["text"].as_str().unwrap()),
        start: word["start"].as_f64().unwrap(),
        end: word["end"].as_f64().unwrap(),
    };
    words
        .map(word)
        .filter(|word| !word.text.is_empty())
        .collect()
}

fn plain(word: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || "'-".contains(*c);
    word.to_lowercase().chars().filter(kept).collect()
}

/// What is said in a recording of tests/audio.
pub fn said(file: &str) -> Vec<Word> {
    let text = std::fs::read_to_string(audio(file).with_extension("json")).unwrap();
    words(&serde_json::from_str::<Value>(&text).unwrap()["words"])
}

/// What the tap hears of packets, and what it counted. The recording's name says its language.
pub async fn hear(file: &str, packets: &[Sent], codec: Option<&str>) -> (Vec<Word>, Value) {
    doors::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trial.pcap");
    let flow = From {
        from: ([10, 0, 0, 1], 4000),
        to: ([10, 0, 0, 2], 5000),
        packets,
    };
    capture(&path, &[flow]);
    let options = RtpOptions {
        pcap: Some(path),
        latency: 200,
        leg: vec!["leg".into()],
        codec: codec.iter().map(|codec| codec.parse().unwrap()).collect(),
        ..RtpOptions::default()
    };
    let language = file.get(..2).unwrap();
    let settings = [("language", language), ("pace", "exact")];
    let exchange = Exchange::new(Policy {
        settings: settings
            .map(|(name, value)| Setting::new(name, value))
            .into(),
        ..Policy::default()
    });
    let printed = Printed::default();
    let end = CancellationToken::new();
    rtp::run(&options, &exchange, printed.json(), end)
        .await
        .unwrap();
    let told = printed.of_type("words");
    let heard = told.iter().flat_map(|line| words(&line["words"]));
    (heard.collect(), printed.of_type("leg")[0].clone())
}

/// Sums over recordings.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub words: usize,
    pub errors: usize,
    /// Of the words that the run and the undisturbed one have in common: how far apart their starts and their ends are, in ms.
    pub starts: Vec<f64>,
    pub ends: Vec<f64>,
    /// The larger of both, of those words whose neighbours both runs have, too: next to a word that is heard otherwise, or not at
    /// all, a word has its time to share with another.
    pub settled: Vec<f64>,
    pub lost: u64,
    pub packets: u64,
}

impl Tally {
    pub fn add(&mut self, truth: &[Word], undisturbed: &[Word], heard: &[Word], count: &Value) {
        let texts = |words: &[Word]| -> Vec<String> {
            words.iter().map(|word| word.text.clone()).collect()
        };
        self.words += truth.len();
        self.errors += align(&texts(truth), &texts(heard)).0;
        let pairs = align(&texts(undisturbed), &texts(heard)).1;
        let has = |one: Option<usize>, other: Option<usize>, ends: bool| match (one, other) {
            (Some(one), Some(other)) => pairs.contains(&(one, other)) || ends,
            (None, None) => true,
            _ => false,
        };
        let (last_one, last_other) = (undisturbed.len(), heard.len());
        for (one, other) in &pairs {
            let (one, other) = (*one, *other);
            let before = has(one.checked_sub(1), other.checked_sub(1), false);
            let at_end = (one + 1, other + 1) == (last_one, last_other);
            let is_settled = before && has(Some(one + 1), Some(other + 1), at_end);
            let (one, other) = (&undisturbed[one], &heard[other]);
            let start = (one.start - other.start).abs() * 1e3;
            let end = (one.end - other.end).abs() * 1e3;
            self.starts.push(start);
            self.ends.push(end);
            if is_settled {
                self.settled.push(start.max(end));
            }
        }
        self.lost += count["lost"].as_u64().unwrap();
        self.packets += count["packets"].as_u64().unwrap();
    }

    /// Word errors, in percent.
    pub fn errors(&self) -> f64 {
        100.0 * self.errors as f64 / self.words.max(1) as f64
    }
}

/// The share of values, in percent, that are no more than `bound`.
pub fn within(values: &[f64], bound: f64) -> f64 {
    let near = values.iter().filter(|value| **value <= bound + 1e-6);
    100.0 * near.count() as f64 / values.len().max(1) as f64
}

/// The value below which `share` of them lie.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}
