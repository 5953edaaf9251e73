//! What passes the element, as the detector hears it: buffers, gaps and events on one running clock.

use std::time::Duration;

use gst::ClockTime;

use crate::element::words_of;
use crate::speech::answer::{
    Action, Detector, Heard, Phrases, Settings, Span, Tone, ToneKind, Word,
};

/// Between the running time, on which the detector counts, and the segment's.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    segment: gst::FormattedSegment<ClockTime>,
    /// Of the last event that named one.
    pub leg: Option<String>,
}

impl Timeline {
    fn running(&self, time: ClockTime) -> Duration {
        duration(self.segment.to_running_time(time).unwrap_or(time))
    }

    pub fn running_time(&self, time: Duration) -> ClockTime {
        clock_time(nanoseconds(time))
    }

    pub fn timestamp(&self, time: Duration) -> ClockTime {
        let running = self.running_time(time);
        self.segment
            .position_from_running_time(running)
            .unwrap_or(running)
    }

    pub fn stream_time(&self, time: Duration) -> ClockTime {
        let timestamp = self.timestamp(time);
        self.segment.to_stream_time(timestamp).unwrap_or(timestamp)
    }
}

/// The largest number is no time but none at all.
fn clock_time(nanoseconds: u64) -> ClockTime {
    ClockTime::from_nseconds(nanoseconds.min(u64::MAX - 1))
}

pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn duration(time: ClockTime) -> Duration {
    Duration::from_nanos(time.nseconds())
}

/// The detector, and what it takes to feed it.
pub struct Hearing {
    detector: Detector,
    timeline: Timeline,
    /// Take the language from the stream's tags.
    language_of_tags: bool,
    /// `whisperstream/heard` comes: buffers and gaps need not be the clock.
    has_clock: bool,
    /// Where the text is, while it is the clock.
    position: Option<Duration>,
    /// Anything of a call was heard.
    began: bool,
}

impl Default for Hearing {
    fn default() -> Self {
        Hearing::new(Settings::default(), Phrases::default(), None)
    }
}

impl Hearing {
    /// `language`: whose phrases count; none: what the stream's tags say.
    pub fn new(settings: Settings, phrases: Phrases, language: Option<&str>) -> Hearing {
        let mut detector = Detector::new(settings, phrases);
        detector.set_language(language);
        Hearing {
            detector,
            timeline: Timeline::default(),
            language_of_tags: language.is_none(),
            has_clock: false,
            position: None,
            began: false,
        }
    }

    /// What is to be done, and the timeline to tell it on.
    pub fn actions(&mut self) -> Vec<(Action, Timeline)> {
        std::iter::from_fn(|| self.detector.poll())
            .map(|action| (action, self.timeline.clone()))
            .collect()
    }

    /// A new call, of which nothing was heard.
    pub fn reset(&mut self) {
        self.detector.reset();
        (self.position, self.began) = (None, false);
    }

    /// A call begins: at the event's `running-time` or `timestamp`, or now.
    pub fn answered(&mut self, event: &gst::EventRef) {
        let at = event.structure().and_then(|fields| self.when(fields));
        self.began = true;
        self.detector.answered(at);
    }

    pub fn buffer(&mut self, buffer: &gst::BufferRef) {
        let words: Vec<Word> = match words_of(buffer) {
            words if words.is_empty() => spread(buffer),
            words => words.into_iter().map(Into::into).collect(),
        };
        let words: Vec<Word> = words
            .into_iter()
            .map(|word| Word {
                start: self.timeline.running(clock_time(nanoseconds(word.start))),
                end: self.timeline.running(clock_time(nanoseconds(word.end))),
                ..word
            })
            .collect();
        self.began = true;
        self.detector.words(&words);
        self.text_until(buffer.pts(), buffer.duration());
    }

    pub fn event(&mut self, event: &gst::EventRef) {
        use gst::EventView;
        match event.view() {
            EventView::Segment(segment) => {
                if let Some(segment) = segment.segment().downcast_ref::<ClockTime>() {
                    self.timeline.segment = segment.clone();
                }
            }
            EventView::Tag(tag) if self.language_of_tags => {
                if let Some(language) = tag.tag().get::<gst::tags::LanguageCode>() {
                    self.detector
                        .set_language(Some(&language.get().to_lowercase()));
                }
            }
            EventView::Gap(gap) => {
                let (start, length) = gap.get();
                self.text_until(Some(start), length);
            }
            EventView::Eos(_) => self.detector.end(),
            EventView::StreamStart(_) => {
                // Whoever has not been judged yet is now.
                if self.began {
                    self.detector.end();
                }
                self.reset();
            }
            EventView::CustomDownstream(_) | EventView::CustomDownstreamOob(_) => {
                if let Some(fields) = event.structure() {
                    self.custom(event, fields);
                }
            }
            _ => {}
        }
    }

