//! What a call tells, as Deepgram's messages.
//!
//! Words are decided as they come (`is_final`); an utterance's end is `speech_final`. A `Finalize` is answered by the `Results`
//! that hold the last words before it, so while one is under way the newest words wait for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::query::Query;
use crate::call::{Event, Partial, Word, Words};
use crate::dialects::text::{bare, joined, seconds};

/// The model, as clients are told.
#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    pub id: String,
}

/// Turns events into messages.
pub struct Results {
    interim: bool,
    endpointing: bool,
    utterance_end: Option<Duration>,
    vad_events: bool,
    punctuate: bool,
    request: String,
    model: Model,
    channels: Vec<Channel>,
    /// `Finalize` not answered yet.
    finalizing: usize,
    /// Channels that have answered the first of them.
    flushed: usize,
}

/// One leg, or all channels mixed.
#[derive(Default)]
struct Channel {
    /// Up to here all is told for good.
    told: Duration,
    /// The utterance whose end was told.
    ended: Option<u64>,
    /// When the silence behind the last word has been long enough, and where that word ends.
    due: Option<(Duration, Duration)>,
    speaking: bool,
    /// The last interim transcript, not to be repeated.
    interim: String,
    held: Option<Piece>,
}

/// One `Results`.
struct Piece {
    start: Duration,
    end: Duration,
    words: Vec<Word>,
    language: Option<String>,
    is_final: bool,
    speech_final: bool,
    from_finalize: bool,
}

impl Results {
    pub fn new(query: &Query, request: String, model: Model) -> Results {
        let channels = query.wanted.legs.len().max(1);
        Results {
            interim: query.interim,
            endpointing: query.endpointing,
            utterance_end: query.utterance_end,
            vad_events: query.vad_events,
            punctuate: query.punctuate,
            request,
            model,
            channels: (0..channels).map(|_| Channel::default()).collect(),
            finalizing: 0,
            flushed: 0,
        }
    }

    /// The client sent `Finalize`.
    pub fn finalize(&mut self) {
        self.finalizing += 1;
    }

    /// What is to be told of an event; `answered`: a `Finalize` is.
    pub fn tell(&mut self, event: Event, answered: &mut bool) -> Vec<Value> {
        match event {
            Event::Words(words) => self.words(words),
            Event::Final(words) => self.utterance(&words),
            Event::Partial(partial) => self.partial(partial),
            Event::SpeechStart(span) => {
                let at = index(span.leg.as_deref());
                let mut told = Vec::new();
                if let Some(channel) = self.channels.get_mut(at) {
                    channel.speaking = true;
                    // Whether the gap was long enough is known from where the speech starts, however late that was heard.
                    let due = channel.due.take();
                    if let Some((_, last)) = due.filter(|(due, _)| span.start >= *due) {
                        told.push(self.utterance_end(at, last));
                    }
                }
                if self.vad_events {
                    told.push(json!({
                        "type": "SpeechStarted",
                        "channel": self.channel_index(at),
                        "timestamp": seconds(span.start),
                    }));
                }
                told
            }
            Event::SpeechEnd(span) => {
                if let Some(channel) = self.channels.get_mut(index(span.leg.as_deref())) {
                    channel.speaking = false;
                }
                Vec::new()
            }
            Event::Flushed { .. } => self.flushed(answered),
            _ => Vec::new(),
        }
    }

    /// Whether a silence may become long enough.
    pub fn waits(&self) -> bool {
        let mut channels = self.channels.iter();
        channels.any(|channel| channel.due.is_some() && !channel.speaking)
    }

    /// Time has gone on: all audio up to here is heard.
    pub fn heard(&mut self, position: Duration) -> Vec<Value> {
        let mut told = Vec::new();
        for at in 0..self.channels.len() {
            let Some(channel) = self.channels.get_mut(at).filter(|it| !it.speaking) else {
                continue;
            };
            if let Some((_, last)) = channel.due.take_if(|(due, _)| *due <= position) {
                told.push(self.utterance_end(at, last));
            }
        }
        told
    }

