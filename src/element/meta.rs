//! The custom meta that carries a text buffer's words.

use gst::ClockTime;
use gst::prelude::*;

use super::cues::{TimedWord, tidy};

/// Name of the custom meta on every text buffer. Its structure has one field, `words`: an array of structures `word`
/// with `text` (string), `start` and `end` (guint64, ns on the buffer's timeline; the true times, whatever the buffer's
/// own were clamped to) and `confidence` (double, 0 to 1).
pub const META_NAME: &str = "WhisperStreamMeta";

/// A word as the meta and the messages carry it.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaWord {
    pub text: String,
    pub start: ClockTime,
    pub end: ClockTime,
    /// 0 to 1.
    pub confidence: f64,
}

/// Makes the meta known to GStreamer; once a process, after `gst::init`.
pub(super) fn register() {
    if !gst::meta::CustomMeta::is_registered(META_NAME) {
        gst::meta::CustomMeta::register(META_NAME, &[]);
    }
}

/// Puts `words` on `buffer`.
pub(super) fn attach(buffer: &mut gst::BufferRef, words: &[TimedWord]) {
    match gst::meta::CustomMeta::add(buffer, META_NAME) {
        Ok(mut meta) => meta
            .mut_structure()
            .set("words", array(words.iter().map(structure))),
        Err(err) => gst::warning!(super::imp::CAT, "no meta on this buffer: {err}"),
    }
}

/// The words on a text buffer; empty when it carries none.
pub fn words_of(buffer: &gst::BufferRef) -> Vec<MetaWord> {
    let Ok(meta) = gst::meta::CustomMeta::from_buffer(buffer, META_NAME) else {
        return Vec::new();
    };
    let Ok(words) = meta.structure().get::<gst::Array>("words") else {
        return Vec::new();
    };
    words
        .iter()
        .filter_map(|value| {
            let word = value.get::<gst::Structure>().ok()?;
            let time = |name| ClockTime::try_from(word.get::<u64>(name).ok()?).ok();
            Some(MetaWord {
                text: word.get("text").ok()?,
                start: time("start")?,
                end: time("end")?,
                confidence: word.get("confidence").ok()?,
            })
        })
        .collect()
}

/// A word as a structure.
pub(super) fn structure(word: &TimedWord) -> gst::structure::Builder {
    gst::Structure::builder("word")
        .field("text", tidy(&word.text))
        .field("start", word.start.nseconds())
        .field("end", word.end.nseconds())
        .field("confidence", f64::from(word.confidence))
}

/// Structures as one value.
pub(super) fn array(items: impl Iterator<Item = gst::structure::Builder>) -> gst::Array {
    gst::Array::new(items.map(|item| item.build().to_send_value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_without_a_time_is_left_out() {
        gst::init().unwrap();
        register();
        let word = |start: u64| {
            gst::Structure::builder("word")
                .field("text", "oui")
                .field("start", start)
                .field("end", 40_u64)
                .field("confidence", 0.5)
        };
        let mut buffer = gst::Buffer::new();
        // GStreamer has this number for no time at all.
        let words = array([word(7), word(u64::MAX)].into_iter());
        gst::meta::CustomMeta::add(buffer.make_mut(), META_NAME)
            .unwrap()
            .mut_structure()
            .set("words", words);
        let read = words_of(&buffer);
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].start.nseconds(), 7);
    }
}