    fn custom(&mut self, event: &gst::EventRef, fields: &gst::StructureRef) {
        let Some(known) = known(fields.name()) else {
            return;
        };
        if let Ok(leg) = fields.get::<String>("leg") {
            self.timeline.leg = Some(leg);
        }
        match known {
            Known::Answered => return self.answered(event),
            Known::Flushed => {
                let marker = fields.get::<String>("marker").unwrap_or_default();
                if let Some(number) = super::tell::number(&marker) {
                    self.detector.flushed(number);
                }
                return;
            }
            _ => {}
        }
        let Some(start) = self.when(fields) else {
            return;
        };
        let length = field(fields, "duration").unwrap_or_default();
        match known {
            Known::Heard => {
                (self.has_clock, self.began) = (true, true);
                self.detector.heard(&Heard {
                    start,
                    duration: length,
                    speaking: fields.get("speaking").ok(),
                    speech: field(fields, "speech").unwrap_or_default(),
                });
            }
            Known::SpeechStart => self.detector.speech_start(start),
            Known::SpeechEnd => self.detector.speech_end(Span {
                start,
                end: start.saturating_add(length),
            }),
            Known::Tone => {
                let kind = fields.get::<String>("kind").unwrap_or_default();
                if let Some(kind) = ToneKind::named(&kind) {
                    self.began = true;
                    self.detector.tone(Tone {
                        kind,
                        start,
                        duration: length,
                        // Who does not say so tells of what is over.
                        ended: fields.get("final").unwrap_or(true),
                        frequency: fields.get("frequency").unwrap_or_default(),
                        level: fields.get("level").unwrap_or_default(),
                    });
                }
            }
            Known::Answered | Known::Flushed => {}
        }
    }

    /// The running time of an event.
    fn when(&self, fields: &gst::StructureRef) -> Option<Duration> {
        field(fields, "running-time").or_else(|| {
            let timestamp = fields.get::<u64>("timestamp").ok()?;
            Some(self.timeline.running(clock_time(timestamp)))
        })
    }

    /// Text is decided up to the end of this: the clock, where no other comes.
    fn text_until(&mut self, start: Option<ClockTime>, length: Option<ClockTime>) {
        let (false, Some(start)) = (self.has_clock, start) else {
            return;
        };
        let end = self
            .timeline
            .running(start.saturating_add(length.unwrap_or_default()));
        let from = self.position.unwrap_or(self.timeline.running(start));
        if end > from {
            self.position = Some(end);
            self.began = true;
            self.detector.heard(&Heard {
                start: from,
                duration: end - from,
                speaking: None,
                speech: Duration::ZERO,
            });
        }
    }
}

/// The events that are listened to.
#[derive(Clone, Copy)]
enum Known {
    Heard,
    SpeechStart,
    SpeechEnd,
    Flushed,
    Tone,
    Answered,
}

fn known(name: &str) -> Option<Known> {
    Some(match name {
        "whisperstream/heard" => Known::Heard,
        "whisperstream/speech-start" => Known::SpeechStart,
        "whisperstream/speech-end" => Known::SpeechEnd,
        "whisperstream/flushed" => Known::Flushed,
        "beepdetect/tone" => Known::Tone,
        "answerdetect/answered" => Known::Answered,
        _ => return None,
    })
}

/// Whether a call begins with this event.
pub fn is_answered(event: &gst::EventRef) -> bool {
    event
        .structure()
        .is_some_and(|fields| fields.name() == "answerdetect/answered")
}

fn field(fields: &gst::StructureRef, name: &str) -> Option<Duration> {
    Some(Duration::from_nanos(fields.get::<u64>(name).ok()?))
}

impl From<crate::element::MetaWord> for Word {
    fn from(word: crate::element::MetaWord) -> Word {
        Word {
            text: word.text,
            start: duration(word.start),
            end: duration(word.end),
            confidence: word.confidence as f32,
        }
    }
}

/// The words of a text that says nothing of them, spread over its time: another transcriber's.
fn spread(buffer: &gst::BufferRef) -> Vec<Word> {
    let (Some(start), Ok(map)) = (buffer.pts(), buffer.map_readable()) else {
        return Vec::new();
    };
    let text = match std::str::from_utf8(&map) {
        // JSON is not read.
        Ok(text) if !text.starts_with('{') => text,
        _ => return Vec::new(),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let length = duration(buffer.duration().unwrap_or_default());
    let each = length / u32::try_from(words.len().max(1)).unwrap_or(u32::MAX);
    let mut at = duration(start);
    let timed = |text: &&str| {
        let start = at;
        at = at.saturating_add(each);
        Word {
            text: (*text).to_owned(),
            start,
            end: at,
            confidence: 1.0,
        }
    };
    words.iter().map(timed).collect()
}
