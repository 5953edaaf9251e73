//! The thread of a session: waits for the model, then turns jobs into passes and passes into events.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::desk::{Desk, Job};
use super::inbox::{Cut as End, Mark, Take};
use super::models::{NoModel, Request};
use super::pacing::Pacing;
use super::runner::{Heard, Runner, Source};
use super::scheduler::{Due, Level, Strain};
use super::stats::duration;
use super::{Degradation, EngineError, Event, Listener, NotResumed, Pace, fault_text, lock};
use crate::policy::{
    Guards, LanguageChoice, Outcome, PartialWord, PolicySettings, Samples, SavedPolicy,
};
use crate::speech::{Ask, BargeIn, Boundary, Detection, Interruption};
use crate::whisper::{Cancel, FRAME, Language};

/// Longest text of an utterance kept for partials, in bytes; of a longer one the end is kept.
const MAX_TEXT: usize = 64 * 1024;

/// What a worker is started with.
pub(super) struct Start<S: Source> {
    pub source: S,
    pub request: Arc<Request<S::Model>>,
    pub settings: PolicySettings,
    /// A stream to go on with.
    pub resume: Option<(SavedPolicy, SavedWorker)>,
    pub cut: Cut,
    pub desk: Arc<Desk>,
    pub barge_in: Arc<Mutex<BargeIn>>,
    pub listener: Listener,
}

/// Where passes are cut, in samples.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub pace: Pace,
    /// Audio before each pass, if the machine keeps up.
    pub chunk: usize,
    /// The longest audio that a pass hears.
    pub max: usize,
    /// Windows may be shortened to spare the machine.
    pub shortenable: bool,
}

impl Cut {
    /// Chunk of a stream that takes longer ones, so many times as long, to spare the machine.
    fn longer(&self, times: usize) -> usize {
        (self.chunk * times).min(self.max / 2).max(self.chunk)
    }

    /// Longest run of samples given to the policy in one piece, of a chunk of `samples`. The policy scrolls whole pieces
    /// out of its window: a chunk that nearly fills it would push out words not yet decided.
    fn piece(&self, samples: usize) -> usize {
        let limit = match self.pace {
            Pace::Exact => self.max,
            Pace::Live => self.max / 2,
        };
        match samples > limit {
            true => (self.max / 4 / FRAME).max(1) * FRAME,
            false => samples.max(1),
        }
    }
}

impl<S: Source> Start<S> {
    pub(super) fn spawn(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name("whisperstream".into())
            .spawn(move || self.run())
    }

    /// Body of the thread. Whatever happens, nobody is left waiting.
    fn run(self) {
        let (desk, listener) = (Arc::clone(&self.desk), Arc::clone(&self.listener));
        desk.sit_down();
        let end = catch_unwind(AssertUnwindSafe(|| self.serve()))
            .unwrap_or_else(|panic| Err(EngineError::Fault(fault_text(&*panic))));
        if let Err(error) = end {
            // The fault may have been the listener's own.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                desk.say(None, &listener, Event::Failed(error));
            }));
            desk.failed();
        }
        drop(listener);
        desk.exited();
    }

    fn serve(self) -> Result<(), EngineError> {
        let Start {
            source,
            request,
            settings,
            resume,
            cut,
            desk,
            barge_in,
            listener,
        } = self;
        let mut progress = |loading| {
            desk.say(None, &listener, Event::Loading(loading));
        };
        let model = match request.wait(&mut progress) {
            Ok(model) => model,
            Err(NoModel::GivenUp) => return Ok(()),
            Err(NoModel::Failed(error)) => return Err(error.into()),
        };
        let (took, shared) = (request.age(), request.is_shared());
        let users = model.users();
        let interim = settings.interim;
        let language = fixed_language(&settings);
        let mut runner = source.runner(model, settings)?;
        let now = match resume {
            None => Now {
                language,
                ..Now::default()
            },
            Some((policy, saved)) => {
                runner.resume(policy).map_err(NotResumed::from)?;
                saved.into()
            }
        };
        desk.loaded(users);
        desk.say(None, &listener, Event::Loaded { took, shared });
        let worker = Worker {
            runner,
            chunk: cut.chunk,
            level: Level::None,
            pacing: Pacing::default(),
            cut,
            desk,
            barge_in,
            listener,
            now,
            interim,
            cautioned: false,
        };
        worker.run()
    }
}

