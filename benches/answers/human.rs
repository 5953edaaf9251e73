//! Recordings of people: the voicemail prompts of a folder with a `manifest.tsv` (file, language, kind, text, ...). All are
//! machines'. Most are menus and fragments of a sentence, not greetings.

use std::path::Path;

use super::play::{self, Line};
use super::score::{asterisk, share};
use super::sounds::{RATE, resample, silence, white};
use super::{Options, in_parallel};

struct Prompt {
    file: String,
    language: String,
    text: String,
}

pub fn score(folder: &Path, options: &Options) {
    let Ok(manifest) = std::fs::read_to_string(folder.join("manifest.tsv")) else {
        println!(
            "{} has no manifest.tsv: nothing is scored.",
            folder.display()
        );
        return;
    };
    let prompt = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns[..] {
            [file, language, "prompt", text, ..] => Some(Prompt {
                file: file.into(),
                language: language.into(),
                text: text.into(),
            }),
            _ => None,
        }
    };
    let prompts: Vec<Prompt> = manifest.lines().filter_map(prompt).collect();
    let results = in_parallel(&prompts, options.at_once, |prompt| {
        let samples = line(&read(&folder.join(&prompt.file)));
        let line = Line {
            samples: &samples,
            language: Some(&prompt.language),
        };
        (play::play(&line, options), asterisk(&samples).0)
    });
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for (prompt, (played, asterisk)) in prompts.iter().zip(&results) {
        let verdict = played.verdict();
        *counts
            .entry(format!("{} ({})", verdict.result, verdict.cause))
            .or_default() += 1;
        println!(
            "{:58} → {} ({}); Asterisk: {asterisk}\n     said:  {}\n     heard: {} ({:.2})",
            prompt.file, verdict.result, verdict.cause, prompt.text, verdict.text, verdict.trust
        );
    }
    let all = results.len();
    let ours = results
        .iter()
        .filter(|(p, _)| p.verdict().result == "machine")
        .count();
    let theirs = results
        .iter()
        .filter(|(_, asterisk)| *asterisk == "machine")
        .count();
    println!("\nmachine, answerdetect:     {}", share(ours, all));
    println!("machine, Asterisk's rules: {}", share(theirs, all));
    for (what, count) in counts {
        println!("  {what}: {count}");
    }
}

/// As on a line: a little before, a wait behind, a little noise.
fn line(speech: &[i16]) -> Vec<i16> {
    let call = [silence(0.4, RATE), speech.to_vec(), silence(3.0, RATE)].concat();
    let seconds = call.len() as f64 / f64::from(RATE);
    super::sounds::mix(&call, &white(-65.0, seconds, RATE, 1))
}

fn read(path: &Path) -> Vec<i16> {
    let mut wav =
        hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = wav.spec();
    assert_eq!(spec.channels, 1, "{}", path.display());
    let samples: Vec<i16> = wav.samples().map(|s| s.expect("a sample")).collect();
    resample(&samples, spec.sample_rate, RATE)
}
