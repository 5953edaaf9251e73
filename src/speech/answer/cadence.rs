//! Asterisk's answering-machine detection (`app_amd`): the verdict of someone who hears only when there is voice.
//!
//! The rules, their order and their defaults are those of `apps/app_amd.c` (Claude Klimos, Aheeva Technology, 2003 to 2006; Asterisk 13 to 22),
//! told anew: what the loop there does with a frame, [`Cadence::frame`] does. Nothing of the words is used.

use std::time::Duration;

use super::line::Span;

/// The parameters, by Asterisk's names and with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CadenceSettings {
    /// Silence this long before the first word is a machine.
    pub initial_silence: Duration,
    /// Voice this long in all is a machine.
    pub greeting: Duration,
    /// Silence this long after a greeting is a human who waits.
    pub after_greeting_silence: Duration,
    /// After this time it is not sure.
    pub total_analysis_time: Duration,
    /// Voice this long is a word.
    pub min_word_length: Duration,
    /// Silence this long ends a word.
    pub between_words_silence: Duration,
    /// So many words are a machine. The word at the very beginning of a call, with no silence before it, is not counted.
    pub maximum_number_of_words: u32,
    /// One word this long is a machine.
    pub maximum_word_length: Duration,
}

impl Default for CadenceSettings {
    fn default() -> Self {
        let ms = Duration::from_millis;
        CadenceSettings {
            initial_silence: ms(2500),
            greeting: ms(1500),
            after_greeting_silence: ms(800),
            total_analysis_time: ms(5000),
            min_word_length: ms(100),
            between_words_silence: ms(50),
            maximum_number_of_words: 3,
            maximum_word_length: ms(5000),
        }
    }
}

/// Asterisk's `AMDSTATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Human,
    Machine,
    NotSure,
}

/// Asterisk's `AMDCAUSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    InitialSilence,
    Human,
    LongGreeting,
    MaxWords,
    MaxWordLength,
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Word,
    Silence,
}

/// One call, frame by frame.
#[derive(Clone, Debug)]
pub struct Cadence {
    settings: CadenceSettings,
    total: Duration,
    state: State,
    in_initial_silence: bool,
    in_greeting: bool,
    /// The running silence.
    silence: Duration,
    /// Voice since the last silence that ends words.
    voice_run: Duration,
    /// Voice in all.
    voice: Duration,
    words: u32,
    outcome: Option<(Status, Reason)>,
}

impl Cadence {
    pub fn new(settings: CadenceSettings) -> Cadence {
        Cadence {
            settings,
            total: Duration::ZERO,
            state: State::Word,
            in_initial_silence: true,
            in_greeting: false,
            silence: Duration::ZERO,
            voice_run: Duration::ZERO,
            voice: Duration::ZERO,
            words: 0,
            outcome: None,
        }
    }

    /// Takes one frame in. The first outcome stays.
    pub fn frame(&mut self, voiced: bool, length: Duration) -> Option<(Status, Reason)> {
        if self.outcome.is_none() {
            self.total += length;
            self.outcome = if self.total >= self.settings.total_analysis_time {
                Some((Status::NotSure, Reason::TooLong))
            } else if voiced {
                self.voiced(length)
            } else {
                self.silent(length)
            };
        }
        self.outcome
    }

    fn silent(&mut self, length: Duration) -> Option<(Status, Reason)> {
        let s = &self.settings;
        self.silence += length;
        if self.silence >= s.between_words_silence {
            self.state = State::Silence;
            self.voice_run = Duration::ZERO;
        }
        if self.in_initial_silence && self.silence >= s.initial_silence {
            return Some((Status::Machine, Reason::InitialSilence));
        }
        (self.in_greeting && self.silence >= s.after_greeting_silence)
            .then_some((Status::Human, Reason::Human))
    }

    fn voiced(&mut self, length: Duration) -> Option<(Status, Reason)> {
        let s = &self.settings;
        // Asterisk's detector begins a new silence with every frame of voice.
        self.silence = Duration::ZERO;
        self.voice_run += length;
        self.voice += length;
        let is_word = self.voice_run >= s.min_word_length;
        if is_word && self.state == State::Silence {
            self.words += 1;
            self.state = State::Word;
        }
        let machine = |reason| Some((Status::Machine, reason));
        if self.voice_run >= s.maximum_word_length {
            return machine(Reason::MaxWordLength);
        }
        if self.words >= s.maximum_number_of_words {
            return machine(Reason::MaxWords);
        }
        if self.in_greeting && self.voice >= s.greeting {
            return machine(Reason::LongGreeting);
        }
        if is_word && !self.in_greeting {
            self.in_initial_silence = false;
            self.in_greeting = true;
        }
        None
    }