fn fixed_language(settings: &PolicySettings) -> Option<&'static str> {
    match settings.language_choice() {
        Ok(LanguageChoice::Fixed(language)) => Some(language.code),
        _ => None,
    }
}

struct Worker<R> {
    runner: R,
    cut: Cut,
    /// Audio before each pass at present, in samples.
    chunk: usize,
    level: Level,
    pacing: Pacing,
    desk: Arc<Desk>,
    barge_in: Arc<Mutex<BargeIn>>,
    listener: Listener,
    now: Now,
    /// Partials are wanted.
    interim: bool,
    cautioned: bool,
}

/// Where the stream is.
#[derive(Clone, Default)]
struct Now {
    /// Spoken, once it is known.
    language: Option<&'static str>,
    /// Something was inserted since the stream was last fresh.
    holds: bool,
    /// Somebody speaks, by the voice detector: with this probability.
    speaking: Option<f32>,
    utterance: u64,
    /// The utterance has words.
    spoke: bool,
    /// Its text so far, and the unstable words behind it.
    text: String,
    tail: Vec<String>,
}

/// The same, written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedWorker {
    language: Option<String>,
    holds: bool,
    speaking: Option<f32>,
    pub utterance: u64,
    spoke: bool,
    text: String,
    tail: Vec<String>,
}

impl From<&Now> for SavedWorker {
    fn from(now: &Now) -> SavedWorker {
        SavedWorker {
            language: now.language.map(str::to_owned),
            holds: now.holds,
            speaking: now.speaking,
            utterance: now.utterance,
            spoke: now.spoke,
            text: now.text.clone(),
            tail: now.tail.clone(),
        }
    }
}

impl From<SavedWorker> for Now {
    fn from(saved: SavedWorker) -> Now {
        let language = saved.language.as_deref().and_then(Language::parse);
        Now {
            language: language.map(|language| language.code),
            holds: saved.holds,
            speaking: saved.speaking,
            utterance: saved.utterance,
            spoke: saved.spoke,
            text: saved.text,
            tail: saved.tail,
        }
    }
}

impl<R: Runner> Worker<R> {
    fn run(mut self) -> Result<(), EngineError> {
        loop {
            if let Some(caution) = self.runner.caution().filter(|_| !self.cautioned) {
                self.cautioned = true;
                self.desk
                    .say(None, &self.listener, Event::Cautioned(caution));
            }
            if let Some(trouble) = self.runner.trouble() {
                self.desk
                    .say(None, &self.listener, Event::NotRecorded(trouble));
            }
            match self.desk.next() {
                Job::Quit => return Ok(()),
                Job::Reset(position) => self.reset(position),
                Job::Save => self.desk.saved(self.runner.save(), (&self.now).into()),
                Job::Update(settings) => {
                    let interim = settings.interim;
                    let language = fixed_language(&settings);
                    match self.runner.update(settings) {
                        Ok(()) => {
                            self.interim = interim;
                            self.now.language = language.or(self.now.language);
                        }
                        Err(error) => {
                            self.desk.say(None, &self.listener, Event::Refused(error));
                        }
                    }
                }
                Job::Audio {
                    take,
                    epoch,
                    cancel,
                } => match self.hear(take, epoch, &cancel) {
                    // Whoever cancelled has also asked for a reset, or for the end.
                    Err(_) if cancel.is_cancelled() => {}
                    Err(error) => return Err(error),
                    Ok(()) => self.follow(),
                },
            }
        }
    }

