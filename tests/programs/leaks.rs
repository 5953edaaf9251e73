// SPDX-License-Identifier: MPL-2.0

//! Whatever a pipeline made is gone when it has ended: GStreamer's tracer `leaks` lists each element, pad, buffer, event, query and
//! message that is still there. What GLib or GStreamer calls critical ends these pipelines.

use std::process::Command;

use crate::runner::*;

/// What the tracer, which must have run, says was left.
fn left(ended: &Ended) -> Vec<&str> {
    assert!(
        ended.stderr.contains("object-alive.class"),
        "the tracer did not run:\n{}",
        ended.stderr
    );
    let lines = ended.stderr.lines();
    lines
        .filter_map(|line| line.split_once(":: object-alive, "))
        .map(|(_, what)| what)
        .collect()
}

fn traced(command: &mut Command) -> Ended {
    run(command
        .env("G_DEBUG", "fatal-criticals")
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1"))
}

#[track_caller]
fn leaves_nothing(pipeline: &str) -> Ended {
    let source = format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample",
        audio("fr-court.wav").display()
    );
    let ended = traced(&mut launch(&pipeline.replace("SOURCE", &source)));
    assert_eq!(left(&ended), [""; 0], "left by {pipeline}");
    ended
}

#[test]
fn what_is_left_is_seen() {
    let keeper = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; \
                  Gst.init(); kept = Gst.Buffer.new(); Gst.deinit()";
    let ended = traced(Command::new("/usr/bin/python3").args(["-c", keeper]));
    let left = left(&ended);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("GstBuffer"), "{left:?}");
}

#[test]
fn words_leave_nothing() {
    for settings in [
        "interim=true",
        "unit=utterance",
        "beams=2 precision=int8 audio-ctx=auto",
        "policy=local-agreement",
        "vad=none language=auto",
    ] {
        leaves_nothing(&format!(
            "SOURCE ! whisperstream language=fr {settings} ! fakesink"
        ))
        .ok();
    }
}

#[test]
fn json_and_captions_in_a_file_leave_nothing() {
    leaves_nothing("SOURCE ! whisperstream ! application/x-json ! fakesink").ok();
    leaves_nothing(
        "matroskamux name=mux ! fakesink SOURCE ! tee name=split \
         split. ! queue max-size-time=5000000000 max-size-bytes=0 max-size-buffers=0 ! mux. \
         split. ! queue max-size-time=5000000000 max-size-bytes=0 max-size-buffers=0 ! whisperstream ! mux.",
    )
    .ok();
}

#[test]
fn two_sides_of_a_call_and_who_answered_leave_nothing() {
    leaves_nothing(
        "SOURCE ! beepdetect ! whisperstream language=fr ! answerdetect ! fakesink \
         SOURCE ! tee name=prompt prompt. ! queue ! fakesink prompt. ! queue ! caller.far_end \
         SOURCE ! whisperstream name=caller leg=caller barge-in-after=400 ! fakesink",
    )
    .ok();
}

#[test]
fn failures_leave_nothing() {
    for broken in [
        "SOURCE ! whisperstream model=/nowhere ! fakesink",
        "SOURCE ! whisperstream language=klingon ! fakesink",
        "SOURCE ! whisperstream ! identity error-after=1 ! fakesink",
    ] {
        let ended = leaves_nothing(broken);
        assert!(!ended.status.success(), "{broken}: {ended:?}");
    }
}
