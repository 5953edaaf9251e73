//! Recordings as browsers make them.

use gst::prelude::*;

use crate::support::audio;

/// What a pipeline that ends in a muxer makes of a bundled recording; `start` is the time on its clock.
pub fn muxed(name: &str, encoding: &str, start: gst::ClockTime) -> Vec<u8> {
    doors::init().unwrap();
    let file = audio(name);
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! identity name=late ! {encoding} ! appsink name=out sync=false",
        file.display()
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let late = pipeline.by_name("late").unwrap().static_pad("src").unwrap();
    late.set_offset(start.nseconds() as i64);
    let out = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut bytes = Vec::new();
    while let Ok(sample) = out.pull_sample() {
        bytes.extend_from_slice(&sample.buffer().unwrap().map_readable().unwrap());
    }
    let error = pipeline
        .bus()
        .unwrap()
        .pop_filtered(&[gst::MessageType::Error]);
    assert!(error.is_none(), "{error:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(
        bytes.len() > 10_000,
        "{encoding} made {} bytes",
        bytes.len()
    );
    bytes
}

/// As Chromium and Firefox record: live, of unknown length.
pub fn webm(name: &str) -> Vec<u8> {
    muxed(
        name,
        "opusenc bitrate=32000 ! webmmux streamable=true",
        gst::ClockTime::ZERO,
    )
}

/// As Safari records: fragments of 250 ms.
pub fn mp4(name: &str) -> Vec<u8> {
    muxed(
        name,
        "audio/x-raw,rate=48000 ! voaacenc bitrate=64000 ! aacparse ! mp4mux fragment-duration=250 streamable=true",
        gst::ClockTime::ZERO,
    )
}

/// Time of the first cluster of a WebM stream, in ms.
pub fn first_cluster(webm: &[u8]) -> u64 {
    let at = webm
        .windows(4)
        .position(|id| id == [0x1f, 0x43, 0xb6, 0x75])
        .unwrap();
    let time = at + webm[at..].iter().position(|id| *id == 0xe7).unwrap();
    let length = usize::from(webm[time + 1] & 0x7f);
    let bytes = &webm[time + 2..time + 2 + length];
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