    /// Whatever still waits, at the end of the call.
    pub fn rest(&mut self) -> Vec<Value> {
        let mut told = Vec::new();
        for at in 0..self.channels.len() {
            let held = self.channels.get_mut(at).and_then(|it| it.held.take());
            if let Some(mut held) = held {
                held.from_finalize = self.finalizing > 0;
                told.push(self.results(at, &held));
            }
        }
        told
    }

    fn words(&mut self, words: Words) -> Vec<Value> {
        let at = index(words.span.leg.as_deref());
        let (endpointing, finalizing) = (self.endpointing, self.finalizing > 0);
        let Some(channel) = self.channels.get_mut(at) else {
            return Vec::new();
        };
        let start = channel.told.min(words.span.start);
        channel.told = channel.told.max(words.span.end);
        channel.interim.clear();
        let speech_final = words.is_final && endpointing;
        if words.is_final {
            channel.ended = Some(words.span.utterance);
        }
        let piece = Piece {
            start,
            end: channel.told,
            words: words.words,
            language: words.language,
            is_final: true,
            speech_final,
            from_finalize: false,
        };
        let ready = match finalizing {
            true => channel.held.replace(piece),
            false => Some(piece),
        };
        let told = ready.map(|piece| self.results(at, &piece));
        told.into_iter().collect()
    }

    /// An utterance is over.
    fn utterance(&mut self, words: &Words) -> Vec<Value> {
        let at = index(words.span.leg.as_deref());
        let (endpointing, wait) = (self.endpointing, self.utterance_end);
        let Some(channel) = self.channels.get_mut(at) else {
            return Vec::new();
        };
        let Some(last) = words.words.last() else {
            return Vec::new();
        };
        channel.due = wait.map(|wait| (last.end + wait, last.end));
        let known = channel.ended.replace(words.span.utterance) == Some(words.span.utterance);
        if known || !endpointing {
            return Vec::new();
        }
        if let Some(held) = &mut channel.held {
            held.speech_final = true;
            return Vec::new();
        }
        // Its words were told before it was known that they were the last.
        let end = Piece {
            start: channel.told,
            end: channel.told,
            words: Vec::new(),
            language: words.language.clone(),
            is_final: true,
            speech_final: true,
            from_finalize: false,
        };
        vec![self.results(at, &end)]
    }

    fn partial(&mut self, partial: Partial) -> Vec<Value> {
        let at = index(partial.span.leg.as_deref());
        let Some(channel) = self.channels.get_mut(at) else {
            return Vec::new();
        };
        // What is held comes before what follows it.
        let is_old = partial.words.is_empty() || partial.tail == channel.interim;
        if !self.interim || is_old || channel.held.is_some() {
            return Vec::new();
        }
        channel.interim = partial.tail;
        let piece = Piece {
            start: channel.told.min(partial.span.end),
            end: partial.span.end,
            words: partial.words,
            language: partial.language,
            is_final: false,
            speech_final: false,
            from_finalize: false,
        };
        vec![self.results(at, &piece)]
    }

    fn flushed(&mut self, answered: &mut bool) -> Vec<Value> {
        self.flushed += 1;
        if self.flushed < self.channels.len() {
            return Vec::new();
        }
        self.flushed = 0;
        self.finalizing = self.finalizing.saturating_sub(1);
        *answered = true;
        let mut told = Vec::new();
        for at in 0..self.channels.len() {
            let Some(channel) = self.channels.get_mut(at) else {
                continue;
            };
            let mut piece = channel.held.take().unwrap_or(Piece {
                start: channel.told,
                end: channel.told,
                words: Vec::new(),
                language: None,
                is_final: true,
                speech_final: false,
                from_finalize: true,
            });
            piece.from_finalize = true;
            told.push(self.results(at, &piece));
        }
        told
    }

