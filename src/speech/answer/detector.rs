//! The state machine: what is heard goes in, a flush to ask for, a verdict and what follows it come out.

use std::collections::VecDeque;
use std::time::Duration;

use super::Word;
use super::cadence::{Cadence, Status};
use super::line::{Heard, Line, Span, Tone, ToneKind};
use super::phrases::{Phrases, Side};
use super::settings::Settings;
use super::verdict::{Cause, Outcome, Verdict};
use super::votes::Votes;
use super::watch::{Found, GreetingEnd, Watch};

/// What the owner is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Have all that was said so far decided; then call [`Detector::flushed`] with this number.
    Flush(u64),
    Verdict(Verdict),
    GreetingEnd(GreetingEnd),
    Beep(Tone),
}

/// One vote more than the other sides have decides at once.
const SURE: f32 = 1.0;
/// Less than this is no verdict, whatever the time. More than length alone can count: to speak long is no machine's alone.
const MACHINE_LEAST: f32 = 0.45;
const HUMAN_LEAST: f32 = 0.15;
/// What the length of speech can count at most, and what it counts that somebody spoke and waits.
const LENGTH_VOTES: f32 = 0.2;
const WAITING_VOTES: f32 = 0.5;
/// Words that were recognised with less confidence than this on average, and hold no phrase, were not understood.
const UNDERSTOOD: f32 = 0.6;
/// A flush that is not answered within this much audio is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a beep, the other tones of a signal that begins like one are waited for.
const AFTER_BEEP: Duration = Duration::from_millis(400);

/// Tells what is at the other end of a call.
#[derive(Clone, Debug)]
pub struct Detector {
    settings: Settings,
    phrases: Phrases,
    language: Option<String>,
    line: Line,
    words: Vec<Word>,
    votes: Votes,
    /// When the call began; none before anything was heard.
    start: Option<Duration>,
    /// The flush under way, and the audio heard when it was asked for.
    asked: Option<(u64, Duration)>,
    asked_so_far: u64,
    /// End of the speech behind which a pause was judged without a verdict.
    judged: Option<Duration>,
    /// After the verdict.
    watch: Option<Watch>,
    actions: VecDeque<Action>,
}

impl Detector {
    pub fn new(settings: Settings, phrases: Phrases) -> Detector {
        Detector {
            settings,
            phrases,
            language: None,
            line: Line::default(),
            words: Vec::new(),
            votes: Votes::default(),
            start: None,
            asked: None,
            asked_so_far: 0,
            judged: None,
            watch: None,
            actions: VecDeque::new(),
        }
    }

    /// Phrases of this language alone count; of all languages when it is unknown or has none.
    pub fn set_language(&mut self, language: Option<&str>) {
        if self.language.as_deref() != language {
            self.language = language.map(Into::into);
            self.count();
            self.settle();
        }
    }

    /// Forgets all but what is still to be done; the next thing heard begins a call.
    pub fn reset(&mut self) {
        let fresh = Detector::new(self.settings.clone(), std::mem::take(&mut self.phrases));
        *self = Detector {
            language: self.language.take(),
            asked_so_far: self.asked_so_far,
            actions: std::mem::take(&mut self.actions),
            ..fresh
        };
    }

    /// A call begins at `at`, or with what is heard next.
    pub fn answered(&mut self, at: Option<Duration>) {
        let at = at.unwrap_or(self.line.now());
        self.line.begin(at);
        self.words.retain(|word| word.end > at);
        self.count();
        self.start = Some(at);
        (self.asked, self.judged, self.watch) = (None, None, None);
        self.settle();
    }

    /// The clock.
    pub fn heard(&mut self, heard: &Heard) {
        self.start.get_or_insert(heard.start);
        self.line.heard(heard);
        self.settle();
    }

    pub fn speech_start(&mut self, at: Duration) {
        self.line.speech_start(at);
        self.settle();
    }

    pub fn speech_end(&mut self, span: Span) {
        self.line.speech_end(span);
        self.settle();
    }

    pub fn words(&mut self, words: &[Word]) {
        for word in words {
            let span = Span {
                start: word.start,
                end: word.end,
            };
            self.start.get_or_insert(word.start);
            self.line.word(span);
            if self.watch.is_none() && self.start.is_none_or(|start| word.end > start) {
                self.words.push(word.clone());
            }
        }
        self.count();
        self.settle();
    }

    pub fn tone(&mut self, tone: Tone) {
        self.start.get_or_insert(tone.start);
        self.line.tone(tone);
        self.count();
        self.settle();
    }

    /// The flush of this number is done: all that was said when it was asked for has been told.
    pub fn flushed(&mut self, number: u64) {
        if self.asked.is_some_and(|(asked, _)| asked == number) {
            self.asked = None;
            self.judge();
            self.settle();
        }
    }

