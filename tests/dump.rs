//! Recordings of streams (`dump-dir`), and their replay.

mod element_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;
use gstwhisperstream::engine::dump::{
    Changes, Line, PaceName, Passed, Recording, RecordingError, Replay, ReplayError,
};

/// The dumps in a directory, oldest first.
fn dumps(dir: &Path) -> Vec<PathBuf> {
    let mut dumps: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    dumps.sort();
    dumps
}

fn only_dump(dir: &Path) -> PathBuf {
    let dumps = dumps(dir);
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    dumps.into_iter().next().unwrap()
}

fn path_of(dir: &tempfile::TempDir) -> String {
    dir.path().to_str().unwrap().to_owned()
}

/// All passes, then and now.
fn replayed(dump: &Path, changes: Changes) -> Vec<(Passed, Passed)> {
    let replay = Replay::new(&Recording::open(dump).unwrap(), changes).unwrap();
    assert!(replay.is_same_model());
    replay.map(Result::unwrap).collect()
}

fn assert_agrees(pairs: &[(Passed, Passed)]) {
    for (then, now) in pairs {
        assert_eq!(then, now);
    }
}

fn text_of_passes<'a>(passes: impl Iterator<Item = &'a Passed>) -> String {
    let released = passes.filter_map(|pass| pass.outcome.as_ref()?.release.as_ref());
    released.map(|release| release.text.as_str()).collect()
}

/// A finished stream's dump.
fn recorded(name: &str, dir: &tempfile::TempDir) -> PathBuf {
    let bench = Bench::new()
        .set("language", "fr")
        .set("dump-dir", path_of(dir))
        .play();
    bench.speak(&samples(name), ClockTime::ZERO);
    bench.eos();
    bench.stop();
    only_dump(dir.path())
}

/// Pushes in pieces of uneven length at four times the speed of speech.
fn speak_live(bench: &Bench, samples: &[i16], from: ClockTime) -> ClockTime {
    let mut at = from;
    let mut rest = samples;
    for size in [320, 160, 480, 800, 1_111].into_iter().cycle() {
        let (now, later) = rest.split_at(size.min(rest.len()));
        if now.is_empty() {
            return at;
        }
        bench.push(now, at).unwrap();
        at += ClockTime::from_nseconds(now.len() as u64 * 62_500);
        std::thread::sleep(Duration::from_micros(now.len() as u64 * 125 / 8));
        rest = later;
    }
    at
}

#[test]
fn a_live_call_with_a_flush_and_another_language_is_replayed_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::live()
        .set_str("pace", "live")
        .set("interim", true)
        .set("dump-dir", path_of(&dir))
        .set("leg", "caller")
        .play();
    let mut at = speak_live(&bench, &samples("fr-accueil"), ClockTime::ZERO);
    // Audio is still being heard: a pass may be given up.
    bench.event(gst::event::FlushStart::new());
    bench.event(gst::event::FlushStop::new(true));
    bench.segment_from(at);
    at = speak_live(&bench, &samples("fr-court"), at);
    bench.element.set_property("language", "en");
    at = speak_live(&bench, &vec![0; 16_000], at);
    speak_live(&bench, &samples("en-digits"), at);
    bench.eos();
    bench.stop();

    let dump = only_dump(dir.path());
    let name = dump.file_name().unwrap().to_str().unwrap();
    assert!(name.contains("caller"), "{name}");
    let recording = Recording::open(&dump).unwrap();
    assert_eq!(recording.header.pace, PaceName::Live);
    let lines: Vec<Line> = recording.lines().unwrap().map(Result::unwrap).collect();
    let has = |kind: fn(&Line) -> bool| lines.iter().any(kind);
    assert!(has(|line| matches!(line, Line::Reset(_))));
    assert!(has(|line| matches!(line, Line::Speech(_))));
    assert!(has(
        |line| matches!(line, Line::Update(settings) if settings.language == "en")
    ));
    let pairs = replayed(&dump, Changes::default());
    // How many there are depends on the machine.
    assert!(pairs.len() > 2, "{}", pairs.len());
    assert_agrees(&pairs);
    let said = words(&text_of_passes(pairs.iter().map(|(_, now)| now)));
    let heard = words(&bench.record.text());
    let tail = &heard[heard.len().saturating_sub(3)..];
    assert!(!heard.is_empty(), "{said:?}");
    assert!(said.ends_with(tail), "{said:?} {heard:?}");
    // All that was pushed and heard, sample for sample.
    let wav = hound::WavReader::open(dump.join("audio.wav")).unwrap();
    let audio: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    let digits = samples("en-digits");
    assert!(audio.ends_with(&digits));
}

#[test]
fn a_token_that_was_changed_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let dump = recorded("fr-court", &dir);
    assert_agrees(&replayed(&dump, Changes::default()));
    let file = dump.join("passes.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let steps = lines
        .iter_mut()
        .filter_map(|line| line.pointer_mut("/pass/network/steps")?.as_array_mut())
        .find(|steps| steps.len() > 1)
        .unwrap();
    let token = steps[1]["token"].as_u64().unwrap();
    steps[1]["token"] = (token + 1).into();
    let changed: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&file, changed).unwrap();
    let pairs = replayed(&dump, Changes::default());
    let differing = pairs.iter().filter(|(then, now)| !then.decides_as(now));
    assert_eq!(differing.count(), 1);
}

