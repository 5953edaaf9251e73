//! The element: what it lets through, asks for, posts and refuses.

use gst::ClockTime;
use gst::prelude::*;

use super::rig::{Item, Rig, ms, plain, words};

fn get<T: for<'a> glib::value::FromValue<'a>>(structure: &gst::Structure, field: &str) -> T {
    let value = structure.value(field);
    value
        .unwrap_or_else(|error| panic!("{error}: {structure:?}"))
        .get()
        .unwrap_or_else(|error| panic!("{field}: {error}"))
}

#[test]
fn the_factory_says_what_it_is() {
    super::rig::init();
    let factory = gst::ElementFactory::find("answerdetect").unwrap();
    assert_eq!(factory.metadata("klass"), Some("Text/Filter/Analyzer"));
    let element = factory.create().build().unwrap();
    assert_eq!(element.property::<u32>("decision-time"), 2300);
    assert_eq!(element.property::<u32>("initial-silence"), 2500);
    assert_eq!(element.property::<u32>("greeting"), 1500);
    assert_eq!(element.property::<u32>("after-greeting-silence"), 800);
    assert_eq!(element.property::<u32>("total-analysis-time"), 5000);
    assert_eq!(element.property::<u32>("min-word-length"), 100);
    assert_eq!(element.property::<u32>("between-words-silence"), 50);
    assert_eq!(element.property::<u32>("maximum-number-of-words"), 3);
    assert_eq!(element.property::<u32>("maximum-word-length"), 5000);
    for caps in ["text/x-raw,format=utf8", "application/x-json"] {
        let caps: gst::Caps = caps.parse().unwrap();
        assert!(factory.can_sink_all_caps(&caps) && factory.can_src_all_caps(&caps));
    }
}

#[test]
fn text_events_and_queries_pass_unchanged() {
    let rig = Rig::new().play();
    rig.hear(500, false);
    let buffer = words("mon cheval", 0, 500);
    rig.src.push(buffer.clone()).unwrap();
    rig.event(gst::event::Gap::builder(ms(500)).duration(ms(100)).build());
    rig.custom(gst::Structure::builder("somebody/else"));
    rig.event(gst::event::Eos::new());
    assert_eq!(
        rig.came_out(),
        [
            "stream-start",
            "caps",
            "segment",
            "tag",
            "mon cheval",
            "gap",
            "somebody/else",
            "answerdetect/verdict",
            "eos"
        ]
    );
    let same = rig
        .items()
        .into_iter()
        .any(|item| matches!(&item, Item::Buffer(out) if out.as_ptr() == buffer.as_ptr()));
    assert!(same, "the very buffer");
    let heard = rig.events("whisperstream/heard");
    assert_eq!(heard.len(), 5, "out of band events pass too");

    let mut query = gst::query::Latency::new();
    assert!(rig.element.static_pad("src").unwrap().query(&mut query));
    assert_eq!(query.result(), (true, ms(120), None));
}

#[test]
fn json_passes_and_its_words_are_heard() {
    let rig = Rig::new();
    rig.element.set_state(gst::State::Playing).unwrap();
    rig.event(gst::event::StreamStart::new("json"));
    let caps = gst::Caps::builder("application/x-json").build();
    rig.event(gst::event::Caps::new(&caps));
    let segment = gst::FormattedSegment::<ClockTime>::new();
    rig.event(gst::event::Segment::new(&segment));
    rig.hear(1000, true);
    rig.words("allô oui", 300, 800);
    assert_eq!(get::<String>(&rig.verdict(), "result"), "human");
}

