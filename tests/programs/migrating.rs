// SPDX-License-Identifier: MPL-2.0

//! `docs/migrating.md`: its tables against the programs' own flags and against the element, its pipelines as they stand.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Shutdown;
use std::path::Path;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gstwhisperstream::engine::{ModelKey, models};
use gstwhisperstream::policy::AudioCtx;
use gstwhisperstream::transcribe::{Options, transcribe_buffer};
use gstwhisperstream::whisper::{Backend, ModelSource};

use crate::runner::*;

/// The flags of the programs, with their defaults: what their `argparse`, or the loop in C++, has.
mod flags;

/// A row of a table of five columns.
#[derive(Debug)]
struct Row {
    flags: Vec<String>,
    default: String,
    here: Vec<String>,
    default_here: Vec<String>,
    remark: String,
}

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrating.md");
    std::fs::read_to_string(path).unwrap()
}

/// What is in backquotes.
fn code(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The tables of flags, one after the other.
fn tables() -> Vec<Vec<Row>> {
    let mut tables: Vec<Vec<Row>> = Vec::new();
    let mut inside = false;
    for line in text().lines() {
        let cells: Vec<&str> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        match cells.as_slice() {
            [
                "flag" | "setting",
                "default",
                "here",
                "default here",
                "what differs",
            ] => {
                inside = true;
                tables.push(Vec::new());
            }
            _ if !line.starts_with('|') => inside = false,
            [flags, default, here, default_here, remark] if inside && !flags.starts_with("--") => {
                let flags = match code(flags) {
                    none if none.is_empty() => vec![(*flags).to_owned()],
                    flags => flags,
                };
                let split = |cell: &str| cell.split(", ").map(str::to_owned).collect();
                tables.last_mut().unwrap().push(Row {
                    flags,
                    default: (*default).to_owned(),
                    here: code(here),
                    default_here: match default_here.is_empty() {
                        true => Vec::new(),
                        false => split(default_here),
                    },
                    remark: (*remark).to_owned(),
                });
            }
            _ => assert!(
                !inside || line.starts_with("|---"),
                "not of five columns: {line}"
            ),
        }
    }
    tables
}

fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstwhisperstream::plugin_register_static().unwrap();
    });
}

/// A value as it is written after `property=`.
fn written(value: &glib::Value) -> String {
    if let Ok(text) = value.get::<Option<String>>() {
        return text.unwrap_or_else(|| "unset".to_owned());
    }
    if let Some((_, value)) = glib::EnumValue::from_value(value) {
        return value.nick().to_owned();
    }
    match (value.get::<f64>(), value.get::<f32>()) {
        (Ok(number), _) => number.to_string(),
        (_, Ok(number)) => number.to_string(),
        _ => value.serialize().unwrap().to_string(),
    }
}

/// What is wrong with a name in the column "here", and its default otherwise: none for an element or a pad.
fn checked(name: &str) -> Result<Option<String>, String> {
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    };
    let (factory, property) = name.split_once('.').unwrap_or(("whisperstream", name));
    let element = gst::ElementFactory::make(factory).build();
    let element = element.map_err(|_| format!("no element {factory}"))?;
    let Some(spec) = element.find_property(property) else {
        let is_pad = element.pad_template(property).is_some();
        let is_element = gst::ElementFactory::find(name).is_some();
        return match value.is_none() && (is_pad || is_element) {
            true => Ok(None),
            false => Err(format!("no property or element {name}")),
        };
    };
    if !spec.flags().contains(glib::ParamFlags::WRITABLE) {
        return Err(format!("{name} cannot be set"));
    }
    let default = written(&element.property_value(property));
    if let Some(value) = value {
        let parsed = glib::Value::deserialize_with_pspec(value, &spec);
        let parsed = parsed.map_err(|_| format!("{name} does not take {value}"))?;
        element.set_property_from_value(property, &parsed);
        if written(&element.property_value(property)) != value {
            return Err(format!("{name} does not take {value}"));
        }
    }
    Ok(Some(default))
}

