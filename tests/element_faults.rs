//! Bad input gets a sentence with value, reason and remedy; the element lives on.

mod element_support;

use std::time::{Duration, Instant};

use element_support::*;
use gst::prelude::*;

/// Starting with `name` set to `value` fails with an ERROR that holds all of `parts`; mended, the same element starts.
fn refuses(name: &str, value: &str, parts: &[&str]) -> Bench {
    let bench = Bench::new().set("language", "fr");
    let good = bench.element.property_value(name);
    bench.element.set_property_from_str(name, value);
    assert!(
        bench.element.set_state(gst::State::Paused).is_err(),
        "{name}={value} was taken"
    );
    let sentence = sentence(&bench.wait_for(gst::MessageType::Error));
    for part in parts {
        assert!(sentence.contains(part), "{part:?} is not in {sentence:?}");
    }
    bench.element.set_state(gst::State::Null).unwrap();
    bench.element.set_property_from_value(name, &good);
    bench.element.set_state(gst::State::Paused).unwrap();
    bench
}

#[test]
fn settings_that_make_no_sense_are_refused_and_can_be_mended() {
    let cases: [(&str, &str, &[&str]); 16] = [
        ("language", "klingon", &["klingon", "fr-FR", "auto"]),
        ("device", "cuda:0", &["cuda:0", "cpu"]),
        ("device", "abacus", &["abacus", "cpu"]),
        (
            "min-chunk-size",
            "30000",
            &["min-chunk-size", "30000", "audio-max-len"],
        ),
        ("min-chunk-size", "4294967295", &["4294967295"]),
        ("min-chunk-size", "0", &["min-chunk-size is 0 ms"]),
        (
            "audio-min-len",
            "30001",
            &["audio-min-len", "30001", "audio-max-len"],
        ),
        (
            "audio-max-len",
            "4294967295",
            &["audio-max-len", "4294967295", "30000"],
        ),
        ("frame-threshold", "1500", &["frame-threshold", "1500"]),
        ("beams", "0", &["beams is 0", "16"]),
        ("beams", "17", &["beams is 17", "16"]),
        ("temperature", "1.5", &["temperature is 1.5", "0"]),
        ("temperature", "-0.1", &["temperature is -0.1"]),
        ("alignment-heads", "1:x", &["1:x", "layer:head"]),
        ("latency", "4294967295", &["latency", "4294967295"]),
        ("model", "", &["model is empty", "demo"]),
    ];
    let mended = cases.map(|(name, value, parts)| refuses(name, value, parts));
    for bench in mended.into_iter().take(2) {
        let bench = bench.play();
        bench.speak(&samples("fr-court"), ms(0));
        bench.eos();
        assert_eq!(bench.record.text(), "allô");
    }
}

/// A model that cannot be loaded is an ERROR from the loader; mended, the element works.
fn cannot_load(model: &str, parts: &[&str]) {
    let bench = Bench::new().set("language", "fr").set("model", model);
    bench.element.set_state(gst::State::Playing).unwrap();
    let message = sentence(&bench.wait_for(gst::MessageType::Error));
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    bench.begin();
    let flow = bench.push(&samples("fr-court"), ms(0));
    assert_eq!(flow, Err(gst::FlowError::Error));
    assert!(bench.eos());
    assert_eq!(
        bench.record.event_names().last().map(String::as_str),
        Some("eos")
    );
    bench.element.set_state(gst::State::Null).unwrap();
    bench.element.set_property("model", None::<String>);
    bench.record.clear();
    let bench = bench.play();
    bench.speak(&samples("fr-court"), ms(0));
    bench.eos();
    assert_eq!(bench.record.text(), "allô");
}

#[test]
fn a_model_that_does_not_exist_is_named() {
    cannot_load("/no/such/model", &["/no/such/model"]);
}

#[test]
fn a_directory_without_a_model_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    cannot_load(path, &[path, "config.json"]);
}

#[test]
fn alignment_heads_that_the_model_lacks_are_named() {
    let bench = Bench::new().set("alignment-heads", "7:0").play();
    let message = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(message.contains("layer 7"), "{message}");
}

#[test]
fn a_cif_model_that_is_not_there_is_named() {
    let bench = Bench::new().set("cif-model", "/nowhere/cif.ckpt").play();
    let error = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(error.contains("/nowhere/cif.ckpt"), "{error}");
}

#[test]
fn the_demo_model_is_announced_once() {
    let bench = Bench::new().play();
    bench.stop();
    let bench = bench.play();
    let warnings = bench
        .messages()
        .iter()
        .filter(|message| sentence(message).contains("whisper-nano"))
        .count();
    assert_eq!(warnings, 1);
}

#[test]
fn a_language_that_is_unknown_while_playing_is_refused_and_the_old_one_stays() {
    let bench = Bench::new().set("language", "fr").play();
    bench.messages();
    bench.element.set_property("language-code", "xx-XX");
    let warning = sentence(&bench.wait_for(gst::MessageType::Warning));
    assert!(warning.contains("xx-XX"), "{warning}");
    assert_eq!(bench.element.property::<String>("language"), "fr");
    bench.element.set_property("latency", u32::MAX);
    let warning = sentence(&bench.wait_for(gst::MessageType::Warning));
    assert!(warning.contains("4294967295"), "{warning}");
    assert_eq!(bench.element.property::<u32>("latency"), 2_000);
}