#[test]
fn a_verdict_is_posted_and_goes_downstream_behind_its_words() {
    let rig = Rig::new().play();
    rig.hear(1800, true);
    rig.words("vous êtes bien sur le répondeur", 300, 1500);
    let verdict = rig.verdict();
    assert_eq!(get::<String>(&verdict, "result"), "machine");
    assert_eq!(get::<String>(&verdict, "cause"), "phrase");
    assert_eq!(
        get::<String>(&verdict, "text"),
        "vous êtes bien sur le répondeur"
    );
    assert!((0.5..=1.0).contains(&get::<f64>(&verdict, "confidence")));
    assert_eq!(get::<u64>(&verdict, "took"), ms(1800).nseconds());
    assert_eq!(get::<u64>(&verdict, "timestamp"), ms(1800).nseconds());
    assert_eq!(get::<u64>(&verdict, "running-time"), ms(1800).nseconds());
    let words: gst::Array = get(&verdict, "words");
    assert_eq!(words.len(), 6);
    let first: gst::Structure = words[0].get().unwrap();
    assert_eq!(get::<String>(&first, "text"), "vous");
    assert_eq!(get::<u64>(&first, "start"), ms(300).nseconds());
    assert!(get::<u64>(&first, "end") > ms(300).nseconds());
    assert_eq!(get::<f64>(&first, "confidence") as f32, 0.9);

    let out = rig.came_out();
    assert_eq!(
        out[out.len() - 2..],
        ["vous êtes bien sur le répondeur", "answerdetect/verdict"]
    );
    assert_eq!(
        rig.events("answerdetect/verdict"),
        std::slice::from_ref(&verdict)
    );
    let property: Option<gst::Structure> = rig.element.property("verdict");
    assert_eq!(property, Some(verdict));
}

#[test]
fn when_the_time_is_over_it_flushes_and_decides_on_what_then_comes() {
    let rig = Rig::new().play();
    rig.hear(400, false);
    rig.speech_start(400);
    rig.hear(2200, true);
    assert!(rig.flushes().is_empty());
    rig.hear(2400, true);
    assert_eq!(rig.flushes().len(), 1);
    rig.hear(3100, true);
    assert!(rig.messages("answerdetect/verdict").is_empty());
    rig.words("allô j'ai un problème avec ma ligne", 400, 2300);
    assert_eq!(get::<String>(&rig.verdict(), "result"), "human");
    rig.flushed();
    assert_eq!(rig.flushes().len(), 1);
    assert!(rig.messages("answerdetect/verdict").is_empty());

    let rig = Rig::new().play();
    rig.hear(2300, false);
    rig.flushed();
    let verdict = rig.verdict();
    assert_eq!(get::<String>(&verdict, "result"), "no-answer");
    assert_eq!(get::<String>(&verdict, "cause"), "silence");
    assert_eq!(get::<u64>(&verdict, "took"), ms(2300).nseconds());
    let out = rig.came_out();
    assert_eq!(
        out[out.len() - 2..],
        ["whisperstream/flushed", "answerdetect/verdict"]
    );
}

#[test]
fn a_flush_of_somebody_else_is_not_taken_for_its_own() {
    let rig = Rig::new().play();
    rig.hear(2300, false);
    for marker in [
        "theirs",
        "",
        "answerdetect/",
        "answerdetect/other/99",
        "answerdetect/x/-1",
    ] {
        rig.custom(gst::Structure::builder("whisperstream/flushed").field("marker", marker));
    }
    rig.custom(gst::Structure::builder("whisperstream/flushed"));
    assert!(rig.messages("answerdetect/verdict").is_empty());
}

#[test]
fn if_nobody_answers_the_flush_the_verdict_comes_all_the_same() {
    let rig = Rig::new().play();
    rig.hear(4200, false);
    assert!(rig.messages("answerdetect/verdict").is_empty());
    rig.hear(4300, false);
    assert_eq!(get::<String>(&rig.verdict(), "result"), "no-answer");
    // Found by the clock, which is not the text's thread: the event comes with the next of the text.
    assert!(rig.events("answerdetect/verdict").is_empty());
    rig.event(gst::event::Gap::builder(ms(0)).duration(ms(4000)).build());
    let out = rig.came_out();
    assert_eq!(out[out.len() - 2..], ["gap", "answerdetect/verdict"]);
}