fn wrong(row: &Row) -> Option<String> {
    let checked: Result<Vec<_>, _> = row.here.iter().map(|name| checked(name)).collect();
    match checked {
        Err(reason) => Some(reason),
        Ok(defaults) => {
            let defaults: Vec<String> = defaults.into_iter().flatten().collect();
            let same = defaults == row.default_here;
            (!same).then(|| format!("the defaults are {defaults:?}"))
        }
    }
}

#[test]
fn every_property_default_and_value_of_the_tables_is_the_elements() {
    init();
    let rows: Vec<Row> = tables().into_iter().flatten().collect();
    assert!(rows.len() > 120, "{} rows", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{:?}: {}", row.flags, wrong(row)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for row in &rows {
        assert!(
            !row.here.is_empty() || !row.remark.is_empty(),
            "{:?} is left without a word",
            row.flags
        );
    }
}

#[test]
fn a_row_that_is_wrong_is_found() {
    init();
    let row = |here: &str, default: &[&str]| Row {
        flags: Vec::new(),
        default: String::new(),
        here: code(here),
        default_here: default.iter().map(|text| text.to_string()).collect(),
        remark: String::new(),
    };
    for (right, default) in [
        ("`beams`", &["1"][..]),
        ("`task=translate`", &["transcribe"]),
        ("`model`", &["unset"]),
        ("`vad-threshold`", &["0.5"]),
        ("`filesrc`", &[]),
        ("", &[]),
    ] {
        assert_eq!(wrong(&row(right, default)), None, "{right}");
    }
    for (bad, default) in [
        ("`beam`", &["1"][..]),
        ("`beams`", &["2"]),
        ("`beams`", &[]),
        ("`task=transmute`", &["transcribe"]),
        ("`speaking`", &["false"]),
        ("`nosuch.thing`", &[]),
        ("", &["1"]),
    ] {
        assert!(wrong(&row(bad, default)).is_some(), "{bad}");
    }
}

#[test]
fn the_tables_have_all_flags_of_the_programs_and_no_other() {
    let tables = tables();
    assert_eq!(tables.len(), flags::PROGRAMS.len());
    for ((program, flags), table) in flags::PROGRAMS.iter().zip(&tables) {
        let theirs: BTreeSet<(&str, &str)> = flags.iter().copied().collect();
        assert_eq!(theirs.len(), flags.len(), "{program}");
        let named: Vec<String> = table.iter().map(|row| row.flags.join(", ")).collect();
        let ours: BTreeSet<(&str, &str)> = named
            .iter()
            .map(String::as_str)
            .zip(table.iter().map(|row| row.default.as_str()))
            .collect();
        let missing: Vec<_> = theirs.difference(&ours).collect();
        let invented: Vec<_> = ours.difference(&theirs).collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "{program}: missing {missing:?}, not theirs {invented:?}"
        );
    }
}

/// The blocks of shell code behind a heading.
fn blocks(heading: &str) -> Vec<String> {
    let text = text();
    let (_, section) = text.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// The one block behind a heading that has `part` in it.
fn block(heading: &str, part: &str) -> String {
    let mut blocks = blocks(heading);
    blocks.retain(|block| block.contains(part));
    assert_eq!(blocks.len(), 1, "{part}: {blocks:?}");
    blocks.remove(0)
}

const SERVERS: &str = "\n## Without the servers";
const BUFFER: &str = "\n## Instead of a sliding buffer";

/// Runs a block as a shell does, on French audio.
fn shell(block: &str) -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    let block = block.replace("language=en", "language=fr");
    command.current_dir(scratch()).args(["-c", &block]);
    command
}

fn heard(lines: &str) -> Vec<String> {
    let text = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        words(line["text"].as_str().unwrap())
    };
    lines.lines().flat_map(text).collect()
}

/// The part of a pipeline behind a pipe.
fn after_pipe(block: &str) -> &str {
    block.split_once("| ").unwrap().1
}

