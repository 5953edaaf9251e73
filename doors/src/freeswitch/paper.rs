//! What is printed. A reader that is slow or gone must not keep the calls: what does not fit is left out, and said so.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Lines that wait for the terminal at most.
const WAITING: usize = 4_096;

enum Item {
    Line(String),
    Written(tokio::sync::oneshot::Sender<()>),
}

/// Lines to stdout, in order.
#[derive(Clone)]
pub struct Paper {
    lines: SyncSender<Item>,
    full: Arc<AtomicBool>,
}

impl Paper {
    pub fn stdout() -> Paper {
        let (lines, from) = sync_channel(WAITING);
        std::thread::spawn(move || write(&from));
        Paper {
            lines,
            full: Arc::default(),
        }
    }

    pub fn line(&self, line: impl Into<String>) {
        let is_full = self.lines.try_send(Item::Line(line.into())).is_err();
        if is_full && !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "what is said is no longer all printed: nobody reads the standard output"
            );
        } else if !is_full {
            self.full.store(false, Ordering::Relaxed);
        }
    }

    /// Returns when all lines so far are out, or nobody reads them for 2 s.
    pub async fn written(&self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        if self.lines.try_send(Item::Written(done)).is_ok() {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), wait).await;
        }
    }
}

fn write(from: &Receiver<Item>) {
    let mut out = std::io::stdout();
    for item in from {
        match item {
            Item::Line(line) => {
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
            Item::Written(done) => {
                let _ = done.send(());
            }
        }
    }
}