#[test]
fn a_language_that_the_model_lacks_is_refused_while_playing_and_the_old_one_stays() {
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/random-en");
    if !model.exists() {
        eprintln!("SKIPPED: {} is not there", model.display());
        return;
    }
    let bench = Bench::new()
        .set("model", model.to_str().unwrap())
        .set("language", "en")
        .play();
    bench.messages();
    bench.element.set_property("language", "fr");
    let warning = sentence(&bench.wait_for(gst::MessageType::Warning));
    assert!(
        warning.contains("English-only") && warning.contains("\"fr\""),
        "{warning}"
    );
    assert_eq!(bench.element.property::<String>("language"), "en");
    bench.stop();
    bench.element.set_property("language", "fr");
    let bench = bench.play();
    let error = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(error.contains("English-only"), "{error}");
}

#[test]
fn prompts_too_long_for_the_model_are_refused_while_playing_and_the_old_ones_stay() {
    let bench = Bench::new().set("language", "fr").play();
    bench.messages();
    bench
        .element
        .set_property("keyterms", "Dupont, gare de Lyon");
    let long = "anticonstitutionnellement, ".repeat(200);
    bench.element.set_property("static-init-prompt", &long);
    let warning = sentence(&bench.wait_for(gst::MessageType::Warning));
    assert!(
        warning.contains("static-init-prompt") && warning.contains("shorten"),
        "{warning}"
    );
    let read = |name: &str| bench.element.property::<Option<String>>(name);
    assert_eq!(read("static-init-prompt"), None);
    assert_eq!(read("keyterms").as_deref(), Some("Dupont, gare de Lyon"));
    bench.speak(&samples("fr-court"), ms(0));
    bench.eos();
    assert!(!bench.record.text().is_empty());
}

#[test]
fn language_and_language_code_are_one_value() {
    let bench = Bench::new();
    assert_eq!(bench.element.property::<String>("language-code"), "auto");
    bench.element.set_property("language-code", "en-US");
    assert_eq!(bench.element.property::<String>("language"), "en-US");
}

#[test]
fn a_language_changed_while_playing_holds_from_the_next_utterance_on() {
    let bench = Bench::with_caps("application/x-json")
        .set("language", "fr")
        .play();
    let at = bench.speak(&samples("fr-court"), ms(0));
    bench.event(gst::event::CustomDownstream::new(
        gst::Structure::new_empty("whisperstream/flush"),
    ));
    bench.element.set_property("language", "en");
    bench.speak(&samples("en-greeting")[..48_000], at);
    bench.eos();
    let lines: Vec<serde_json::Value> = bench
        .record
        .buffers()
        .iter()
        .map(|buffer| serde_json::from_str(&text_of(buffer)).unwrap())
        .collect();
    assert_eq!(lines[0]["language"], "fr");
    assert_eq!(lines.last().unwrap()["language"], "en");
}

#[test]
fn caps_that_do_not_fit_are_named_with_the_remedy() {
    let bench = Bench::new();
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.event(gst::event::StreamStart::new("test"));
    let caps = "audio/x-raw,format=F32LE,rate=44100,channels=2,layout=interleaved";
    bench.event(gst::event::Caps::new(&caps.parse().unwrap()));
    assert_eq!(
        bench.push(&[0; 320], ms(0)),
        Err(gst::FlowError::NotNegotiated)
    );
    let message = sentence(&bench.wait_for(gst::MessageType::Error));
    for part in ["44100", "F32LE", "audioconvert ! audioresample"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn downstream_that_takes_no_text_is_named() {
    let bench = Bench::with_caps("text/x-raw,format=pango-markup");
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.begin();
    let message = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(
        message.contains("pango-markup") && message.contains("utf8"),
        "{message}"
    );
    assert!(bench.push(&[0; 320], ms(0)).is_err());
}

#[test]
fn reverse_playback_is_refused() {
    let bench = Bench::new().play();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    bench.event(gst::event::Segment::new(&segment));
    assert!(bench.push(&[0; 320], ms(0)).is_err());
    let message = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(message.contains("rate -1"), "{message}");
    let mut seek = gst::event::Seek::builder(
        -1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        ms(0),
        gst::SeekType::Set,
        ms(1_000),
    );
    seek = seek.seqnum(gst::Seqnum::next());
    assert!(
        !bench
            .element
            .static_pad("src")
            .unwrap()
            .send_event(seek.build())
    );
}

#[test]
fn silence_squares_and_noise_neither_crash_nor_stall() {
    let square: Vec<i16> = (0..32_000)
        .map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
        .collect();
    for audio in [vec![0; 32_000], vec![i16::MIN; 32_000], square] {
        let bench = Bench::new().play();
        let end = bench.speak(&audio, ms(0));
        assert!(bench.eos());
        let outs = bench.record.outs();
        assert_covers(&outs, ms(0), outs.last().unwrap().end().max(end));
        assert!(
            bench
                .messages()
                .iter()
                .all(|m| m.type_() != gst::MessageType::Error)
        );
    }
}

#[test]
fn silence_holds_no_words() {
    let bench = Bench::new().play();
    bench.speak(&[0; 80_000], ms(0));
    bench.eos();
    assert_eq!(bench.record.text(), "");
}

#[test]
fn a_buffer_of_ten_minutes_can_be_stopped_and_paced_live_returns() {
    let minutes = vec![0i16; 16_000 * 600];
    let bench = Bench::new().play();
    let (src, long) = (bench.src.clone(), buffer(&minutes, Some(ms(0))));
    let pushing = std::thread::spawn(move || src.push(long));
    std::thread::sleep(Duration::from_millis(100));
    bench.stop();
    // Either it was heard to the end by then, or it was let go.
    let _ = pushing.join().unwrap();
    let bench = Bench::live().play();
    let start = Instant::now();
    bench.push(&minutes, ms(0)).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert!(bench.eos());
    assert_covers(&bench.record.outs(), ms(0), ms(600_000));
}
