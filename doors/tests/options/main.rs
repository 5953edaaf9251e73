//! The command lines of the systems replaced, as people have them in their scripts, run against the real server: it starts,
//! opens the port and transcribes, and every value arrives at the element in its unit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code
)]

#[path = "../common/program.rs"]
mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use program::{PATIENCE, Program, file};
use serde_json::{Value, json};
use tempfile::TempDir;

const WORDS: &str = "bonjour je vous appelle au sujet de votre contrat avez-vous deux minutes oui bien sûr je vous écoute c'est une bonne nouvelle";

fn samples() -> Vec<u8> {
    let mut wav = hound::WavReader::open(file("tests/audio/fr-accueil.wav")).unwrap();
    wav.samples::<i16>()
        .flat_map(|sample| sample.unwrap().to_le_bytes())
        .collect()
}

/// The demo model as a directory, as other programs' models come.
fn model() -> TempDir {
    let model = tempfile::tempdir().unwrap();
    for part in std::fs::read_dir(file("models/whisper-nano")).unwrap() {
        let part = part.unwrap().path();
        let to = model.path().join(part.file_name().unwrap());
        match part.extension().is_some_and(|extension| extension == "zst") {
            true => {
                let packed = std::fs::File::open(&part).unwrap();
                let mut weights = ruzstd::decoding::StreamingDecoder::new(packed).unwrap();
                let mut file = std::fs::File::create(to.with_extension("")).unwrap();
                std::io::copy(&mut weights, &mut file).unwrap();
            }
            false => drop(std::fs::copy(&part, to).unwrap()),
        }
    }
    model
}

/// As `nc HOST PORT < audio` does.
fn netcat(port: u16, audio: &[u8]) -> String {
    let mut socket = TcpStream::connect(("localhost", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut to = socket.try_clone().unwrap();
    let mut text = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            to.write_all(audio).unwrap();
            to.shutdown(Shutdown::Write).unwrap();
        });
        socket.read_to_string(&mut text).unwrap();
    });
    text
}

/// Nearly all words come, in order. Which pass releases them may depend on the machine.
fn assert_said(lines: &str) {
    let said: Vec<&str> = lines
        .lines()
        .flat_map(|line| {
            let mut fields = line.splitn(3, ' ');
            for _ in 0..2 {
                let time: u32 = fields.next().unwrap().parse().unwrap();
                assert!(time < 11_000, "{line}");
            }
            fields.next().unwrap_or_default().split_whitespace()
        })
        .collect();
    let mut found = said.iter();
    let wanted: Vec<_> = WORDS.split(' ').collect();
    let there = wanted
        .iter()
        .filter(|word| {
            let mut ahead = found.clone();
            let is_there = ahead.any(|said| said == *word);
            if is_there {
                found = ahead;
            }
            is_there
        })
        .count();
    assert!(there * 10 >= wanted.len() * 8, "{said:?}");
}

/// What the stream was opened with, from its recording.
fn header(dumps: &Path) -> Value {
    let newest = std::fs::read_dir(dumps)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("header.json"))
        .find(|path| path.exists())
        .unwrap();
    serde_json::from_str(&std::fs::read_to_string(newest).unwrap()).unwrap()
}

fn assert_settings(header: &Value, wanted: &[(&str, Value)]) {
    for (name, value) in wanted {
        assert_eq!(&header["settings"][name], value, "{name}");
    }
}

/// `simulstreaming_whisper_server.py` with every flag that it has, but the checkpoint of CIF, which is a model's own.
#[test]
fn simulstreaming_server_with_every_flag() {
    let dumps = tempfile::tempdir().unwrap();
    let model = model();
    let (logdir, path) = (dumps.path().to_str().unwrap(), model.path());
    let wav = file("tests/audio/fr-court.wav");
    let line = [
        "--host localhost --port 0 --lan fr --task transcribe --min-chunk-size 0.6 --vac --vac-chunk-size 0.04 --vad",
        "--beams 2 --decoder beam --audio_max_len 20.0 --audio_min_len 0.4 --frame_threshold 20 --rewind_threshold 150",
        "--no-never_fire --init_prompt bonjour --static_init_prompt contrat --max_context_tokens 40 --out-txt --comp_unaware -l DEBUG",
    ]
    .join(" ");
    let mut args: Vec<&str> = line.split_whitespace().collect();
    args.extend([
        "--model_path",
        path.to_str().unwrap(),
        "--warmup-file",
        wav.to_str().unwrap(),
        "--logdir",
        logdir,
    ]);
    let (server, port) = Program::server(&args, &[], "tcp://");
    let lines = netcat(port, &samples());
    assert!(lines.lines().count() >= 3, "{lines}");
    let header = header(dumps.path());
    assert_settings(
        &header,
        &[
            ("min-chunk-size", json!(600)),
            ("audio-max-len", json!(20_000)),
            ("audio-min-len", json!(400)),
            ("frame-threshold", json!(20)),
            ("rewind-threshold", json!(150)),
            ("beams", json!(2)),
            ("language", json!("fr")),
            ("task", json!("transcribe")),
            ("init-prompt", json!("bonjour")),
            ("static-init-prompt", json!("contrat")),
            ("max-context-tokens", json!(40)),
            ("truncate-last-word", json!(false)),
            ("gate", json!("voice")),
        ],
    );
    assert_eq!(header["pace"], "exact");
    assert_eq!(header["model"]["path"], path.to_str().unwrap());
    let errors = server.errors();
    let about: Vec<_> = errors
        .lines()
        .filter(|line| line.contains("has no effect"))
        .collect();
    assert_eq!(about.len(), 1, "one notice, of --vac-chunk-size: {errors}");
}

