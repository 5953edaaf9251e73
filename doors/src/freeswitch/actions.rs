//! What a call does to its channel. Beside the words: FreeSWITCH may take its time, or be away for a moment.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::channel::Channel;
use crate::call::Verdict;

enum Action {
    StopPrompts(Instant),
    Set(&'static str, String),
}

/// Actions that wait at most.
const WAITING: usize = 64;
/// An interruption that could not be acted upon for so long is past: another prompt may be playing by now.
const STALE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Actions {
    to: mpsc::Sender<Action>,
    call: String,
}

/// The task that acts.
pub struct Acting(JoinHandle<()>);

pub fn start(channel: Channel) -> (Actions, Acting) {
    let (to, from) = mpsc::channel(WAITING);
    let call = channel.uuid().to_owned();
    (
        Actions { to, call },
        Acting(tokio::spawn(act(channel, from))),
    )
}

impl Acting {
    /// Waits for what is left, a moment.
    pub async fn ended(mut self) {
        let rest = tokio::time::timeout(Duration::from_secs(2), &mut self.0);
        if rest.await.is_err() {
            self.0.abort();
        }
    }
}

impl Actions {
    /// Somebody interrupts.
    pub fn stop_prompts(&self) {
        self.send(Action::StopPrompts(Instant::now()));
    }

    pub fn set(&self, name: &'static str, value: impl Into<String>) {
        self.send(Action::Set(name, value.into()));
    }

    /// Under names of our own, and under mod_amd's, for dialplans that know those.
    pub fn verdict(&self, verdict: &Verdict) {
        let amd = match verdict.result.as_str() {
            "human" => "HUMAN",
            "machine" | "fax" => "MACHINE",
            _ => "NOTSURE",
        };
        self.set("whisperstream_amd_cause", &verdict.cause);
        self.set(
            "whisperstream_amd_confidence",
            format!("{:.2}", verdict.confidence),
        );
        self.set(
            "whisperstream_amd_took_ms",
            verdict.took.as_millis().to_string(),
        );
        self.set("whisperstream_amd_text", &verdict.text);
        self.set("amd_cause", verdict.cause.to_uppercase());
        // Last, so that who waits for them finds the others set.
        self.set("whisperstream_amd_result", &verdict.result);
        self.set("amd_result", amd);
    }

    fn send(&self, action: Action) {
        if self.to.try_send(action).is_err() {
            tracing::warn!(call = %self.call, "FreeSWITCH is too slow to be told everything about the call");
        }
    }
}

async fn act(channel: Channel, mut from: mpsc::Receiver<Action>) {
    while let Some(action) = from.recv().await {
        let done = match action {
            Action::StopPrompts(since) if since.elapsed() > STALE => continue,
            Action::StopPrompts(_) => channel.stop_prompts().await,
            Action::Set(name, value) => channel.set(name, &value).await,
        };
        if let Err(err) = done {
            // A call that has just ended, mostly.
            tracing::info!(call = channel.uuid(), "{err}");
        }
    }
}