#[test]
fn there_is_one_verdict_a_call_whatever_comes_behind() {
    let rig = Rig::new().play();
    rig.hear(1500, true);
    rig.words("allô", 300, 700);
    rig.hear(6000, true);
    rig.words("vous êtes bien sur le répondeur", 2000, 4000);
    rig.tone("fax-cng", 5000, 5500, true);
    rig.event(gst::event::Eos::new());
    assert_eq!(get::<String>(&rig.verdict(), "result"), "human");
    assert_eq!(rig.events("answerdetect/verdict").len(), 1);
}

#[test]
fn eos_is_the_time_to_decide() {
    let rig = Rig::new().play();
    rig.hear(900, false);
    rig.event(gst::event::Eos::new());
    assert_eq!(get::<String>(&rig.verdict(), "result"), "no-answer");
    let out = rig.came_out();
    assert_eq!(out[out.len() - 2..], ["answerdetect/verdict", "eos"]);
}

#[test]
fn answered_begins_a_call_from_either_side_or_by_hand() {
    let answered = || gst::Structure::builder("answerdetect/answered").build();
    let downstream = |rig: &Rig| {
        assert!(rig.event(gst::event::CustomDownstream::new(answered())));
    };
    let upstream = |rig: &Rig| {
        let src = rig.element.static_pad("src").unwrap();
        assert!(src.send_event(gst::event::CustomUpstream::new(answered())));
    };
    let by_hand = |rig: &Rig| {
        assert!(
            rig.element
                .send_event(gst::event::CustomDownstream::new(answered()))
        );
    };
    for begin in [&downstream as &dyn Fn(&Rig), &upstream, &by_hand] {
        let rig = Rig::new().play();
        rig.hear(2000, false);
        begin(&rig);
        rig.hear(4200, false);
        assert!(rig.flushes().is_empty());
        rig.hear(4300, false);
        rig.flushed();
        let verdict = rig.verdict();
        assert_eq!(get::<u64>(&verdict, "took"), ms(2300).nseconds());
        // And once more: the next call.
        begin(&rig);
        rig.words("allô", 4400, 4700);
        assert_eq!(get::<String>(&rig.verdict(), "result"), "human");
    }
}

#[test]
fn a_flush_and_a_new_stream_begin_calls() {
    let rig = Rig::new().play();
    rig.hear(1000, true);
    rig.words("allô", 300, 700);
    assert_eq!(get::<String>(&rig.verdict(), "result"), "human");
    rig.event(gst::event::FlushStart::new());
    rig.event(gst::event::FlushStop::new(true));
    assert_eq!(
        rig.element.property::<Option<gst::Structure>>("verdict"),
        None
    );
    let segment = gst::FormattedSegment::<ClockTime>::new();
    rig.event(gst::event::Segment::new(&segment));
    *rig.now.lock().unwrap() = 0;
    rig.hear(1500, true);
    rig.words("vous êtes bien sur le répondeur", 300, 1400);
    let verdict = rig.verdict();
    assert_eq!(get::<String>(&verdict, "result"), "machine");
    assert_eq!(get::<u64>(&verdict, "took"), ms(1500).nseconds());

    // The next stream; the one after it comes before this is judged.
    rig.stream("second", ClockTime::ZERO);
    *rig.now.lock().unwrap() = 0;
    rig.hear(500, false);
    assert!(rig.messages("answerdetect/verdict").is_empty());
    rig.stream("third", ClockTime::ZERO);
    assert_eq!(get::<String>(&rig.verdict(), "result"), "no-answer");
}