#[test]
fn the_line_server_answers_while_it_hears_and_tells_the_last_words_at_half_close() {
    let script = block(SERVERS, "#!/bin/sh");
    let (_, pipeline) = script.split_once("exec ").unwrap();
    let mut running = start(&mut shell(pipeline));
    let mut input = running.stdin();
    let samples = pcm(&opening());
    // In pieces that split samples, as sockets do.
    let mut sent = 0;
    for piece in samples.chunks(1001) {
        input.write_all(piece).unwrap();
        sent += piece.len();
        std::thread::sleep(Duration::from_secs_f64(piece.len() as f64 / 32_000.0));
    }
    assert_eq!(sent, samples.len());
    drop(input);
    let ended = running.wait().ok();
    assert_heard(&heard(&ended.text()), &spoken_opening());
    assert!(ended.text().lines().count() > 3, "{}", ended.text());
}

#[test]
fn the_socket_of_one_client_is_heard() {
    let port = free_tcp_port();
    let pipeline = block(SERVERS, "tcpserversrc").replace("43007", &port.to_string());
    let running = start(&mut shell(&pipeline));
    let mut client = connect(port);
    client.write_all(&pcm(&opening())).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let ended = running.wait().ok();
    assert_heard(&heard(&ended.text()), &spoken_opening());
}

#[test]
fn the_line_filter_writes_the_lines_that_clients_know() {
    let filter = block(SERVERS, "jq ");
    let filter = after_pipe(&filter);
    if std::process::Command::new("jq")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("jq is not installed: its line is not tried");
        return;
    }
    let mut running = start(&mut shell(filter));
    let line = "{\"start\":0.42,\"end\":1.2604,\"text\":\"bonjour je\"}\n";
    running.stdin().write_all(line.as_bytes()).unwrap();
    assert_eq!(running.wait().ok().text(), "420 1260 bonjour je\n");
}

#[test]
fn files_are_heard_as_the_programs_hear_them() {
    let aside = scratch().join("audio.wav");
    std::fs::copy(opening(), &aside).unwrap();
    for part in ["min-chunk-size=1200", "policy=local-agreement"] {
        let ended = run(&mut shell(&block(SERVERS, part))).ok();
        assert_heard(&heard(&ended.text()), &spoken_opening());
    }
}

#[test]
fn a_call_that_is_being_recorded_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("call.raw");
    // At the telephone's rate: every second sample will do for this.
    let samples: Vec<u8> = pcm(&opening())
        .chunks(4)
        .flat_map(|pair| pair[..2].to_vec())
        .collect();
    let (first, rest) = samples.split_at(samples.len() / 2);
    std::fs::write(&file, first).unwrap();
    let follow = block(SERVERS, "tail -c +1 -f");
    let follow = follow
        .replace("call.raw", file.to_str().unwrap())
        // It ends with the recording here.
        .replace("tail", "timeout 12 tail");
    let running = start(&mut shell(&follow));
    std::thread::sleep(Duration::from_secs(2));
    let mut growing = std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap();
    growing.write_all(rest).unwrap();
    drop(growing);
    let ended = running.wait().ok();
    assert_heard(&heard(&ended.text()), &spoken_opening());
}

#[test]
fn the_microphones_pipeline_is_one() {
    init();
    let pipeline = block(SERVERS, "autoaudiosrc");
    let (_, pipeline) = pipeline.trim().split_once("-m ").unwrap();
    gst::parse::launch(pipeline).unwrap();
}

/// The samples of a recording.
fn samples(name: &str) -> Vec<i16> {
    let pcm = pcm(&audio(name));
    pcm.chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// What comes behind the longest end of `before` that begins `text`, of up to eight words.
fn unsaid<'t>(before: &[String], text: &'t [String]) -> &'t [String] {
    let longest = before.len().min(text.len()).min(8);
    let overlap = (1..=longest).rev().find(|&n| before.ends_with(&text[..n]));
    &text[overlap.unwrap_or(0)..]
}

