//! What a call tells, read off the element's messages.
//!
//! As JSON (`Serialize`): `{"type":"words","start":1.26,...}`, times in seconds of the client's stream.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::feed::{Arrivals, lag};

/// A stretch of the stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Span {
    #[serde(serialize_with = "seconds")]
    pub start: Duration,
    #[serde(serialize_with = "seconds")]
    pub end: Duration,
    pub utterance: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    pub text: String,
    #[serde(serialize_with = "seconds")]
    pub start: Duration,
    #[serde(serialize_with = "seconds")]
    pub end: Duration,
    pub confidence: f64,
    /// Of a word that may change: passes in which it stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<u32>,
}

/// Words that are decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Words {
    #[serde(flatten)]
    pub span: Span,
    pub text: String,
    pub words: Vec<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Known with these words to be the last of their utterance. [`Event::Final`] follows in any case.
    pub is_final: bool,
    /// From the arrival of the audio in which the last of them ends to now.
    #[serde(
        serialize_with = "some_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub lag: Option<Duration>,
}

/// What is being said: of the whole utterance, decided or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Partial {
    #[serde(flatten)]
    pub span: Span,
    /// `committed` and `tail`.
    pub text: String,
    /// Never revised.
    pub committed: String,
    /// May change.
    pub tail: String,
    /// Those of the tail.
    pub words: Vec<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// Who answered, as `answerdetect` says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// `human`, `machine`, `no-answer`, `fax` or `unknown`.
    pub result: String,
    /// `phrase`, `cadence`, `tone`, `silence` or `timeout`.
    pub cause: String,
    /// 0 to 1
    pub confidence: f64,
    /// What was said by then.
    pub text: String,
    /// Audio heard until it was given.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<String>,
}

/// Counts of one element since its stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub passes: u64,
    /// Time the network ran.
    pub network: Duration,
    /// Audio not heard.
    pub dropped: Duration,
}

impl Figures {
    /// Off the element's `stats`.
    pub fn of(stats: &gst::StructureRef) -> Figures {
        Figures {
            passes: stats.get("passes").unwrap_or_default(),
            network: duration(stats, "network-time"),
            dropped: duration(stats, "dropped"),
        }
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Figures) -> Figures {
        Figures {
            passes: self.passes.saturating_sub(before.passes),
            network: self.network.saturating_sub(before.network),
            dropped: self.dropped.saturating_sub(before.dropped),
        }
    }
}

/// In order; [`Event::Ended`] or [`Event::Failed`] is the last.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The model loads: percent.
    Loading {
        percent: u64,
    },
    Loaded,
    /// What a pass released.
    Words(Words),
    /// An utterance is over: all of its words again.
    Final(Words),
    Partial(Partial),
    /// What the element's src pad put out, with its newline; only if it was wanted.
    #[serde(skip)]
    Line(String),
    SpeechStart(Span),
    SpeechEnd(Span),
    /// All words of this speech are told, and no others yet: this comes in order with them.
    #[serde(skip)]
    SpeechTold(Span),
    /// Nobody has spoken for some seconds, up to here; told again and again.
    #[serde(skip)]
    Quiet(Span),
    BargeIn {
        #[serde(flatten)]
        span: Span,
        text: String,
        cause: String,
    },
    Language {
        language: String,
        probability: f64,
    },
    /// All that was said before the flush has been told.
    Flushed {
        marker: String,
    },
    /// Who answered; once a call, if it was wanted.
    Verdict(Verdict),
    /// A machine has said its greeting: `silence` or `beep`.
    GreetingEnd {
        #[serde(flatten)]
        span: Span,
        cause: String,
    },
    /// A machine's beep.
    Beep {
        #[serde(flatten)]
        span: Span,
        /// Hz
        frequency: f64,
    },
    /// Digits are spoken there (`redact`).
    Redact(Span),
    /// A key of the telephone was pressed.
    Digit {
        digit: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        leg: Option<String>,
    },
    /// Not heard.
    Dropped(Span),
    Overload {
        level: u32,
        reason: String,
    },
    /// Every 10 s of audio.
    #[serde(skip)]
    Figures {
        leg: Option<String>,
        figures: Figures,
    },
    /// Anything else an element of the pipeline said (`beepdetect/tone`, ...): its structure.
    #[serde(skip)]
    Other(gst::Structure),
    Warning {
        reason: String,
    },
    Failed {
        reason: String,
    },
    Ended,
}

impl Event {
    /// What a message says, if it is one of those that a door may want.
    pub(super) fn of(message: &gst::Message, arrivals: &Arrivals) -> Option<Event> {
        use gst::MessageView;
        match message.view() {
            MessageView::Element(element) => Some(told(element.structure()?, arrivals)),
            MessageView::Progress(progress) => {
                let (kind, _, text) = progress.get();
                match kind {
                    gst::ProgressType::Start | gst::ProgressType::Continue => {
                        Some(Event::Loading {
                            percent: percent(text),
                        })
                    }
                    gst::ProgressType::Complete => Some(Event::Loaded),
                    _ => None,
                }
            }
            MessageView::Warning(warning) => Some(Event::Warning {
                reason: warning.error().to_string(),
            }),
            MessageView::Error(error) => Some(Event::Failed {
                reason: error.error().to_string(),
            }),
            MessageView::Eos(_) => Some(Event::Ended),
            _ => None,
        }
    }
}