    fn hear(&mut self, take: Take, epoch: u64, cancel: &Cancel) -> Result<(), EngineError> {
        match take {
            Take::Chunk {
                samples,
                end,
                arrived,
                cut,
            } => {
                let utterance = self.now.utterance;
                self.insert(&samples);
                if let End::SpeechEnd(detection) = cut {
                    self.runner.speech(&detection.boundary);
                }
                let is_last = cut == End::Last;
                if self.now.holds {
                    self.pass(is_last, end, arrived, epoch, cancel)?;
                }
                self.words_known(end, cut == End::Look, epoch);
                match cut {
                    End::SpeechEnd(detection) => self.speech(detection, utterance, epoch),
                    End::Last => {
                        let number = self.desk.draining();
                        self.say(epoch, Event::Drained { number });
                        self.desk.drained(epoch);
                    }
                    End::Full | End::Look => {}
                }
            }
            Take::Mark(Mark::Speech(detection)) => {
                self.runner.speech(&detection.boundary);
                self.speech(detection, self.now.utterance, epoch);
            }
            Take::Mark(Mark::Interruption(interruption)) => self.interrupted(interruption, epoch),
            // It ends a chunk.
            Take::Mark(Mark::Look(_)) => {}
            Take::Hole { end } => {
                if self.now.holds {
                    self.pass(true, end, None, epoch, cancel)?;
                }
                if let Some((start, samples)) = self.desk.mend(epoch) {
                    let behind = start.saturating_add(samples);
                    let speaking = self.now.speaking;
                    self.reset(behind);
                    // Whoever spoke before it speaks on, as long as nothing else is known.
                    if let Some(probability) = speaking {
                        self.now.speaking = speaking;
                        let onset = behind;
                        self.runner.speech(&Boundary::Start { onset, probability });
                    }
                    self.say(epoch, Event::Dropped { start, samples });
                    let (quiet_until, heard) = (behind, behind);
                    self.say(epoch, Event::Progress { quiet_until, heard });
                }
            }
        }
        Ok(())
    }

    /// Tells of speech that starts, or of speech whose last words are told.
    fn speech(&mut self, detection: Detection, utterance: u64, epoch: u64) {
        self.now.speaking = match detection.boundary {
            Boundary::Start { probability, .. } => Some(probability),
            Boundary::End { .. } => None,
        };
        self.say(
            epoch,
            Event::Speech {
                detection,
                utterance,
            },
        );
        self.partial(Vec::new(), detection.at, epoch);
    }

    /// Whether the words known by now make an interruption.
    fn words_known(&mut self, at: Samples, looked: bool, epoch: u64) {
        let mut barge_in = lock(&self.barge_in);
        if !barge_in.is_on() || self.now.speaking.is_none() {
            return;
        }
        let words = self
            .now
            .text
            .split_whitespace()
            .chain(self.now.tail.iter().map(|word| word.trim()));
        let words = words.map(str::to_owned).collect();
        let ask = barge_in.words(at, words, self.now.language, looked);
        drop(barge_in);
        if let Ask::Interrupt(interruption) = ask {
            self.say(epoch, Event::Interrupting(interruption.clone()));
            self.interrupted(interruption, epoch);
        }
    }

    fn interrupted(&self, interruption: Interruption, epoch: u64) {
        let utterance = self.now.utterance;
        let told = Event::Interrupted {
            interruption,
            utterance,
        };
        self.say(epoch, told);
    }

    /// What is said so far, for those who want to know.
    fn partial(&self, words: Vec<PartialWord>, heard: Samples, epoch: u64) {
        if self.interim {
            let partial = Event::Partial {
                utterance: self.now.utterance,
                committed: self.now.text.clone(),
                words,
                heard,
            };
            self.say(epoch, partial);
        }
    }

    /// Does what all streams of the model do to keep up, or no longer does it.
    fn follow(&mut self) {
        if self.cut.pace == Pace::Exact {
            return;
        }
        let Strain { level, busy, late } = self.runner.strain();
        if level == self.level {
            return;
        }
        self.level = level;
        self.chunk = self.cut.longer(level.chunks());
        self.desk.cut_at(self.chunk);
        let shortened = self.cut.shortenable && level >= Level::Shortened;
        self.runner.shorten(shortened);
        self.desk
            .measure(None, |meter| meter.degrade(level.number()));
        let degradation = Degradation {
            level: level.number(),
            chunk: duration(self.chunk as u64),
            shortened,
            late,
            busy,
        };
        self.desk
            .say(None, &self.listener, Event::Degraded(degradation));
    }

