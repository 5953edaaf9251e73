//! What is read off NATS, as functions of bytes. For `fuzz/` alone.

use async_nats::HeaderMap;

use super::message::{Audio, BadMessage};
use super::names::{Leg, Names};
use super::owners::Entry;
use super::text::Checkpoint;
use super::wire::{Counts, Progress, Told};

/// A message of the audio's subject; what was read is written and read again as it was.
pub fn audio_message(headers: &HeaderMap, contents: &[u8]) -> Result<String, BadMessage> {
    let contents = bytes::Bytes::copy_from_slice(contents);
    let (number, audio) = Audio::read(Some(headers), &contents)?;
    let (headers, written) = audio.write(number);
    let again = Audio::read(Some(&headers), &written)?;
    debug_assert_eq!(again, (number, audio));
    Ok(format!("number {number}, {:?}", again.1.kind()))
}

/// A message of the text's subject behind its header; what was read is counted, and told as an event.
pub fn text_message(header: &str, contents: &[u8]) -> Result<String, serde_json::Error> {
    let mut counts: Counts = serde_json::from_str(header).unwrap_or_default();
    let _ = serde_json::from_slice::<Progress>(contents);
    if let Ok(checkpoint) = serde_json::from_slice::<Checkpoint>(contents) {
        return serde_json::to_string(&checkpoint);
    }
    let mut told: Told = serde_json::from_slice(contents)?;
    let count = counts.count(&mut told);
    let kind = told.kind();
    let event = told.event(Some("leg"));
    Ok(format!("{kind} {count} {}", event.is_some()))
}

/// A key of the bucket and its value; a leg has the same path again.
pub fn key(key: &str, value: &[u8]) -> String {
    let leg = key.strip_prefix("leg.").and_then(Leg::of);
    let names = Names::new("fuzz");
    if let (Some(leg), Some(names)) = (&leg, names) {
        let subject = names.of("audio", leg);
        debug_assert_eq!(names.leg("audio", &subject).as_ref(), Some(leg));
    }
    let owner = Entry::read(value).map(|entry| entry.term);
    format!("{:?} {owner:?}", leg.map(|leg| leg.id().len()))
}