#[test]
fn after_a_machine_the_end_of_its_greeting_and_its_beep_are_told() {
    let rig = Rig::new().play();
    rig.hear(300, false);
    rig.speech_start(300);
    rig.hear(2500, true);
    rig.words("vous êtes bien sur le répondeur", 300, 1900);
    assert_eq!(get::<String>(&rig.verdict(), "result"), "machine");
    rig.speech_end(300, 2000);
    rig.hear(4100, false);
    let end = rig.messages("answerdetect/greeting-end");
    assert_eq!(get::<String>(&end[0], "cause"), "silence");
    assert_eq!(get::<u64>(&end[0], "running-time"), ms(2000).nseconds());
    rig.tone("beep", 4100, 4300, false);
    assert!(rig.messages("answerdetect/beep").is_empty());
    rig.tone("beep", 4100, 4500, true);
    let beep = rig.messages("answerdetect/beep");
    assert_eq!(get::<u64>(&beep[0], "running-time"), ms(4100).nseconds());
    assert_eq!(get::<u64>(&beep[0], "duration"), ms(400).nseconds());
    assert_eq!(get::<f64>(&beep[0], "frequency"), 1000.0);
    assert_eq!(rig.events("answerdetect/greeting-end").len(), 2);
    assert_eq!(rig.events("answerdetect/beep").len(), 1);
}

#[test]
fn times_are_the_segment_s_own() {
    let rig = Rig::new().play_from(ms(60_000));
    rig.hear(1000, true);
    rig.words("allô oui", 60_300, 60_800);
    let verdict = rig.verdict();
    assert_eq!(get::<u64>(&verdict, "running-time"), ms(1000).nseconds());
    assert_eq!(get::<u64>(&verdict, "timestamp"), ms(61_000).nseconds());
    assert_eq!(get::<u64>(&verdict, "stream-time"), ms(61_000).nseconds());
    assert_eq!(get::<u64>(&verdict, "took"), ms(1000).nseconds());
    let words: gst::Array = get(&verdict, "words");
    let first: gst::Structure = words[0].get().unwrap();
    assert_eq!(get::<u64>(&first, "start"), ms(60_300).nseconds());
}

#[test]
fn the_leg_s_name_is_passed_on() {
    let rig = Rig::new().play();
    let start = gst::Structure::builder("whisperstream/speech-start");
    rig.custom(start.field("running-time", 0u64).field("leg", "customer"));
    rig.hear(1000, true);
    rig.words("allô oui", 300, 800);
    assert_eq!(get::<String>(&rig.verdict(), "leg"), "customer");
}

#[test]
fn another_transcriber_s_text_is_heard_by_its_own_times() {
    let rig = Rig::new().play();
    rig.src.push(plain("allô oui j'écoute", 300, 1200)).unwrap();
    assert_eq!(get::<String>(&rig.verdict(), "result"), "human");

    let rig = Rig::new().play();
    rig.event(gst::event::Gap::builder(ms(0)).duration(ms(3000)).build());
    rig.event(
        gst::event::Gap::builder(ms(3000))
            .duration(ms(3000))
            .build(),
    );
    assert_eq!(get::<String>(&rig.verdict(), "result"), "no-answer");
}

