//! One model per process, no thread left behind, and what transcriberbin asks of a transcriber.

#[path = "common/alone.rs"]
mod alone;
mod element_support;

use std::time::Instant;

use alone::{alone, is_loaded, wait};
use element_support::*;
use gst::ClockTime;
use gst::prelude::*;
use gstwhisperstream::engine::models;

fn stats(element: &gst::Element) -> gst::Structure {
    element.property("stats")
}

/// Threads of this process with the names that the engine gives; the pool of the network's arithmetic, which stays, may
/// inherit them.
fn our_threads() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("whisper"))
        .count()
}

#[test]
fn fifty_starts_and_stops_load_one_model_and_leave_no_thread() {
    let _alone = alone();
    let loads = models::loads();
    let bench = Bench::new().set("language", "fr").play();
    wait("the model", || is_loaded(&bench.element));
    // With the first pass come the threads that stay: the pool's, and the one that runs the model for as long as it lives.
    bench.push(&samples("fr-court"), ms(0)).unwrap();
    assert!(bench.eos());
    bench.stop();
    let threads = our_threads();
    for turn in 0..50 {
        bench.element.set_state(gst::State::Playing).unwrap();
        bench.begin();
        if turn % 5 == 0 {
            bench.push(&samples("fr-court"), ms(0)).unwrap();
        }
        bench.stop();
    }
    assert_eq!(models::loads() - loads, 1);
    wait("all threads to end", || our_threads() <= threads);
    assert_eq!(models::resident(), 1);
    drop(bench);
    wait("the model to be freed", || models::resident() == 0);
}

#[test]
fn each_precision_is_a_model_of_its_own_and_f32_is_what_auto_means() {
    let _alone = alone();
    let loads = models::loads();
    let precisions = [("auto", "f32"), ("f32", "f32"), ("bf16", "bf16")];
    let benches = precisions.map(|(asked, runs)| {
        let bench = Bench::new()
            .set("language", "fr")
            .set_str("precision", asked);
        let bench = bench.set_str("audio-ctx", "auto").play();
        wait("the model", || is_loaded(&bench.element));
        assert_eq!(stats(&bench.element).get::<&str>("precision"), Ok(runs));
        bench
    });
    assert_eq!(models::loads() - loads, 2);
    for bench in &benches {
        bench.speak(&samples("fr-court"), ms(0));
        bench.eos();
        assert_eq!(bench.record.text(), "allô");
    }
}

#[test]
fn two_elements_share_one_model() {
    let _alone = alone();
    let loads = models::loads();
    let benches = [Bench::live().play(), Bench::live().play()];
    for bench in &benches {
        wait("the model", || is_loaded(&bench.element));
    }
    assert_eq!(models::loads() - loads, 1);
    assert_eq!(models::resident(), 1);
    for bench in &benches {
        assert_eq!(stats(&bench.element).get::<u32>("streams"), Ok(2));
    }
    for bench in &benches {
        bench.speak(&samples("fr-court"), ms(0));
        bench.eos();
        assert_eq!(bench.record.text(), "allô");
    }
    drop(benches);
    wait("the model to be freed", || models::resident() == 0);
}

#[test]
fn another_model_frees_the_one_before() {
    let _alone = alone();
    let bench = Bench::new().play();
    wait("the model", || is_loaded(&bench.element));
    bench.stop();
    assert_eq!(models::resident(), 1);
    bench.element.set_property("model", "/no/such/model");
    wait("the model to be freed", || models::resident() == 0);
}

#[test]
fn loading_is_told_in_progress_messages() {
    let _alone = alone();
    let bench = Bench::new().play();
    let mut kinds = Vec::new();
    while kinds.last() != Some(&gst::ProgressType::Complete) {
        let message = bench.wait_for(gst::MessageType::Progress);
        if let gst::MessageView::Progress(progress) = message.view() {
            assert_eq!(progress.code(), "loading");
            kinds.push(progress.type_());
        }
    }
    assert_eq!(kinds.first(), Some(&gst::ProgressType::Start));
}

#[test]
fn a_load_that_is_stopped_is_told_too() {
    let _alone = alone();
    let bench = Bench::new().play();
    bench.wait_for(gst::MessageType::Progress);
    bench.stop();
    let last = bench
        .messages()
        .iter()
        .rev()
        .find_map(|message| match message.view() {
            gst::MessageView::Progress(progress) => Some(progress.type_()),
            _ => None,
        });
    assert!(
        matches!(
            last,
            Some(gst::ProgressType::Canceled | gst::ProgressType::Complete)
        ),
        "{last:?}"
    );
}

#[test]
fn it_is_the_transcriber_that_transcriberbin_wants() {
    let _alone = alone();
    init();
    let loads = models::loads();
    let element = gst::ElementFactory::make("whisperstream").build().unwrap();
    for name in ["latency", "lateness"] {
        assert!(element.has_property_with_type(name, u32::static_type()));
    }
    assert!(element.has_property_with_type("language-code", String::static_type()));
    element.set_property("language-code", "fr-FR");
    let bin = gst::Bin::new();
    bin.add(&element).unwrap();
    // The bin asks for the latency with a live source that never starts, twice.
    for latency in [4_000u32, 2_500] {
        element.set_property("latency", latency);
        element.set_property("lateness", 0u32);
        let source = gst::ElementFactory::make("fakesrc")
            .property("is-live", true)
            .build()
            .unwrap();
        bin.add(&source).unwrap();
        source.link(&element).unwrap();
        let start = Instant::now();
        element.set_state(gst::State::Paused).unwrap();
        let mut query = gst::query::Latency::new();
        assert!(element.static_pad("src").unwrap().query(&mut query));
        let (live, min, _) = query.result();
        assert!(live && min == ClockTime::from_mseconds(latency.into()));
        source.unlink(&element);
        element.set_state(gst::State::Null).unwrap();
        bin.remove(&source).unwrap();
        assert!(start.elapsed() < LET_GO, "start must be cheap");
    }
    // Then it is linked behind the bin's converters, and plays.
    let pipeline = gst::Pipeline::new();
    bin.remove(&element).unwrap();
    let part = |name: &str| gst::ElementFactory::make(name).build().unwrap();
    let source = part("filesrc");
    source.set_property("location", recording("fr-court").to_str().unwrap());
    let chain = [
        source,
        part("wavparse"),
        part("queue"),
        part("audioresample"),
        part("audioconvert"),
        element.clone(),
        part("fakesink"),
    ];
    pipeline.add_many(&chain).unwrap();
    gst::Element::link_many(&chain).unwrap();
    let record = Record::of(&chain[6].static_pad("sink").unwrap());
    for _ in 0..2 {
        record.clear();
        pipeline.set_state(gst::State::Playing).unwrap();
        let end = pipeline.bus().unwrap().timed_pop_filtered(
            ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        assert_eq!(
            end.map(|message| message.type_()),
            Some(gst::MessageType::Eos)
        );
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(record.text(), "allô");
        assert!(record.event_names().contains(&"gap".to_string()));
    }
    assert!(
        models::loads() - loads <= 3,
        "every load but the last was cancelled"
    );
}
