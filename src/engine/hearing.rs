//! Listens for speech on the thread that pushes, so that who speaks is known at once, whatever the network is doing.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::desk::Desk;
use super::inbox::Mark;
use super::stats::duration;
use super::{Event, Listener, lock};
use crate::policy::Samples;
use crate::speech::{
    Ask, BargeIn, BargeInSettings, Boundary, Detection, Ear, Echo, Frame, SavedEar, VadSettings,
};

/// No speech.
const SILENCE: u64 = u64::MAX;
/// Silence is heard in pieces of this many samples.
const PIECE: usize = 1_600;

/// The other side of the call.
#[derive(Default)]
struct FarEnd {
    echo: Echo,
    /// Samples of its echo in the running speech.
    heard: Samples,
}

/// A stream's ear, and who is told of what it hears.
pub(super) struct Hearing {
    ear: Mutex<Option<Ear>>,
    desk: Arc<Desk>,
    listener: Listener,
    /// Samples of the running speech, or [`SILENCE`].
    speech: AtomicU64,
    /// Asked here about speech, and by the worker about words.
    barge_in: Arc<Mutex<BargeIn>>,
    /// Once there is one.
    far_end: Mutex<Option<FarEnd>>,
}

impl Hearing {
    pub fn new(
        vad: Option<VadSettings>,
        barge_in: Arc<Mutex<BargeIn>>,
        desk: Arc<Desk>,
        listener: Listener,
    ) -> Hearing {
        Hearing {
            ear: Mutex::new(vad.map(|settings| Ear::new(settings, 0))),
            desk,
            listener,
            speech: AtomicU64::new(SILENCE),
            barge_in,
            far_end: Mutex::default(),
        }
    }

    /// Hears samples before they are pushed: passes are cut by what was heard. Returns how many were; the rest is to be
    /// heard when those are pushed: with `frame_by_frame` it stops behind each frame.
    pub fn hear(&self, samples: &[i16], frame_by_frame: bool) -> usize {
        let mut ear = lock(&self.ear);
        let Some(ear) = ear.as_mut() else {
            return samples.len();
        };
        ear.hear(samples, |frame| {
            let speech = frame.speech.unwrap_or(SILENCE);
            self.speech.store(speech, Ordering::Relaxed);
            if let Some(detection) = frame.detection {
                self.tell(detection);
            }
            self.interrupt(frame);
            match frame_by_frame {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    }

    /// Hears what the far end is told, from `position` of this stream on.
    pub fn hear_far(&self, position: Samples, samples: &[i16]) {
        let mut far = lock(&self.far_end);
        let far = far.get_or_insert_with(FarEnd::default);
        far.echo.hear_far(position, samples);
    }

    /// What the ear is, if there is one.
    pub fn save(&self) -> Option<SavedEar> {
        lock(&self.ear).as_ref().map(Ear::save)
    }

    /// Goes on where another ear was saved. Without one, or with one of another kind, it hears afresh from `position` on.
    pub fn resume(&self, saved: Option<SavedEar>, position: Samples) {
        let mut ear = lock(&self.ear);
        let Some(ear) = ear.as_mut() else { return };
        let resumed = saved.map(|saved| ear.resume(saved));
        if !matches!(resumed, Some(Ok(()))) {
            ear.reset(position);
        }
        self.speech
            .store(ear.speech().unwrap_or(SILENCE), Ordering::Relaxed);
    }

    pub fn barge_in(&self) -> BargeIn {
        lock(&self.barge_in).clone()
    }

    /// There is no far end any more.
    pub fn forget_far(&self) {
        *lock(&self.far_end) = None;
    }

    /// Whether speech may be an interruption.
    pub fn may_interrupt(&self) -> bool {
        lock(&self.barge_in).is_on()
    }

    pub fn update(&self, settings: BargeInSettings) {
        lock(&self.barge_in).update(settings);
    }

    fn interrupt(&self, frame: &Frame) {
        let echo = self.echo(frame);
        let (Some(onset), Some(speech)) = (frame.onset, frame.speech) else {
            return;
        };
        // The far end's echo is nobody's speech.
        let speech = speech.saturating_sub(echo);
        let ask = lock(&self.barge_in).speech(frame.end, onset, speech);
        match ask {
            Ask::Nothing => {}
            Ask::Look => self.desk.mark(Mark::Look(frame.end)),
            Ask::Interrupt(interruption) => {
                self.desk.mark(Mark::Interruption(interruption.clone()));
                (self.listener)(Event::Interrupting(interruption));
            }
        }
    }

    /// How much of the running speech was the far end's echo.
    fn echo(&self, frame: &Frame) -> Samples {
        let mut far = lock(&self.far_end);
        let Some(far) = far.as_mut() else { return 0 };
        let is_echo = far.echo.hear_near(frame.end, frame.samples);
        match frame.onset {
            None => far.heard = 0,
            Some(_) if is_echo && frame.is_voice => far.heard += frame.samples.len() as Samples,
            Some(_) => {}
        }
        far.heard
    }

    pub fn hear_silence(&self, samples: u64) {
        let mut left = samples;
        // Whatever an ear remembers, an hour of silence is as good as any longer one.
        let most = 3_600 * 16_000;
        if left > most {
            self.hear_silence(most);
            self.reset(self.desk.position().saturating_add(samples));
            return;
        }
        while left > 0 {
            let n = left.min(PIECE as u64);
            self.hear([0; PIECE].get(..n as usize).unwrap_or_default(), false);
            left -= n;
        }
    }

    /// The stream ends or breaks off at `position`.
    pub fn end(&self, position: Samples) {
        let ended = lock(&self.ear)
            .as_mut()
            .and_then(|ear| ear.finish(position));
        self.speech.store(SILENCE, Ordering::Relaxed);
        if let Some(detection) = ended {
            self.tell(detection);
        }
    }

    /// Forgets all and goes on at `position`.
    pub fn reset(&self, position: Samples) {
        if let Some(ear) = lock(&self.ear).as_mut() {
            ear.reset(position);
        }
        if let Some(far) = lock(&self.far_end).as_mut() {
            *far = FarEnd::default();
        }
        lock(&self.barge_in).stopped();
        self.speech.store(SILENCE, Ordering::Relaxed);
    }

    pub fn speech(&self) -> Option<Duration> {
        match self.speech.load(Ordering::Relaxed) {
            SILENCE => None,
            samples => Some(duration(samples)),
        }
    }

    fn tell(&self, detection: Detection) {
        if matches!(detection.boundary, Boundary::End { .. }) {
            lock(&self.barge_in).stopped();
        }
        self.desk.mark(Mark::Speech(detection));
        (self.listener)(Event::Noticed(detection));
    }
}
