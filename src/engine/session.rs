//! One stream: an inbox of audio, a worker that runs passes, and a way to stop it at any instant.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::desk::{Desk, Drain};
use super::dump::DumpSettings;
use super::hearing::Hearing;
use super::inbox::{Audio, Inbox};
use super::runner::{Network, Source};
use super::saved::Saved;
use super::streams::Place;
use super::worker::{Cut, Start};
use super::{EngineError, Event, ModelKey, Stats, lock};
use crate::policy::{AudioCtx, Gate, PolicySettings, Samples};
use crate::speech::{BargeIn, BargeInSettings, VadSettings};
use crate::whisper::AlignmentHead;

/// When passes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A pass at every multiple of the chunk, when the first sample behind it arrives; the pusher waits when the
    /// backlog is full; nothing is dropped; the result does not depend on the machine's speed.
    Exact,
    /// A pass as soon as a chunk is there and the worker is free (chunks grow under load); the pusher never waits;
    /// beyond `audio-max-len` of backlog the oldest audio is dropped and announced. After [`Session::hold_back`] the
    /// pusher waits and nothing is dropped.
    Live,
}

/// All a session needs to know.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    pub model: ModelKey,
    pub policy: PolicySettings,
    /// Overrides the model's own heads.
    pub alignment_heads: Option<Vec<AlignmentHead>>,
    /// A checkpoint that tells where words end ([`crate::whisper::WordEnds`]): the last word of a pass is dropped if the
    /// audio ends within it.
    pub cif_model: Option<PathBuf>,
    pub pace: Pace,
    /// Where speech is told from everything else; `None`: by its energy alone, and nobody is told.
    pub vad: Option<VadSettings>,
    /// When speech is an interruption. Needs `vad`.
    pub barge_in: BargeInSettings,
    /// Most streams on this model in the process, this one included; 0: no limit. One more is refused by
    /// [`Session::open`].
    pub max_streams: u32,
    /// Where to record the stream, for a replay.
    pub dump: Option<DumpSettings>,
}

/// Why a call into a session returned without doing its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// A flush is under way, or the session was shut.
    Flushing,
    /// The session failed; [`Event::Failed`] said why.
    Failed,
}

/// Who hears a session's events. Called without any lock of the engine held; it may wait, and it may call the session's
/// methods, except that a [`Session::drain`] or a full [`Session::push`] there would wait for itself.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// A stream's session. Dropping it closes it.
pub struct Session {
    desk: Arc<Desk>,
    hearing: Hearing,
    pace: Pace,
    give_up: Box<dyn Fn() + Send + Sync>,
    worker: Mutex<Option<JoinHandle<()>>>,
    /// Among the streams of the model, until it is closed.
    place: Mutex<Option<Arc<Place>>>,
}

impl Session {
    /// Checks the settings, starts the worker and asks for the model. Does not wait for it.
    pub fn open(settings: SessionSettings, listener: Listener) -> Result<Session, EngineError> {
        let place = Place::take(&settings.model, settings.max_streams)?;
        Session::open_at(Arc::new(place), settings, None, listener)
    }

    /// Goes on with a stream that was [saved](Self::save), on the same model: positions, utterances and words go on as if
    /// nothing had been. Its policy has the settings that it was saved with; all others are to be the same, too. It is not
    /// recorded.
    pub fn resume(
        settings: SessionSettings,
        saved: Saved,
        listener: Listener,
    ) -> Result<Session, EngineError> {
        let place = Place::take(&settings.model, settings.max_streams)?;
        Session::open_at(Arc::new(place), settings, Some(saved), listener)
    }

    /// Opens a session that follows this one, which is to be closed then: together they count as one stream.
    pub fn succeed(
        &self,
        settings: SessionSettings,
        listener: Listener,
    ) -> Result<Session, EngineError> {
        let place = lock(&self.place).clone();
        match place.filter(|place| place.is_on(&settings.model)) {
            Some(place) => Session::open_at(place, settings, None, listener),
            None => Session::open(settings, listener),
        }
    }