/// What a sliding buffer of 5 s with 1 s of overlap and the text before as a prompt makes of a recording.
fn slide(samples: &[i16], options: &Options) -> Vec<String> {
    let (long, overlap) = (5 * 16_000, 16_000);
    let mut said: Vec<String> = Vec::new();
    let mut prompt = String::new();
    let mut from = 0;
    loop {
        let to = (from + long).min(samples.len());
        let mut options = options.clone();
        options.policy.init_prompt = (!prompt.is_empty()).then(|| prompt.clone());
        let text = transcribe_buffer(&samples[from..to], &options)
            .unwrap()
            .text();
        let heard = words(&text);
        let new = unsaid(&said, &heard).to_vec();
        said.extend(new);
        prompt = text;
        if to == samples.len() {
            return said;
        }
        from = to - overlap;
    }
}

/// For each word of a recording, how long it waits for the buffer that has all of it, in seconds.
fn waits(name: &str) -> Vec<f64> {
    let truth = std::fs::read_to_string(audio(name).with_extension("json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    let wait = |word: &serde_json::Value| {
        let end = word["end"].as_f64().unwrap();
        // Buffers end at 5 s, 9 s, 13 s...
        let buffers = ((end - 5.0) / 4.0).ceil().max(0.0);
        5.0 + 4.0 * buffers - end
    };
    truth["words"]
        .as_array()
        .unwrap()
        .iter()
        .map(wait)
        .collect()
}

#[test]
fn a_sliding_buffer_does_worse() {
    // Held to the end: else it is loaded for each buffer.
    let key = ModelKey {
        source: ModelSource::Demo,
        backend: Backend::default(),
    };
    let _model = models::acquire(&key).unwrap().wait(&mut |_| {}).ok();
    let (mut spoken_words, mut by_hand, mut here) = (0, 0, 0);
    let mut waited = Vec::new();
    for name in [
        "en-digits",
        "en-greeting",
        "en-long",
        "en-voicemail",
        "fr-accueil",
        "fr-dense",
        "fr-long",
        "fr-messagerie",
        "fr-numero",
        "fr-pauses",
    ] {
        let file = format!("{name}.wav");
        let mut options = Options::default();
        options.policy.language = name[..2].to_owned();
        // For both; else it takes minutes.
        options.policy.audio_ctx = AudioCtx::Auto;
        let (samples, truth) = (samples(&file), spoken(&file));
        let streamed = words(&transcribe_buffer(&samples, &options).unwrap().text());
        let slid = slide(&samples, &options);
        let errors = [&slid, &streamed].map(|heard| edit_distance(heard, &truth));
        println!(
            "{name}: {} words, errors by the buffer {}, here {}",
            truth.len(),
            errors[0],
            errors[1]
        );
        spoken_words += truth.len();
        by_hand += errors[0];
        here += errors[1];
        waited.extend(waits(&file));
    }
    waited.sort_by(f64::total_cmp);
    let percent = |errors: usize| 100.0 * errors as f64 / spoken_words as f64;
    let (by_hand, here) = (percent(by_hand), percent(here));
    let median = format!("{:.1} s at the median", waited[waited.len() / 2]);
    println!(
        "{spoken_words} words: {by_hand:.1} % by the buffer, {here:.1} % here; waits {median}"
    );
    let text = text();
    assert!(
        text.contains(&median),
        "docs/migrating.md does not say {median:?}"
    );
    assert!(text.contains(&format!("({spoken_words} words in ten recordings)")));
    // Another processor rounds otherwise, and may hear a word or two otherwise.
    let (_, told) = text.split_once("word errors ").unwrap();
    let told: Vec<f64> = told
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .take(2)
        .collect();
    let apart = (told[0] - by_hand).abs().max((told[1] - here).abs());
    assert!(apart < 1.5, "docs/migrating.md says {told:?}");
    assert!(3.0 * here < by_hand);
}

#[test]
fn the_pipeline_instead_of_the_buffer_writes_text() {
    let pipeline = block(BUFFER, "gst-launch-1.0");
    let mut running = start(&mut shell(&pipeline));
    running.stdin().write_all(&pcm(&opening())).unwrap();
    let ended = running.wait().ok();
    assert_heard(&heard(&ended.text()), &spoken_opening());
}