    fn results(&self, at: usize, piece: &Piece) -> Value {
        let words: Vec<_> = piece.words.iter().map(|word| self.word(word)).collect();
        let written: Vec<_> = match self.punctuate {
            true => piece.words.iter().map(|word| word.text.clone()).collect(),
            false => piece.words.iter().map(|word| bare(&word.text)).collect(),
        };
        let sum: f64 = piece.words.iter().map(|word| word.confidence).sum();
        let confidence = match piece.words.len() {
            0 => 0.0,
            count => sum / count as f64,
        };
        let mut alternative = json!({
            "transcript": joined(written.iter().map(String::as_str)),
            "confidence": confidence,
            "words": words,
        });
        if let (Some(language), Some(fields)) = (&piece.language, alternative.as_object_mut()) {
            fields.insert("languages".into(), json!([language]));
        }
        json!({
            "type": "Results",
            "channel_index": self.channel_index(at),
            "duration": seconds(piece.end.saturating_sub(piece.start)),
            "start": seconds(piece.start),
            "is_final": piece.is_final,
            "speech_final": piece.speech_final,
            "from_finalize": piece.from_finalize,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": self.request,
                "model_info": {"name": self.model.name, "version": env!("CARGO_PKG_VERSION"), "arch": "whisper"},
                "model_uuid": self.model.id,
            },
        })
    }

    fn word(&self, word: &Word) -> Value {
        let mut told = json!({
            "word": bare(&word.text),
            "start": seconds(word.start),
            "end": seconds(word.end),
            "confidence": word.confidence,
        });
        if let (true, Some(fields)) = (self.punctuate, told.as_object_mut()) {
            fields.insert("punctuated_word".into(), json!(word.text.trim()));
        }
        told
    }

    fn utterance_end(&self, at: usize, last: Duration) -> Value {
        json!({
            "type": "UtteranceEnd",
            "channel": self.channel_index(at),
            "last_word_end": seconds(last),
        })
    }

    fn channel_index(&self, at: usize) -> [usize; 2] {
        [at, self.channels.len()]
    }
}

