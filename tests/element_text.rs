//! What a buffer holds: units, formats, metas, messages.

mod element_support;

use std::sync::OnceLock;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;
use gstwhisperstream::element::words_of;

fn said(name: &str) -> Vec<String> {
    spoken(name).into_iter().map(|word| word.0).collect()
}

/// The element after it heard all of `name`.
fn hear(bench: Bench, name: &str) -> Bench {
    hear_some(bench, &samples(name))
}

fn hear_some(bench: Bench, samples: &[i16]) -> Bench {
    let bench = bench.play();
    bench.speak(samples, ms(0));
    assert!(bench.eos());
    bench
}

/// One run over the whole recording, for all who only look at it: record and messages.
fn whole_run() -> &'static (Record, Vec<gst::Structure>) {
    static RUN: OnceLock<(Record, Vec<gst::Structure>)> = OnceLock::new();
    RUN.get_or_init(|| {
        let bench = hear(
            Bench::new().set("language", "fr").set("interim", true),
            "fr-accueil",
        );
        let messages = bench
            .messages()
            .iter()
            .filter_map(|message| message.structure())
            .filter(|structure| structure.name().starts_with("whisperstream/"))
            .map(|structure| structure.to_owned())
            .collect();
        (bench.record.clone(), messages)
    })
}

#[test]
fn eos_drains_the_last_word_and_comes_last() {
    let (record, _) = whole_run();
    let heard = words(&record.text());
    assert_eq!(heard.last(), said("fr-accueil").last());
    let names = record.event_names();
    assert_eq!(names.last().map(String::as_str), Some("eos"));
    assert!(names.contains(&"rstranscribe/final-transcript".to_string()));
    let last = record.items().into_iter().next_back().unwrap();
    assert!(matches!(last, Item::Event(event) if event.type_() == gst::EventType::Eos));
    let end = ClockTime::from_nseconds(samples("fr-accueil").len() as u64 * 62_500);
    assert_covers(&record.outs(), ms(0), end);
}

#[test]
fn two_runs_give_identical_bytes() {
    let audio = samples("fr-accueil");
    let run = || {
        hear_some(Bench::with_caps("application/x-json"), &audio[..64_000])
            .record
            .outs()
    };
    let first = run();
    assert!(first.iter().any(|out| matches!(out, Out::Text(..))));
    assert_eq!(first, run());
}

#[test]
fn a_word_a_buffer_at_its_true_time() {
    let bench = hear_some(
        Bench::new().set("language", "fr").set_str("unit", "word"),
        &samples("fr-accueil")[..82_000],
    );
    let truth: Vec<_> = spoken("fr-accueil").into_iter().take(12).collect();
    let buffers = bench.record.buffers();
    let texts: Vec<_> = buffers.iter().map(text_of).collect();
    let heard: Vec<_> = texts.iter().flat_map(|text| words(text)).collect();
    let spoken: Vec<_> = truth.iter().flat_map(|word| words(&word.0)).collect();
    assert!(errors(&spoken, &heard) <= 2, "{texts:?}");
    for buffer in &buffers {
        let text = text_of(buffer);
        assert_eq!(text.trim(), text);
        let start = buffer.pts().unwrap().seconds_f64();
        let near = truth
            .iter()
            .filter(|word| word.0 == text)
            .map(|word| (word.1 - start).abs())
            .fold(f64::MAX, f64::min);
        assert!(
            near < 0.35 || near == f64::MAX,
            "{text} at {start}: off by {near}"
        );
    }
}

#[test]
fn the_words_of_a_buffer_are_in_its_meta() {
    let (record, _) = whole_run();
    for buffer in record.buffers() {
        let words = words_of(&buffer);
        let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts.join(" "), text_of(&buffer));
        let end = buffer.pts().unwrap() + buffer.duration().unwrap();
        assert!(
            words
                .iter()
                .all(|word| word.start <= word.end && word.end <= end)
        );
        assert!(
            words
                .iter()
                .all(|word| (0.0..=1.0).contains(&word.confidence))
        );
    }
}

#[test]
fn an_utterance_is_cut_into_captions() {
    let bench = hear(
        Bench::new()
            .set("language", "fr")
            .set_str("unit", "utterance"),
        "fr-accueil",
    );
    let buffers = bench.record.buffers();
    assert!(
        buffers.len() >= 2 && buffers.len() <= 4,
        "{:?}",
        bench.record.outs()
    );
    for buffer in &buffers {
        let text = text_of(buffer);
        assert!(text.lines().count() <= 2, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 42),
            "{text}"
        );
        assert!(buffer.duration().unwrap() <= ClockTime::from_seconds(7));
    }
    let heard = words(&bench.record.text());
    let spoken: Vec<_> = said("fr-accueil")
        .iter()
        .flat_map(|word| words(word))
        .collect();
    assert!(errors(&spoken, &heard) <= 2, "{heard:?}");
    let end = ClockTime::from_nseconds(samples("fr-accueil").len() as u64 * 62_500);
    assert_covers(&bench.record.outs(), ms(0), end);
}

#[test]
fn json_lines_have_the_fields_of_the_table() {
    let bench = hear(
        Bench::with_caps("application/x-json").set("language", "fr"),
        "fr-court",
    );
    let text = text_of(&bench.record.buffers()[0]);
    assert!(text.ends_with('\n') && text.matches('\n').count() == 1);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["text"], "allô");
    assert_eq!(line["language"], "fr");
    assert_eq!(line["utterance"], 0);
    assert_eq!(line["words"][0]["text"], "allô");
    assert_eq!(line["words"][0]["tokens"], line["tokens"]);
    let start = line["start"].as_f64().unwrap();
    assert!((start - spoken("fr-court")[0].1).abs() < 0.2, "{line}");
    assert!(line["is_final"].is_boolean() && line["confidence"].is_f64());
}

