//! Languages through the element: two legs on one model, languages that change, models that know English alone.

mod element_support;

use std::path::Path;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

fn said(name: &str) -> Vec<String> {
    spoken(name).into_iter().map(|word| word.0).collect()
}

fn named<'a>(structures: &'a [gst::Structure], name: &str) -> Vec<&'a gst::Structure> {
    structures.iter().filter(|s| s.name() == name).collect()
}

fn text(structure: &gst::Structure, field: &str) -> String {
    structure.get::<String>(field).unwrap_or_default()
}

/// Two legs of a call in one pipeline, the caller's in French and the callee's in English; what was posted.
fn call(settings: [&str; 2]) -> Vec<gst::Structure> {
    init();
    let leg = |leg: &str, name: &str, settings: &str| {
        format!(
            "filesrc location={:?} ! wavparse ! whisperstream leg={leg} {settings} ! fakesink sync=false ",
            recording(name).to_str().unwrap()
        )
    };
    let description =
        leg("caller", "fr-messagerie", settings[0]) + &leg("callee", "en-greeting", settings[1]);
    let pipeline = gst::parse::launch(&description).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut posted = Vec::new();
    for message in bus.iter_timed(ClockTime::from_seconds(120)) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Element(element) => {
                posted.extend(element.structure().map(|s| s.to_owned()))
            }
            _ => {}
        }
    }
    let streams = pipeline.iterate_elements().into_iter().flatten();
    let of_ours = streams.filter(|e| e.factory().is_some_and(|f| f.name() == "whisperstream"));
    for element in of_ours {
        let stats = element.property::<gst::Structure>("stats");
        // And those of other tests.
        let streams = stats.get::<u32>("streams").unwrap();
        assert!(streams >= 2, "one model: {stats}");
    }
    pipeline.set_state(gst::State::Null).unwrap();
    posted
}

fn check_legs(posted: &[gst::Structure], surely: bool) {
    for (leg, code, name) in [
        ("caller", "fr", "fr-messagerie"),
        ("callee", "en", "en-greeting"),
    ] {
        let of_leg = |name| {
            let all = named(posted, name).into_iter();
            all.filter(|s| text(s, "leg") == leg).collect::<Vec<_>>()
        };
        let finals = of_leg("whisperstream/final");
        let heard: Vec<String> = finals
            .iter()
            .flat_map(|s| words(&text(s, "text")))
            .collect();
        let wrong = errors(&said(name), &heard);
        assert!(wrong <= 3, "{leg}: {wrong}: {heard:?}");
        for message in finals.iter().chain(&of_leg("whisperstream/words")) {
            assert_eq!(text(message, "language"), code, "{message}");
            let probability = message.get::<f64>("probability").unwrap();
            match surely {
                true => assert_eq!(probability, 1.0, "{message}"),
                false => assert!((0.5..=1.0).contains(&probability), "{message}"),
            }
        }
        let told: Vec<_> = of_leg("whisperstream/language")
            .iter()
            .map(|s| (text(s, "language"), s.get::<f64>("probability").unwrap()))
            .collect();
        match surely {
            true => assert!(told.is_empty(), "nothing to find out: {told:?}"),
            false => {
                assert!(told.iter().all(|t| t.0 == code && t.1 > 0.5), "{told:?}");
                assert!(!told.is_empty(), "{leg} was never told");
            }
        }
    }
}

#[test]
fn two_legs_speak_two_languages_on_one_model() {
    check_legs(&call(["language=fr", "language=en"]), true);
}

#[test]
fn the_languages_of_two_legs_are_found_out() {
    check_legs(&call(["languages=fr,en", "languages=fr,en"]), false);
}

#[test]
fn a_language_is_heard_again_after_a_silence() {
    for vad in ["auto", "none"] {
        let bench = Bench::new()
            .set("languages", "en-GB, french")
            .set_str("vad", vad)
            .play();
        let mut at = bench.speak(&samples("en-greeting"), ms(0));
        at = bench.speak(&vec![0; 3 * 16_000], at);
        bench.speak(&samples("fr-accueil"), at);
        assert!(bench.eos());
        let told: Vec<String> = bench
            .element_messages("whisperstream/language")
            .iter()
            .map(|message| text(message, "language"))
            .collect();
        let mut changes = told.clone();
        changes.dedup();
        assert_eq!(changes, ["en", "fr"], "vad={vad}: {told:?}");
        let heard = words(&bench.record.text());
        let spoken = [said("en-greeting"), said("fr-accueil")].concat();
        let wrong = errors(&spoken, &heard);
        assert!(wrong <= 4, "vad={vad}: {wrong}: {heard:?}");
    }
}

#[test]
fn a_language_that_is_not_allowed_is_not_chosen() {
    let bench = Bench::new().set("languages", "fr").play();
    bench.speak(&samples("en-greeting"), ms(0));
    assert!(bench.eos());
    let told = bench.element_messages("whisperstream/language");
    assert!(!told.is_empty());
    for message in told {
        assert_eq!(text(&message, "language"), "fr");
        assert_eq!(message.get::<f64>("probability"), Ok(1.0));
    }
}

#[test]
fn a_list_of_languages_that_makes_no_sense_is_refused() {
    let bench = Bench::new().set("languages", "fr,klingon");
    assert!(bench.element.set_state(gst::State::Paused).is_err());
    let refusal = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(
        refusal.contains("languages") && refusal.contains("\"klingon\""),
        "{refusal}"
    );
    assert_eq!(
        bench
            .element
            .property::<Option<String>>("languages")
            .as_deref(),
        Some("fr,klingon")
    );
}

#[test]
fn an_english_only_model_refuses_all_else_clearly() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/random-en");
    if !model.exists() {
        eprintln!("SKIPPED: {} is not there", model.display());
        return;
    }
    for (name, value, parts) in [
        ("language", "fr", ["\"fr\"", "English-only"]),
        ("task", "translate", ["translate", "English-only"]),
        ("languages", "fr,de", ["\"fr,de\"", "English-only"]),
    ] {
        let bench = Bench::new()
            .set("model", model.to_str().unwrap())
            .set_str(name, value)
            .play();
        let refusal = sentence(&bench.wait_for(gst::MessageType::Error));
        for part in parts {
            assert!(refusal.contains(part), "{name}={value}: {refusal}");
        }
    }
    // What names English is taken.
    let bench = Bench::new()
        .set("model", model.to_str().unwrap())
        .set("languages", "fr,en")
        .play();
    bench.speak(&samples("en-short"), ms(0));
    assert!(bench.eos());
    let messages = bench.messages();
    let failed = messages
        .iter()
        .find(|m| m.type_() == gst::MessageType::Error);
    assert!(failed.is_none(), "{:?}", failed.map(sentence));
}
