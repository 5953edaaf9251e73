//! The element between real ones: seeks, blocked sinks, live sources.

mod element_support;

use std::time::{Duration, Instant};

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

/// `description` with the recording in place of `IN`; the element is called `w`, what follows it `sink`.
fn pipeline(description: &str, name: &str) -> (gst::Pipeline, Record) {
    init();
    let location = format!("\"{}\"", recording(name).display());
    let pipeline = gst::parse::launch(&description.replace("IN", &location))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    let record = Record::of(&sink.static_pad("sink").unwrap());
    (pipeline, record)
}

fn wait_for_eos(pipeline: &gst::Pipeline) {
    let message = pipeline.bus().unwrap().timed_pop_filtered(
        ClockTime::from_seconds(120),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    match message {
        Some(message) if message.type_() == gst::MessageType::Eos => {}
        other => panic!("no EOS: {:?}", other.map(|message| sentence(&message))),
    }
}

fn preroll(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Paused).unwrap();
    let (result, _, _) = pipeline.state(ClockTime::from_seconds(60));
    result.unwrap();
}

#[test]
fn stopping_releases_a_push_that_a_paused_sink_holds() {
    let (pipeline, _) = pipeline(
        "filesrc location=IN ! wavparse ! whisperstream name=w language=fr ! fakesink name=sink sync=true",
        "fr-accueil",
    );
    preroll(&pipeline);
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(start.elapsed() < LET_GO, "{:?}", start.elapsed());
}

#[test]
fn a_seek_releases_a_push_that_a_paused_sink_holds_and_goes_on_there() {
    let (pipeline, record) = pipeline(
        "filesrc location=IN ! wavparse ! whisperstream name=w language=fr unit=word ! fakesink name=sink sync=false",
        "fr-accueil",
    );
    preroll(&pipeline);
    std::thread::sleep(Duration::from_millis(300));
    record.clear();
    let start = Instant::now();
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    pipeline.seek_simple(flags, ms(7_000)).unwrap();
    assert!(start.elapsed() < LET_GO, "{:?}", start.elapsed());
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_for_eos(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    let end = ClockTime::from_nseconds(samples("fr-accueil").len() as u64 * 62_500);
    assert_covers(&record.outs(), ms(7_000), end);
    let truth = spoken("fr-accueil");
    let last = truth.last().unwrap();
    let outs = record.outs();
    let heard = outs.iter().rev().find_map(|out| match out {
        Out::Text(text, start, _) => Some((text.clone(), start.seconds_f64())),
        Out::Gap(..) => None,
    });
    let (text, start) = heard.unwrap();
    assert_eq!(text, last.0);
    assert!(
        (start - last.1).abs() < 0.35,
        "{text} at {start}, not {}",
        last.1
    );
}

#[test]
fn raw_pcm_straight_from_a_file_is_text() {
    init();
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw.pcm");
    let bytes: Vec<u8> = samples("fr-court")
        .iter()
        .flat_map(|s| s.to_le_bytes())
        .collect();
    std::fs::write(&raw, bytes).unwrap();
    for caps in ["", &format!("! {CAPS}")] {
        let description = format!(
            "filesrc location=\"{}\" {caps} ! whisperstream language=fr ! fakesink name=sink",
            raw.display()
        );
        let (pipeline, record) = pipeline(&description, "fr-court");
        pipeline.set_state(gst::State::Playing).unwrap();
        wait_for_eos(&pipeline);
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(record.text(), "allô", "with caps {caps:?}");
    }
}

#[test]
fn a_live_source_is_paced_live_and_heard_in_time() {
    let (pipeline, record) = pipeline(
        "audiotestsrc is-live=true wave=silence num-buffers=100 samplesperbuffer=320 ! audioconvert ! audioresample ! whisperstream name=w latency=1000 ! fakesink name=sink sync=false",
        "fr-court",
    );
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_for_eos(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    let outs = record.outs();
    assert_covers(&outs, ms(0), outs.last().unwrap().end());
    assert_eq!(record.text(), "");
}

#[test]
fn two_runs_of_a_pipeline_give_identical_bytes() {
    let run = || {
        let (pipeline, record) = pipeline(
            "filesrc location=IN ! wavparse ! whisperstream language=fr ! application/x-json ! fakesink name=sink",
            "fr-court",
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        wait_for_eos(&pipeline);
        pipeline.set_state(gst::State::Null).unwrap();
        record.outs()
    };
    assert_eq!(run(), run());
}
