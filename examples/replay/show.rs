// SPDX-License-Identifier: MPL-2.0

//! A pass as a table: alone, or then and now side by side.

use gstwhisperstream::engine::dump::{Networked, Passed, Released, Step, Told};

/// Characters of a column.
const WIDTH: usize = 44;

/// What is said of a pass, line by line: a label and a value.
type Rows = Vec<(String, String)>;

/// A pass alone.
pub fn one(pass: &Passed) -> String {
    rows(pass)
        .into_iter()
        .map(|(label, value)| format!("{label:<12}{value}\n"))
        .collect()
}

/// A pass then and now; lines that differ begin with an asterisk.
pub fn both(then: &Passed, now: &Passed) -> String {
    let (then, now) = (rows(then), rows(now));
    let mut labels: Vec<&String> = Vec::new();
    for (label, _) in then.iter().chain(&now) {
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    // A token that only one of them has stands among the tokens.
    labels.sort_by_key(|label| order(label));
    let value = |rows: &Rows, label: &str| {
        let row = rows.iter().find(|(other, _)| other == label);
        row.map_or_else(|| "-".to_owned(), |(_, value)| value.clone())
    };
    let mut table = format!("  {:<12}{:<WIDTH$}  {}\n", "", "then", "now");
    for label in labels {
        let (left, right) = (value(&then, label), value(&now, label));
        let mark = if left == right { ' ' } else { '*' };
        let (mut left, mut right) = (wrapped(&left), wrapped(&right));
        let lines = left.len().max(right.len());
        left.resize(lines, String::new());
        right.resize(lines, String::new());
        for (n, (left, right)) in left.iter().zip(&right).enumerate() {
            let label = if n == 0 { label.as_str() } else { "" };
            table.push_str(format!("{mark} {label:<12}{left:<WIDTH$}  {right}").trim_end());
            table.push('\n');
        }
    }
    table
}

/// Where a line stands.
fn order(label: &str) -> (usize, usize) {
    const HEAD: [&str; 5] = ["pass", "audio", "window", "language", "prompt"];
    const FOOT: [&str; 6] = ["kept", "stop", "tail", "released", "words", "partial"];
    if let Some(at) = HEAD.iter().position(|head| *head == label) {
        return (0, at);
    }
    match label.strip_prefix("token ").map(str::parse) {
        Some(Ok(number)) => (1, number),
        _ => {
            let at = FOOT.iter().position(|foot| *foot == label);
            (2, at.unwrap_or(FOOT.len()))
        }
    }
}

fn rows(pass: &Passed) -> Rows {
    let mut rows = Rows::new();
    let mut row = |label: &str, value: String| rows.push((label.to_owned(), value));
    let last = if pass.is_last { ", the last" } else { "" };
    let cancelled = if pass.cancelled {
        ", given up midway"
    } else {
        ""
    };
    row(
        "pass",
        format!("{} at {}{last}{cancelled}", pass.number, seconds(pass.at)),
    );
    match &pass.network {
        None => row("audio", "the network was not asked".into()),
        Some(network) => ran(network, &mut row),
    }
    let Some(came) = &pass.outcome else {
        return rows;
    };
    let nothing = Released {
        text: String::new(),
        start: 0,
        end: 0,
        words: Vec::new(),
    };
    let release = came.release.as_ref().unwrap_or(&nothing);
    row("released", format!("{:?}", release.text));
    row("words", words(&release.words));
    if !came.partial.is_empty() {
        row("partial", words(&came.partial));
    }
    if let Some(language) = &came.language {
        row("settled on", language.code.clone());
    }
    if came.utterance_end {
        row("utterance", "ends".into());
    }
    if !came.guards.is_empty() {
        let cut: Vec<_> = came
            .guards
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        row("guards", cut.join(", "));
    }
    rows
}

fn ran(network: &Networked, row: &mut impl FnMut(&str, String)) {
    let Networked { audio, .. } = network;
    row(
        "audio",
        format!("{} to {}", seconds(audio.start), seconds(audio.end)),
    );
    row(
        "window",
        format!("{} frames of {}", network.content, network.encoded),
    );
    let language = network.language.as_deref().unwrap_or("not known");
    let heard = network.detected.as_ref().map(|detected| {
        let believed = if detected.believed {
            ""
        } else {
            ", not believed"
        };
        format!(" (heard {}{believed})", detected.code)
    });
    row(
        "language",
        format!("{language}{}", heard.unwrap_or_default()),
    );
    row("prompt", network.prompt_text.clone());
    for (n, step) in network.steps.iter().enumerate() {
        let dropped = if n < network.kept { "" } else { ", not kept" };
        row(
            &format!("token {}", n + 1),
            format!("{}{dropped}", token(step)),
        );
    }
    row("kept", network.kept.to_string());
    row(
        "stop",
        network.stop.clone().unwrap_or_else(|| "none".into()),
    );
    if !network.tail.is_empty() {
        let tail: Vec<String> = network.tail.iter().map(token).collect();
        row("tail", tail.join(", "));
    }
}

fn token(step: &Step) -> String {
    format!("{:?} at frame {}", step.text, step.frame)
}

fn words(words: &[Told]) -> String {
    let told: Vec<String> = words
        .iter()
        .map(|word| {
            format!(
                "{} {} to {}",
                word.text.trim(),
                seconds(word.start),
                seconds(word.end)
            )
        })
        .collect();
    told.join(", ")
}

fn seconds(samples: u64) -> String {
    format!("{:.2} s", samples as f64 / 16_000.0)
}

/// `text` in lines of a column's width.
fn wrapped(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    match chars.is_empty() {
        true => vec![String::new()],
        false => chars
            .chunks(WIDTH)
            .map(|line| line.iter().collect())
            .collect(),
    }
}