#[test]
fn odd_input_does_no_harm() {
    let rig = Rig::new().play();
    let far = gst::event::Gap::builder(ClockTime::MAX).duration(ClockTime::MAX);
    rig.event(far.build());
    for name in [
        "whisperstream/heard",
        "whisperstream/speech-start",
        "whisperstream/speech-end",
        "whisperstream/flushed",
        "beepdetect/tone",
    ] {
        rig.custom(gst::Structure::builder(name));
        let wrong = gst::Structure::builder(name)
            .field("running-time", "soon")
            .field("timestamp", -3i32)
            .field("duration", 1.5)
            .field("speaking", "yes")
            .field("kind", 7u32)
            .field("marker", 1u64);
        rig.custom(wrong);
        let far = gst::Structure::builder(name)
            .field("running-time", u64::MAX)
            .field("duration", u64::MAX)
            .field("speech", u64::MAX)
            .field("kind", "hum");
        rig.custom(far);
        let far = gst::Structure::builder(name)
            .field("timestamp", u64::MAX)
            .field("duration", u64::MAX);
        rig.custom(far);
    }
    rig.src.push(gst::Buffer::new()).unwrap();
    rig.src
        .push(gst::Buffer::from_slice(vec![0xff_u8, 0xfe, 0x00]))
        .unwrap();
    rig.src.push(plain("", 0, 100)).unwrap();
    let mut bad = words("allô", 0, 100);
    let inside = bad.make_mut();
    inside.set_pts(ClockTime::NONE);
    inside.set_duration(ClockTime::NONE);
    {
        let meta =
            gst::meta::CustomMeta::from_mut_buffer(inside, gstwhisperstream::element::META_NAME);
        meta.unwrap().mut_structure().set("words", "allô");
    }
    rig.src.push(bad).unwrap();
    rig.hear(300, false);
    rig.event(gst::event::Eos::new());
    let messages: Vec<_> = rig.all_messages();
    let errors = |m: &&gst::Message| m.type_() == gst::MessageType::Error;
    assert_eq!(messages.iter().filter(errors).count(), 0, "{messages:?}");
    let verdicts = |m: &&gst::Message| m.has_name("answerdetect/verdict");
    assert_eq!(messages.iter().filter(verdicts).count(), 1);
}

#[test]
fn a_bad_line_of_phrases_is_refused_by_file_and_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "human 1.0 allô\nmachine heavy bip\n").unwrap();
    let rig = Rig::new();
    rig.element
        .set_property("phrases", file.path().to_str().unwrap());
    let refusal = rig.refusal();
    assert!(
        refusal.contains(&format!("{}, line 2", file.path().display())),
        "{refusal}"
    );
    assert!(refusal.contains("\"heavy\" is no weight"), "{refusal}");
}

#[test]
fn phrases_of_a_file_replace_the_built_in_ones() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "machine 2 mon cheval\n").unwrap();
    let rig = Rig::new();
    rig.element
        .set_property("phrases", file.path().to_str().unwrap());
    let rig = rig.play();
    rig.hear(1500, true);
    rig.words("vous êtes bien sur le répondeur", 0, 900);
    assert!(rig.messages("answerdetect/verdict").is_empty());
    rig.words("mon cheval", 900, 1300);
    let verdict = rig.verdict();
    assert_eq!(get::<String>(&verdict, "result"), "machine");
    let phrases: gst::Array = get(&verdict, "phrases");
    assert_eq!(phrases[0].get::<String>().unwrap(), "mon cheval");
}

#[test]
fn contradictory_thresholds_are_refused_with_both_values() {
    for (name, value, other) in [
        ("decision-time", 15_001u32, "15000 ms"),
        ("decision-time", 99, "min-word-length (100 ms)"),
        ("min-word-length", 1500, "greeting (1500 ms)"),
        ("greeting", 5000, "total-analysis-time (5000 ms)"),
        ("initial-silence", 5001, "total-analysis-time (5000 ms)"),
        (
            "after-greeting-silence",
            40,
            "between-words-silence (50 ms)",
        ),
        ("total-analysis-time", 700, "(700 ms)"),
        ("maximum-word-length", 100, "min-word-length (100 ms)"),
    ] {
        let rig = Rig::new();
        rig.element.set_property(name, value);
        let refusal = rig.refusal();
        assert!(refusal.contains(other), "{name}={value}: {refusal}");
        assert!(
            refusal.contains(&format!("{value} ms")),
            "{name}={value}: {refusal}"
        );
    }
}

#[test]
fn a_language_that_is_set_outranks_the_tags() {
    let rig = Rig::new();
    rig.element.set_property("language", "en-US");
    let rig = rig.play();
    rig.hear(1500, true);
    rig.words("allô oui vous êtes bien", 0, 1000);
    assert!(rig.messages("answerdetect/verdict").is_empty());
    rig.words("you have reached", 1000, 1400);
    assert_eq!(get::<String>(&rig.verdict(), "result"), "machine");
}
