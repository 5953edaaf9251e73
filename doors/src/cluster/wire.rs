//! What is told of a leg, on its way from a worker to a gateway: JSON, times in nanoseconds of the client's stream.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call;

/// One message of the text subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Told {
    /// A worker hears the leg from here on; those before it write nothing any more.
    Owner {
        worker: String,
        /// How many had it before.
        term: u64,
    },
    Words(Words),
    Final(Words),
    Partial(Partial),
    SpeechStart(Span),
    SpeechEnd(Span),
    #[serde(rename = "speech-told")]
    SpeechSaid(Span),
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
    Flushed {
        marker: String,
    },
    Redact(Span),
    /// What the element's src pad put out.
    Line {
        line: String,
    },
    Warning {
        reason: String,
    },
    Failed {
        reason: String,
    },
    Ended,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub start: u64,
    pub end: u64,
    pub utterance: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    pub text: String,
    pub start: u64,
    pub end: u64,
    pub confidence: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Words {
    #[serde(flatten)]
    pub span: Span,
    pub text: String,
    pub words: Vec<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    pub is_final: bool,
    /// Number of the first of them in the leg; of those that a pass released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    #[serde(flatten)]
    pub span: Span,
    pub text: String,
    pub committed: String,
    pub tail: String,
    pub words: Vec<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// How many events of each kind were told of a leg, and how many words: passes are deterministic in the audio, so the nth event of
/// a kind is the same whoever hears the leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    kinds: BTreeMap<String, u64>,
    pub words: u64,
    /// How far the audio had come to the worker that told the last of them, in ns of the stream.
    #[serde(default)]
    pub came: u64,
}

impl Counts {
    /// Counts one, and says the how many-eth of its kind it is; gives released words their number.
    pub fn count(&mut self, told: &mut Told) -> u64 {
        if let Told::Words(words) = told {
            words.word = Some(self.words);
            self.words = self.words.saturating_add(words.words.len() as u64);
        }
        let count = self.kinds.entry(told.kind().into()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Whichever of the two counted more, of each kind: what one worker after another has told.
    pub fn or_more(&self, other: &Counts) -> Counts {
        let mut all = self.clone();
        for (kind, count) in &other.kinds {
            let mine = all.kinds.entry(kind.clone()).or_default();
            *mine = (*mine).max(*count);
        }
        all.words = all.words.max(other.words);
        all.came = all.came.max(other.came);
        all
    }

    pub fn of(&self, told: &Told) -> u64 {
        self.kinds.get(told.kind()).copied().unwrap_or_default()
    }
}

/// What is not kept: how far a worker is with a leg.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// ns of the stream
    pub heard: u64,
    pub passes: u64,
    /// ns
    pub network: u64,
}

impl Told {
    pub fn kind(&self) -> &'static str {
        match self {
            Told::Owner { .. } => "owner",
            Told::Words(_) => "words",
            Told::Final(_) => "final",
            Told::Partial(_) => "partial",
            Told::SpeechStart(_) => "speech-start",
            Told::SpeechEnd(_) => "speech-end",
            Told::SpeechSaid(_) => "speech-told",
            Told::Quiet(_) => "quiet",
            Told::BargeIn { .. } => "barge-in",
            Told::Language { .. } => "language",
            Told::Flushed { .. } => "flushed",
            Told::Redact(_) => "redact",
            Told::Line { .. } => "line",
            Told::Warning { .. } => "warning",
            Told::Failed { .. } => "failed",
            Told::Ended => "ended",
        }
    }

    /// Whether it is a leg's last word.
    pub fn is_last(&self) -> bool {
        matches!(self, Told::Failed { .. } | Told::Ended)
    }

    /// What of an event is told to a gateway.
    pub fn of(event: &call::Event) -> Option<Told> {
        use call::Event;
        Some(match event {
            Event::Words(words) => Told::Words(words.into()),
            Event::Final(words) => Told::Final(words.into()),
            Event::Partial(partial) => Told::Partial(Partial {
                span: (&partial.span).into(),
                text: partial.text.clone(),
                committed: partial.committed.clone(),
                tail: partial.tail.clone(),
                words: partial.words.iter().map(Word::from).collect(),
                language: partial.language.clone(),
            }),
            Event::SpeechStart(span) => Told::SpeechStart(span.into()),
            Event::SpeechEnd(span) => Told::SpeechEnd(span.into()),
            Event::SpeechTold(span) => Told::SpeechSaid(span.into()),
            Event::Quiet(span) => Told::Quiet(span.into()),
            Event::Redact(span) => Told::Redact(span.into()),
            Event::BargeIn { span, text, cause } => Told::BargeIn {
                span: span.into(),
                text: text.clone(),
                cause: cause.clone(),
            },
            Event::Language {
                language,
                probability,
            } => Told::Language {
                language: language.clone(),
                probability: *probability,
            },
            Event::Flushed { marker } => Told::Flushed {
                marker: marker.clone(),
            },
            Event::Line(line) => Told::Line { line: line.clone() },
            Event::Warning { reason } => Told::Warning {
                reason: reason.clone(),
            },
            Event::Failed { reason } => Told::Failed {
                reason: reason.clone(),
            },
            Event::Ended => Told::Ended,
            _ => return None,
        })
    }