    /// What the rules say of a call whose speech stood in `spans`, from `start` to `now`, in frames of 20 ms.
    pub fn judge(
        settings: &CadenceSettings,
        spans: &[Span],
        start: Duration,
        now: Duration,
    ) -> Option<(Status, Reason)> {
        let mut cadence = Cadence::new(settings.clone());
        let mut at = start;
        while at.saturating_add(FRAME) <= now {
            let middle = at.saturating_add(FRAME / 2);
            let voiced = spans
                .iter()
                .any(|span| span.start <= middle && middle < span.end);
            if let Some(outcome) = cadence.frame(voiced, FRAME) {
                return Some(outcome);
            }
            at = at.saturating_add(FRAME);
        }
        None
    }
}

/// A frame of telephone audio.
pub const FRAME: Duration = Duration::from_millis(20);

/// Asterisk's `silenceThreshold`: below this mean of the samples' absolute values a frame is silent.
pub const SILENCE_THRESHOLD: u32 = 256;

/// Whether a frame of samples is voice by that threshold.
pub fn is_voice(samples: &[i16], threshold: u32) -> bool {
    let sum: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs())).sum();
    sum / samples.len().max(1) as u64 >= u64::from(threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Stretches of voice and silence by turns, silence first, in ms.
    fn call(stretches: &[u64]) -> Option<(Status, Reason)> {
        let mut cadence = Cadence::new(CadenceSettings::default());
        let mut outcome = None;
        for (n, stretch) in stretches.iter().enumerate() {
            for _ in 0..stretch / 20 {
                outcome = cadence.frame(n % 2 == 1, FRAME);
            }
        }
        outcome
    }

    #[test]
    fn a_short_word_and_a_wait_is_a_human() {
        assert_eq!(call(&[400, 600, 780]), None);
        assert_eq!(call(&[400, 600, 800]), Some((Status::Human, Reason::Human)));
    }

    #[test]
    fn a_long_silence_first_is_a_machine() {
        assert_eq!(call(&[2480]), None);
        assert_eq!(
            call(&[2500]),
            Some((Status::Machine, Reason::InitialSilence))
        );
    }

    #[test]
    fn voice_in_all_counts_across_short_pauses() {
        let long = Some((Status::Machine, Reason::LongGreeting));
        assert_eq!(call(&[400, 1480]), None);
        assert_eq!(call(&[400, 1500]), long);
        assert_eq!(call(&[400, 700, 700, 800]), long);
    }

    #[test]
    fn so_many_words_are_a_machine() {
        let words = Some((Status::Machine, Reason::MaxWords));
        assert_eq!(call(&[100, 200, 100, 200, 100, 80]), None);
        assert_eq!(call(&[100, 200, 100, 200, 100, 100]), words);
        // Gaps below 50 ms join words, blips below 100 ms are none.
        assert_eq!(call(&[100, 200, 40, 200, 40, 200]), None);
        assert_eq!(call(&[100, 80, 100, 80, 100, 80, 100, 80]), None);
    }

    #[test]
    fn a_word_with_no_silence_before_it_is_not_counted() {
        assert_eq!(call(&[0, 200, 100, 200, 100, 200]), None);
        let words = Some((Status::Machine, Reason::MaxWords));
        assert_eq!(call(&[0, 200, 100, 200, 100, 200, 100, 200]), words);
    }

    #[test]
    fn one_long_word_is_a_machine() {
        let settings = CadenceSettings {
            maximum_word_length: ms(900),
            ..CadenceSettings::default()
        };
        let span = [Span {
            start: ms(100),
            end: ms(1100),
        }];
        let judge = |now| Cadence::judge(&settings, &span, ms(0), now);
        assert_eq!(judge(ms(980)), None);
        assert_eq!(
            judge(ms(1000)),
            Some((Status::Machine, Reason::MaxWordLength))
        );
    }

    #[test]
    fn blips_alone_are_not_sure() {
        let blips: Vec<u64> = [700, 80].into_iter().cycle().take(14).collect();
        assert_eq!(call(&blips), Some((Status::NotSure, Reason::TooLong)));
    }

    #[test]
    fn the_first_outcome_stays() {
        assert_eq!(
            call(&[400, 600, 800, 4000]),
            Some((Status::Human, Reason::Human))
        );
    }

    #[test]
    fn voice_is_by_the_mean_of_magnitudes() {
        assert!(is_voice(&[256, -256, 256, -256], SILENCE_THRESHOLD));
        assert!(!is_voice(&[255, -255, 255, -255], SILENCE_THRESHOLD));
        assert!(is_voice(&[i16::MIN; 160], SILENCE_THRESHOLD));
        assert!(!is_voice(&[], SILENCE_THRESHOLD));
    }
}
