//! `compat=simulstreaming` decides as SimulStreaming 077ea37 did, pass by pass, on every golden trace.
//!
//! The traces (tests/golden/traces, and traces-beam with two and five beams) were recorded with openai/whisper's PyTorch model in f32. Where the attention is a
//! plateau, rounding decides which of its frames is the argmax: a trace lists the frames that it could have been
//! (`ties`). Our frame must be among them; the comparison then goes on with the recorded one, and likewise with the
//! recorded token where the best two logits lie within 1e-3. Everything else must be equal.

#[path = "common/audio.rs"]
mod audio;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gstwhisperstream::engine::pass;
use gstwhisperstream::policy::{AlignAtt, Compat, Policy, PolicySettings, Referee, Release, Task};
use gstwhisperstream::whisper::{Backend, Cancel, ModelSource, Whisper};
use serde_json::Value;

/// Below this distance of the best two logits the token is a matter of rounding.
const LOGIT_TIE: f32 = 1e-3;

#[derive(Default)]
struct Verdicts {
    /// Frames that were settled in the recording's favour.
    settled: usize,
    tokens_settled: usize,
    faults: Vec<String>,
}

/// Goes on with the recorded choices, and notes where ours was not among the possible ones.
struct Recording {
    frames: Vec<usize>,
    ties: Vec<Vec<usize>>,
    tokens: Vec<u32>,
    verdicts: Arc<Mutex<Verdicts>>,
    pass: usize,
}

impl Referee for Recording {
    fn frame(&mut self, step: usize, ours: usize, _row: &[f64]) -> usize {
        let mut verdicts = self.verdicts.lock().unwrap();
        let Some(&theirs) = self.frames.get(step) else {
            verdicts.faults.push(format!(
                "pass {}: step {step} was not in the recording",
                self.pass
            ));
            return ours;
        };
        if ours != theirs {
            if self.ties[step].contains(&ours) {
                verdicts.settled += 1;
            } else {
                verdicts.faults.push(format!(
                    "pass {}, step {step}: frame {ours}, the recording has {theirs} of {:?}",
                    self.pass, self.ties[step]
                ));
            }
        }
        theirs
    }

    fn token(&mut self, step: usize, ours: u32, gap: f32) -> u32 {
        match self.tokens.get(step) {
            Some(&theirs) if ours != theirs && gap < LOGIT_TIE => {
                self.verdicts.lock().unwrap().tokens_settled += 1;
                theirs
            }
            _ => ours,
        }
    }
}

fn milliseconds(seconds: &Value) -> u32 {
    (seconds.as_f64().unwrap() * 1000.0).round() as u32
}

fn settings(header: &Value) -> PolicySettings {
    let text = |name: &str| header[name].as_str().map(str::to_owned);
    PolicySettings {
        compat: Compat::SimulStreaming,
        language: text("lan").unwrap(),
        task: if header["task"] == "translate" {
            Task::Translate
        } else {
            Task::Transcribe
        },
        min_chunk_ms: milliseconds(&header["chunk"]),
        audio_min_len_ms: milliseconds(&header["audio_min_len"]),
        audio_max_len_ms: milliseconds(&header["audio_max_len"]),
        frame_threshold: header["frame_threshold"].as_u64().unwrap() as u32,
        init_prompt: text("init_prompt"),
        static_init_prompt: text("static_init_prompt"),
        max_context_tokens: header["max_context_tokens"]
            .as_u64()
            .map_or(448, |n| n as u32),
        beams: header["beams"].as_u64().unwrap() as u32,
        truncate_last_word: header["never_fire"].as_bool().unwrap(),
        ..PolicySettings::default()
    }
}

fn list(value: &Value) -> Vec<usize> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap() as usize)
        .collect()
}

/// Compares one pass's release with the recording; times to a tenth of a millisecond, as recorded.
fn compare(at: usize, release: Option<&Release>, recorded: &Value, faults: &mut Vec<String>) {
    let seconds = |samples: u64| samples as f64 / 16_000.0;
    let close = |a: f64, b: &Value| (a - b.as_f64().unwrap()).abs() < 6e-4;
    match (release, recorded.get("text").and_then(Value::as_str)) {
        (None, None) => {}
        (None, Some(text)) => {
            faults.push(format!("pass {at}: nothing released, recorded {text:?}"))
        }
        (Some(release), None) => faults.push(format!(
            "pass {at}: released {:?}, recorded nothing",
            release.text
        )),
        (Some(release), Some(text)) => {
            if release.text != text {
                faults.push(format!(
                    "pass {at}: text {:?}, recorded {text:?}",
                    release.text
                ));
            }
            if !close(seconds(release.start), &recorded["start"])
                || !close(seconds(release.end), &recorded["end"])
            {
                faults.push(format!(
                    "pass {at}: {:.4} to {:.4}, recorded {} to {}",
                    seconds(release.start),
                    seconds(release.end),
                    recorded["start"],
                    recorded["end"]
                ));
            }
            let words = recorded["words"].as_array().unwrap();
            let equal = words.len() == release.words.len()
                && words.iter().zip(&release.words).all(|(theirs, ours)| {
                    close(seconds(ours.start), &theirs[0])
                        && close(seconds(ours.end), &theirs[1])
                        && theirs[2].as_str() == Some(&ours.text)
                });
            if !equal {
                faults.push(format!(
                    "pass {at}: words {:?}, recorded {words:?}",
                    release.words
                ));
            }
        }
    }
}

