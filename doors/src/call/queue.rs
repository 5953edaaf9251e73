//! What a call tells, from the threads of GStreamer to its door. Those never wait: it is the audio that is held back while
//! much is untold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use super::{Control, Event};

/// Events untold beyond which audio is held back. What a call can still say about the audio it has is some dozens.
const MANY: usize = 256;

#[derive(Default)]
struct Level {
    untold: AtomicUsize,
    fell: Notify,
}

pub(super) fn queue() -> (Tell, Events) {
    let (to, from) = mpsc::unbounded_channel();
    let level = Arc::new(Level::default());
    let tell = Tell {
        to,
        level: Arc::clone(&level),
    };
    (
        tell,
        Events {
            from,
            level,
            is_over: false,
            _control: None,
        },
    )
}

/// The end into which events go.
#[derive(Clone)]
pub(super) struct Tell {
    to: mpsc::UnboundedSender<Event>,
    level: Arc<Level>,
}

impl Tell {
    pub fn tell(&self, event: Event) {
        self.level.untold.fetch_add(1, Ordering::Relaxed);
        // A door that is gone wants to know nothing.
        let _ = self.to.send(event);
    }

    /// Whether nobody listens any more.
    pub fn is_deaf(&self) -> bool {
        self.to.is_closed()
    }

    /// Waits while much is untold, unless nobody listens any more.
    pub async fn caught_up(&self) {
        while self.level.untold.load(Ordering::Relaxed) > MANY && !self.to.is_closed() {
            tokio::select! {
                () = self.level.fell.notified() => {}
                () = self.to.closed() => {}
            }
        }
    }
}

/// The end from which a door reads.
pub struct Events {
    from: mpsc::UnboundedReceiver<Event>,
    level: Arc<Level>,
    is_over: bool,
    /// Keeps the pipeline until all is told.
    pub(super) _control: Option<Control>,
}

impl Events {
    /// The next event. [`Event::Ended`] or [`Event::Failed`] is the last; `None` behind it.
    pub async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let event = self.from.recv().await?;
        if self.level.untold.fetch_sub(1, Ordering::Relaxed) <= MANY + 1 {
            self.level.fell.notify_one();
        }
        if matches!(event, Event::Ended | Event::Failed { .. }) {
            // What several elements complain of in its wake is nobody's business any more.
            self.is_over = true;
            self.from.close();
        }
        Some(event)
    }

    /// What a pipeline that did not start said of it.
    pub(super) fn failure(mut self) -> Option<String> {
        while let Ok(event) = self.from.try_recv() {
            if let Event::Failed { reason } = event {
                return Some(reason);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_told_behind_the_end() {
        let (tell, mut events) = queue();
        let failed = |reason: &str| Event::Failed {
            reason: reason.into(),
        };
        for event in [
            Event::Loaded,
            failed("the first"),
            failed("the second"),
            Event::Ended,
        ] {
            tell.tell(event);
        }
        assert_eq!(events.next().await, Some(Event::Loaded));
        assert_eq!(events.next().await, Some(failed("the first")));
        assert_eq!(events.next().await, None);
        assert_eq!(events.next().await, None);
    }
}