    fn open_at(
        place: Arc<Place>,
        settings: SessionSettings,
        saved: Option<Saved>,
        listener: Listener,
    ) -> Result<Session, EngineError> {
        settings.policy.check()?;
        settings.vad.as_ref().map_or(Ok(()), VadSettings::check)?;
        let source = Network {
            key: settings.model,
            heads: settings.alignment_heads,
            cif_model: settings.cif_model,
            pace: settings.pace,
            dump: settings.dump,
        };
        let (pace, vad) = (settings.pace, settings.vad);
        let session = Session::start_at(source, pace, vad, settings.policy, saved, listener)?;
        session.hearing.update(settings.barge_in);
        *lock(&session.place) = Some(place);
        Ok(session)
    }

    #[cfg(test)]
    pub(super) fn start<S: Source>(
        source: S,
        pace: Pace,
        vad: Option<VadSettings>,
        settings: PolicySettings,
        listener: Listener,
    ) -> Result<Session, EngineError> {
        Session::start_at(source, pace, vad, settings, None, listener)
    }

    fn start_at<S: Source>(
        source: S,
        pace: Pace,
        vad: Option<VadSettings>,
        settings: PolicySettings,
        saved: Option<Saved>,
        listener: Listener,
    ) -> Result<Session, EngineError> {
        let settings = PolicySettings {
            gate: match vad {
                Some(_) => Gate::Voice,
                None => Gate::Energy,
            },
            ..settings
        };
        let chunk = settings.chunk_samples();
        let max = settings.audio_max_len_ms as usize * 16;
        let cut = Cut {
            pace,
            chunk,
            max,
            shortenable: settings.audio_ctx == AudioCtx::Overload,
        };
        let mut inbox = Inbox::new(pace, chunk, max);
        let mut barge_in = BargeIn::new(BargeInSettings::default());
        let (mut resume, mut ear, mut position) = (None, None, 0);
        if let Some(saved) = saved {
            position = saved.position();
            inbox.resume(saved.inbox)?;
            barge_in = saved.barge_in;
            ear = saved.ear;
            resume = Some((saved.policy, saved.worker));
        }
        let desk = Arc::new(Desk::new(inbox));
        let barge_in = Arc::new(Mutex::new(barge_in));
        let hearing = Hearing::new(
            vad,
            Arc::clone(&barge_in),
            Arc::clone(&desk),
            Arc::clone(&listener),
        );
        hearing.resume(ear, position);
        let request = Arc::new(source.acquire().map_err(EngineError::Thread)?);
        let start = Start {
            source,
            request: Arc::clone(&request),
            settings,
            resume,
            cut,
            desk: Arc::clone(&desk),
            barge_in,
            listener,
        };
        let worker = start.spawn().map_err(EngineError::Thread)?;
        Ok(Session {
            desk,
            hearing,
            pace,
            give_up: Box::new(move || request.give_up()),
            worker: Mutex::new(Some(worker)),
            place: Mutex::default(),
        })
    }

    /// Appends samples. Exact pace, or held back: waits while the backlog is full. Returns the stream position behind them.
    /// Stopped midway, it has appended those that [`position`](Self::position) counts.
    pub fn push(&self, samples: &[i16]) -> Result<Samples, Stopped> {
        // Whether it is an interruption must not depend on how far the worker has come: paced exactly, it comes along.
        let in_step = self.pace == Pace::Exact && self.hearing.may_interrupt();
        let mut rest = samples;
        loop {
            let heard = self.hearing.hear(rest, in_step);
            let (now, later) = rest.split_at_checked(heard).unwrap_or((rest, &[]));
            let position = self.desk.push(Audio::Samples(now))?;
            if in_step {
                self.desk.settle()?;
            }
            if later.is_empty() {
                return Ok(position);
            }
            rest = later;
        }
    }

    /// Live pace, from a source that can wait: from now on [`push`](Self::push) waits while the backlog is full, as in exact
    /// pace, and nothing is dropped.
    pub fn hold_back(&self) {
        self.desk.hold_back();
    }