/// The same decisions by the old flags and by the element's own names.
#[test]
fn old_flags_decide_as_the_elements_own_names_do() {
    let by = |args: &[&str]| {
        let (_server, port) = Program::server(args, &[], "tcp://");
        netcat(port, &samples())
    };
    let old = by(&[
        "--port",
        "0",
        "--language=fr",
        "--min_chunk_size=1.0",
        "--frame-threshold=30",
        "--never_fire",
        "--comp-unaware",
    ]);
    let own = by(&[
        "--line",
        "0",
        "--set",
        "language=fr",
        "--set",
        "min-chunk-size=1000",
        "--set",
        "frame_threshold=30",
        "--set",
        "truncate-last-word=true",
        "--set",
        "pace=exact",
    ]);
    assert_eq!(old, own);
    assert_said(&old);
}

/// `whisper_online_server.py`, with its names of models' directories.
#[test]
fn whisper_streaming_server_with_every_flag() {
    let dumps = tempfile::tempdir().unwrap();
    let model = model();
    let line = [
        "--host localhost --port 0 --model large-v2 --model_cache_dir /nowhere --lan fr --task transcribe --backend faster-whisper",
        "--min-chunk-size 1 --vac --vac-chunk-size 0.04 --vad --buffer_trimming sentence --buffer_trimming_sec 12.5 --log-level INFO",
        "--set policy=local-agreement",
    ]
    .join(" ");
    let mut args: Vec<&str> = line.split_whitespace().collect();
    args.extend(["--model_dir", model.path().to_str().unwrap()]);
    args.extend(["--dump-dir", dumps.path().to_str().unwrap()]);
    let (server, port) = Program::server(&args, &[], "tcp://");
    assert_said(&netcat(port, &samples()));
    assert_settings(
        &header(dumps.path()),
        &[
            ("policy", json!("local-agreement")),
            ("min-chunk-size", json!(1000)),
            ("buffer-trimming", json!("sentence")),
            ("buffer-trimming-len", json!(12_500)),
        ],
    );
    let errors = server.errors();
    for notice in [
        "the backend \"faster-whisper\"",
        "HF_HUB_CACHE",
        "every sample",
    ] {
        assert!(errors.contains(notice), "{notice}: {errors}");
    }
}

/// The variables of the bridges.
#[test]
fn variables_stand_for_flags() {
    let dumps = tempfile::tempdir().unwrap();
    let model = model();
    let env = [
        ("STREAM_HOST", "localhost"),
        ("STREAM_PORT", "0"),
        ("STREAM_MODEL", model.path().to_str().unwrap()),
        ("STREAM_LANG", "fr"),
        ("STREAM_BACKEND", "simulstreaming"),
        ("STREAM_MIN_CHUNK", "0.8"),
        ("IP_ADDR", "192.0.2.1"),
    ];
    let args = ["--logdir", dumps.path().to_str().unwrap()];
    let (server, port) = Program::server(&args, &env, "tcp://");
    assert_said(&netcat(port, &samples()));
    let header = header(dumps.path());
    assert_settings(
        &header,
        &[("min-chunk-size", json!(800)), ("language", json!("fr"))],
    );
    let errors = server.errors();
    for notice in ["the backend \"simulstreaming\"", "IP_ADDR=\"192.0.2.1\""] {
        assert!(errors.contains(notice), "{notice}: {errors}");
    }
}

/// A flag has precedence over its variable, and `--set` over both; it counts in milliseconds.
#[test]
fn set_has_the_last_word_and_its_own_unit() {
    let dumps = tempfile::tempdir().unwrap();
    let args = [
        "--port",
        "0",
        "--lan",
        "fr",
        "--min-chunk-size",
        "1.5",
        "--set",
        "min-chunk-size=700",
        "--logdir",
        dumps.path().to_str().unwrap(),
    ];
    let (_server, port) = Program::server(&args, &[("STREAM_MIN_CHUNK", "3")], "tcp://");
    assert_said(&netcat(port, &samples()));
    assert_settings(&header(dumps.path()), &[("min-chunk-size", json!(700))]);
}

/// What makes no sense ends the server with a sentence, before a port is open.
#[test]
fn nonsense_is_refused_in_a_sentence() {
    for (args, says) in [
        (&["--min-chunk-size", "500"][..], "--set min-chunk-size=500"),
        (&["--min-chunk-size", "soon"], "number of seconds"),
        (&["--beams", "many"], "invalid digit"),
        (&["--set", "bims=3"], "whisperstream has no property bims"),
        (&["--set", "beams"], "write name=value"),
        (&["--decoder", "guess"], "beam, greedy"),
        (&["--frame_threshold", "-1"], "-1"),
        (&["--model_path", "/nowhere/model.pt"], "/nowhere/model.pt"),
    ] {
        let all: Vec<&str> = ["--port", "0"].iter().chain(args).copied().collect();
        let env = [("HF_HUB_OFFLINE", "1")];
        let path = env!("CARGO_BIN_EXE_whisperstream-server");
        let mut server = Program::start(path, &all, &env);
        assert_eq!(server.rest(), [""; 0], "{args:?}: no door opens");
        assert!(!server.wait().success(), "{args:?}");
        server.wait_for_error(says);
    }
}
