//! What goes wrong around a process that runs for months: disks that fill, memory that is not there, clocks that step,
//! poor processors. Each is told in a sentence, and the process lives.
//!
//! What concerns a whole process is tried in one of its own: this program, started again for one test under a shell's limits.

mod element_support;
#[path = "common/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;

/// Set in a process that a test started for itself.
const CHILD: &str = "FIELD_FAULTS_CHILD";

/// Runs the test `name` of this program once more, as what `shell` becomes after `before`, with `value` under [`CHILD`].
fn again(name: &str, shell: &[&str], before: &str, value: &str, env: &[(&str, &str)]) {
    let (first, rest) = shell.split_first().unwrap();
    let script = format!("{before} exec \"$0\" --exact {name} --nocapture");
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(first)
        .args(rest)
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, value)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{status}: {told}");
    assert!(told.contains("1 passed"), "{told}");
}

const SHELL: [&str; 1] = ["sh"];
/// A shell that may mount what nobody else sees, where the system allows that.
const MOUNTING_SHELL: [&str; 5] = ["unshare", "--user", "--map-root-user", "--mount", "sh"];

fn child() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// What a bench warned of.
fn warnings(bench: &Bench) -> Vec<String> {
    let messages = bench.messages();
    let warnings = messages
        .iter()
        .filter(|message| message.type_() == gst::MessageType::Warning);
    warnings.map(sentence).collect()
}

fn transcript(bench: &Bench, name: &str) -> String {
    bench.speak(&samples(name), ClockTime::ZERO);
    bench.eos();
    bench.record.text()
}

#[test]
fn a_disk_that_fills_ends_the_recording_and_not_the_stream() {
    if let Some(dir) = child() {
        let bench = Bench::new()
            .set("language", "fr")
            .set_str("audio-ctx", "auto")
            .set("dump-dir", dir.as_str())
            .play();
        // Nine seconds are 300 kB, beside what every pass did.
        let text = transcript(&bench, "fr-accueil");
        assert!(text.contains("bonne nouvelle"), "{text}");
        let told: Vec<String> = warnings(&bench)
            .into_iter()
            .filter(|text| text.contains("not recorded any more"))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains(&dir) && told[0].contains("Make room"),
            "{told:?}"
        );
        return;
    }
    let name = "a_disk_that_fills_ends_the_recording_and_not_the_stream";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    // A disk of 128 kB where one may be mounted, a bound on the size of files everywhere.
    let mount = format!("mount -t tmpfs -o size=128k none '{path}'");
    let trial = Command::new(MOUNTING_SHELL[0])
        .args(&MOUNTING_SHELL[1..])
        .args(["-c", &mount])
        .status();
    if trial.is_ok_and(|status| status.success()) {
        again(name, &MOUNTING_SHELL, &format!("{mount} &&"), path, &[]);
    } else {
        println!("no disk can be mounted here");
    }
    again(name, &SHELL, "trap '' XFSZ; ulimit -f 128;", path, &[]);
}

/// A model of the shape of large-v3 whose values are a hole in the file.
fn vast_model(dir: &std::path::Path) {
    use std::io::Write;
    let shape = synthetic::Shape {
        mel_bins: 80,
        d_model: 1280,
        heads: 20,
        encoder_layers: 32,
        decoder_layers: 32,
        vocab: 51865,
    };
    synthetic::write_tokenizer(dir, shape.vocab);
    std::fs::write(dir.join("config.json"), shape.config().to_string()).unwrap();
    let mut header = serde_json::Map::new();
    let mut at = 0u64;
    for (name, shape) in shape.tensors() {
        let bytes = 2 * shape.iter().product::<usize>() as u64;
        let entry =
            serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [at, at + bytes]});
        header.insert(name, entry);
        at += bytes;
    }
    let header = serde_json::Value::from(header).to_string();
    let mut file = std::fs::File::create(dir.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + at).unwrap();
}

