//! The element in pipelines and by itself: what passes, what is told where, and what a stream can do to it.

use std::sync::{Arc, Mutex};

use gst::ClockTime;
use gst::prelude::*;

use super::sounds::*;

fn init() {
    static INIT: std::sync::Once = std::sync::Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstwhisperstream::plugin_register_static().unwrap();
    });
}

fn caps(rate: u32) -> gst::Caps {
    format!("audio/x-raw,format=S16LE,rate={rate},channels=1,layout=interleaved")
        .parse()
        .unwrap()
}

fn ms(ms: u64) -> ClockTime {
    ClockTime::from_mseconds(ms)
}

/// What left the element, in order.
#[derive(Clone, Debug, PartialEq)]
enum Out {
    Buffer(Option<ClockTime>),
    Tone(gst::Structure),
    /// Any other event.
    Event(gst::EventType),
}

/// The element by itself.
struct Bench {
    harness: gst_check::Harness,
    bus: gst::Bus,
    outs: Arc<Mutex<Vec<Out>>>,
    rate: u32,
}

impl Bench {
    fn new(rate: u32) -> Bench {
        Bench::with(rate, |_| {})
    }

    fn with(rate: u32, set: impl FnOnce(&gst::Element)) -> Bench {
        init();
        let element = gst::ElementFactory::make("beepdetect").build().unwrap();
        set(&element);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        harness.play();
        let outs = Arc::new(Mutex::new(Vec::new()));
        let kept = outs.clone();
        let mask = gst::PadProbeType::BUFFER
            | gst::PadProbeType::EVENT_DOWNSTREAM
            | gst::PadProbeType::EVENT_FLUSH;
        element
            .static_pad("src")
            .unwrap()
            .add_probe(mask, move |_, info| {
                kept.lock().unwrap().push(match &info.data {
                    Some(gst::PadProbeData::Buffer(buffer)) => Out::Buffer(buffer.pts()),
                    Some(gst::PadProbeData::Event(event)) => match event.structure() {
                        Some(structure) if structure.name() == "beepdetect/tone" => {
                            assert!(event.is_serialized());
                            Out::Tone(structure.to_owned())
                        }
                        _ => Out::Event(event.type_()),
                    },
                    _ => return gst::PadProbeReturn::Ok,
                });
                gst::PadProbeReturn::Ok
            });
        harness.set_src_caps(caps(rate));
        Bench {
            harness,
            bus,
            outs,
            rate,
        }
    }

    fn push_buffer(&mut self, samples: &[i16], pts: Option<ClockTime>) {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().unwrap().set_pts(pts);
        self.harness.push(buffer).unwrap();
    }

    /// In packets of 20 ms from `pts` on.
    fn push(&mut self, samples: &[i16], pts: ClockTime) {
        let packet = self.rate as usize / 50;
        for (i, samples) in samples.chunks(packet).enumerate() {
            self.push_buffer(samples, Some(pts + ms(20 * i as u64)));
        }
    }

    fn outs(&self) -> Vec<Out> {
        self.outs.lock().unwrap().clone()
    }

    fn tones(&self) -> Vec<gst::Structure> {
        self.outs()
            .into_iter()
            .filter_map(|out| match out {
                Out::Tone(tone) => Some(tone),
                _ => None,
            })
            .collect()
    }

    fn messages(&self) -> Vec<gst::Structure> {
        std::iter::from_fn(|| self.bus.pop_filtered(&[gst::MessageType::Element]))
            .filter_map(|message| message.structure().map(|structure| structure.to_owned()))
            .collect()
    }
}

fn time(tone: &gst::Structure, field: &str) -> f64 {
    tone.get::<u64>(field).unwrap() as f64 / 1e9
}

fn kind(tone: &gst::Structure) -> String {
    tone.get("kind").unwrap()
}

fn is_final(tone: &gst::Structure) -> bool {
    tone.get("final").unwrap()
}

fn beep(rate: u32) -> Vec<i16> {
    join(&[
        &silence(0.5, rate),
        &tone(&[1_000.0], -15.0, 0.5, rate),
        &silence(0.5, rate),
    ])
}

