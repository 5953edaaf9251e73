//! Words keep their place on the clock, whatever happens to the audio's timestamps.

mod element_support;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

/// One word, "allô", and its time.
fn hello() -> (Vec<i16>, ClockTime) {
    let start = spoken("fr-court")[0].1;
    (samples("fr-court"), ClockTime::from_seconds_f64(start))
}

fn bench() -> Bench {
    Bench::new().set("language", "fr").set_str("unit", "word")
}

/// Starts of the buffers that say "allô".
fn hellos(bench: &Bench) -> Vec<ClockTime> {
    bench
        .record
        .buffers()
        .iter()
        .filter(|buffer| text_of(buffer) == "allô")
        .map(|buffer| buffer.pts().unwrap())
        .collect()
}

#[track_caller]
fn assert_near(got: &[ClockTime], wanted: &[ClockTime]) {
    assert_eq!(got.len(), wanted.len(), "{got:?} is not {wanted:?}");
    for (got, wanted) in got.iter().zip(wanted) {
        let off = got.nseconds().abs_diff(wanted.nseconds());
        assert!(off <= 200_000_000, "{got} is not {wanted}");
    }
}

fn missing(pts: ClockTime, duration: ClockTime) -> gst::Event {
    gst::event::Gap::builder(pts)
        .duration(duration)
        .gap_flags(gst::GapFlags::DATA)
        .build()
}

#[test]
fn lost_packets_announced_by_gap_events_keep_word_times() {
    let (audio, word) = hello();
    let bench = bench().play();
    let mut at = bench.speak(&audio, ms(0));
    for _ in 0..30 {
        assert!(bench.event(missing(at, ms(20))));
        at += ms(20);
    }
    let second = at;
    let end = bench.speak(&audio, at);
    bench.eos();
    assert_near(&hellos(&bench), &[word, second + word]);
    assert_covers(&bench.record.outs(), ms(0), end);
}

#[test]
fn a_hole_without_notice_keeps_word_times() {
    let (audio, word) = hello();
    let bench = bench().play();
    let second = bench.speak(&audio, ms(0)) + ms(700);
    let end = bench.speak(&audio, second);
    bench.eos();
    assert_near(&hellos(&bench), &[word, second + word]);
    assert_covers(&bench.record.outs(), ms(0), end);
}

#[test]
fn a_jump_ends_the_utterance_and_keeps_word_times() {
    let (audio, word) = hello();
    let bench = bench().play();
    let second = bench.speak(&audio, ms(0)) + ms(3_600_000);
    let end = bench.speak(&audio, second);
    bench.eos();
    assert_near(&hellos(&bench), &[word, second + word]);
    assert_covers(&bench.record.outs(), ms(0), end);
    assert_eq!(bench.element_messages("whisperstream/final").len(), 2);
}

#[test]
fn a_segment_that_does_not_start_at_zero_keeps_word_times() {
    let (audio, word) = hello();
    let bench = bench();
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.begin();
    bench.segment_from(ms(60_000));
    let end = bench.speak(&audio, ms(60_250));
    bench.eos();
    assert_near(&hellos(&bench), &[ms(60_250) + word]);
    assert_covers(&bench.record.outs(), ms(60_000), end);
    let message = &bench.element_messages("whisperstream/words")[0];
    let running_time = ClockTime::from_nseconds(message.get("running-time").unwrap());
    assert_near(&[running_time], &[ms(250) + word]);
}

#[test]
fn what_lies_before_the_segment_is_not_heard() {
    let (audio, _) = hello();
    let bench = bench();
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.begin();
    bench.segment_from(ms(10_000));
    bench.speak(&audio, ms(5_000));
    bench.eos();
    assert_eq!(bench.record.outs(), []);
}

#[test]
fn durations_that_lie_cut_nothing_off() {
    let (audio, word) = hello();
    let bench = bench().play();
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_stop(ms(60_000));
    bench.event(gst::event::Segment::new(&segment));
    let mut pts = ms(0);
    for part in audio.chunks(1_600) {
        let mut lying = buffer(part, Some(pts));
        let duration = ClockTime::from_seconds(if pts.is_zero() { 0 } else { 100_000 });
        lying.make_mut().set_duration(duration);
        bench.src.push(lying).unwrap();
        pts += ms(100);
    }
    // Less than a sample, and it reaches far behind the segment.
    let mut byte = gst::Buffer::from_slice([0]);
    byte.make_mut().set_pts(pts);
    byte.make_mut().set_duration(ClockTime::MAX);
    bench.src.push(byte).unwrap();
    bench.eos();
    assert_near(&hellos(&bench), &[word]);
}

#[test]
fn audio_without_timestamps_is_timed_by_its_samples() {
    let (audio, word) = hello();
    let bench = bench().play();
    for chunk in audio.chunks(1_000) {
        bench.src.push(buffer(chunk, None)).unwrap();
    }
    bench.eos();
    assert_near(&hellos(&bench), &[word]);
}