#[test]
fn another_setting_shows_what_would_have_been_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let dump = recorded("fr-court", &dir);
    let changes = |name: &str, value: &str| Changes {
        model: None,
        settings: vec![(name.into(), value.into())],
    };
    let pairs = replayed(&dump, changes("frame-threshold", "4"));
    assert!(pairs.iter().any(|(then, now)| !then.decides_as(now)));
    let recording = Recording::open(&dump).unwrap();
    for (name, value, part) in [
        ("no-such", "1", "frame-threshold"),
        ("frame-threshold", "many", "\"many\""),
        ("min-chunk-size", "100", "cut"),
        ("audio-max-len", "99000", "99000"),
    ] {
        let refused = Replay::new(&recording, changes(name, value)).err().unwrap();
        let sentence = refused.to_string();
        assert!(sentence.contains(part), "{sentence}");
        assert!(!matches!(refused, ReplayError::Recording(_)));
    }
}

#[test]
fn a_dump_that_breaks_off_in_a_line_is_replayed_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let dump = recorded("fr-accueil", &dir);
    let file = dump.join("passes.jsonl");
    let text = fs::read(&file).unwrap();
    let all = replayed(&dump, Changes::default()).len();
    fs::write(&file, &text[..text.len() * 2 / 3]).unwrap();
    let pairs = replayed(&dump, Changes::default());
    assert!(!pairs.is_empty() && pairs.len() < all);
    assert_agrees(&pairs);
    // Broken in the middle it is not a crash's doing.
    let mut broken = text.clone();
    let at = broken.iter().position(|&byte| byte == b'\n').unwrap();
    broken[at - 2] = b'?';
    fs::write(&file, broken).unwrap();
    let recording = Recording::open(&dump).unwrap();
    let error = recording.lines().unwrap().find_map(Result::err).unwrap();
    assert!(error.to_string().contains("line 1 of"), "{error}");
}

#[test]
fn the_audio_is_a_wav_file_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new()
        .set("language", "fr")
        .set("dump-dir", path_of(&dir))
        .play();
    bench.speak(&samples("fr-accueil"), ClockTime::ZERO);
    // The marker is answered when all before it is decided.
    bench.event(gst::event::CustomDownstream::new(
        gst::Structure::builder("whisperstream/flush")
            .field("marker", "now")
            .build(),
    ));
    let dump = only_dump(dir.path());
    let wav = hound::WavReader::open(dump.join("audio.wav")).unwrap();
    let audio: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    assert!(
        audio.len() >= 8_000 && samples("fr-accueil").starts_with(&audio),
        "{}",
        audio.len()
    );
    bench.eos();
}

#[test]
fn a_pass_s_audio_can_be_cut_out() {
    let dir = tempfile::tempdir().unwrap();
    let dump = recorded("fr-court", &dir);
    let recording = Recording::open(&dump).unwrap();
    let pass = recording
        .lines()
        .unwrap()
        .find_map(|line| match line.unwrap() {
            Line::Pass(pass) if pass.network.is_some() => Some(pass),
            _ => None,
        })
        .unwrap();
    let audio = pass.network.unwrap().audio;
    let file = recording.wav(&audio).unwrap();
    let wav = hound::WavReader::new(file.as_slice()).unwrap();
    let cut: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    let spoken = samples("fr-court");
    assert_eq!(cut, spoken[audio.start as usize..audio.end as usize]);
    let error = recording.pass(9_999).unwrap_err();
    assert!(matches!(error, RecordingError::NoPass { .. }), "{error}");
}

#[test]
fn every_stream_has_a_directory_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let one = Bench::new().set("dump-dir", path_of(&dir)).play();
    let other = Bench::new().set("dump-dir", path_of(&dir)).play();
    for bench in [&one, &other] {
        bench.speak(&samples("fr-court")[..16_000], ClockTime::ZERO);
        bench.eos();
    }
    one.stop();
    // Restarted: another stream.
    let one = one.play();
    one.speak(&samples("fr-court")[..16_000], ClockTime::ZERO);
    one.eos();
    assert_eq!(dumps(dir.path()).len(), 3);
}

#[test]
fn a_place_that_cannot_be_written_is_told_once_and_the_stream_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let bench = Bench::new()
        .set("language", "fr")
        .set("dump-dir", file.to_str().unwrap())
        .play();
    bench.speak(&samples("fr-court"), ClockTime::ZERO);
    bench.eos();
    let warnings: Vec<String> = bench
        .messages()
        .iter()
        .filter(|message| message.type_() == gst::MessageType::Warning)
        .map(sentence)
        .filter(|text| text.contains("not recorded"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(file.to_str().unwrap()), "{warnings:?}");
    assert!(!bench.record.text().is_empty());
}
