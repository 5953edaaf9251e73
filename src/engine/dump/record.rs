//! What a dump says: `header.json` and the lines of `passes.jsonl` (docs/replay.md has every field).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::{Chosen, Guards, Outcome, PolicySettings, Report, Samples, Stop, Word};
use crate::speech::Boundary;
use crate::whisper::Tokenizer;

/// Version of the form. A reader takes this one and refuses newer ones.
pub const FORMAT: u32 = 1;

/// `header.json`: what the stream was opened with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    pub format: u32,
    /// Name, version and commit.
    pub program: String,
    /// When the stream began, UTC, ISO 8601.
    pub started: String,
    /// Which side of the call this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<String>,
    pub model: ModelInfo,
    /// As the property `device`, and the arithmetic that ran there.
    pub device: String,
    pub arithmetic: String,
    pub pace: PaceName,
    /// Layer and head, counted from 0.
    pub alignment_heads: Vec<(usize, usize)>,
    /// As the property `cif-model`, made absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cif_model: Option<String>,
    pub settings: PolicySettings,
}

/// When passes ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PaceName {
    Exact,
    Live,
}

/// The model that ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// As the property `model`, made absolute; `None`: the bundled demo model.
    pub path: Option<String>,
    /// Tells models apart (docs/replay.md); `None` if its files could not be read.
    pub fingerprint: Option<String>,
}

/// A line of `passes.jsonl`: one call that the stream's policy got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Insert(Inserted),
    Speech(Speech),
    Pass(Box<Passed>),
    Shorten(bool),
    /// Forgets all and goes on at this position.
    Reset(Samples),
    Update(Box<PolicySettings>),
}

/// A chunk of audio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inserted {
    /// Stream position of its first sample.
    pub at: Samples,
    pub samples: u64,
    /// Where in `audio.wav` it lies, in samples.
    pub wav: u64,
}

/// A boundary that the voice detector told of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speech {
    Start { onset: Samples, probability: f32 },
    End { onset: Samples, end: Samples },
}

impl From<&Boundary> for Speech {
    fn from(boundary: &Boundary) -> Speech {
        match *boundary {
            Boundary::Start { onset, probability } => Speech::Start { onset, probability },
            Boundary::End { onset, end } => Speech::End { onset, end },
        }
    }
}

impl From<Speech> for Boundary {
    fn from(speech: Speech) -> Boundary {
        match speech {
            Speech::Start { onset, probability } => Boundary::Start { onset, probability },
            Speech::End { onset, end } => Boundary::End { onset, end },
        }
    }
}

/// A pass, or the decision to run none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Passed {
    /// From 1 on.
    pub number: u64,
    /// Stream position at which it was asked for: behind all that was inserted.
    pub at: Samples,
    /// The stream (or what precedes a flush or a hole) ends here.
    pub is_last: bool,
    /// It was given up midway: nothing of it counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// What the network did; `None` if it was not asked.
    pub network: Option<Networked>,
    /// What came of it; `None` if it was cancelled.
    pub outcome: Option<Came>,
}

/// What the network did in a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Networked {
    pub audio: Span,
    /// Stream position of the window's first sample, as word times see it.
    pub base: Samples,
    /// Frames of 20 ms that hold audio, and that were encoded.
    pub content: usize,
    pub encoded: usize,
    pub ends_utterance: bool,
    pub language: Option<String>,
    pub detected: Option<Detection>,
    pub prompt: Vec<u32>,
    /// The prompt's text, special tokens by their names.
    pub prompt_text: String,
    /// All that was decoded; the first `kept` are decided.
    pub steps: Vec<Step>,
    pub kept: usize,
    pub stop: Option<String>,
    /// The audio ends within a word, by the CIF model: the last word is dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cuts_word: bool,
    /// What was decoded on behind them, for a partial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<Step>,
}

/// The audio that a pass heard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Stream positions.
    pub start: Samples,
    pub end: Samples,
    /// Where in `audio.wav` it starts, in samples. It is as long there.
    pub wav: u64,
}

/// A language that was listened for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    pub code: String,
    pub probability: f32,
    /// Whether it was believed.
    #[serde(default)]
    pub believed: bool,
}

/// A token that was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub token: u32,
    pub text: String,
    /// Frame of the window that it attends to.
    pub frame: i32,
    pub logprob: f32,
}

/// What a pass meant to the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Came {
    /// The text released, and the stream positions it is told with.
    pub release: Option<Released>,
    pub utterance_end: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<Told>,
    /// Set in the pass that settled it.
    pub language: Option<Detection>,
    /// No word released later starts before.
    pub quiet_until: Samples,
    /// Those that cut something, by name.
    pub guards: serde_json::Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Released {
    pub text: String,
    pub start: Samples,
    pub end: Samples,
    pub words: Vec<Told>,
}

/// A word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub text: String,
    pub start: Samples,
    pub end: Samples,
    pub confidence: f32,
    pub tokens: Vec<u32>,
    /// Of a partial: passes in which it stood unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<u32>,
}

impl Networked {
    pub(super) fn new(report: Report, audio: Span, tokenizer: &Tokenizer) -> Networked {
        let step = |chosen: &Chosen| Step {
            token: chosen.id,
            text: tokenizer.decode(&[chosen.id]),
            frame: chosen.frame,
            logprob: finite(chosen.logprob),
        };
        Networked {
            audio,
            base: report.base,
            content: report.content,
            encoded: report.encoded,
            ends_utterance: report.ends_utterance,
            language: report.language.map(Into::into),
            detected: report.detected.map(|(detected, believed)| Detection {
                code: detected.code.into(),
                probability: finite(detected.probability),
                believed,
            }),
            prompt_text: tokenizer.decode(&report.prompt),
            prompt: report.prompt,
            steps: report.steps.iter().map(step).collect(),
            kept: report.kept,
            stop: report.stop.as_ref().map(name),
            cuts_word: report.cuts_word,
            tail: report.tail.iter().map(step).collect(),
        }
    }
}

impl From<&Outcome> for Came {
    fn from(outcome: &Outcome) -> Came {
        Came {
            release: outcome.release.as_ref().map(|release| Released {
                text: release.text.clone(),
                start: release.start,
                end: release.end,
                words: release.words.iter().map(|word| told(word, None)).collect(),
            }),
            utterance_end: outcome.utterance_end,
            partial: outcome
                .partial
                .iter()
                .map(|partial| told(&partial.word, Some(partial.stability)))
                .collect(),
            language: outcome.language.as_ref().map(|detected| Detection {
                code: detected.code.into(),
                probability: finite(detected.probability),
                believed: true,
            }),
            quiet_until: outcome.quiet_until,
            guards: cut(&outcome.guards),
        }
    }
}

fn told(word: &Word, stability: Option<u32>) -> Told {
    Told {
        text: word.text.clone(),
        start: word.start,
        end: word.end,
        confidence: finite(word.confidence),
        tokens: word.tokens.clone(),
        stability,
    }
}

/// JSON has no other numbers.
fn finite(x: f32) -> f32 {
    if x.is_finite() { x } else { f32::MIN }
}

fn name(stop: &Stop) -> String {
    match serde_json::to_value(stop) {
        Ok(Value::String(name)) => name,
        _ => format!("{stop:?}"),
    }
}

/// The guards that cut something.
fn cut(guards: &Guards) -> serde_json::Map<String, Value> {
    match serde_json::to_value(guards) {
        Ok(Value::Object(mut all)) => {
            all.retain(|_, count| count.as_u64() != Some(0));
            all
        }
        _ => serde_json::Map::new(),
    }
}
