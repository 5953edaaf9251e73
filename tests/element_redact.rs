//! Digits masked in all that is told of a call, and where they were spoken.

mod element_support;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

/// Number words of the two recordings.
const DIGITS: [&str; 18] = [
    "zéro",
    "six",
    "douze",
    "trente",
    "quatre",
    "cinquante",
    "neuf",
    "one",
    "two",
    "three",
    "four",
    "five",
    "seven",
    "eight",
    "nine",
    "zero",
    "deux",
    "trois",
];

fn speaks_digits(text: &str) -> bool {
    words(text)
        .iter()
        .any(|word| DIGITS.contains(&word.as_str()))
}

fn at(structure: &gst::StructureRef, field: &str) -> f64 {
    structure.get::<u64>(field).unwrap() as f64 / 1e9
}

#[test]
fn no_digit_of_a_number_is_told_and_all_are_covered() {
    for (name, language, before) in [("fr-numero", "fr", "numéro"), ("en-digits", "en", "")] {
        let bench = Bench::with_caps("application/x-json")
            .set("language", language)
            .set("interim", true)
            .set_str("redact", "digits")
            .set("leg", "caller")
            .play();
        bench.speak(&samples(name), ClockTime::ZERO);
        bench.eos();
        let messages = bench.messages();
        let structures: Vec<_> = messages
            .iter()
            .filter_map(|message| message.structure())
            .collect();
        for structure in &structures {
            assert!(!speaks_digits(&structure.to_string()), "{structure}");
        }
        let text = bench.record.text();
        assert!(!speaks_digits(&text) && text.contains('#'), "{text}");
        assert!(text.contains(before), "{text}");
        // A masked word has no tokens: they would tell it.
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
            for word in line["words"].as_array().unwrap() {
                let is_masked = word["text"].as_str().unwrap().contains('#');
                assert_eq!(
                    word["tokens"].as_array().unwrap().is_empty(),
                    is_masked,
                    "{word}"
                );
            }
        }
        let spans: Vec<(f64, f64)> = structures
            .iter()
            .filter(|structure| structure.name() == "whisperstream/redact")
            .map(|span| {
                assert_eq!(span.get::<&str>("leg").unwrap(), "caller");
                let start = at(span, "stream-time");
                (start, start + at(span, "duration"))
            })
            .collect();
        let events: Vec<_> = bench
            .record
            .event_names()
            .into_iter()
            .filter(|name| name == "whisperstream/redact")
            .collect();
        assert_eq!(events.len(), spans.len());
        for (word, start, end) in spoken(name) {
            if speaks_digits(&word) {
                let covered: f64 = spans
                    .iter()
                    .map(|(from, until)| (until.min(end) - from.max(start)).max(0.0))
                    .sum();
                assert!(
                    covered > 0.99 * (end - start),
                    "{word} at {start}: {spans:?}"
                );
            } else {
                // Words beside the number are heard, but for the margin.
                let middle = (start + end) / 2.0;
                let is_muted = spans
                    .iter()
                    .any(|(from, until)| *from < middle && middle < *until);
                assert!(!is_muted, "{word} at {middle}: {spans:?}");
            }
        }
    }
}

#[test]
fn the_reference_s_text_is_not_edited() {
    for (property, value) in [("redact", "digits"), ("fillers", "remove")] {
        let bench = Bench::new()
            .set_str("compat", "simulstreaming")
            .set_str(property, value);
        assert!(bench.element.set_state(gst::State::Paused).is_err());
        let refusal = sentence(&bench.wait_for(gst::MessageType::Error));
        assert!(refusal.contains("compat=simulstreaming"), "{refusal}");
    }
}