    /// Nothing more will be heard.
    pub fn end(&mut self) {
        if self.watch.is_none() {
            self.start.get_or_insert(self.line.now());
            self.settle();
        }
        if self.watch.is_none() {
            let verdict = self.last_word();
            self.give(verdict);
        }
    }

    /// What is to be done, first things first.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn count(&mut self) {
        // A tone may have been written down before it was known for one.
        let line = &self.line;
        self.words.retain(|word| {
            !line.is_tone(&Span {
                start: word.start,
                end: word.end,
            })
        });
        self.votes = Votes::count(&self.phrases, self.language.as_deref(), &self.words);
    }

    /// Decides what can be decided by now.
    fn settle(&mut self) {
        let Some(start) = self.start else { return };
        if let Some(watch) = &mut self.watch {
            let found = watch.look(&self.line).into_iter().map(|found| match found {
                Found::GreetingEnd(end) => Action::GreetingEnd(end),
                Found::Beep(tone) => Action::Beep(tone),
            });
            self.actions.extend(found);
            return;
        }
        let sure = self.by_tone().or_else(|| self.by_phrase());
        if let Some(verdict) = sure.or_else(|| self.by_length()) {
            return self.give(verdict);
        }
        let now = self.line.now();
        match self.asked {
            Some((_, since)) if now >= since.saturating_add(PATIENCE) => {
                self.asked = None;
                self.judge();
            }
            Some(_) => {}
            None if self.is_due(start) || self.pause(start).is_some() => {
                self.asked_so_far += 1;
                self.asked = Some((self.asked_so_far, now));
                self.actions.push_back(Action::Flush(self.asked_so_far));
            }
            None => {}
        }
    }

    fn is_due(&self, start: Duration) -> bool {
        self.line.now() >= start.saturating_add(self.settings.decision_time)
    }

    /// End of the speech behind which there is a pause that has not been judged.
    fn pause(&self, start: Duration) -> Option<Duration> {
        let since = self.line.quiet_since(start)?;
        let long = self.settings.cadence.after_greeting_silence;
        let spoke = self.voice(start) >= self.settings.cadence.min_word_length;
        let is_new = self.judged.is_none_or(|judged| since > judged);
        (spoke && is_new && self.line.now() >= since.saturating_add(long)).then_some(since)
    }

    fn voice(&self, start: Duration) -> Duration {
        self.line.speech(start).iter().map(Span::length).sum()
    }

    /// All that was said is known: decides, or waits for more while there is time.
    fn judge(&mut self) {
        let Some(start) = self.start else { return };
        if self.watch.is_some() {
            return;
        }
        if self.is_due(start) {
            let verdict = self.last_word();
            return self.give(verdict);
        }
        match self.weigh(start) {
            Some(verdict) if verdict.outcome != Outcome::Unknown => self.give(verdict),
            _ => self.judged = self.line.quiet_since(start),
        }
    }

    /// What tones say.
    fn by_tone(&self) -> Option<Verdict> {
        let say = |outcome, confidence| Some(self.verdict(outcome, Cause::Tone, confidence));
        let mut beep = None;
        for tone in self.line.tones() {
            match tone.kind {
                ToneKind::FaxCng | ToneKind::FaxCed => return say(Outcome::Fax, 0.97),
                ToneKind::Sit | ToneKind::Busy | ToneKind::Congestion | ToneKind::Dial => {
                    return say(Outcome::NoAnswer, 0.97);
                }
                ToneKind::Beep if tone.ended => beep = Some(tone.span().end),
                ToneKind::Beep | ToneKind::RingBack => {}
            }
        }
        match beep {
            Some(end) if self.line.now() >= end.saturating_add(AFTER_BEEP) => {
                say(Outcome::Machine, 0.9)
            }
            _ => None,
        }
    }

    /// What words say beyond doubt.
    fn by_phrase(&self) -> Option<Verdict> {
        let (best, lead) = self.leader();
        (lead >= SURE).then(|| self.verdict(best, Cause::Phrase, certainty(lead)))
    }

    /// The side with most votes, and by how many it leads.
    fn leader(&self) -> (Outcome, f32) {
        let mut sides = [
            (Outcome::Human, self.votes.of(Side::Human)),
            (Outcome::Machine, self.votes.of(Side::Machine)),
            (Outcome::NoAnswer, self.votes.of(Side::NoAnswer)),
            (Outcome::Fax, self.votes.of(Side::Fax)),
        ];
        sides.sort_by(|a, b| b.1.total_cmp(&a.1));
        let [(best, most), (_, next), ..] = sides;
        (best, most - next)
    }

    /// So many words without a pause.
    fn by_length(&self) -> Option<Verdict> {
        let gap = self.settings.cadence.after_greeting_silence;
        let mut run = 0;
        let mut end = Duration::ZERO;
        for word in &self.words {
            run = if word.start >= end.saturating_add(gap) {
                1
            } else {
                run + 1
            };
            end = word.end;
        }
        let human = self.votes.of(Side::Human) > self.votes.of(Side::Machine);
        (run >= self.settings.long_greeting_words && !human)
            .then(|| self.verdict(Outcome::Machine, Cause::Cadence, 0.75))
    }

    /// The verdict when no more is waited for.
    fn last_word(&self) -> Verdict {
        let start = self.start.unwrap_or_default();
        let rang = |tone: &Tone| tone.kind == ToneKind::RingBack;
        let beeped = |tone: &Tone| tone.kind == ToneKind::Beep;
        if let Some(verdict) = self.weigh(start) {
            return verdict;
        }
        if self.line.tones().iter().any(beeped) {
            return self.verdict(Outcome::Machine, Cause::Tone, 0.8);
        }
        if self.line.tones().iter().any(rang) {
            return self.verdict(Outcome::NoAnswer, Cause::Tone, 0.9);
        }
        self.verdict(Outcome::NoAnswer, Cause::Silence, 0.9)
    }

    /// What words and voice say together; none if nobody spoke.
    fn weigh(&self, start: Duration) -> Option<Verdict> {
        let voice = self.voice(start);
        if voice < self.settings.cadence.min_word_length && self.words.is_empty() {
            return None;
        }
        if !self.is_understood() {
            return Some(self.by_cadence(start));
        }
        let (best, lead) = self.leader();
        if matches!(best, Outcome::NoAnswer | Outcome::Fax) && lead >= MACHINE_LEAST {
            return Some(self.verdict(best, Cause::Phrase, certainty(lead)));
        }
        let (machine, human) = (self.votes.of(Side::Machine), self.votes.of(Side::Human));
        let balance = machine - human + self.leaning(start, voice);
        let (outcome, votes) = match balance {
            _ if balance >= MACHINE_LEAST => (Outcome::Machine, machine),
            _ if balance <= -HUMAN_LEAST => (Outcome::Human, human),
            _ => return Some(self.verdict(Outcome::Unknown, Cause::Timeout, 0.5)),
        };
        let cause = if votes > 0.0 {
            Cause::Phrase
        } else {
            Cause::Cadence
        };
        Some(self.verdict(outcome, cause, certainty(balance.abs())))
    }

    fn is_understood(&self) -> bool {
        let confidence = |word: &Word| word.confidence.max(0.0);
        let mean = self.words.iter().map(confidence).sum::<f32>() / self.words.len().max(1) as f32;
        !self.votes.hits.is_empty() || mean >= UNDERSTOOD
    }

    /// What the length of the speech says, in votes for a machine: who answers in person is short and then waits.
    fn leaning(&self, start: Duration, voice: Duration) -> f32 {
        let greeting = self.settings.cadence.greeting.as_secs_f32();
        let long = (voice.as_secs_f32() - greeting).clamp(-LENGTH_VOTES, LENGTH_VOTES);
        let waits = self.line.quiet_since(start).is_some_and(|since| {
            let silence = self.settings.cadence.after_greeting_silence;
            self.line.now() >= since.saturating_add(silence)
        });
        // Short so far says nothing of somebody who still speaks.
        if waits {
            long - WAITING_VOTES
        } else {
            long.max(0.0)
        }
    }

    /// What voice and silence say where no word was understood: Asterisk's rules.
    fn by_cadence(&self, start: Duration) -> Verdict {
        let (spans, now) = (self.line.speech(start), self.line.now());
        match Cadence::judge(&self.settings.cadence, &spans, start, now) {
            Some((Status::Human, _)) => self.verdict(Outcome::Human, Cause::Cadence, 0.7),
            Some((Status::Machine, _)) => self.verdict(Outcome::Machine, Cause::Cadence, 0.7),
            Some((Status::NotSure, _)) | None => {
                self.verdict(Outcome::Unknown, Cause::Timeout, 0.5)
            }
        }
    }

    fn verdict(&self, outcome: Outcome, cause: Cause, confidence: f32) -> Verdict {
        let at = self.line.now();
        Verdict {
            outcome,
            cause,
            confidence,
            words: self.words.clone(),
            phrases: self.votes.hits.iter().map(|hit| hit.text.clone()).collect(),
            at,
            took: at.saturating_sub(self.start.unwrap_or(at)),
        }
    }

    fn give(&mut self, verdict: Verdict) {
        let is_machine = verdict.outcome == Outcome::Machine;
        let silence = self.settings.greeting_end_silence;
        let start = self.start.unwrap_or_default();
        self.asked = None;
        self.watch = Some(Watch::new(is_machine, silence, start));
        self.actions.push_back(Action::Verdict(verdict));
        self.words.clear();
        self.votes = Votes::default();
        // A beep that gave the verdict is told behind it.
        self.settle();
    }
}

/// How sure a lead of so many votes is: one vote is 0.85, two are 0.97.
fn certainty(votes: f32) -> f32 {
    1.0 / (1.0 + (-1.75 * votes).exp())
}