/// Legs are named by their numbers.
fn index(leg: Option<&str>) -> usize {
    leg.and_then(|leg| leg.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Span;

    fn results(pairs: &[(&str, &str)]) -> Results {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let model = Model {
            name: "m".into(),
            id: "i".into(),
        };
        Results::new(&Query::of(&pairs).unwrap(), "r".into(), model)
    }

    fn span(start: u64, end: u64, leg: Option<&str>) -> Span {
        Span {
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
            utterance: 1,
            leg: leg.map(str::to_owned),
        }
    }

    fn words(text: &[&str], span: Span, is_final: bool) -> Words {
        let words = text.iter().map(|text| Word {
            text: text.to_string(),
            start: span.start,
            end: span.end,
            confidence: 0.5,
            stability: None,
        });
        Words {
            text: text.join(" "),
            words: words.collect(),
            span,
            is_final,
            ..Words::default()
        }
    }

    fn tell(results: &mut Results, event: Event) -> Vec<Value> {
        results.tell(event, &mut false)
    }

    fn transcript(results: &Value) -> &str {
        results["channel"]["alternatives"][0]["transcript"]
            .as_str()
            .unwrap()
    }

    #[test]
    fn the_last_words_before_a_finalize_answer_it() {
        let mut results = results(&[]);
        let told = tell(
            &mut results,
            Event::Words(words(&["Allô,"], span(0, 500, None), false)),
        );
        assert_eq!(transcript(&told[0]), "allô");
        assert_eq!(told[0]["from_finalize"], false);
        results.finalize();
        let one = words(&["bonjour"], span(500, 900, None), false);
        assert!(tell(&mut results, Event::Words(one)).is_empty());
        let two = words(&["Marie."], span(900, 1200, None), false);
        let told = tell(&mut results, Event::Words(two));
        assert_eq!(transcript(&told[0]), "bonjour");
        let mut answered = false;
        let marker = String::new();
        let told = results.tell(Event::Flushed { marker }, &mut answered);
        assert!(answered);
        assert_eq!(transcript(&told[0]), "marie");
        assert_eq!(told[0]["from_finalize"], true);
        assert_eq!(told[0]["is_final"], true);
    }

    #[test]
    fn a_finalize_with_nothing_before_it_is_answered_all_the_same() {
        let mut results = results(&[]);
        results.finalize();
        let marker = String::new();
        let told = tell(&mut results, Event::Flushed { marker });
        assert_eq!(told.len(), 1);
        assert_eq!(transcript(&told[0]), "");
        assert_eq!(told[0]["from_finalize"], true);
    }

    #[test]
    fn each_channel_answers_a_finalize_once_all_have_flushed() {
        let mut results = results(&[("channels", "2"), ("multichannel", "true")]);
        results.finalize();
        let one = words(&["oui"], span(0, 400, Some("1")), false);
        assert!(tell(&mut results, Event::Words(one)).is_empty());
        let marker = String::new;
        assert!(tell(&mut results, Event::Flushed { marker: marker() }).is_empty());
        let told = tell(&mut results, Event::Flushed { marker: marker() });
        assert_eq!(told[0]["channel_index"], json!([0, 2]));
        assert_eq!(told[1]["channel_index"], json!([1, 2]));
        assert_eq!(transcript(&told[1]), "oui");
    }

    #[test]
    fn speech_final_is_told_once_an_utterance() {
        let mut results = results(&[]);
        let last = words(&["fin."], span(0, 400, None), true);
        let told = tell(&mut results, Event::Words(last.clone()));
        assert_eq!(told[0]["speech_final"], true);
        assert!(tell(&mut results, Event::Final(last)).is_empty());
        let mut other = words(&["suite"], span(800, 900, None), false);
        other.span.utterance = 2;
        let told = tell(&mut results, Event::Words(other.clone()));
        assert_eq!(told[0]["speech_final"], false);
        let told = tell(&mut results, Event::Final(other));
        assert_eq!(
            (&told[0]["speech_final"], transcript(&told[0])),
            (&json!(true), "")
        );
    }

    #[test]
    fn an_utterance_ends_by_the_gap_behind_its_last_word() {
        let mut results = results(&[("utterance_end_ms", "1000")]);
        let last = || words(&["fin."], span(0, 400, None), true);
        tell(&mut results, Event::SpeechStart(span(0, 0, None)));
        tell(&mut results, Event::SpeechEnd(span(0, 400, None)));
        tell(&mut results, Event::Final(last()));
        assert!(results.heard(Duration::from_millis(1_399)).is_empty());
        let told = results.heard(Duration::from_millis(1_400));
        assert_eq!(told[0]["last_word_end"], 0.4);
        assert!(results.heard(Duration::from_millis(9_000)).is_empty());
        // Who goes on speaking within the gap has not ended; who does behind it has, even if that is heard late.
        tell(&mut results, Event::Final(last()));
        assert!(tell(&mut results, Event::SpeechStart(span(1_300, 1_300, None))).is_empty());
        tell(&mut results, Event::Final(last()));
        assert_eq!(
            tell(&mut results, Event::SpeechStart(span(1_500, 1_500, None))).len(),
            1
        );
    }

    #[test]
    fn interim_texts_are_what_is_not_final_yet() {
        let mut results = results(&[("interim_results", "true"), ("punctuate", "true")]);
        let said = words(&["Bonjour"], span(0, 500, None), false);
        tell(&mut results, Event::Words(said));
        let tail = words(&["Marie"], span(500, 900, None), false).words;
        let partial = || {
            Event::Partial(Partial {
                span: span(0, 1_000, None),
                text: "Bonjour Marie".into(),
                committed: "Bonjour".into(),
                tail: "Marie".into(),
                words: tail.clone(),
                language: None,
            })
        };
        let told = tell(&mut results, partial());
        assert_eq!(transcript(&told[0]), "Marie");
        assert_eq!(told[0]["is_final"], false);
        assert_eq!(
            (&told[0]["start"], &told[0]["duration"]),
            (&json!(0.5), &json!(0.5))
        );
        assert_eq!(
            told[0]["channel"]["alternatives"][0]["words"][0]["punctuated_word"],
            "Marie"
        );
        assert!(tell(&mut results, partial()).is_empty());
    }
}