#[test]
fn audio_passes_unchanged() {
    for rate in [8_000, 16_000] {
        let mut bench = Bench::new(rate);
        let samples = mix(&beep(rate), &white(-30.0, 1.5, rate, 1));
        bench.push(&samples, ms(0));
        let mut out = Vec::new();
        while let Some(buffer) = bench.harness.try_pull() {
            let map = buffer.map_readable().unwrap();
            out.extend(
                map.chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]])),
            );
        }
        assert_eq!(out, samples);
    }
}

#[test]
fn a_tone_is_told_on_the_bus_and_downstream_before_the_buffer_that_made_it_certain() {
    for rate in [8_000, 16_000] {
        let mut bench = Bench::new(rate);
        bench.push(&beep(rate), ms(2_000));
        let outs = bench.outs();
        let tones = bench.tones();
        assert_eq!(tones.len(), 2, "{tones:#?}");
        assert_eq!(bench.messages(), tones);
        let [first, last] = tones.as_slice() else {
            unreachable!()
        };
        assert!(!is_final(first) && is_final(last));
        for tone in &tones {
            assert_eq!(kind(tone), "beep");
            assert!(
                (tone.get::<f64>("frequency").unwrap() - 1_000.0).abs() < 1.0,
                "{tone:?}"
            );
            assert!(
                (tone.get::<f64>("level").unwrap() + 15.0).abs() < 0.5,
                "{tone:?}"
            );
            for field in ["timestamp", "stream-time", "running-time"] {
                assert!((time(tone, field) - 2.5).abs() < 0.01, "{tone:?}");
            }
        }
        assert!((time(last, "duration") - 0.5).abs() < 0.02, "{last:?}");
        // 320 ms of it make it certain.
        let place = outs
            .iter()
            .position(|out| *out == Out::Tone(first.clone()))
            .unwrap();
        let Out::Buffer(Some(next)) = &outs[place + 1] else {
            panic!("no buffer behind it: {outs:#?}");
        };
        let certain = time(first, "timestamp") + time(first, "duration");
        assert!(
            (next.nseconds() as f64 / 1e9 - certain).abs() < 0.05,
            "{next} {first:?}"
        );
    }
}

#[test]
fn running_time_and_stream_time_follow_the_segment() {
    let mut bench = Bench::new(8_000);
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(ms(10_000));
    segment.set_time(ms(3_000));
    segment.set_base(ms(1_000));
    bench.harness.push_event(gst::event::Segment::new(&segment));
    bench.push(&beep(8_000), ms(10_000));
    let tone = &bench.tones()[0];
    assert!((time(tone, "timestamp") - 10.5).abs() < 0.01, "{tone:?}");
    assert!((time(tone, "stream-time") - 3.5).abs() < 0.01, "{tone:?}");
    assert!((time(tone, "running-time") - 1.5).abs() < 0.01, "{tone:?}");
}

#[test]
fn eos_tells_the_end_of_a_tone_before_it_goes_on() {
    let mut bench = Bench::new(8_000);
    bench.push(&beep(8_000)[..7_200], ms(0));
    bench.harness.push_event(gst::event::Eos::new());
    let outs = bench.outs();
    let end = &outs[outs.len() - 2..];
    assert!(
        matches!(&end[0], Out::Tone(tone) if is_final(tone)),
        "{end:#?}"
    );
    assert_eq!(end[1], Out::Event(gst::EventType::Eos));
}

#[test]
fn a_new_segment_ends_what_goes_on_and_starts_anew() {
    let mut bench = Bench::new(8_000);
    bench.push(&beep(8_000)[..7_200], ms(0));
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(ms(60_000));
    bench.harness.push_event(gst::event::Segment::new(&segment));
    bench.push(&beep(8_000), ms(60_000));
    let tones = bench.tones();
    assert_eq!(
        tones.iter().map(is_final).collect::<Vec<_>>(),
        [false, true, false, true],
        "{tones:#?}"
    );
    assert!(
        (time(&tones[2], "timestamp") - 60.5).abs() < 0.01,
        "{tones:#?}"
    );
    assert!(
        (time(&tones[2], "running-time") - 0.5).abs() < 0.01,
        "{tones:#?}"
    );
    let outs = bench.outs();
    let segments: Vec<_> = (0..outs.len())
        .filter(|i| outs[*i] == Out::Event(gst::EventType::Segment))
        .collect();
    assert_eq!(
        outs[segments.last().unwrap() - 1],
        Out::Tone(tones[1].clone()),
        "{outs:#?}"
    );
}

