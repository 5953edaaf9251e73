//! The element with a model on the hub: each test is a process of its own, because the hub is named by the environment.
#![cfg(feature = "demo-model")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use element_support::{init, recording};
use gst::prelude::*;
use hub::{Fault, Hub, ID, Manner};

#[path = "common/hub.rs"]
mod hub;

mod element_support;

const WEIGHTS: &str = "model.safetensors";
const RECORDING: &str = "fr-court";

/// The demo model as a repository has it.
fn files() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/whisper-nano");
    let read = |name: &str| {
        let packed = std::fs::read(folder.join(name)).unwrap();
        if !name.ends_with(".zst") {
            return (name.to_owned(), packed);
        }
        let mut bytes = Vec::new();
        ruzstd::decoding::StreamingDecoder::new(packed.as_slice())
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        (name.trim_end_matches(".zst").to_owned(), bytes)
    };
    [
        "config.json",
        "generation_config.json",
        "model.safetensors.zst",
        "preprocessor_config.json",
        "tokenizer_config.json",
    ]
    .map(read)
    .into()
}

fn serve(faults: &[Fault]) -> Hub {
    let of = |&fault: &Fault| (WEIGHTS.to_owned(), fault);
    let manner = Manner {
        faults: faults.iter().map(of).collect(),
        ..Manner::default()
    };
    Hub::serve(files(), manner)
}

/// A process that plays the part `part` of [`child`].
fn process(part: &str, endpoint: &str, home: &Path, model: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("HUB_TEST", part)
        .env("HUB_TEST_MODEL", model)
        .env("HF_HOME", home)
        .env("HF_ENDPOINT", endpoint)
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("HF_TOKEN")
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a process printed behind `sign`.
fn told(output: &Output, sign: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    text.lines()
        .filter_map(|line| Some(line.split_once(sign)?.1.to_owned()))
        .collect()
}

/// No test: what the processes do.
#[test]
#[ignore = "is run by the others, in processes of their own"]
fn child() {
    let Ok(part) = std::env::var("HUB_TEST") else {
        return;
    };
    init();
    let model = std::env::var("HUB_TEST_MODEL").unwrap();
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! whisperstream name=stt language=fr ! fakesink",
        recording(RECORDING).display()
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    if !model.is_empty() {
        pipeline
            .by_name("stt")
            .unwrap()
            .set_property("model", &model);
    }
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for message in bus.iter_timed(gst::ClockTime::from_seconds(60)) {
        match message.view() {
            gst::MessageView::Progress(progress) => {
                let (_, _, text) = progress.get();
                println!("progress: {text}");
                if part == "stop" && !text.contains(" 0 %") {
                    let begun = Instant::now();
                    pipeline.set_state(gst::State::Null).unwrap();
                    println!("stopped: {}", begun.elapsed().as_millis());
                    return;
                }
            }
            gst::MessageView::Error(error) => {
                println!("error: {}", error.error());
                break;
            }
            gst::MessageView::Eos(_) => break,
            _ if message.has_name("whisperstream/words") => {
                let structure = message.structure().unwrap();
                println!("words: {}", structure.get::<&str>("text").unwrap().trim());
            }
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_model_on_the_hub_is_fetched_once_and_then_needs_no_network() {
    let home = tempfile::tempdir().unwrap();
    let hub = serve(&[]);
    let run = |endpoint: &str, model: &str| process("hear", endpoint, home.path(), model);
    let bundled = run(&hub.endpoint, "").output().unwrap();
    let words = told(&bundled, "words: ");
    assert!(!words.is_empty() && hub.asked().is_empty());

    let first = run(&hub.endpoint, ID).output().unwrap();
    let progress = told(&first, "progress: ");
    let fetched = |text: &&String| text.contains(" MB are fetched)");
    assert!(progress.iter().filter(fetched).count() > 20, "{progress:?}");
    assert_eq!(told(&first, "words: "), words);
    assert_eq!(hub.asked_for(WEIGHTS).len(), 1);

    hub.forget();
    let second = run(&hub.endpoint, ID).output().unwrap();
    assert_eq!(told(&second, "words: "), words);
    assert_eq!(hub.asked().len(), 0, "{:?}", hub.asked());

    let offline = run("http://127.0.0.1:1", &format!("{ID}@main"))
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    assert_eq!(told(&offline, "words: "), words);
}

#[test]
fn two_processes_that_start_at_once_fetch_once() {
    let home = tempfile::tempdir().unwrap();
    let hub = serve(&[Fault::Slow(Duration::from_micros(100))]);
    let start = || process("hear", &hub.endpoint, home.path(), ID).spawn();
    let both = [start(), start()].map(|child| child.unwrap());
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(!told(&output, "words: ").is_empty());
    }
    assert_eq!(hub.asked_for(WEIGHTS).len(), 1);
}

#[test]
fn an_element_that_is_stopped_while_its_model_comes_stops_at_once() {
    let home = tempfile::tempdir().unwrap();
    let hub = serve(&[Fault::Stall(files()[WEIGHTS].len() / 2)]);
    let output = process("stop", &hub.endpoint, home.path(), ID)
        .output()
        .unwrap();
    let took: Vec<u64> = told(&output, "stopped: ")
        .iter()
        .map(|ms| ms.parse().unwrap())
        .collect();
    assert!(matches!(took[..], [ms] if ms < 1000), "{took:?} {output:?}");
    // The next start goes on from there.
    let output = process("hear", &hub.endpoint, home.path(), ID)
        .output()
        .unwrap();
    assert!(!told(&output, "words: ").is_empty());
    let ranges = hub.asked_for(WEIGHTS).pop().unwrap().range;
    assert!(ranges.is_some(), "{:?}", hub.asked());
}

#[test]
fn a_model_that_is_not_there_is_an_error_that_names_both_readings() {
    let home = tempfile::tempdir().unwrap();
    let hub = serve(&[]);
    for (model, parts) in [
        (
            "org/whisper-tset",
            ["path", "repository", "org/whisper-tset"],
        ),
        ("whisper-small", ["path", "hub", "whisper-small"]),
        (
            "org/whisper-test@v9",
            ["no revision", "v9", "org/whisper-test"],
        ),
    ] {
        let output = process("hear", &hub.endpoint, home.path(), model)
            .output()
            .unwrap();
        let errors = told(&output, "error: ");
        let said = errors.first().unwrap();
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn a_path_that_exists_is_no_id() {
    let home = tempfile::tempdir().unwrap();
    let hub = serve(&[]);
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join(ID);
    std::fs::create_dir_all(&model).unwrap();
    for (name, bytes) in files() {
        std::fs::write(model.join(name), bytes).unwrap();
    }
    let output = process("hear", &hub.endpoint, home.path(), ID)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(!told(&output, "words: ").is_empty());
    assert_eq!(hub.asked().len(), 0);
}
