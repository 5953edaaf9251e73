//! The two ends of a WebSocket whose peer may be slow, silent or gone.

use std::pin::pin;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::exchange::Phase;

/// A peer that says nothing at all for so long, not even an answer to a ping, is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// So often a peer is asked for a sign of life.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// A peer that takes nothing of what it is told for so long is let go.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long a peer has to take its leave when all is told.
pub const LINGER: Duration = Duration::from_secs(5);

/// What a peer said.
pub enum Heard {
    Text(Utf8Bytes),
    Bytes(Bytes),
}

/// The end from which is read.
pub struct Ear {
    from: SplitStream<WebSocket>,
    /// When a silence has been too long. It outlives a [`next`](Ear::next) that is given up.
    deadline: Option<Instant>,
    phase: watch::Receiver<Phase>,
}

/// The end into which is written.
pub struct Mouth {
    to: SplitSink<WebSocket, Message>,
    gone: bool,
}

/// The peer takes nothing of what it is told.
#[derive(Debug, thiserror::Error)]
#[error("it took nothing of what it was told for {} s", PATIENCE.as_secs())]
pub struct Stuck;

/// Why a peer is sent away: a close code and a sentence.
pub struct Fault {
    pub code: u16,
    pub says: String,
}

/// It did what the protocol does not know.
pub fn wrong(says: impl Into<String>) -> Fault {
    Fault {
        code: close_code::POLICY,
        says: says.into(),
    }
}

pub fn ends(socket: WebSocket, phase: watch::Receiver<Phase>) -> (Ear, Mouth) {
    let (to, from) = socket.split();
    let ear = Ear {
        from,
        deadline: None,
        phase,
    };
    (ear, Mouth { to, gone: false })
}

impl Ear {
    /// The next message; `None`: the peer has said all, or is gone, or the process ends all calls.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let deadline = *self
                .deadline
                .get_or_insert_with(|| Instant::now() + SILENCE);
            let message = tokio::select! {
                message = timeout_at(deadline, self.from.next()) => message.ok().flatten()?,
                _ = self.phase.wait_for(|phase| *phase == Phase::Closing) => return None,
            };
            self.deadline = None;
            match message.ok()? {
                Message::Text(text) => return Some(Heard::Text(text)),
                Message::Binary(bytes) => return Some(Heard::Bytes(bytes)),
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }

    /// Lets the peer talk on unheard, until it leaves: with words of it unread, the end of what it was told could be lost.
    pub async fn ignore(&mut self) {
        while let Ok(Some(Ok(_))) = timeout(SILENCE, self.from.next()).await {}
    }
}

impl Mouth {
    /// A peer that is gone is told nothing, and that is no fault: whoever else watches the call still is.
    pub async fn say(&mut self, text: String) -> Result<(), Stuck> {
        self.send(Message::Text(text.into())).await
    }

    /// Asks for a sign of life.
    pub async fn ping(&mut self) -> Result<(), Stuck> {
        self.send(Message::Ping(Bytes::new())).await
    }

    /// Takes leave because all is told.
    pub async fn close(&mut self) -> Result<(), Stuck> {
        self.close_for(close_code::NORMAL, "").await
    }

    /// Takes leave, and says why.
    pub async fn close_for(&mut self, code: u16, reason: &str) -> Result<(), Stuck> {
        let reason = Utf8Bytes::from(cut(reason, 120));
        let closed = self.send(Message::Close(Some(CloseFrame { code, reason })));
        closed.await?;
        self.gone = true;
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Stuck> {
        if self.gone {
            return Ok(());
        }
        match timeout(PATIENCE, self.to.send(message)).await {
            Ok(sent) => {
                self.gone = sent.is_err();
                Ok(())
            }
            Err(_) => Err(Stuck),
        }
    }
}

/// The first `most` bytes of a text, or a little less: characters stay whole.
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default().min(text.len()))
        .unwrap_or(text)
}

/// Hears and tells at the same time, until all is told; then the peer has a moment to leave.
pub async fn converse(
    hear: impl Future<Output = ()>,
    tell: impl Future<Output = Result<(), Stuck>>,
) -> Result<(), Stuck> {
    let (mut hear, mut tell) = (pin!(hear), pin!(tell));
    let told = tokio::select! {
        told = &mut tell => Some(told),
        () = &mut hear => None,
    };
    match told {
        Some(told) => {
            told?;
            let _ = timeout(LINGER, hear).await;
            Ok(())
        }
        None => tell.await,
    }
}