#[test]
fn a_flush_forgets_what_went_on() {
    let mut bench = Bench::new(8_000);
    bench.push(&beep(8_000)[..7_200], ms(0));
    assert_eq!(bench.tones().len(), 1);
    bench.harness.push_event(gst::event::FlushStart::new());
    bench.harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<ClockTime>::new();
    bench.harness.push_event(gst::event::Segment::new(&segment));
    bench.push(&silence(1.0, 8_000), ms(0));
    assert_eq!(bench.tones().len(), 1, "{:#?}", bench.tones());
    bench.push(&beep(8_000), ms(1_000));
    let tones = bench.tones();
    assert_eq!(tones.len(), 3, "{tones:#?}");
    assert!(
        (time(&tones[1], "running-time") - 1.5).abs() < 0.01,
        "{tones:#?}"
    );
}

#[test]
fn new_caps_end_what_goes_on_before_they_go_on() {
    let mut bench = Bench::new(8_000);
    bench.push(&beep(8_000)[..7_200], ms(0));
    bench.rate = 16_000;
    bench
        .harness
        .push_event(gst::event::Caps::new(&caps(16_000)));
    bench.push(&beep(16_000), ms(900));
    let outs = bench.outs();
    let tones = bench.tones();
    assert_eq!(
        tones.iter().map(is_final).collect::<Vec<_>>(),
        [false, true, false, true],
        "{tones:#?}"
    );
    assert!(
        (time(&tones[3], "timestamp") - 1.4).abs() < 0.01,
        "{tones:#?}"
    );
    assert!(
        (time(&tones[3], "duration") - 0.5).abs() < 0.02,
        "{tones:#?}"
    );
    let changed = outs
        .iter()
        .rposition(|out| *out == Out::Event(gst::EventType::Caps))
        .unwrap();
    let ended = outs
        .iter()
        .position(|out| *out == Out::Tone(tones[1].clone()))
        .unwrap();
    assert!(ended < changed, "{outs:#?}");
}

#[test]
fn lost_packets_do_not_split_a_tone_and_a_long_hole_does() {
    for announced in [false, true] {
        let mut bench = Bench::new(8_000);
        let samples = join(&[
            &silence(0.5, 8_000),
            &tone(&[1_000.0], -15.0, 1.0, 8_000),
            &silence(0.5, 8_000),
        ]);
        for (i, packet) in samples.chunks(160).enumerate() {
            let pts = ms(20 * i as u64);
            if i == 40 && announced {
                bench
                    .harness
                    .push_event(gst::event::Gap::builder(pts).duration(ms(20)).build());
            }
            if i == 40 {
                continue;
            }
            let bytes: Vec<u8> = packet.iter().flat_map(|s| s.to_le_bytes()).collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let inside = buffer.get_mut().unwrap();
            inside.set_pts(pts);
            if i == 41 && !announced {
                inside.set_flags(gst::BufferFlags::DISCONT);
            }
            bench.harness.push(buffer).unwrap();
        }
        let tones = bench.tones();
        assert_eq!(tones.len(), 2, "announced {announced}: {tones:#?}");
        assert!(
            (time(&tones[1], "duration") - 1.0).abs() < 0.03,
            "{tones:#?}"
        );
    }

    let mut bench = Bench::new(8_000);
    bench.push(&beep(8_000)[..7_200], ms(0));
    bench.push(&beep(8_000), ms(5_000));
    let tones = bench.tones();
    assert_eq!(
        tones.iter().map(is_final).collect::<Vec<_>>(),
        [false, true, false, true],
        "{tones:#?}"
    );
    assert!(
        (time(&tones[1], "duration") - 0.4).abs() < 0.02,
        "{tones:#?}"
    );
    assert!(
        (time(&tones[2], "timestamp") - 5.5).abs() < 0.01,
        "{tones:#?}"
    );
}