#[test]
fn in_compat_the_lines_are_those_of_the_reference() {
    let bench = hear(
        Bench::with_caps("application/x-json")
            .set("language", "fr")
            .set_str("compat", "simulstreaming"),
        "fr-court",
    );
    // What SimulStreaming decided: see tests/golden/traces/fr-court.c0.5.jsonl.
    let lines: Vec<_> = bench.record.buffers().iter().map(text_of).collect();
    assert_eq!(
        lines,
        [
            "{\"start\": 0.4, \"end\": 0.401, \"text\": \" all\", \"tokens\": [439], \"words\": [{\"start\": 0.4, \"end\": 0.4, \"text\": \" all\", \"tokens\": [439]}], \"emission_time\": 1.0}\n",
            "{\"start\": 0.58, \"end\": 1.490375, \"text\": \"\\u00f4\", \"tokens\": [2851], \"words\": [{\"start\": 0.58, \"end\": 0.58, \"text\": \"\\u00f4\", \"tokens\": [2851]}], \"emission_time\": 1.490375}\n",
        ]
    );
}

#[test]
fn in_compat_text_keeps_its_fragments() {
    let bench = hear(
        Bench::new()
            .set("language", "fr")
            .set_str("compat", "simulstreaming"),
        "fr-court",
    );
    let texts: Vec<_> = bench.record.buffers().iter().map(text_of).collect();
    assert_eq!(texts, [" all", "ô"]);
}

#[test]
fn text_is_a_stream_of_its_own_with_its_language() {
    let bench = hear(Bench::new().set("language", "french"), "fr-court");
    let (mut id, mut sparse, mut language) = (None, false, None);
    for event in bench.record.events() {
        match event.view() {
            gst::EventView::StreamStart(start) => {
                id = Some(start.stream_id().to_string());
                sparse = start.stream_flags().contains(gst::StreamFlags::SPARSE);
            }
            gst::EventView::Tag(tag) => {
                language = tag
                    .tag()
                    .get::<gst::tags::LanguageCode>()
                    .map(|tag| tag.get().to_string());
            }
            _ => {}
        }
    }
    assert_eq!(id.as_deref(), Some("test/whisperstream"));
    assert!(sparse);
    assert_eq!(language.as_deref(), Some("fr"));
    let names = bench.record.event_names();
    assert_eq!(names[..4], ["stream-start", "caps", "segment", "tag"]);
}

#[test]
fn a_detected_language_is_told() {
    let bench = hear_some(Bench::new(), &samples("fr-accueil")[..56_000]);
    let messages = bench.element_messages("whisperstream/language");
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].get("language"), Ok("fr"));
    assert!(messages[0].get::<f64>("probability").unwrap() > 0.5);
    assert!(bench.record.event_names().contains(&"tag".to_string()));
}

#[test]
fn messages_carry_time_text_and_words() {
    let (_, messages) = whole_run();
    let named = |name: &str| -> Vec<&gst::Structure> {
        messages
            .iter()
            .filter(|message| message.name() == name)
            .collect()
    };
    let committed: Vec<_> = named("whisperstream/words")
        .iter()
        .map(|message| message.get::<String>("text").unwrap())
        .collect();
    let finals = named("whisperstream/final");
    let whole: Vec<_> = finals
        .iter()
        .map(|message| message.get::<String>("text").unwrap())
        .collect();
    assert_eq!(committed.join(" "), whole.join(" "));
    let partials = named("whisperstream/partial");
    assert!(!partials.is_empty());
    for message in partials
        .iter()
        .chain(&finals)
        .chain(&named("whisperstream/words"))
    {
        for name in [
            "timestamp",
            "stream-time",
            "running-time",
            "duration",
            "utterance",
            "delay",
        ] {
            assert!(message.get::<u64>(name).is_ok(), "{name} in {message:?}");
        }
        for word in message.get::<gst::Array>("words").unwrap().iter() {
            let word = word.get::<gst::Structure>().unwrap();
            assert!(word.get::<u64>("start").unwrap() <= word.get::<u64>("end").unwrap());
        }
    }
    let mut tails = 0;
    for message in &partials {
        let text = message.get::<String>("text").unwrap();
        assert!(text.starts_with(&message.get::<String>("committed").unwrap()));
        for word in message.get::<gst::Array>("words").unwrap().iter() {
            let word = word.get::<gst::Structure>().unwrap();
            assert!(word.get::<u32>("stability").unwrap() >= 1);
            assert!(word.get::<f64>("confidence").unwrap() > 0.0);
            tails += 1;
        }
    }
    assert!(tails > 10, "{tails} words in all tails");
    // What is committed stays, to the utterance's end.
    for whole in &finals {
        let utterance = whole.get::<u64>("utterance").unwrap();
        let all = whole.get::<String>("text").unwrap();
        let mut before = String::new();
        for partial in &partials {
            if partial.get::<u64>("utterance").unwrap() == utterance {
                let committed = partial.get::<String>("committed").unwrap();
                assert!(
                    committed.starts_with(&before),
                    "{before:?}, then {committed:?}"
                );
                assert!(
                    all.starts_with(&committed),
                    "{committed:?}, in the end {all:?}"
                );
                before = committed;
            }
        }
    }
    assert_eq!(named("whisperstream/stats").len(), 1);
}

#[test]
fn text_is_preferred_where_downstream_takes_both() {
    let bench = Bench::with_caps("application/x-json; text/x-raw,format=utf8").play();
    let caps = bench
        .element
        .static_pad("src")
        .unwrap()
        .current_caps()
        .unwrap();
    assert_eq!(caps.to_string(), "text/x-raw, format=(string)utf8");
}
