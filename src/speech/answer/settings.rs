//! The thresholds, and which of them contradict each other.

use std::time::Duration;

use super::cadence::CadenceSettings;

/// When and by what the detector decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Audio heard until the verdict is due, from the start of the call.
    pub decision_time: Duration,
    /// So many words without a pause are a machine (Jambonz: 9).
    pub long_greeting_words: u32,
    /// Silence this long ends a machine's greeting (Jambonz: 2 s).
    pub greeting_end_silence: Duration,
    pub cadence: CadenceSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            decision_time: Duration::from_millis(2300),
            long_greeting_words: 9,
            greeting_end_silence: Duration::from_millis(2000),
            cadence: CadenceSettings::default(),
        }
    }
}

/// The longest time to decide in.
pub const LONGEST_DECISION: Duration = Duration::from_secs(15);

/// Two thresholds that cannot both hold, or one that cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{smaller} ({} ms) must be {} than {larger} ({} ms): {why}. Lower {smaller} or raise {larger}",
    .smaller_is.as_millis(), if *.or_equal { "no longer" } else { "shorter" }, .larger_is.as_millis()
)]
pub struct Contradiction {
    pub smaller: &'static str,
    pub smaller_is: Duration,
    pub larger: &'static str,
    pub larger_is: Duration,
    or_equal: bool,
    why: &'static str,
}

impl Settings {
    /// Refuses thresholds that contradict each other; names are the element's properties.
    ///
    /// # Errors
    /// The first pair that does, with both values.
    pub fn check(&self) -> Result<(), Contradiction> {
        let c = &self.cadence;
        let shorter = |smaller, larger, why| (smaller, larger, false, why);
        let no_longer = |smaller, larger, why| (smaller, larger, true, why);
        let min_word = ("min-word-length", c.min_word_length);
        let greeting = ("greeting", c.greeting);
        let after_greeting = ("after-greeting-silence", c.after_greeting_silence);
        let total = ("total-analysis-time", c.total_analysis_time);
        let rules = [
            no_longer(
                ("decision-time", self.decision_time),
                ("the longest time to decide in", LONGEST_DECISION),
                "nobody holds the line longer",
            ),
            no_longer(
                min_word,
                ("decision-time", self.decision_time),
                "no word could be heard in time",
            ),
            shorter(min_word, greeting, "every word would be a long greeting"),
            shorter(
                min_word,
                ("maximum-word-length", c.maximum_word_length),
                "every word would be too long a word",
            ),
            no_longer(
                ("between-words-silence", c.between_words_silence),
                after_greeting,
                "the greeting would be over before its last word is",
            ),
            shorter(after_greeting, total, "no human could be found in time"),
            shorter(greeting, total, "no long greeting could be found in time"),
            shorter(
                ("initial-silence", c.initial_silence),
                total,
                "no silence could be found in time",
            ),
        ];
        for ((smaller, smaller_is), (larger, larger_is), or_equal, why) in rules {
            if smaller_is > larger_is || (smaller_is == larger_is && !or_equal) {
                return Err(Contradiction {
                    smaller,
                    smaller_is,
                    larger,
                    larger_is,
                    or_equal,
                    why,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn a_contradiction_names_both_values() {
        let mut settings = Settings::default();
        settings.cadence.greeting = ms(6000);
        let sentence = settings.check().unwrap_err().to_string();
        assert_eq!(
            sentence,
            "greeting (6000 ms) must be shorter than total-analysis-time (5000 ms): no long greeting could be found in \
             time. Lower greeting or raise total-analysis-time"
        );
        settings = Settings::default();
        settings.decision_time = ms(16_000);
        assert!(
            settings
                .check()
                .unwrap_err()
                .to_string()
                .contains("15000 ms")
        );
        settings.decision_time = ms(50);
        let sentence = settings.check().unwrap_err().to_string();
        assert!(sentence.contains("min-word-length (100 ms)"), "{sentence}");
        assert!(sentence.contains("decision-time (50 ms)"), "{sentence}");
    }
}
