//! Latency, flushes, states: the element answers, lets go, and starts afresh.

mod element_support;

use std::time::{Duration, Instant};

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

/// Pushes a minute of speech from a thread of its own; paced exactly, that blocks on back-pressure.
fn flood(bench: &Bench) -> std::thread::JoinHandle<Result<gst::FlowSuccess, gst::FlowError>> {
    let src = bench.src.clone();
    let audio = samples("en-greeting").repeat(5);
    std::thread::spawn(move || {
        let mut at = ms(0);
        for chunk in audio.chunks(320) {
            src.push(buffer(chunk, Some(at)))?;
            at += ms(20);
        }
        Ok(gst::FlowSuccess::Ok)
    })
}

fn wait_until_busy(bench: &Bench) {
    bench
        .record
        .wait(Duration::from_secs(60), |record| !record.outs().is_empty());
}

fn latency(bench: &Bench) -> (bool, ClockTime, Option<ClockTime>) {
    let mut query = gst::query::Latency::new();
    assert!(bench.element.static_pad("src").unwrap().query(&mut query));
    query.result()
}

#[test]
fn latency_is_added_only_when_upstream_is_live() {
    let bench = Bench::new().play();
    assert_eq!(latency(&bench), (false, ms(0), None));
    *bench.upstream.lock().unwrap() = (true, ms(20), None);
    assert_eq!(latency(&bench), (true, ms(2_020), None));
    *bench.upstream.lock().unwrap() = (true, ms(20), Some(ms(100)));
    assert_eq!(latency(&bench), (true, ms(2_020), Some(ms(2_100))));
}

#[test]
fn a_latency_changed_while_playing_is_announced() {
    let bench = Bench::live().play();
    bench.messages();
    bench.element.set_property("latency", 3_500u32);
    bench.wait_for(gst::MessageType::Latency);
    assert_eq!(latency(&bench).1, ms(3_520));
}

#[test]
fn a_flush_releases_the_streaming_thread_and_the_next_segment_is_clean() {
    let bench = Bench::new().set("language", "fr").play();
    let flood = flood(&bench);
    wait_until_busy(&bench);
    let start = Instant::now();
    assert!(bench.event(gst::event::FlushStart::new()));
    assert_eq!(flood.join().unwrap(), Err(gst::FlowError::Flushing));
    assert!(start.elapsed() < LET_GO, "{:?}", start.elapsed());
    assert!(bench.event(gst::event::FlushStop::new(true)));
    assert!(start.elapsed() < LET_GO, "{:?}", start.elapsed());
    bench.record.clear();
    bench.segment_from(ms(0));
    let end = bench.speak(&samples("fr-court"), ms(0));
    assert!(bench.eos());
    assert_eq!(bench.record.text(), "allô");
    assert_covers(&bench.record.outs(), ms(0), end);
}

#[test]
fn a_flush_releases_an_eos_that_waits_for_the_last_words() {
    let bench = Bench::new().set("language", "en").play();
    bench
        .push(&samples("en-greeting")[..16_000], ms(0))
        .unwrap();
    let src = bench.src.clone();
    let eos = std::thread::spawn(move || src.push_event(gst::event::Eos::new()));
    std::thread::sleep(Duration::from_millis(5));
    let start = Instant::now();
    bench.event(gst::event::FlushStart::new());
    eos.join().unwrap();
    assert!(start.elapsed() < LET_GO, "{:?}", start.elapsed());
    bench.event(gst::event::FlushStop::new(true));
}

#[test]
fn stopping_releases_the_streaming_thread_and_the_next_start_is_clean() {
    let bench = Bench::new().set("language", "fr").play();
    for _ in 0..2 {
        let flood = flood(&bench);
        wait_until_busy(&bench);
        let start = Instant::now();
        bench.element.set_state(gst::State::Null).unwrap();
        assert!(start.elapsed() < LET_GO, "{:?}", start.elapsed());
        assert_eq!(flood.join().unwrap(), Err(gst::FlowError::Flushing));
        bench.element.set_state(gst::State::Playing).unwrap();
        bench.record.clear();
        bench.begin();
    }
    bench.speak(&samples("fr-court"), ms(0));
    assert!(bench.eos());
    assert_eq!(bench.record.text(), "allô");
}

#[test]
fn stopping_while_the_model_loads_returns_at_once() {
    let bench = Bench::new().set("language", "fr");
    for _ in 0..10 {
        bench.element.set_state(gst::State::Playing).unwrap();
        bench.begin();
        bench.push(&samples("fr-court"), ms(0)).unwrap();
        let start = Instant::now();
        bench.element.set_state(gst::State::Null).unwrap();
        assert!(start.elapsed() < LET_GO, "{:?}", start.elapsed());
    }
    let bench = bench.play();
    bench.record.clear();
    bench.begin();
    bench.speak(&samples("fr-court"), ms(0));
    assert!(bench.eos());
    assert_eq!(bench.record.text(), "allô");
}

#[test]
fn an_error_downstream_comes_back_to_upstream() {
    let bench = Bench::new().set("language", "fr").play();
    *bench.flow.lock().unwrap() = Err(gst::FlowError::Eos);
    bench.speak(&samples("fr-court"), ms(0));
    bench.event(gst::event::CustomDownstream::new(
        gst::Structure::builder("whisperstream/flush")
            .field("marker", "x")
            .build(),
    ));
    let after = bench.push(&[0; 320], ms(2_000));
    assert_eq!(after, Err(gst::FlowError::Eos));
}