    fn insert(&mut self, samples: &[f32]) {
        for piece in samples.chunks(self.cut.piece(samples.len())) {
            self.runner.insert(piece);
            self.now.holds = true;
        }
    }

    fn pass(
        &mut self,
        is_last: bool,
        end: Samples,
        arrived: Option<Instant>,
        epoch: u64,
        cancel: &Cancel,
    ) -> Result<(), EngineError> {
        let begun = Instant::now();
        let due = match self.cut.pace {
            Pace::Exact => Due::Whenever,
            Pace::Live if arrived.is_some_and(|at| self.pacing.is_fast(end, at)) => Due::Whenever,
            Pace::Live => Due::By {
                deadline: arrived.unwrap_or(begun) + duration(self.chunk as u64),
                // Behind it the next pass takes in more, which helps by itself; half a chunk more is too much.
                grace: duration(self.chunk as u64 / 2),
                shortenable: self.cut.shortenable,
            },
        };
        let Heard { outcome, effort } = self.runner.pass(is_last, due, cancel)?;
        let took = begun.elapsed();
        if is_last {
            self.now.holds = false;
        }
        let (released, guards) = (outcome.release.is_some(), outcome.guards);
        self.tell(outcome, effort.is_some(), is_last, end, epoch);
        let text_delay = arrived.filter(|_| released).map(|at| at.elapsed());
        let bytes = self.runner.bytes();
        self.desk.measure(Some(epoch), |meter| {
            meter.heard = end;
            meter.bytes = bytes;
            meter.add(&guards);
            meter.pass(took, effort);
            if let Some(delay) = text_delay {
                meter.chunk_to_text.add(delay);
            }
        });
        Ok(())
    }

    fn tell(&mut self, outcome: Outcome, ran: bool, is_last: bool, heard: Samples, epoch: u64) {
        let utterance = self.now.utterance;
        let is_final = outcome.utterance_end || is_last;
        if let Some(language) = outcome.language {
            self.now.language = Some(language.code);
            self.say(epoch, Event::Language(language));
        }
        if let Some(release) = outcome.release {
            self.now.spoke = true;
            self.append(&release.text);
            self.say(
                epoch,
                Event::Words {
                    release,
                    utterance,
                    is_final,
                    heard,
                },
            );
        } else if is_final && self.now.spoke {
            self.say(epoch, Event::UtteranceEnd { utterance, heard });
        }
        if is_final {
            self.end_utterance();
        }
        self.now.tail = outcome
            .partial
            .iter()
            .map(|p| p.word.text.clone())
            .collect();
        if ran && !is_final {
            self.partial(outcome.partial, heard, epoch);
        }
        if outcome.guards != Guards::default() {
            self.say(epoch, Event::Guarded(outcome.guards));
        }
        let quiet_until = outcome.quiet_until;
        self.say(epoch, Event::Progress { quiet_until, heard });
    }

    fn append(&mut self, text: &str) {
        self.now.text.push_str(text);
        if self.now.text.len() > MAX_TEXT {
            let surplus = self.now.text.len() - MAX_TEXT / 2;
            let cut = (surplus..).find(|&at| self.now.text.is_char_boundary(at));
            self.now.text.drain(..cut.unwrap_or(0));
        }
    }

    fn reset(&mut self, position: Samples) {
        self.runner.reset(position);
        self.now.holds = false;
        self.now.speaking = None;
        self.end_utterance();
    }

    fn end_utterance(&mut self) {
        if std::mem::take(&mut self.now.spoke) {
            self.now.utterance += 1;
        }
        self.now.text.clear();
        self.now.tail.clear();
    }

    fn say(&self, epoch: u64, event: Event) {
        self.desk.say(Some(epoch), &self.listener, event);
    }
}
