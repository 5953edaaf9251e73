//! The properties: what they are called and what they say of themselves, read and written.

use std::path::Path;
use std::time::Duration;

use gst::prelude::*;

use super::hear::Hearing;
use crate::speech::answer::{Phrases, Settings};

/// As set.
#[derive(Clone, Debug)]
pub struct Properties {
    settings: Settings,
    /// `auto`, or a language code.
    language: String,
    /// A file in the place of the built-in lists.
    phrases: Option<String>,
}

impl Default for Properties {
    fn default() -> Self {
        Properties {
            settings: Settings::default(),
            language: AUTO.into(),
            phrases: None,
        }
    }
}

const AUTO: &str = "auto";

/// Properties in milliseconds: name, what it is, and where it is kept.
type Time = (
    &'static str,
    &'static str,
    fn(&mut Settings) -> &mut Duration,
);

const TIMES: [Time; 9] = [
    (
        "decision-time",
        "Audio heard, in ms, from the start of the call until the verdict is due; at most 15000",
        |s| &mut s.decision_time,
    ),
    (
        "greeting-end-silence",
        "Silence, in ms, that ends a machine's greeting",
        |s| &mut s.greeting_end_silence,
    ),
    (
        "initial-silence",
        "Asterisk's initialSilence: silence before the first word, in ms, that makes a machine (cadence alone)",
        |s| &mut s.cadence.initial_silence,
    ),
    (
        "greeting",
        "Asterisk's greeting: voice in all, in ms, that makes a machine (cadence alone)",
        |s| &mut s.cadence.greeting,
    ),
    (
        "after-greeting-silence",
        "Asterisk's afterGreetingSilence: silence after voice, in ms, that makes a human",
        |s| &mut s.cadence.after_greeting_silence,
    ),
    (
        "total-analysis-time",
        "Asterisk's totalAnalysisTime, in ms: after it the cadence is not sure",
        |s| &mut s.cadence.total_analysis_time,
    ),
    (
        "min-word-length",
        "Asterisk's minimumWordLength: voice, in ms, that makes a word",
        |s| &mut s.cadence.min_word_length,
    ),
    (
        "between-words-silence",
        "Asterisk's betweenWordsSilence: silence, in ms, that ends a word (cadence alone)",
        |s| &mut s.cadence.between_words_silence,
    ),
    (
        "maximum-word-length",
        "Asterisk's maximumWordLength: one word so long, in ms, makes a machine (cadence alone)",
        |s| &mut s.cadence.maximum_word_length,
    ),
];

/// Properties that count something.
type Count = (&'static str, &'static str, fn(&mut Settings) -> &mut u32);

const COUNTS: [Count; 2] = [
    (
        "maximum-number-of-words",
        "Asterisk's maximumNumberOfWords: so many stretches of voice make a machine (cadence alone)",
        |s| &mut s.cadence.maximum_number_of_words,
    ),
    (
        "long-greeting-words",
        "So many words without a pause of after-greeting-silence make a machine, if no phrase of a human is among them",
        |s| &mut s.long_greeting_words,
    ),
];

/// All properties. Ranges are wide: the element itself refuses thresholds, in a sentence that names them.
pub fn all() -> Vec<glib::ParamSpec> {
    let flags = glib::ParamFlags::READWRITE | gst::PARAM_FLAG_MUTABLE_READY;
    let mut defaults = Settings::default();
    let mut all = Vec::new();
    for (name, blurb, of) in TIMES {
        let default = u32::try_from(of(&mut defaults).as_millis()).unwrap_or(u32::MAX);
        all.push(
            glib::ParamSpecUInt::builder(name)
                .blurb(blurb)
                .default_value(default)
                .flags(flags)
                .build(),
        );
    }
    for (name, blurb, of) in COUNTS {
        all.push(
            glib::ParamSpecUInt::builder(name)
                .blurb(blurb)
                .minimum(1)
                .default_value(*of(&mut defaults))
                .flags(flags)
                .build(),
        );
    }
    let text = |name: &str, blurb: &str, default: Option<&str>| {
        glib::ParamSpecString::builder(name)
            .blurb(blurb)
            .default_value(default)
            .flags(flags)
            .build()
    };
    all.push(text(
        "language",
        "Whose phrases count: a code such as fr or en; auto: the language the stream's tags name, all while they name none",
        Some(AUTO),
    ));
    all.push(text(
        "phrases",
        "File of phrases in the place of the built-in French and English ones; one a line: human, machine, no-answer or fax, a weight, the words",
        None,
    ));
    all.push(
        glib::ParamSpecBoxed::builder::<gst::Structure>("verdict")
            .blurb("The last verdict, as its message; notified")
            .read_only()
            .build(),
    );
    all
}

impl Properties {
    /// None: no such property, or not its type.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Option<()> {
        if let Some((_, _, of)) = TIMES.iter().find(|(known, ..)| *known == name) {
            *of(&mut self.settings) = Duration::from_millis(value.get::<u32>().ok()?.into());
        } else if let Some((_, _, of)) = COUNTS.iter().find(|(known, ..)| *known == name) {
            *of(&mut self.settings) = value.get().ok()?;
        } else {
            let text = value.get::<Option<String>>().ok()?;
            match name {
                "language" => self.language = text.unwrap_or_else(|| AUTO.into()),
                "phrases" => self.phrases = text.filter(|path| !path.is_empty()),
                _ => return None,
            }
        }
        Some(())
    }

    pub fn get(&mut self, name: &str) -> Option<glib::Value> {
        if let Some((_, _, of)) = TIMES.iter().find(|(known, ..)| *known == name) {
            let ms = of(&mut self.settings).as_millis();
            return Some(u32::try_from(ms).unwrap_or(u32::MAX).to_value());
        }
        if let Some((_, _, of)) = COUNTS.iter().find(|(known, ..)| *known == name) {
            return Some(of(&mut self.settings).to_value());
        }
        match name {
            "language" => Some(self.language.to_value()),
            "phrases" => Some(self.phrases.to_value()),
            _ => None,
        }
    }

    /// What listens by these settings.
    ///
    /// # Errors
    /// Thresholds that contradict each other, or a bad file of phrases.
    pub fn hearing(&self) -> Result<Hearing, gst::ErrorMessage> {
        let refused =
            |sentence: String| gst::error_msg!(gst::ResourceError::Settings, ("{sentence}"));
        self.settings
            .check()
            .map_err(|error| refused(error.to_string()))?;
        let phrases = match &self.phrases {
            Some(path) => {
                Phrases::read(Path::new(path)).map_err(|error| refused(error.to_string()))?
            }
            None => Phrases::built_in(),
        };
        // "fr-FR" and "FR" are French.
        let language = self.language.to_lowercase();
        let language = language.split(['-', '_']).next().unwrap_or_default();
        let language = (!matches!(language, AUTO | "")).then_some(language);
        Ok(Hearing::new(self.settings.clone(), phrases, language))
    }
}