/// Asks for all said so far, one way or another, and checks that the answer comes behind the text.
fn check_flush(ask: impl Fn(&Bench)) {
    let bench = Bench::live().play();
    bench.speak(&samples("fr-court"), ms(0));
    ask(&bench);
    bench.record.wait(Duration::from_secs(60), |record| {
        record
            .event_names()
            .iter()
            .any(|name| name == "whisperstream/flushed")
    });
    assert_eq!(bench.record.text(), "allô");
    let order: Vec<_> = bench
        .record
        .items()
        .into_iter()
        .filter_map(|item| match item {
            Item::Buffer(_) => Some("text".to_string()),
            Item::Event(event) => Some(event.structure()?.name().to_string()),
        })
        .filter(|name| name.contains("text") || name.contains("flushed"))
        .collect();
    assert_eq!(order, ["text", "whisperstream/flushed"]);
    let start = Instant::now();
    let marker = loop {
        if let Some(message) = bench.element_messages("whisperstream/flushed").first() {
            break message.get::<String>("marker").unwrap();
        }
        assert!(start.elapsed() < LET_GO);
    };
    assert_eq!(marker, "turn 7");
}

fn flush_event() -> gst::Event {
    let structure = gst::Structure::builder("whisperstream/flush")
        .field("marker", "turn 7")
        .build();
    gst::event::CustomDownstream::new(structure)
}

#[test]
fn the_flush_signal_delivers_what_was_said_without_further_audio() {
    check_flush(|bench| {
        bench
            .element
            .emit_by_name::<()>("flush-speech", &[&"turn 7"])
    });
}

#[test]
fn the_flush_event_from_upstream_delivers_what_was_said() {
    check_flush(|bench| assert!(bench.event(flush_event())));
}

#[test]
fn the_flush_event_from_the_application_delivers_what_was_said() {
    check_flush(|bench| assert!(bench.element.send_event(flush_event())));
}

#[test]
fn live_text_needs_no_further_audio() {
    let bench = Bench::live().play();
    let end = bench.speak(&samples("fr-court"), ms(0));
    bench.speak(&[0; 32_000], end);
    bench
        .record
        .wait(Duration::from_secs(60), |record| record.text() == "allô");
}

#[test]
fn live_output_never_lags_the_input_by_more_than_latency() {
    let bench = Bench::live().set("latency", 1_000u32).play();
    let mut at = ms(0);
    for chunk in samples("fr-accueil").chunks(320).take(300) {
        bench.push(chunk, at).unwrap();
        at += ms(20);
        let covered = bench.record.outs().last().map_or(ms(0), Out::end);
        // A pass that just pushes may hold the output for one buffer.
        assert!(covered + ms(1_040) >= at, "{covered} covered at {at}");
    }
}

#[test]
fn exact_output_does_not_lag_the_passes_by_more_than_latency() {
    let bench = Bench::new().set("language", "fr").play();
    let end = bench.speak(&[0; 80_001], ms(0));
    bench.record.wait(Duration::from_secs(60), |record| {
        record
            .outs()
            .last()
            .is_some_and(|out| out.end() + ms(2_000) >= end)
    });
}

#[test]
fn a_word_behind_a_gap_is_clamped_and_counted_and_messages_tell_its_true_time() {
    let bench = Bench::new()
        .set("language", "fr")
        .set("latency", 0u32)
        .play();
    let end = bench.speak(&samples("fr-court"), ms(0));
    bench.eos();
    let outs = bench.record.outs();
    assert_covers(&outs, ms(0), end.max(outs.last().unwrap().end()));
    let text = outs
        .iter()
        .find(|out| matches!(out, Out::Text(..)))
        .unwrap();
    assert!(text.start() >= ms(500), "{text:?}");
    let stats = bench.element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("clamped"), Ok(1));
    let message = &bench.element_messages("whisperstream/words")[0];
    assert!(message.get::<u64>("timestamp").unwrap() < 500_000_000);
}

#[test]
fn live_audio_that_finds_no_room_is_dropped_counted_and_announced() {
    let bench = Bench::live().set("audio-max-len", 2_000u32).play();
    let start = Instant::now();
    let end = bench.speak(&samples("fr-accueil").repeat(3), ms(0));
    assert!(start.elapsed() < LET_GO, "live audio must not block");
    bench.eos();
    let stats = bench.element.property::<gst::Structure>("stats");
    let dropped = stats.get::<u64>("dropped").unwrap();
    assert!(dropped > 0, "{stats:?}");
    let told: u64 = bench
        .element_messages("whisperstream/dropped")
        .iter()
        .map(|message| message.get::<u64>("duration").unwrap())
        .sum();
    assert_eq!(told, dropped);
    assert_covers(&bench.record.outs(), ms(0), end);
}

#[test]
fn position_is_what_was_heard_and_scheduling_is_push_only() {
    let bench = Bench::new().set("language", "fr").play();
    bench.speak(&samples("fr-court")[..16_000], ms(0));
    let src = bench.element.static_pad("src").unwrap();
    assert_eq!(src.query_position::<ClockTime>(), Some(ms(1_000)));
    let mut query = gst::query::Scheduling::new();
    assert!(src.query(&mut query));
    assert!(query.has_scheduling_mode(gst::PadMode::Push));
    assert!(!query.has_scheduling_mode(gst::PadMode::Pull));
}