/// Replays one trace; returns (passes, frames settled, tokens settled, faults).
fn replay(model: &Arc<Whisper>, trace: &str) -> (usize, usize, usize, Vec<String>) {
    let mut lines = trace
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    let settings = settings(&header);
    let chunk = settings.chunk_samples();
    let samples = audio::floats(header["wav"].as_str().unwrap());
    let mut stream = AlignAtt::new(
        settings,
        model.config(),
        Arc::clone(model.tokenizer()),
        Arc::clone(model.mel_filters()),
    )
    .unwrap();
    let verdicts = Arc::new(Mutex::new(Verdicts::default()));
    let mut faults = Vec::new();
    let mut chunks = samples.chunks(chunk).peekable();
    let mut passes = 0;
    for (at, recorded) in lines.enumerate() {
        let Some(chunk) = chunks.next() else {
            faults.push(format!("pass {at}: the recording ended before"));
            break;
        };
        passes += 1;
        let is_last = chunks.peek().is_none();
        assert_eq!(recorded["is_last"].as_bool().unwrap(), is_last, "pass {at}");
        stream.insert(chunk);
        let theirs = list(&recorded["tokens"]);
        let outcome = match stream.begin(is_last) {
            Err(outcome) => {
                if !list(&recorded["frames"]).is_empty() {
                    faults.push(format!("pass {at}: not run, but recorded"));
                }
                outcome
            }
            Ok(pass) => {
                let mut pass = pass.with_referee(Box::new(Recording {
                    frames: list(&recorded["frames"]),
                    ties: recorded["ties"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(list)
                        .collect(),
                    tokens: theirs.iter().map(|&t| t as u32).collect(),
                    verdicts: Arc::clone(&verdicts),
                    pass: at,
                }));
                pass::run(
                    model,
                    &model.config().alignment_heads,
                    &mut pass,
                    &Cancel::default(),
                )
                .unwrap();
                if pass.frames().count() != list(&recorded["frames"]).len() {
                    faults.push(format!("pass {at}: {} steps", pass.frames().count()));
                }
                stream.commit(pass)
            }
        };
        let ours: Vec<usize> = outcome
            .release
            .iter()
            .flat_map(|r| {
                r.words
                    .iter()
                    .flat_map(|w| w.tokens.iter().map(|&t| t as usize))
            })
            .collect();
        if ours != theirs {
            faults.push(format!("pass {at}: tokens {ours:?}, recorded {theirs:?}"));
        }
        compare(at, outcome.release.as_ref(), &recorded, &mut faults);
        if faults.len() > 5 {
            break;
        }
    }
    let mut verdicts = verdicts.lock().unwrap();
    faults.append(&mut verdicts.faults);
    (passes, verdicts.settled, verdicts.tokens_settled, faults)
}

#[test]
fn every_golden_trace_is_reproduced() {
    reproduce("tests/golden/traces", 39);
}

#[test]
fn every_golden_trace_of_a_beam_is_reproduced() {
    reproduce("tests/golden/traces-beam", 10);
}

fn reproduce(folder: &str, count: usize) {
    let model = Arc::new(
        Whisper::load(
            &ModelSource::Demo,
            Backend::default(),
            &Cancel::default(),
            &mut |_| {},
        )
        .unwrap(),
    );
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), count);
    let (passes, settled, tokens) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let mut failed = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let (n, frames, settled_tokens, faults) =
            replay(&model, &std::fs::read_to_string(&file).unwrap());
        println!(
            "{name}: {n} passes, {frames} frames and {settled_tokens} tokens settled by the recording"
        );
        passes.fetch_add(n, Ordering::Relaxed);
        settled.fetch_add(frames, Ordering::Relaxed);
        tokens.fetch_add(settled_tokens, Ordering::Relaxed);
        if !faults.is_empty() {
            failed.push(format!("{name}:\n  {}", faults.join("\n  ")));
        }
    }
    println!(
        "in all: {passes:?} passes, {settled:?} frames and {tokens:?} tokens settled by the recordings"
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