#[test]
fn a_gap_of_seconds_ends_what_goes_on_before_it_goes_on() {
    let mut bench = Bench::new(8_000);
    bench.push(&beep(8_000)[..7_200], ms(0));
    bench.harness.push_event(
        gst::event::Gap::builder(ms(900))
            .duration(ms(3_000))
            .build(),
    );
    let outs = bench.outs();
    let end = &outs[outs.len() - 2..];
    assert!(
        matches!(&end[0], Out::Tone(tone) if is_final(tone)),
        "{end:#?}"
    );
    assert_eq!(end[1], Out::Event(gst::EventType::Gap));
    bench.push(&beep(8_000), ms(3_900));
    let tones = bench.tones();
    assert!(
        (time(&tones[2], "timestamp") - 4.4).abs() < 0.01,
        "{tones:#?}"
    );
}

#[test]
fn only_the_kinds_asked_for_are_told() {
    let mut bench = Bench::with(8_000, |element| {
        element.set_property_from_str("kinds", "busy+dial")
    });
    bench.push(&beep(8_000), ms(0));
    bench.push(&Signal::of("busy", "us").play(-20.0, 3.0, 8_000), ms(1_500));
    let told: Vec<_> = bench.tones().iter().map(kind).collect();
    assert_eq!(told, ["busy"]);
}

#[test]
fn properties_move_the_limits() {
    let mut bench = Bench::with(8_000, |element| {
        element.set_property("min-duration", 400u32);
        element.set_property("min-frequency", 900u32);
        element.set_property("max-frequency", 1_100u32);
        element.set_property("min-level", -30.0f64);
    });
    let mut at = 0;
    for (hz, level, length) in [
        (1_000.0, -20.0, 0.3),
        (800.0, -20.0, 0.6),
        (1_000.0, -35.0, 0.6),
        (1_000.0, -20.0, 0.6),
    ] {
        let sound = join(&[
            &tone(&[hz], level, length, 8_000),
            &silence(4.0 - length, 8_000),
        ]);
        bench.push(&sound, ms(at));
        at += 4_000;
    }
    let tones = bench.tones();
    assert_eq!(tones.len(), 2, "{tones:#?}");
    assert!(
        (time(&tones[0], "timestamp") - 12.0).abs() < 0.01,
        "{tones:#?}"
    );
}

/// The text of the error with which the element refuses to start.
fn refusal(set: impl FnOnce(&gst::Element)) -> String {
    init();
    let element = gst::ElementFactory::make("beepdetect").build().unwrap();
    set(&element);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    element.set_state(gst::State::Null).unwrap();
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!()
    };
    format!("{} {}", error.error(), error.debug().unwrap_or_default())
}

#[test]
fn properties_that_make_no_sense_are_refused_with_their_values() {
    let text = refusal(|element| {
        element.set_property("min-frequency", 1_500u32);
        element.set_property("max-frequency", 600u32);
    });
    assert!(
        text.contains("min-frequency is 1500 Hz and max-frequency 600 Hz"),
        "{text}"
    );
    let text = refusal(|element| element.set_property("min-duration", 20u32));
    assert!(text.contains("min-duration is 20 ms"), "{text}");
    let text = refusal(|element| element.set_property("max-frequency", 5_000u32));
    assert!(text.contains("max-frequency is 5000 Hz"), "{text}");
    let text = refusal(|element| element.set_property("min-level", 6.0f64));
    assert!(text.contains("min-level is 6 dBFS"), "{text}");
    let text = refusal(|element| element.set_property_from_str("kinds", "0"));
    assert!(text.contains("kinds is empty"), "{text}");
}

