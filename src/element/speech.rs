//! Who is speaking: messages at once, events in order with the text, and the clock of what is heard.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{WhisperStream, lock};
use super::messages::Stretch;
use super::timeline::duration_of;
use crate::engine::Session;
use crate::policy::Samples;
use crate::speech::{Boundary, Cause, Detection, Interruption};
use crate::whisper::SAMPLE_RATE;

/// Downstream is told this often (in samples: 100 ms) how far the audio has come.
const TICK: Samples = SAMPLE_RATE as Samples / 10;

impl WhisperStream {
    /// Speech starts or ends: the message, on the streaming thread, whatever the output waits for.
    pub(super) fn noticed(&self, detection: &Detection) {
        let Some(segment) = lock(&self.input).segment.clone() else {
            return;
        };
        let utterance = self.utterance.load(Ordering::Relaxed);
        self.post(self.boundary(&segment, detection, utterance));
        self.obj().notify("speaking");
    }

    /// The same, in order with the words: the event.
    pub(super) fn speech(&self, number: u64, detection: &Detection, utterance: u64) {
        self.speaking(number, |speaker| {
            if detection.at < speaker.floor {
                return;
            }
            let Some(segment) = speaker.out.segment().cloned() else {
                return;
            };
            let event = self.event(&self.boundary(&segment, detection, utterance));
            speaker.speaking = matches!(detection.boundary, Boundary::Start { .. });
            if !speaker.speaking {
                // All that was said in it is told.
                speaker.forward(lock(&self.timeline).at_end_of(detection.at));
            }
            speaker.out.event(event);
        });
    }

    fn boundary(
        &self,
        segment: &gst::FormattedSegment<ClockTime>,
        detection: &Detection,
        utterance: u64,
    ) -> gst::Structure {
        let timeline = lock(&self.timeline);
        let known = timeline.at_end_of(detection.at);
        let (name, start, end) = match detection.boundary {
            Boundary::Start { onset, .. } => {
                let start = timeline.at(onset);
                ("whisperstream/speech-start", start, start)
            }
            Boundary::End { onset, end } => {
                let start = timeline.at(onset);
                let end = timeline.at_end_of(end).max(start);
                ("whisperstream/speech-end", start, end)
            }
        };
        drop(timeline);
        let stretch = Stretch::new(segment, start, end);
        let fields = stretch.structure(name, utterance);
        let fields = match detection.boundary {
            Boundary::Start { probability, .. } => {
                fields.field("probability", f64::from(probability))
            }
            Boundary::End { .. } => fields,
        };
        fields.field("delay", self.delay(&stretch, known)).build()
    }

    /// Speech is an interruption: the message, at once.
    pub(super) fn interrupting(&self, interruption: &Interruption) {
        let Some(segment) = lock(&self.input).segment.clone() else {
            return;
        };
        let utterance = self.utterance.load(Ordering::Relaxed);
        let text = self.interrupting_text(interruption);
        self.post(self.interruption(&segment, interruption, text, utterance));
    }

    /// The same, in order with the words: the event.
    pub(super) fn interrupted(&self, number: u64, interruption: &Interruption, utterance: u64) {
        self.speaking(number, |speaker| {
            if interruption.at < speaker.floor {
                return;
            }
            let Some(segment) = speaker.out.segment().cloned() else {
                return;
            };
            let text = self.interrupting_text(interruption);
            let told = self.interruption(&segment, interruption, text, utterance);
            speaker.out.event(self.event(&told));
        });
    }

    /// The words that interrupt, as they may be seen. Asked for on the thread that pushes, which never waits for the output.
    fn interrupting_text(&self, interruption: &Interruption) -> String {
        let edits = lock(&self.settings).edits();
        edits.preview_text(&interruption.words.join(" "), None)
    }

    fn interruption(
        &self,
        segment: &gst::FormattedSegment<ClockTime>,
        interruption: &Interruption,
        text: String,
        utterance: u64,
    ) -> gst::Structure {
        let timeline = lock(&self.timeline);
        let start = timeline.at(interruption.onset);
        let end = timeline.at_end_of(interruption.at).max(start);
        drop(timeline);
        let stretch = Stretch::new(segment, start, end);
        stretch
            .structure("whisperstream/barge-in", utterance)
            .field("speech", duration_of(interruption.speech).nseconds())
            .field("words", interruption.words.len() as u64)
            .field("text", text)
            .field(
                "cause",
                match interruption.cause {
                    Cause::Speech => "speech",
                    Cause::Words => "words",
                },
            )
            .field("delay", self.delay(&stretch, end))
            .build()
    }

    /// Samples until downstream is told next how far the audio has come.
    pub(super) fn to_next_tick(&self) -> usize {
        let position = lock(&self.timeline).position();
        (TICK - position % TICK) as usize
    }

    /// Tells downstream how far the audio has come, if it is time. Not serialized: it goes ahead of the text, which is
    /// decided later.
    pub(super) fn tick(&self, session: &Session) {
        let position = lock(&self.timeline).position();
        if position.saturating_sub(lock(&self.input).ticked) >= TICK {
            self.tick_rest(session);
        }
    }

    /// Tells downstream of what is left to tell of the audio.
    pub(super) fn tick_rest(&self, session: &Session) {
        let timeline = lock(&self.timeline);
        let position = timeline.position();
        let mut input = lock(&self.input);
        let from = std::mem::replace(&mut input.ticked, position);
        if from >= position {
            return;
        }
        let Some(segment) = input.segment.clone() else {
            return;
        };
        drop(input);
        let (start, end) = (timeline.at(from), timeline.at_end_of(position));
        drop(timeline);
        let speech = session.speech();
        let utterance = self.utterance.load(Ordering::Relaxed);
        let mut heard = Stretch::new(&segment, start, end.max(start))
            .structure("whisperstream/heard", utterance)
            .field("speaking", speech.is_some())
            .field("speech", nanoseconds(speech))
            .build();
        self.name_leg(&mut heard);
        self.srcpad()
            .push_event(gst::event::CustomDownstreamOob::new(heard));
    }

    /// Speech so far; `None` in silence.
    pub(super) fn speech_so_far(&self) -> Option<Duration> {
        self.session()?.speech()
    }

    /// Speech so far, in ns; 0 in silence.
    pub(super) fn speech_ns(&self) -> u64 {
        nanoseconds(self.speech_so_far())
    }

    /// An event of upstream's about something heard in the audio: it leaves behind the text of what was said before.
    pub(super) fn forward_heard(&self, event: gst::Event) -> bool {
        let quiet = self.speech_so_far().is_none();
        let has_detector = lock(&self.settings).has_detector();
        let at = event
            .structure()
            .and_then(|structure| structure.get::<u64>("timestamp").ok())
            .map(ClockTime::from_nseconds);
        let end = lock(&self.timeline).end();
        let mut speaker = lock(&self.speaker);
        if quiet && has_detector && !speaker.speaking {
            // No text is to come.
            speaker.forward(ClockTime::MAX);
            return speaker.out.event(event);
        }
        speaker.event_at(at.map_or(end, |at| at.min(end)), event);
        true
    }
}

fn nanoseconds(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