    /// The stream as it is when all that can be decided of the audio pushed so far is decided and told: waits for that. Call
    /// it on the thread that pushes.
    pub fn save(&self) -> Result<Saved, Stopped> {
        let (worker, inbox) = self.desk.save()?;
        let barge_in = self.hearing.barge_in();
        Ok(Saved::new(worker, inbox, self.hearing.save(), barge_in))
    }

    /// Appends `samples` of silence (a small hole in the stream).
    pub fn push_silence(&self, samples: u64) -> Result<Samples, Stopped> {
        self.hearing.hear_silence(samples);
        self.desk.push(Audio::Silence(samples))
    }

    /// Decides and delivers all said so far (the last pass of the utterance), then returns. The next sample pushed
    /// starts a fresh utterance, which may be in the middle of speech. Waits for the model if it is still being loaded.
    pub fn drain(&self) -> Result<(), Stopped> {
        self.desk.wait_drained(self.ask_drain()?)
    }

    /// As [`drain`](Self::drain) for all pushed before this call; returns at once.
    pub fn ask_drain(&self) -> Result<Drain, Stopped> {
        self.desk.ask_drain()
    }

    /// Waits until a drain is done.
    pub fn wait_drained(&self, drain: Drain) -> Result<(), Stopped> {
        self.desk.wait_drained(drain)
    }

    /// As [`drain`](Self::drain), where the stream ends or breaks off: speech ends there, and what comes next is heard
    /// afresh.
    pub fn end(&self) -> Result<(), Stopped> {
        self.hearing.end(self.desk.position());
        self.drain()
    }

    /// Whether somebody speaks, and for how long by now; `None` in silence. Cheap.
    pub fn speech(&self) -> Option<Duration> {
        self.hearing.speech()
    }

    /// Cancels the running pass and releases every waiting caller; returns at once, takes no lock that a
    /// listener call can hold. Until [`flush_end`](Self::flush_end) every call returns [`Stopped::Flushing`].
    pub fn flush_begin(&self) {
        self.desk.flush_begin();
    }

    /// Forgets all audio and text not yet delivered and accepts audio again; positions go on from where they were.
    /// Waits until the worker has left the cancelled pass (it does so at once, whatever the network is doing); a listener
    /// call that is under way it grants 50 ms. No other call for what was before the flush comes after it.
    pub fn flush_end(&self) {
        self.hearing.reset(self.desk.position());
        self.desk.flush_end();
    }

    /// Cancels, releases everyone and joins the worker. Idempotent, from any thread; the last session of a model takes
    /// one layer's time at most, and any session at most a second when a listener call is stuck: then the worker ends on
    /// its own as soon as that call returns, and calls no listener any more. A load under way is left to others or
    /// cancelled.
    pub fn close(&self) {
        self.desk.close();
        (self.give_up)();
        lock(&self.place).take();
        let gone = self.desk.wait_gone();
        let worker = lock(&self.worker).take();
        if let (true, Some(worker)) = (gone, worker) {
            // It has said its last word; a panic was caught inside.
            let _ = worker.join();
        }
    }

    /// Settings that may change while playing. Wrong ones are refused here, those that the loaded model cannot
    /// follow by [`Event::Refused`].
    pub fn update(&self, policy: PolicySettings) -> Result<(), EngineError> {
        policy.check()?;
        self.desk.update(policy);
        Ok(())
    }

    /// Hears what the other side of the call is told (16 kHz mono): its echo in this stream interrupts nobody. `position`
    /// is where in this stream its first sample is heard at the same time. At most 10 s are kept.
    pub fn hear_far(&self, position: Samples, samples: &[i16]) {
        self.hearing.hear_far(position, samples);
    }

    /// There is no other side any more.
    pub fn forget_far(&self) {
        self.hearing.forget_far();
    }

    /// When speech is an interruption, from now on.
    pub fn barge_in(&self, settings: BargeInSettings) {
        self.hearing.update(settings);
    }

    /// Samples pushed so far.
    pub fn position(&self) -> Samples {
        self.desk.position()
    }

    /// Audio that waits for a pass.
    pub fn backlog(&self) -> Duration {
        self.desk.backlog()
    }

    pub fn stats(&self) -> Stats {
        self.desk.stats()
    }

    #[cfg(test)]
    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}