#[test]
fn ugly_input_harms_nothing() {
    let mut bench = Bench::new(8_000);
    bench.push_buffer(&[], Some(ms(0)));
    let mut odd = gst::Buffer::from_mut_slice(vec![0x7Fu8; 3]);
    odd.get_mut().unwrap().set_pts(ms(0));
    bench.harness.push(odd).unwrap();
    bench.push_buffer(&vec![i16::MAX; 8_000], None);
    bench.push_buffer(
        &vec![i16::MIN; 8_000],
        Some(ClockTime::from_nseconds(u64::MAX - 2)),
    );
    bench.push_buffer(&white(0.0, 1.0, 8_000, 1), Some(ms(0)));
    bench.harness.push_event(
        gst::event::Gap::builder(ClockTime::from_nseconds(u64::MAX - 2))
            .duration(ms(50))
            .build(),
    );
    bench
        .harness
        .push_event(gst::event::Gap::builder(ms(10)).build());
    assert!(bench.tones().is_empty(), "{:#?}", bench.tones());
    // And it still hears.
    bench.push(&beep(8_000), ms(20_000));
    assert_eq!(bench.tones().len(), 2);
}

#[test]
fn audio_without_timestamps_is_timed_by_its_samples() {
    let mut bench = Bench::new(16_000);
    for packet in beep(16_000).chunks(333) {
        bench.push_buffer(packet, None);
    }
    let tones = bench.tones();
    assert!(
        (time(&tones[0], "timestamp") - 0.5).abs() < 0.01,
        "{tones:#?}"
    );
}

/// Runs a pipeline of `gst-launch-1.0`'s language to its end; the tones on its bus.
fn run(description: &str) -> Vec<gst::Structure> {
    init();
    let pipeline = gst::parse::launch(description).unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut tones = Vec::new();
    for message in bus.iter_timed(ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{} {:?}", error.error(), error.debug()),
            gst::MessageView::Element(element) => {
                tones.extend(element.structure().map(|s| s.to_owned()))
            }
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    tones
}

fn wav(samples: &[i16], rate: u32) -> tempfile::TempPath {
    let file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(file.reopen().unwrap(), spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
    file.into_temp_path()
}

#[test]
fn a_pipeline_tells_tones_of_a_file() {
    let file = wav(&beep(8_000), 8_000);
    let tones = run(&format!(
        "filesrc location={} ! wavparse ! mulawenc ! mulawdec ! beepdetect ! fakesink",
        file.display()
    ));
    assert_eq!(tones.iter().map(kind).collect::<Vec<_>>(), ["beep", "beep"]);
    assert!(
        (time(&tones[1], "stream-time") - 0.5).abs() < 0.01,
        "{tones:#?}"
    );
}

#[test]
fn a_pipeline_at_another_rate_is_resampled_to_fit() {
    let file = wav(&beep(48_000), 48_000);
    let tones = run(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! beepdetect ! fakesink",
        file.display()
    ));
    assert_eq!(tones.iter().map(kind).collect::<Vec<_>>(), ["beep", "beep"]);
}

#[test]
fn raw_audio_without_a_time_segment_is_heard() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = beep(8_000).iter().flat_map(|s| s.to_le_bytes()).collect();
    std::fs::write(file.path(), bytes).unwrap();
    let tones = run(&format!(
        "filesrc location={} blocksize=320 ! audio/x-raw,format=S16LE,rate=8000,channels=1,layout=interleaved ! beepdetect ! fakesink",
        file.path().display()
    ));
    assert_eq!(tones.len(), 2, "{tones:#?}");
    assert!(
        (time(&tones[0], "running-time") - 0.5).abs() < 0.01,
        "{tones:#?}"
    );
}

#[test]
fn the_element_says_what_it_is() {
    init();
    let factory = gst::ElementFactory::find("beepdetect").unwrap();
    assert_eq!(factory.metadata("klass"), Some("Filter/Analyzer/Audio"));
    let element = factory.create().build().unwrap();
    for property in element.list_properties() {
        if property.owner_type() == element.type_() {
            assert!(
                property.blurb().is_some_and(|blurb| blurb.len() > 10),
                "{}",
                property.name()
            );
        }
    }
}
