//! A leg as its gateway's pipeline sees it.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::gateway::{Gateway, Route};
use super::message::Audio;
use super::wire::Progress;
use crate::call::{Ear, Setting};

pub struct RemoteEar {
    gateway: Arc<Gateway>,
    route: Arc<Route>,
}

impl RemoteEar {
    pub(super) fn new(gateway: Arc<Gateway>, route: Arc<Route>) -> Arc<RemoteEar> {
        Arc::new(RemoteEar { gateway, route })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        let progress = self.route.progress.lock();
        progress.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear for RemoteEar {
    fn hear(&self, audio: &[u8], at: Duration) -> bool {
        self.route.outbox.audio(audio, at)
    }

    fn flush(&self, marker: &str) {
        self.route.outbox.ask(Audio::Flush {
            marker: marker.into(),
        });
    }

    fn end(&self) {
        self.route.outbox.ask(Audio::End);
    }

    fn set(&self, setting: &Setting) {
        self.route.outbox.ask(Audio::Set {
            name: setting.name.clone(),
            value: setting.value.clone(),
        });
    }

    fn heard(&self) -> Duration {
        Duration::from_nanos(self.progress().heard)
    }

    fn stats(&self) -> gst::Structure {
        let progress = self.progress();
        gst::Structure::builder("whisperstream/stats")
            .field("passes", progress.passes)
            .field("network-time", progress.network)
            .build()
    }
}

impl Drop for RemoteEar {
    fn drop(&mut self) {
        self.gateway.left(&self.route);
    }
}
