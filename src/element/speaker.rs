//! From decided words to pieces of text: by `unit`, no later than `latency` allows.

use std::collections::VecDeque;

use gst::ClockTime;
use serde::{Deserialize, Serialize};

use super::Unit;
use super::cues::{TimedWord, attach_punctuation, clock_time};
use super::edits::Edits;
use super::json::{Piece, Stream};
use super::messages::Stretch;
use super::output::Output;
use super::saved::{instant, instant_if_any};
use crate::policy::Samples;
use crate::text::redact::{Redacted, Redactor, Span};
use crate::text::{Cue, CueRules, Cues};

/// Most words of an utterance kept for its `final` message; of a longer one the newest are.
const KEPT_WORDS: usize = 4_096;
/// Most events that wait; one more lets the oldest go.
const MOST_LATER: usize = 256;
/// GAPs that only keep `latency` come in steps of this length.
const GAP_STEP: ClockTime = ClockTime::from_mseconds(100);

/// What one pass released, on the segment's clock.
#[derive(Clone, Debug)]
pub struct Timed {
    pub words: Vec<TimedWord>,
    pub text: String,
    pub start: ClockTime,
    pub end: ClockTime,
    pub utterance: u64,
    pub is_final: bool,
    /// End of the audio that the pass had heard.
    pub decided: ClockTime,
}

impl Timed {
    /// As this, of other words; `None` if there are none.
    pub fn with(&self, words: Vec<TimedWord>) -> Option<Timed> {
        Some(Timed {
            start: words.first()?.start,
            end: words.last()?.end,
            text: words.iter().map(|word| word.text.as_str()).collect(),
            words,
            ..self.clone()
        })
    }
}

/// What was said that no message tells of yet.
#[derive(Debug)]
pub enum Untold {
    Words(Timed),
    /// The message is there already.
    Message(gst::Structure),
}

/// How far the passes have come, on the segment's clock.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// No word released later starts before this.
    pub quiet_until: ClockTime,
    /// End of the audio that passes have covered.
    pub heard: ClockTime,
    /// End of the audio received.
    pub received: ClockTime,
}

/// An utterance so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Utterance {
    pub number: u64,
    pub words: Vec<TimedWord>,
    #[serde(with = "instant_if_any")]
    pub start: Option<ClockTime>,
    #[serde(with = "instant")]
    pub end: ClockTime,
    /// The oldest words are not kept any more.
    pub truncated: bool,
}

impl Utterance {
    fn add(&mut self, release: &Timed) {
        self.number = release.utterance;
        self.start.get_or_insert(release.start);
        self.end = self.end.max(release.end);
        self.words.extend(release.words.iter().cloned());
        let surplus = self.words.len().saturating_sub(KEPT_WORDS);
        if surplus > 0 {
            self.words.drain(..surplus);
            self.truncated = true;
        }
    }
}

/// How text is cut and when it must be out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    pub unit: Unit,
    /// Text leaves as the reference prints it.
    pub verbatim: bool,
    pub live: bool,
    pub latency: ClockTime,
    pub chunk: ClockTime,
}

/// What is decided and not yet told, and how far the text has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedSpeaker {
    speaking: bool,
    utterance: Utterance,
    floor: Samples,
    language: Option<String>,
    probability: f32,
    redactor: Redactor<TimedWord>,
    cue: Vec<TimedWord>,
    #[serde(with = "instant")]
    covered: ClockTime,
}

/// What lies behind the lock that the worker and the streaming thread share; see [`super`] for the order of locks.
pub struct Speaker {
    pub out: Output,
    pub manner: Manner,
    pub stream: Stream,
    /// Speech has started, and what was said in it is not all told.
    pub speaking: bool,
    pub utterance: Utterance,
    /// Which session may speak; others are closed.
    pub session: u64,
    /// What lies before this position was flushed.
    pub floor: Samples,
    /// What is done to words before anybody sees them.
    pub edits: Edits,
    pub untold: Vec<Untold>,
    cues: Cues<TimedWord>,
    /// Others' events that wait for the text before them, and the instants they belong to.
    later: VecDeque<(ClockTime, gst::Event)>,
}

impl Speaker {
    pub fn new(out: Output) -> Speaker {
        Speaker {
            out,
            manner: Manner::default(),
            stream: Stream::default(),
            speaking: false,
            later: VecDeque::new(),
            utterance: Utterance::default(),
            session: 0,
            floor: 0,
            edits: Edits::default(),
            untold: Vec::new(),
            cues: Cues::live(CueRules::default()),
        }
    }