impl Event {
    /// What leaves the element's src pad beside text: `whisperstream/speech-end`, in order with it.
    pub(super) fn of_downstream(event: &gst::EventRef) -> Option<Event> {
        let structure = event.structure()?;
        match structure.name().as_str() {
            "whisperstream/speech-end" => Some(Event::SpeechTold(span(structure))),
            _ => None,
        }
    }

    /// The stretch that it is about.
    pub fn span_mut(&mut self) -> Option<&mut Span> {
        match self {
            Event::Words(words) | Event::Final(words) => Some(&mut words.span),
            Event::Partial(partial) => Some(&mut partial.span),
            Event::SpeechStart(span)
            | Event::SpeechEnd(span)
            | Event::SpeechTold(span)
            | Event::Quiet(span)
            | Event::BargeIn { span, .. }
            | Event::Redact(span)
            | Event::Dropped(span) => Some(span),
            _ => None,
        }
    }
}

/// Tells of quiet, from the clock of what is heard.
#[derive(Default)]
pub(super) struct Quiet {
    since: Option<Duration>,
}

/// Quiet this long is told of.
const QUIET: Duration = Duration::from_secs(10);

impl Quiet {
    pub fn hear(&mut self, event: &gst::EventRef) -> Option<Event> {
        let structure = event.structure()?;
        if structure.name() != "whisperstream/heard" {
            return None;
        }
        let heard = span(structure);
        if structure.get("speaking").unwrap_or(true) {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(heard.start);
        if heard.end.saturating_sub(since) < QUIET {
            return None;
        }
        self.since = Some(heard.end);
        Some(Event::Quiet(Span {
            start: since,
            ..heard
        }))
    }
}

fn told(structure: &gst::StructureRef, arrivals: &Arrivals) -> Event {
    let text = |field| structure.get::<String>(field).unwrap_or_default();
    let said = || {
        let span = span(structure);
        Words {
            lag: lag(arrivals, span.end),
            span,
            text: text("text"),
            words: words(structure),
            language: structure.get("language").ok(),
            is_final: structure.get("is-final").unwrap_or(false),
        }
    };
    match structure.name().as_str() {
        "whisperstream/words" => Event::Words(said()),
        "whisperstream/final" => Event::Final(Words {
            is_final: true,
            ..said()
        }),
        "whisperstream/partial" => Event::Partial(Partial {
            span: span(structure),
            text: text("text"),
            committed: text("committed"),
            tail: text("tail"),
            words: words(structure),
            language: structure.get("language").ok(),
        }),
        "whisperstream/speech-start" => Event::SpeechStart(span(structure)),
        "whisperstream/speech-end" => Event::SpeechEnd(span(structure)),
        "whisperstream/barge-in" => Event::BargeIn {
            span: span(structure),
            text: text("text"),
            cause: text("cause"),
        },
        "whisperstream/language" => Event::Language {
            language: text("language"),
            probability: structure.get("probability").unwrap_or_default(),
        },
        "whisperstream/flushed" => Event::Flushed {
            marker: text("marker"),
        },
        "answerdetect/verdict" => Event::Verdict(Verdict {
            result: text("result"),
            cause: text("cause"),
            confidence: structure.get("confidence").unwrap_or_default(),
            text: text("text"),
            took: duration(structure, "took"),
            leg: structure.get("leg").ok(),
        }),
        "answerdetect/greeting-end" => Event::GreetingEnd {
            span: span(structure),
            cause: text("cause"),
        },
        "answerdetect/beep" => Event::Beep {
            span: span(structure),
            frequency: structure.get("frequency").unwrap_or_default(),
        },
        "whisperstream/redact" => Event::Redact(span(structure)),
        "whisperstream/dropped" => Event::Dropped(span(structure)),
        "whisperstream/overload" => Event::Overload {
            level: structure.get("level").unwrap_or_default(),
            reason: text("reason"),
        },
        "whisperstream/stats" => Event::Figures {
            leg: structure.get("leg").ok(),
            figures: Figures::of(structure),
        },
        _ => Event::Other(structure.to_owned()),
    }
}

/// By stream time: the client's own clock.
fn span(structure: &gst::StructureRef) -> Span {
    let start = duration(structure, "stream-time");
    Span {
        start,
        end: start.saturating_add(duration(structure, "duration")),
        utterance: structure.get("utterance").unwrap_or_default(),
        leg: structure.get("leg").ok(),
    }
}

fn words(structure: &gst::StructureRef) -> Vec<Word> {
    let Ok(words) = structure.get::<gst::ArrayRef>("words") else {
        return Vec::new();
    };
    // Word times are on the segment's clock, which a door's segment makes the stream's.
    let word = |value: &gst::glib::SendValue| {
        let word = value.get::<gst::Structure>().ok()?;
        Some(Word {
            text: word.get("text").ok()?,
            start: duration(&word, "start"),
            end: duration(&word, "end"),
            confidence: word.get("confidence").unwrap_or_default(),
            stability: word.get("stability").ok(),
        })
    };
    words.iter().filter_map(word).collect()
}

fn duration(structure: &gst::StructureRef, field: &str) -> Duration {
    Duration::from_nanos(structure.get::<u64>(field).unwrap_or_default())
}

fn percent(text: &str) -> u64 {
    let digits: String = text
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or_default()
}

/// In seconds, to the millisecond.
pub(crate) fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}

fn some_seconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    seconds(&time.unwrap_or_default(), to)
}