    /// The event that a gateway's door reads, of the leg of that name.
    pub fn event(self, leg: Option<&str>) -> Option<call::Event> {
        use call::Event;
        let span = |span: Span| span.into_call(leg);
        Some(match self {
            Told::Owner { .. } => return None,
            Told::Words(words) => Event::Words(words.into_call(leg)),
            Told::Final(words) => Event::Final(words.into_call(leg)),
            Told::Partial(partial) => Event::Partial(call::Partial {
                span: span(partial.span),
                text: partial.text,
                committed: partial.committed,
                tail: partial.tail,
                words: partial.words.into_iter().map(call::Word::from).collect(),
                language: partial.language,
            }),
            Told::SpeechStart(it) => Event::SpeechStart(span(it)),
            Told::SpeechEnd(it) => Event::SpeechEnd(span(it)),
            Told::SpeechSaid(it) => Event::SpeechTold(span(it)),
            Told::Quiet(it) => Event::Quiet(span(it)),
            Told::Redact(it) => Event::Redact(span(it)),
            Told::BargeIn {
                span: it,
                text,
                cause,
            } => Event::BargeIn {
                span: span(it),
                text,
                cause,
            },
            Told::Language {
                language,
                probability,
            } => Event::Language {
                language,
                probability,
            },
            Told::Flushed { marker } => Event::Flushed { marker },
            Told::Line { line } => Event::Line(line),
            Told::Warning { reason } => Event::Warning { reason },
            Told::Failed { reason } => Event::Failed { reason },
            Told::Ended => Event::Ended,
        })
    }
}

/// In ns; what lasts longer than they count is the longest.
pub fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl From<&call::Span> for Span {
    fn from(span: &call::Span) -> Span {
        Span {
            start: ns(span.start),
            end: ns(span.end),
            utterance: span.utterance,
        }
    }
}

impl Span {
    fn into_call(self, leg: Option<&str>) -> call::Span {
        call::Span {
            start: Duration::from_nanos(self.start),
            end: Duration::from_nanos(self.end),
            utterance: self.utterance,
            leg: leg.map(str::to_owned),
        }
    }
}

impl From<&call::Word> for Word {
    fn from(word: &call::Word) -> Word {
        Word {
            text: word.text.clone(),
            start: ns(word.start),
            end: ns(word.end),
            confidence: word.confidence,
            stability: word.stability,
        }
    }
}

impl From<Word> for call::Word {
    fn from(word: Word) -> call::Word {
        call::Word {
            text: word.text,
            start: Duration::from_nanos(word.start),
            end: Duration::from_nanos(word.end),
            confidence: word.confidence,
            stability: word.stability,
        }
    }
}

impl From<&call::Words> for Words {
    fn from(words: &call::Words) -> Words {
        Words {
            span: (&words.span).into(),
            text: words.text.clone(),
            words: words.words.iter().map(Word::from).collect(),
            language: words.language.clone(),
            is_final: words.is_final,
            word: None,
        }
    }
}

impl Words {
    fn into_call(self, leg: Option<&str>) -> call::Words {
        call::Words {
            span: self.span.into_call(leg),
            text: self.text,
            words: self.words.into_iter().map(call::Word::from).collect(),
            language: self.language,
            is_final: self.is_final,
            lag: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Event;

    fn events() -> Vec<Event> {
        let span = call::Span {
            start: Duration::from_nanos(1_234_567_891),
            end: Duration::from_nanos(u64::MAX),
            utterance: 3,
            leg: Some("caller".into()),
        };
        let word = call::Word {
            text: " é\"".into(),
            start: Duration::from_nanos(62_500),
            end: Duration::from_nanos(125_000),
            confidence: 0.1 + 0.2,
            stability: Some(2),
        };
        let words = call::Words {
            span: span.clone(),
            text: "é".into(),
            words: vec![word.clone(), word.clone()],
            language: Some("fr".into()),
            is_final: false,
            lag: None,
        };
        let (text, cause) = ("stop".to_owned(), "word".to_owned());
        vec![
            Event::Words(words.clone()),
            Event::Final(words),
            Event::Partial(call::Partial {
                span: span.clone(),
                words: vec![word],
                ..call::Partial::default()
            }),
            Event::SpeechStart(span.clone()),
            Event::SpeechEnd(span.clone()),
            Event::SpeechTold(span.clone()),
            Event::Quiet(span.clone()),
            Event::Redact(span.clone()),
            Event::BargeIn { span, text, cause },
            Event::Language {
                language: "de".into(),
                probability: 1.0 / 3.0,
            },
            Event::Flushed { marker: "m".into() },
            Event::Line("{}\n".into()),
            Event::Warning { reason: "w".into() },
            Event::Failed { reason: "f".into() },
            Event::Ended,
        ]
    }

    #[test]
    fn a_gateway_reads_what_a_worker_was_told() {
        for event in events() {
            let told = Told::of(&event).unwrap();
            let json = serde_json::to_string(&told).unwrap();
            let read: Told = serde_json::from_str(&json).unwrap();
            assert!(json.contains(&format!("\"type\":\"{}\"", told.kind())));
            assert_eq!(read.event(Some("caller")), Some(event), "{json}");
        }
    }

    #[test]
    fn events_are_counted_by_kind_and_words_are_numbered() {
        let mut counts = Counts::default();
        let mut told = Told::of(&events()[0]).unwrap();
        assert_eq!((counts.count(&mut told), counts.words), (1, 2));
        assert_eq!(counts.count(&mut Told::Ended), 1);
        assert_eq!(counts.count(&mut told), 2);
        let Told::Words(words) = &told else { panic!() };
        assert_eq!((words.word, counts.of(&told)), (Some(2), 2));
        // Who goes on is behind with some kinds, and ahead with others.
        let mut behind = Counts::default();
        for _ in 0..3 {
            behind.count(&mut Told::Flushed { marker: "m".into() });
        }
        let all = behind.or_more(&counts);
        assert_eq!((all.of(&told), all.of(&Told::Ended), all.words), (2, 1, 4));
        assert_eq!(all.of(&Told::Flushed { marker: "m".into() }), 3);
    }
}