#[test]
fn a_model_that_does_not_fit_into_memory_is_told_and_another_runs() {
    if let Some(dir) = child() {
        let bench = Bench::new()
            .set("language", "fr")
            .set("model", dir.as_str());
        bench.element.set_state(gst::State::Playing).unwrap();
        let told = sentence(&bench.wait_for(gst::MessageType::Error));
        for part in [&dir, "not enough memory", "MB", "smaller model"] {
            assert!(told.contains(part), "{part:?} is not in {told:?}");
        }
        bench.element.set_state(gst::State::Null).unwrap();
        bench.element.set_property("model", None::<String>);
        let bench = bench.play();
        assert_eq!(transcript(&bench, "fr-court"), "allô");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    vast_model(dir.path());
    again(
        "a_model_that_does_not_fit_into_memory_is_told_and_another_runs",
        &SHELL,
        "ulimit -v 3000000;",
        dir.path().to_str().unwrap(),
        &[],
    );
}

const SPOKEN: [&str; 2] = ["fr-numero", "fr-bruit"];

fn transcripts() -> String {
    let said = SPOKEN.map(|name| {
        let bench = Bench::new()
            .set("language", "fr")
            .set_str("audio-ctx", "auto")
            .play();
        transcript(&bench, name)
    });
    said.join(" / ")
}

#[test]
fn a_processor_without_vectors_hears_the_same_words() {
    let said = transcripts();
    if let Some(expected) = child() {
        assert_eq!(said, expected);
        return;
    }
    for tier in ["portable", "avx2"] {
        again(
            "a_processor_without_vectors_hears_the_same_words",
            &SHELL,
            "",
            &said,
            &[("WHISPERSTREAM_CPU", tier)],
        );
    }
}

#[test]
fn instructions_that_do_not_exist_are_warned_of() {
    if child().is_some() {
        let bench = Bench::new().set("language", "fr").play();
        assert_eq!(transcript(&bench, "fr-court"), "allô");
        let told = warnings(&bench);
        let told: Vec<&String> = told
            .iter()
            .filter(|text| text.contains("WHISPERSTREAM_CPU"))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("sse9") && told[0].contains("portable"),
            "{told:?}"
        );
        return;
    }
    again(
        "instructions_that_do_not_exist_are_warned_of",
        &SHELL,
        "",
        "yes",
        &[("WHISPERSTREAM_CPU", "sse9")],
    );
}

mod stepping {
    use super::*;

    /// A clock that is set by hand, as the system's is.
    #[derive(Default)]
    pub struct Stepping {
        pub now: AtomicU64,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Stepping {
        const NAME: &'static str = "SteppingClock";
        type Type = super::SteppingClock;
        type ParentType = gst::Clock;
    }

    impl ObjectImpl for Stepping {}
    impl GstObjectImpl for Stepping {}
    impl ClockImpl for Stepping {
        fn internal_time(&self) -> ClockTime {
            ClockTime::from_nseconds(self.now.load(Ordering::SeqCst))
        }
    }
}

glib::wrapper! {
    pub struct SteppingClock(ObjectSubclass<stepping::Stepping>) @extends gst::Clock, gst::Object;
}

const HOUR: u64 = 3_600_000_000_000;

/// Says a sentence three times to a live element whose clock runs, then reads this much before the last two times.
fn across(steps: [i64; 2]) -> (Vec<Vec<String>>, Vec<Out>, Vec<u64>) {
    let bench = Bench::live()
        .set_str("pace", "exact")
        .set_str("precision", "int8")
        .set_str("audio-ctx", "auto")
        .set("latency", 30_000u32);
    let clock: SteppingClock = glib::Object::new();
    let set = |ns: u64| clock.imp().now.store(ns, Ordering::SeqCst);
    set(10 * HOUR);
    bench.element.set_clock(Some(&clock)).unwrap();
    bench
        .element
        .set_base_time(ClockTime::from_nseconds(10 * HOUR));
    let bench = bench.play();
    let (mut at, mut now, mut told) = (ClockTime::ZERO, 10 * HOUR, Vec::new());
    let mut said = Vec::new();
    for step in [0, steps[0], steps[1]] {
        now = now.saturating_add_signed(step);
        for chunk in samples("fr-accueil").chunks(320) {
            bench.push(chunk, at).unwrap();
            at += ClockTime::from_nseconds(chunk.len() as u64 * 62_500);
            now += chunk.len() as u64 * 62_500;
            set(now);
        }
        bench.event(gst::event::CustomDownstream::new(
            gst::Structure::builder("whisperstream/flush")
                .field("marker", "said")
                .build(),
        ));
        let before: usize = said.iter().map(Vec::len).sum();
        let all = words(&bench.record.text());
        said.push(all[before..].to_vec());
        let delays = bench.element_messages("whisperstream/words");
        told.extend(delays.iter().map(|told| told.get::<u64>("delay").unwrap()));
    }
    bench.eos();
    (said, bench.record.outs(), told)
}

#[test]
fn a_clock_that_steps_changes_no_word_and_no_time() {
    let (calm, outs, _) = across([0, 0]);
    assert!(
        calm.iter().all(|said| said.contains(&"nouvelle".into())),
        "{calm:?}"
    );
    for steps in [
        [HOUR as i64, -2 * HOUR as i64],
        [-5 * HOUR as i64, 3 * HOUR as i64],
    ] {
        let (said, stepped, _) = across(steps);
        assert_eq!(said, calm, "{steps:?}");
        let texts = |outs: &[Out]| -> Vec<Out> {
            let texts = outs.iter().filter(|out| matches!(out, Out::Text(..)));
            texts.cloned().collect()
        };
        assert_eq!(texts(&stepped), texts(&outs), "{steps:?}");
        let end = outs.last().unwrap().end();
        assert_covers(&stepped, ClockTime::ZERO, end);
    }
}