    /// What is to be known to go on elsewhere. Others' events that wait here stay here.
    pub fn save(&self) -> SavedSpeaker {
        SavedSpeaker {
            speaking: self.speaking,
            utterance: self.utterance.clone(),
            floor: self.floor,
            language: self.stream.language.clone(),
            probability: self.stream.probability,
            redactor: self.edits.held().clone(),
            cue: self.cues.held().to_vec(),
            covered: self.out.covered(),
        }
    }

    /// Goes on with what another had said; the text of its segment is covered as far as that one's was.
    pub fn take_up(&mut self, saved: &SavedSpeaker) {
        self.speaking = saved.speaking;
        self.utterance = saved.utterance.clone();
        self.floor = saved.floor;
        self.stream.language = saved.language.clone();
        self.stream.probability = saved.probability;
        self.edits.hold(saved.redactor.clone());
        self.cues.hold(saved.cue.clone());
        self.out.go_on_from(saved.covered);
    }

    /// Forgets what was not said yet, and the segment: FLUSH_STOP.
    pub fn flush(&mut self, floor: Samples) {
        self.flush_words(floor);
        self.out.flush();
    }

    /// Forgets what was not said yet.
    pub fn flush_words(&mut self, floor: Samples) {
        self.floor = floor;
        self.later.clear();
        self.speaking = false;
        self.cues.clear();
        self.edits.forget();
        self.untold.clear();
        let spoke = !self.utterance.words.is_empty();
        self.utterance = Utterance {
            number: self.utterance.number + u64::from(spoke),
            ..Utterance::default()
        };
    }

    /// Number of the present utterance.
    pub fn number(&self) -> u64 {
        self.utterance.number
    }

    /// Says what a pass released.
    pub fn say(&mut self, release: &Timed) {
        self.utterance.add(release);
        let words = match self.manner.verbatim {
            true => release.words.clone(),
            false => attach_punctuation(release.words.clone()),
        };
        match self.manner.unit {
            Unit::Chunk => {
                let piece = Piece {
                    verbatim: self.manner.verbatim.then(|| release.text.clone()),
                    lines: Vec::new(),
                    words,
                    start: release.start,
                    end: release.end,
                    utterance: release.utterance,
                    is_final: release.is_final,
                    decided: release.decided,
                };
                self.push(&piece);
            }
            Unit::Word => {
                let count = words.len();
                for (n, word) in words.into_iter().enumerate() {
                    let last = release.is_final && n + 1 == count;
                    let (start, end) = (word.start, word.end);
                    self.push_words(vec![word], Vec::new(), (start, end), release, last);
                }
            }
            Unit::Utterance => {
                for cue in self.cues.add(words) {
                    self.push_cue(cue, release, false);
                }
                if release.is_final {
                    self.push_cues(release.decided.max(release.end), release, true);
                }
            }
        }
    }

    /// The utterance is over: says what is left of it, and brings the whole.
    pub fn end_utterance(&mut self, decided: ClockTime) -> Utterance {
        let number = self.number();
        self.push_cues(decided, &moment(number, decided), true);
        let next = Utterance {
            number: number + 1,
            ..Utterance::default()
        };
        std::mem::replace(&mut self.utterance, next)
    }

    /// A pass is over: covers what is certain to stay silent.
    pub fn progress(&mut self, progress: Progress) {
        let release = moment(self.number(), progress.heard);
        // What is held back was said before.
        let quiet = self.open_until(progress.quiet_until);
        for cue in self.cues.quiet(quiet.into()) {
            self.push_cue(cue, &release, false);
        }
        // Paced exactly, what leaves must not depend on how fast the input comes: there the input counts as far as
        // passes go, and the chunk that gathers meanwhile is part of the latency.
        let latest = match self.manner.live {
            true => self.deadline(progress.received),
            false => progress
                .heard
                .saturating_sub(self.manner.latency.saturating_sub(self.manner.chunk)),
        };
        self.say_held(latest, &release);
        if self.manner.live {
            self.hurry(latest, &release);
        }
        self.cover(progress.quiet_until.min(progress.heard).max(latest));
    }

    /// Live, between passes: whatever the passes do, the output does not lag `received` by more than `latency`.
    pub fn keep_up(&mut self, received: ClockTime) {
        let deadline = self.deadline(received);
        if deadline > self.out.covered() {
            let now = moment(self.number(), received);
            self.say_held(deadline, &now);
            self.hurry(deadline, &now);
            let ahead = deadline.saturating_add(GAP_STEP.min(self.manner.latency));
            self.cover(ahead);
        }
    }

    /// All audio up to `end` is decided: covers the rest.
    pub fn finish(&mut self, end: ClockTime) {
        self.say_all_held(end);
        self.push_cues(end, &moment(self.number(), end), true);
        self.out.cover(end);
        self.forward(ClockTime::MAX);
    }

