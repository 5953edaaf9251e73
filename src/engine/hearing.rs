//! Listens for speech on the thread that pushes, so that who speaks is known at once, whatever the network is doing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::desk::Desk;
use super::inbox::Mark;
use super::stats::duration;
use super::{Event, Listener, lock};
use crate::policy::Samples;
use crate::speech::{Detection, Ear, VadSettings};

/// No speech.
const SILENCE: u64 = u64::MAX;
/// Silence is heard in pieces of this many samples.
const PIECE: usize = 1_600;

/// A stream's ear, and who is told of what it hears.
pub(super) struct Hearing {
    ear: Mutex<Option<Ear>>,
    desk: Arc<Desk>,
    listener: Listener,
    /// Samples of the running speech, or [`SILENCE`].
    speech: AtomicU64,
}

impl Hearing {
    pub fn new(vad: Option<VadSettings>, desk: Arc<Desk>, listener: Listener) -> Hearing {
        Hearing {
            ear: Mutex::new(vad.map(|settings| Ear::new(settings, 0))),
            desk,
            listener,
            speech: AtomicU64::new(SILENCE),
        }
    }

    /// Hears samples before they are pushed: passes are cut by what was heard.
    pub fn hear(&self, samples: &[i16]) {
        let mut ear = lock(&self.ear);
        let Some(ear) = ear.as_mut() else { return };
        ear.hear(samples, |_, endpointer, detection| {
            let speech = endpointer.speech().unwrap_or(SILENCE);
            self.speech.store(speech, Ordering::Relaxed);
            if let Some(detection) = detection {
                self.tell(detection);
            }
        });
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
            self.hear([0; PIECE].get(..n as usize).unwrap_or_default());
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
        self.speech.store(SILENCE, Ordering::Relaxed);
    }

    pub fn speech(&self) -> Option<Duration> {
        match self.speech.load(Ordering::Relaxed) {
            SILENCE => None,
            samples => Some(duration(samples)),
        }
    }

    fn tell(&self, detection: Detection) {
        self.desk.mark(Mark::Speech(detection));
        (self.listener)(Event::Noticed(detection));
    }
}
