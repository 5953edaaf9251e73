//! A stream that goes on in another element, in this process or another: `whisperstream/save` and the property `resume`.
//!
//! What is saved is the whole stream between two buffers: what the engine knows of it, where in time it is, and what was
//! decided and is not yet told. What a resumed element tells is what the saved one would have told.

use gst::ClockTime;
use gst::subclass::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::imp::{CAT, WhisperStream, lock};
use super::messages::Stretch;
use super::speaker::SavedSpeaker;
use super::timeline::Timeline;
use crate::engine;
use crate::policy::Samples;

/// What the element adds to what the engine saves.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ours {
    timeline: Timeline,
    speaker: SavedSpeaker,
    /// Half a sample.
    carry: Option<u8>,
    heard: Samples,
    stats_at: Samples,
    ticked: Samples,
    clamped: u64,
    utterance: u64,
}

/// A stream to go on with.
#[derive(Clone, Debug)]
pub struct Resumed {
    pub stream: engine::Saved,
    ours: Ours,
}

impl Resumed {
    /// Reads what `whisperstream/saved` told.
    ///
    /// # Errors
    /// A sentence: that is something else, damaged, or of another version.
    pub fn read(bytes: &[u8]) -> Result<Resumed, String> {
        let mut stream = engine::Saved::from_bytes(bytes).map_err(|err| err.to_string())?;
        let ours = ciborium::from_reader(std::mem::take(&mut stream.owner).as_slice());
        let ours = ours.map_err(|_| "the stream was saved by something else than the element");
        Ok(Resumed {
            stream,
            ours: ours?,
        })
    }
}

/// The marker of an event that asks for the stream.
pub fn save_marker(event: &gst::EventRef) -> Option<String> {
    let structure = event.structure()?;
    (event.type_() == gst::EventType::CustomDownstream && structure.name() == "whisperstream/save")
        .then(|| structure.get("marker").unwrap_or_default())
}

impl WhisperStream {
    /// In its order with the audio: all that can be decided of what came before is decided and told, then the stream is
    /// posted as it is now. `false`: there is none, or a flush came between.
    pub(super) fn save(&self, marker: &str) -> bool {
        let Some(session) = self.session() else {
            return false;
        };
        let Ok(mut stream) = session.save() else {
            return false;
        };
        let (saved, told) = {
            let speaker = lock(&self.speaker);
            let timeline = lock(&self.timeline).clone();
            let input = lock(&self.input);
            let end = timeline.end();
            let segment = speaker.out.segment().cloned().unwrap_or_default();
            let told = Stretch::new(&segment, end, end)
                .structure("whisperstream/saved", stream.utterance());
            let ours = Ours {
                timeline,
                speaker: speaker.save(),
                carry: input.carry,
                heard: input.heard,
                stats_at: input.stats_at,
                ticked: input.ticked,
                clamped: self.clamped.load(std::sync::atomic::Ordering::Relaxed),
                utterance: self.utterance.load(std::sync::atomic::Ordering::Relaxed),
            };
            (ours, told)
        };
        // It has nothing that cannot be written, and memory takes all.
        let _ = ciborium::into_writer(&saved, &mut stream.owner);
        let message = told
            .field("marker", marker)
            .field("position", stream.position())
            .field("state", glib::Bytes::from_owned(stream.to_bytes()))
            .build();
        self.post(message);
        true
    }

    /// READY→PAUSED: what the property `resume` asks to go on with.
    pub(super) fn read_resumed(&self) -> Result<(), gst::ErrorMessage> {
        let bytes = lock(&self.settings).resume.clone();
        let resumed = bytes.map(|bytes| Resumed::read(&bytes)).transpose();
        let resumed = resumed.map_err(|sentence| {
            gst::error_msg!(
                gst::ResourceError::Settings,
                (
                    "resume holds no stream that this element can go on with: {sentence}; set it to the field `state` of a message whisperstream/saved, or unset it to begin a new stream"
                )
            )
        })?;
        *lock(&self.resumed) = resumed;
        Ok(())
    }

    /// The first segment has begun: the stream is where it was saved, on both sides.
    pub(super) fn take_up(&self) {
        let Some(Resumed { ours, .. }) = lock(&self.resumed).take() else {
            return;
        };
        gst::info!(
            CAT,
            imp = self,
            "goes on at sample {}, {}",
            ours.timeline.position(),
            ours.timeline.end()
        );
        lock(&self.speaker).take_up(&ours.speaker);
        {
            let mut input = lock(&self.input);
            input.carry = ours.carry;
            input.heard = ours.heard;
            input.stats_at = ours.stats_at;
            input.ticked = ours.ticked;
        }
        self.clamped
            .store(ours.clamped, std::sync::atomic::Ordering::Relaxed);
        self.utterance
            .store(ours.utterance, std::sync::atomic::Ordering::Relaxed);
        *lock(&self.timeline) = ours.timeline;
    }
}

/// Instants are written as nanoseconds.
pub mod instant {
    use super::*;

    pub fn serialize<S: Serializer>(time: &ClockTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.nseconds())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ClockTime, D::Error> {
        let nanoseconds = u64::deserialize(from)?;
        Ok(ClockTime::from_nseconds(
            nanoseconds.min(ClockTime::MAX.nseconds()),
        ))
    }
}

/// The same, if there is one.
pub mod instant_if_any {
    use super::*;

    pub fn serialize<S: Serializer>(time: &Option<ClockTime>, to: S) -> Result<S::Ok, S::Error> {
        time.map(ClockTime::nseconds).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ClockTime>, D::Error> {
        let nanoseconds = Option::<u64>::deserialize(from)?;
        Ok(nanoseconds.map(|time| ClockTime::from_nseconds(time.min(ClockTime::MAX.nseconds()))))
    }
}
