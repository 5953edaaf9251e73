//! Whether a call is still there.

use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::channel::Channel;
use super::link::Happening;
use crate::exchange::Phase;

pub struct Presence {
    channel: Channel,
    happenings: broadcast::Receiver<Happening>,
    phase: watch::Receiver<Phase>,
    gone: bool,
    closing: bool,
    /// Nothing more will be told: FreeSWITCH does not let us in any more.
    alone: bool,
    stopped: Option<String>,
}

impl Presence {
    /// From now on no hang-up is missed.
    pub fn of(channel: Channel, phase: watch::Receiver<Phase>) -> Presence {
        Presence {
            happenings: channel.link().happenings(),
            channel,
            phase,
            gone: false,
            closing: false,
            alone: false,
            stopped: None,
        }
    }

    /// No more audio will be written, or wanted.
    pub fn is_over(&self) -> bool {
        self.gone || self.closing
    }

    /// Whether FreeSWITCH still has the channel, as far as is known.
    pub fn is_there(&self) -> bool {
        !self.gone && !self.alone
    }

    /// The recording that ended since this was asked.
    pub fn take_stopped(&mut self) -> Option<String> {
        self.stopped.take()
    }

    /// Waits so long, or until the call is over.
    pub async fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_over() {
            let happening = tokio::select! {
                () = sleep_until(end) => return,
                happening = self.happenings.recv(), if !self.alone => happening,
                _ = self.phase.wait_for(|phase| *phase == Phase::Closing) => {
                    self.closing = true;
                    return;
                }
            };
            match happening {
                Ok(Happening::HungUp(uuid)) if uuid == self.channel.uuid() => self.gone = true,
                Ok(Happening::Recorded { uuid, path }) if uuid == self.channel.uuid() => {
                    self.stopped = Some(path);
                }
                Ok(Happening::Up) | Err(broadcast::error::RecvError::Lagged(_)) => self.ask().await,
                Ok(Happening::Refused(_)) | Err(broadcast::error::RecvError::Closed) => {
                    self.alone = true;
                }
                Ok(_) => {}
            }
        }
        sleep(end.saturating_duration_since(Instant::now()).min(time)).await;
    }

    /// Asks FreeSWITCH itself. No answer is none.
    pub async fn ask(&mut self) {
        let exists = timeout(Duration::from_secs(5), self.channel.exists()).await;
        if let Ok(Ok(false)) = exists {
            self.gone = true;
        }
    }

    /// Nothing was written for long, and nobody can be asked: it is taken for over.
    pub fn give_up_alone(&mut self) {
        self.gone |= self.alone;
    }
}