#[test]
fn timestamps_that_run_backwards_are_told_and_the_text_goes_on() {
    let (audio, word) = hello();
    let bench = bench().play();
    let second = bench.speak(&audio, ms(20_000));
    bench.speak(&audio, ms(0));
    bench.eos();
    assert_near(&hellos(&bench), &[ms(20_000) + word, second + word]);
    let warned = bench
        .messages()
        .iter()
        .any(|m| sentence(m).contains("ran backwards"));
    assert!(warned);
    let end = second + (second - ms(20_000));
    assert_covers(&bench.record.outs(), ms(0), end);
}

#[test]
fn raw_bytes_without_caps_or_timestamps_are_timed_by_their_count() {
    let (audio, word) = hello();
    let bytes: Vec<u8> = audio
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let bench = bench();
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.event(gst::event::StreamStart::new("raw"));
    let segment = gst::FormattedSegment::<gst::format::Bytes>::new();
    bench.event(gst::event::Segment::new(&segment));
    // Cut where a network would: in the middle of samples.
    for part in bytes.chunks(1_461) {
        bench
            .src
            .push(gst::Buffer::from_slice(part.to_vec()))
            .unwrap();
    }
    bench.eos();
    assert_near(&hellos(&bench), &[word]);
    let end = ClockTime::from_nseconds(audio.len() as u64 * 62_500);
    assert_covers(&bench.record.outs(), ms(0), end);
    let segment = bench
        .record
        .events()
        .into_iter()
        .find_map(|event| match event.view() {
            gst::EventView::Segment(segment) => Some(segment.segment().format()),
            _ => None,
        });
    assert_eq!(segment, Some(gst::Format::Time));
    assert!(
        bench
            .messages()
            .iter()
            .any(|m| sentence(m).contains("no caps"))
    );
}

#[test]
fn a_source_that_sends_no_events_is_heard_behind_events_of_our_own() {
    let (audio, word) = hello();
    let bench = bench();
    bench.element.set_state(gst::State::Playing).unwrap();
    // Not even a STREAM_START; and a GAP is the first that comes.
    bench.event(missing(ms(0), ms(20)));
    for part in audio.chunks(1_600) {
        bench.src.push(buffer(part, None)).unwrap();
    }
    bench.eos();
    assert_near(&hellos(&bench), &[word]);
    let first: Vec<_> = bench.record.event_names().into_iter().take(3).collect();
    assert_eq!(first, ["stream-start", "caps", "segment"]);
}

#[test]
fn an_odd_byte_waits_for_its_other_half() {
    let (audio, word) = hello();
    let bytes: Vec<u8> = audio
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let bench = bench().play();
    let mut at = 0;
    for part in bytes.chunks(641) {
        let mut buffer = gst::Buffer::from_slice(part.to_vec());
        buffer
            .get_mut()
            .unwrap()
            .set_pts(ClockTime::from_nseconds(at / 2 * 62_500));
        at += part.len() as u64;
        bench.src.push(buffer).unwrap();
    }
    bench.eos();
    assert_near(&hellos(&bench), &[word]);
    let told = bench
        .messages()
        .iter()
        .filter(|m| sentence(m).contains("641 bytes"))
        .count();
    assert_eq!(told, 1);
}

#[test]
fn empty_buffers_change_nothing() {
    let (audio, word) = hello();
    let bench = bench().play();
    bench.src.push(gst::Buffer::new()).unwrap();
    bench.push(&[], ms(0)).unwrap();
    bench.speak(&audio, ms(0));
    bench.push(&[], ms(100_000)).unwrap();
    bench.eos();
    assert_near(&hellos(&bench), &[word]);
}

#[test]
fn a_new_segment_starts_a_new_time() {
    let (audio, word) = hello();
    let bench = bench().play();
    bench.speak(&audio, ms(0));
    bench.segment_from(ms(500_000));
    let end = bench.speak(&audio, ms(500_000));
    bench.eos();
    assert_near(&hellos(&bench), &[word, ms(500_000) + word]);
    let names = bench.record.event_names();
    let segments = names.iter().filter(|name| *name == "segment").count();
    assert_eq!(segments, 2);
    let second: Vec<_> = bench
        .record
        .outs()
        .into_iter()
        .filter(|out| out.start() >= ms(500_000))
        .collect();
    assert_covers(&second, ms(500_000), end);
}

#[test]
fn lateness_moves_the_running_time_not_the_timestamps() {
    let bench = bench().set("lateness", 3_000u32).play();
    let base = |bench: &Bench| {
        bench
            .record
            .events()
            .iter()
            .rev()
            .find_map(|event| match event.view() {
                gst::EventView::Segment(segment) => segment
                    .segment()
                    .downcast_ref::<ClockTime>()
                    .and_then(|segment| segment.base()),
                _ => None,
            })
    };
    assert_eq!(base(&bench), Some(ms(3_000)));
    let (audio, word) = hello();
    bench.speak(&audio, ms(0));
    bench.eos();
    assert_near(&hellos(&bench), &[word]);
}