    /// Has `event` leave behind the text of what was said before the instant `at`.
    pub fn event_at(&mut self, at: ClockTime, event: gst::Event) {
        self.later.push_back((at, event));
        if self.later.len() > MOST_LATER {
            self.forward_one();
        }
        self.forward(self.out.covered());
    }

    /// Lets go what belongs to instants up to `until`: no text that is still to come was said before it.
    pub fn forward(&mut self, until: ClockTime) {
        while self.later.front().is_some_and(|(at, _)| *at <= until) {
            self.forward_one();
        }
    }

    fn forward_one(&mut self) {
        if let Some((_, event)) = self.later.pop_front() {
            self.out.event(event);
        }
    }

    fn deadline(&self, received: ClockTime) -> ClockTime {
        received.saturating_sub(self.manner.latency)
    }

    /// Says the cue being gathered if its first word must be out by now.
    fn hurry(&mut self, deadline: ClockTime, release: &Timed) {
        if self
            .cues
            .start()
            .is_some_and(|start| start < deadline.into())
        {
            self.push_cues(deadline, release, false);
        }
    }

    /// Says words that are held back for what may follow them, if they start before `deadline` and so cannot wait.
    fn say_held(&mut self, deadline: ClockTime, now: &Timed) {
        if self.edits.start().is_some_and(|start| start < deadline) {
            let held = self.edits.release();
            self.say_rest(held, now);
        }
    }

    /// The utterance is over: says what is held back of it.
    pub fn say_all_held(&mut self, decided: ClockTime) {
        let held = self.edits.end_utterance();
        self.say_rest(held, &moment(self.number(), decided));
    }

    fn say_rest(&mut self, held: Redacted<TimedWord>, now: &Timed) {
        self.mute(&held.spans, now.utterance);
        if let Some(release) = now.with(held.words) {
            self.say(&release);
            self.untold.push(Untold::Words(release));
        }
    }

    /// Tells downstream where digits are spoken; the message follows.
    pub fn mute(&mut self, spans: &[Span], utterance: u64) {
        let Some(segment) = self.out.segment().cloned() else {
            return;
        };
        for span in spans {
            let (start, end) = (clock_time(span.start), clock_time(span.end));
            let told = Stretch::new(&segment, start, end)
                .structure("whisperstream/redact", utterance)
                .field_if_some("leg", self.stream.leg.as_deref())
                .build();
            self.out
                .event(gst::event::CustomDownstream::new(told.clone()));
            self.untold.push(Untold::Message(told));
        }
    }

    /// Up to where all that was said has been handed on, if all up to `until` is decided.
    fn open_until(&self, until: ClockTime) -> ClockTime {
        self.edits.start().map_or(until, |start| start.min(until))
    }

    /// A GAP to `until`, but not past a word that is decided and waits in a cue.
    fn cover(&mut self, until: ClockTime) {
        let until = self.open_until(until);
        let cue = self.cues.start().map(clock_time);
        let until = cue.map_or(until, |start| start.min(until));
        self.out.cover(until);
        self.forward(until);
    }

    /// Says all that is gathered; nothing later starts before `until`.
    fn push_cues(&mut self, until: ClockTime, release: &Timed, is_final: bool) {
        let cues = self.cues.take(until.into());
        let last = cues.len().saturating_sub(1);
        for (n, cue) in cues.into_iter().enumerate() {
            self.push_cue(cue, release, is_final && n == last);
        }
    }

    fn push_cue(&mut self, cue: Cue<TimedWord>, release: &Timed, is_final: bool) {
        let span = (clock_time(cue.start), clock_time(cue.end));
        self.push_words(cue.words, cue.lines, span, release, is_final);
    }

    fn push_words(
        &mut self,
        words: Vec<TimedWord>,
        lines: Vec<String>,
        (start, end): (ClockTime, ClockTime),
        release: &Timed,
        is_final: bool,
    ) {
        let verbatim = self
            .manner
            .verbatim
            .then(|| words.iter().map(|word| word.text.as_str()).collect());
        let piece = Piece {
            words,
            lines,
            verbatim,
            start,
            end,
            utterance: release.utterance,
            is_final,
            decided: release.decided,
        };
        self.push(&piece);
    }

    fn push(&mut self, piece: &Piece) {
        self.forward(piece.start);
        self.out.text(piece, &self.stream);
    }
}

/// A release without words: what a piece that leaves on its own needs to know.
fn moment(utterance: u64, decided: ClockTime) -> Timed {
    Timed {
        words: Vec::new(),
        text: String::new(),
        start: decided,
        end: decided,
        utterance,
        is_final: false,
        decided,
    }
}
