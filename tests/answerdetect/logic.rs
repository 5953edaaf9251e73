//! The rules, each on a call made up of words, voice and tones.

use std::time::Duration;

use gstwhisperstream::speech::answer::{
    Action, Cause, Detector, Heard, Outcome, Phrases, PhrasesError, Settings, Span, Tone, ToneKind,
    Verdict, Word, Wrong,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call as a detector hears it from `whisperstream`: the clock every 100 ms, the end of speech half a second after it, words half a
/// second after they were said or with the end of their speech, flushes answered `flush_takes` later.
struct Line {
    detector: Detector,
    now: u64,
    speech_since: Option<u64>,
    words: Vec<Word>,
    flush: Option<(u64, u64)>,
    flush_takes: Option<u64>,
    actions: Vec<(u64, Action)>,
}

impl Line {
    fn new(settings: Settings) -> Line {
        Line {
            detector: Detector::new(settings, Phrases::built_in()),
            now: 0,
            speech_since: None,
            words: Vec::new(),
            flush: None,
            flush_takes: Some(200),
            actions: Vec::new(),
        }
    }

    fn french() -> Line {
        let mut line = Line::new(Settings::default());
        line.detector.set_language(Some("fr"));
        line
    }

    fn deciding_in(decision_ms: u64) -> Line {
        let settings = Settings {
            decision_time: ms(decision_ms),
            ..Settings::default()
        };
        let mut line = Line::new(settings);
        line.detector.set_language(Some("fr"));
        line
    }

    fn step(&mut self, speaking: bool) {
        let start = self.now;
        self.now += 100;
        let speech = self.speech_since.map_or(0, |since| self.now - since);
        self.detector.heard(&Heard {
            start: ms(start),
            duration: ms(100),
            speaking: Some(speaking),
            speech: ms(speech),
        });
        self.deliver(self.now.saturating_sub(500));
        self.take();
        if let (Some((number, asked)), Some(takes)) = (self.flush, self.flush_takes)
            && self.now >= asked + takes
        {
            self.flush = None;
            self.deliver(asked);
            self.detector.flushed(number);
            self.take();
        }
    }

    fn deliver(&mut self, until: u64) {
        let due = |word: &Word| word.end <= ms(until);
        let words: Vec<Word> = self
            .words
            .iter()
            .filter(|word| due(word))
            .cloned()
            .collect();
        self.words.retain(|word| !due(word));
        if !words.is_empty() {
            self.detector.words(&words);
        }
    }

    fn take(&mut self) {
        while let Some(action) = self.detector.poll() {
            if let Action::Flush(number) = action {
                assert_eq!(
                    self.flush, None,
                    "a second flush before the first is answered"
                );
                self.flush = Some((number, self.now));
            }
            self.actions.push((self.now, action));
        }
    }

    fn quiet(&mut self, length: u64) -> &mut Line {
        let end = self.now + length;
        while self.now < end {
            self.step(false);
        }
        self
    }

    /// `text` said within `length`, then the half second in which the detector of voice is not sure of its end.
    fn say(&mut self, text: &str, length: u64) -> &mut Line {
        let start = self.now;
        let texts: Vec<&str> = text.split_whitespace().collect();
        for (n, text) in texts.iter().enumerate() {
            let at = |n: usize| start + length * n as u64 / texts.len() as u64;
            self.words.push(Word {
                text: (*text).into(),
                start: ms(at(n)),
                end: ms(at(n + 1)),
                confidence: 0.9,
            });
        }
        self.voice(length)
    }

    /// Speech of which no word is understood, unless [`Line::say`] queued some.
    fn voice(&mut self, length: u64) -> &mut Line {
        let start = self.now;
        self.speech_since = Some(start);
        self.detector.speech_start(ms(start));
        while self.now < start + length + 500 {
            self.step(true);
        }
        self.speech_since = None;
        self.deliver(start + length);
        self.detector.speech_end(Span {
            start: ms(start),
            end: ms(start + length),
        });
        self.take();
        self
    }

    fn tone(&mut self, kind: ToneKind, start: u64, length: u64, ended: bool) -> &mut Line {
        self.detector.tone(Tone {
            kind,
            start: ms(start),
            duration: ms(length),
            ended,
            frequency: 1000.0,
            level: -20.0,
        });
        self.take();
        self
    }

    fn verdicts(&self) -> Vec<&Verdict> {
        let verdict = |(_, action): &'_ (u64, Action)| matches!(action, Action::Verdict(_));
        let actions = self.actions.iter().filter(|action| verdict(action));
        actions
            .filter_map(|(_, action)| match action {
                Action::Verdict(verdict) => Some(verdict),
                _ => None,
            })
            .collect()
    }

    /// The one there is.
    fn verdict(&self) -> &Verdict {
        let verdicts = self.verdicts();
        assert_eq!(verdicts.len(), 1, "{:#?}", self.actions);
        verdicts[0]
    }

    fn said(&self) -> (Outcome, Cause) {
        let verdict = self.verdict();
        (verdict.outcome, verdict.cause)
    }

    fn flushes(&self) -> usize {
        let is_flush = |(_, action): &&(u64, Action)| matches!(action, Action::Flush(_));
        self.actions.iter().filter(is_flush).count()
    }

    fn greeting_ends(&self) -> Vec<(u64, bool)> {
        let end = |(_, action): &(u64, Action)| match action {
            Action::GreetingEnd(end) => Some((end.at.as_millis() as u64, end.beep)),
            _ => None,
        };
        self.actions.iter().filter_map(end).collect()
    }

    fn beeps(&self) -> Vec<u64> {
        let beep = |(_, action): &(u64, Action)| match action {
            Action::Beep(tone) => Some(tone.start.as_millis() as u64),
            _ => None,
        };
        self.actions.iter().filter_map(beep).collect()
    }
}

#[test]
fn a_phrase_decides_before_the_time_is_over() {
    let mut line = Line::french();
    line.quiet(300)
        .say("bonjour vous êtes bien sur la messagerie", 1400);
    assert_eq!(line.said(), (Outcome::Machine, Cause::Phrase));
    let verdict = line.verdict();
    assert!(verdict.took < ms(2300), "{verdict:?}");
    assert!(
        verdict
            .phrases
            .iter()
            .any(|phrase| phrase.contains("vous êtes"))
    );
    assert_eq!(line.flushes(), 0, "what is sure needs no flush");
}

#[test]
fn the_verdict_carries_what_was_understood() {
    let mut line = Line::french();
    line.quiet(300).say("bonjour oui", 600).quiet(1000);
    let verdict = line.verdict();
    assert_eq!(verdict.text(), "bonjour oui");
    assert_eq!(verdict.words[0].start, ms(300));
    assert!(verdict.confidence > 0.8 && verdict.confidence <= 1.0);
}

#[test]
fn a_short_word_and_a_wait_is_a_human() {
    let mut line = Line::french();
    line.quiet(400).say("bonjour", 500).quiet(2000);
    assert_eq!(line.said(), (Outcome::Human, Cause::Phrase));
    // The speech ended at 900, 800 ms of silence, 200 ms for the flush.
    assert_eq!(line.verdict().took, ms(1900));
    assert_eq!(line.flushes(), 1);
}

#[test]
fn words_of_machines_alone_make_no_machine_of_a_human() {
    for text in [
        "oui j'ai eu votre message",
        "allô c'est Free",
        "oui c'est bien le zéro six",
        "allô je suis occupé en ce moment",
        "c'est à quel sujet laissez-moi un message plus tard",
        "oui 06 12 34 56 78",
    ] {
        let mut line = Line::french();
        line.quiet(300).say(text, 1400).quiet(2500);
        assert_eq!(line.verdict().outcome, Outcome::Human, "{text}");
    }
    let mut line = Line::new(Settings::default());
    line.detector.set_language(Some("en"));
    line.quiet(300)
        .say("hello I got your message", 1200)
        .quiet(2500);
    assert_eq!(line.verdict().outcome, Outcome::Human);
}

#[test]
fn so_many_words_without_a_pause_are_a_machine() {
    let nine = "mon cheval mange du foin dans son pré vert";
    let mut line = Line::deciding_in(10_000);
    line.quiet(300).say(nine, 3000);
    assert_eq!(line.said(), (Outcome::Machine, Cause::Cadence));
    // With a pause of 800 ms in between they are not.
    let mut line = Line::deciding_in(10_000);
    line.quiet(300).say("mon cheval mange du", 1000).quiet(300);
    line.say("foin dans son pré vert", 1000);
    assert!(line.verdicts().is_empty(), "{:?}", line.verdicts());
}

#[test]
fn without_words_asterisk_s_rules_decide() {
    let mut line = Line::french();
    line.quiet(400).voice(600).quiet(2000);
    assert_eq!(line.said(), (Outcome::Human, Cause::Cadence));

    let mut line = Line::french();
    line.quiet(400).voice(3000);
    assert_eq!(line.said(), (Outcome::Machine, Cause::Cadence));
    assert_eq!(line.verdict().took, ms(2500), "the time, and the flush");

    let mut line = Line::french();
    line.quiet(1500).voice(1200);
    assert_eq!(line.said(), (Outcome::Unknown, Cause::Timeout));
}

#[test]
fn words_that_are_guessed_are_not_understood() {
    let outcome = |confidence| {
        let mut line = Line::french();
        line.quiet(400);
        for word in ["mon", "cheval", "mange", "du", "foin"] {
            line.detector.words(&[Word {
                text: word.into(),
                start: ms(500),
                end: ms(900),
                confidence,
            }]);
        }
        line.voice(3000);
        line.said()
    };
    assert_eq!(outcome(0.4), (Outcome::Machine, Cause::Cadence));
    assert_eq!(outcome(0.9), (Outcome::Unknown, Cause::Timeout));
}

#[test]
fn silence_for_the_whole_time_is_no_answer() {
    let mut line = Line::french();
    line.quiet(2200);
    assert!(line.actions.is_empty());
    line.quiet(100);
    assert_eq!(line.flushes(), 1);
    line.quiet(1000);
    assert_eq!(line.said(), (Outcome::NoAnswer, Cause::Silence));
    assert_eq!(line.verdict().took, ms(2500));
}

#[test]
fn the_decision_time_is_as_set() {
    let mut line = Line::deciding_in(15_000);
    line.quiet(14_900);
    assert!(line.actions.is_empty());
    line.quiet(500);
    assert_eq!(line.verdict().took, ms(15_200));
}

#[test]
fn tones_say_what_they_are() {
    for (kind, outcome) in [
        (ToneKind::FaxCng, Outcome::Fax),
        (ToneKind::FaxCed, Outcome::Fax),
        (ToneKind::Sit, Outcome::NoAnswer),
        (ToneKind::Busy, Outcome::NoAnswer),
        (ToneKind::Congestion, Outcome::NoAnswer),
        (ToneKind::Dial, Outcome::NoAnswer),
    ] {
        let mut line = Line::french();
        line.quiet(700).tone(kind, 200, 500, false);
        assert_eq!(line.said(), (outcome, Cause::Tone), "{kind:?}");
    }
}

#[test]
fn a_tone_that_was_written_down_is_no_word() {
    let mut line = Line::french();
    line.quiet(300).say("allô", 300);
    let mut ringing = Line::french();
    ringing.quiet(100).tone(ToneKind::RingBack, 0, 1000, true);
    ringing.quiet(200).say("allô", 300).quiet(2500);
    assert_eq!(line.verdict().outcome, Outcome::Human);
    assert_eq!(ringing.said(), (Outcome::NoAnswer, Cause::Tone));
    assert!(ringing.verdict().words.is_empty());
}

#[test]
fn ringing_is_no_answer_when_the_time_is_over() {
    let mut line = Line::french();
    // The detector of voice takes it for speech.
    line.quiet(300).voice(1000);
    line.tone(ToneKind::RingBack, 300, 1000, true);
    assert!(line.verdicts().is_empty());
    line.quiet(2000);
    assert_eq!(line.said(), (Outcome::NoAnswer, Cause::Tone));
}

#[test]
fn a_beep_is_a_machine_once_it_is_no_part_of_another_signal() {
    let mut line = Line::french();
    line.quiet(600).tone(ToneKind::Beep, 200, 330, true);
    assert!(line.verdicts().is_empty());
    line.quiet(400);
    assert_eq!(line.said(), (Outcome::Machine, Cause::Tone));
    assert_eq!(line.beeps(), [200]);

    // The first tone of a SIT may be taken for a beep.
    let mut line = Line::french();
    line.quiet(600).tone(ToneKind::Beep, 200, 330, true);
    line.quiet(300)
        .tone(ToneKind::Sit, 200, 990, true)
        .quiet(2000);
    assert_eq!(line.said(), (Outcome::NoAnswer, Cause::Tone));
}

#[test]
fn the_network_s_announcements_are_no_answer() {
    let mut line = Line::french();
    line.quiet(300)
        .say("le numéro que vous avez composé n'est pas attribué", 3000);
    assert_eq!(line.said(), (Outcome::NoAnswer, Cause::Phrase));
}

#[test]
fn each_call_has_one_verdict() {
    let mut line = Line::french();
    line.quiet(300).say("vous êtes bien sur le répondeur", 1500);
    line.say("laissez un message après le bip sonore", 2000);
    let beep = line.quiet(500).now - 400;
    line.tone(ToneKind::Beep, beep, 400, true);
    line.quiet(5000);
    line.detector.end();
    line.take();
    assert_eq!(line.verdicts().len(), 1);

    line.detector.answered(None);
    line.quiet(400).say("allô", 500).quiet(3000);
    line.detector.end();
    line.take();
    assert_eq!(line.verdicts().len(), 2);
    assert_eq!(line.verdicts()[1].outcome, Outcome::Human);
    assert_eq!(line.verdicts()[1].text(), "allô");
}

#[test]
fn a_call_that_is_answered_late_is_timed_from_there() {
    let mut line = Line::french();
    line.quiet(2000);
    line.detector.answered(None);
    line.quiet(2200);
    assert!(line.actions.is_empty(), "{:?}", line.actions);
    line.quiet(500);
    let verdict = line.verdict();
    assert_eq!((verdict.took, verdict.at), (ms(2500), ms(4500)));
}

#[test]
fn a_flush_that_nobody_answers_is_waited_for_no_longer_than_two_seconds() {
    let mut line = Line::french();
    line.flush_takes = None;
    line.quiet(4200);
    assert!(line.verdicts().is_empty());
    line.quiet(100);
    assert_eq!(line.said(), (Outcome::NoAnswer, Cause::Silence));
}

#[test]
fn flushes_of_others_are_none_of_ours() {
    let mut line = Line::french();
    line.flush_takes = None;
    line.quiet(2400);
    line.detector.flushed(77);
    line.take();
    assert!(line.verdicts().is_empty());
    line.detector.flushed(1);
    line.take();
    assert_eq!(line.verdicts().len(), 1);
}

#[test]
fn the_end_of_the_audio_is_the_time_to_decide() {
    let mut line = Line::french();
    line.quiet(300).say("allô", 400);
    line.detector.end();
    line.take();
    assert_eq!(line.verdict().outcome, Outcome::Human);

    let mut nothing = Line::french();
    nothing.detector.end();
    nothing.take();
    assert_eq!(nothing.said(), (Outcome::NoAnswer, Cause::Silence));
    assert_eq!(nothing.verdict().took, ms(0));
}

#[test]
fn a_greeting_ends_with_silence_or_with_the_beep() {
    let mut line = Line::french();
    line.quiet(300).say("vous êtes bien sur le répondeur", 1500);
    assert_eq!(line.verdicts().len(), 1);
    line.quiet(1400);
    assert!(line.greeting_ends().is_empty());
    line.quiet(200);
    assert_eq!(line.greeting_ends(), [(1800, false)]);
    line.quiet(4000);
    assert_eq!(line.greeting_ends().len(), 1);
    // It goes on after a pause: it ends once more, this time with its beep.
    line.say("laissez un message", 1000);
    let beep = line.now;
    line.quiet(400).tone(ToneKind::Beep, beep, 150, false);
    assert!(line.beeps().is_empty(), "not over yet");
    line.tone(ToneKind::Beep, beep, 400, true).quiet(6000);
    assert_eq!(line.greeting_ends(), [(1800, false), (beep, true)]);
    assert_eq!(line.beeps(), [beep]);
}

#[test]
fn a_human_has_no_greeting_that_ends() {
    let mut line = Line::french();
    line.quiet(300).say("allô oui", 600).quiet(6000);
    assert_eq!(line.verdict().outcome, Outcome::Human);
    assert!(line.greeting_ends().is_empty());
}

#[test]
fn words_count_by_language_once_it_is_known() {
    // "press" is a machine's in English and nothing in French.
    let verdict = |language| {
        let mut line = Line::new(Settings::default());
        line.detector.set_language(language);
        line.quiet(300).say("press one", 900).quiet(3000);
        line.verdict().outcome
    };
    assert_eq!(verdict(Some("en")), Outcome::Machine);
    assert_eq!(verdict(None), Outcome::Machine);
    assert_eq!(verdict(Some("fr")), Outcome::Human);
}

#[test]
fn odd_times_and_confidences_do_no_harm() {
    let mut line = Line::french();
    let word = |text: &str, start, end, confidence| Word {
        text: text.into(),
        start,
        end,
        confidence,
    };
    line.detector.words(&[
        word("", Duration::MAX, Duration::ZERO, f32::NAN),
        word("\u{0}\u{301}", ms(5), ms(5), f32::INFINITY),
        word("allô", Duration::MAX, Duration::MAX, -1.0),
    ]);
    line.detector.heard(&Heard {
        start: Duration::MAX,
        duration: Duration::MAX,
        speaking: Some(true),
        speech: Duration::MAX,
    });
    line.tone(ToneKind::Beep, u64::MAX, u64::MAX, true);
    line.detector.speech_end(Span {
        start: Duration::MAX,
        end: Duration::ZERO,
    });
    line.detector.flushed(u64::MAX);
    line.detector.end();
    line.take();
    assert_eq!(line.verdicts().len(), 1);
}

#[test]
fn a_bad_line_of_phrases_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# ours\nhuman 1.0 allô\nmachin 1.0 bip\n").unwrap();
    let error = Phrases::read(file.path()).unwrap_err();
    let sentence = error.to_string();
    assert!(
        matches!(&error, PhrasesError::Line { line: 3, wrong: Wrong::Side(side), .. } if side == "machin"),
        "{error:?}"
    );
    assert!(sentence.contains(&format!("{}, line 3: \"machin\"", file.path().display())));
    assert!(sentence.contains("human, machine, no-answer or fax"));

    std::fs::write(file.path(), "human 1.0 allô\nhuman 1.0 \u{fffd}\u{1}\n").unwrap();
    assert!(matches!(
        Phrases::read(file.path()),
        Err(PhrasesError::Line {
            line: 2,
            wrong: Wrong::Phrase,
            ..
        })
    ));
    std::fs::write(file.path(), b"human 1.0 all\xf4\n").unwrap();
    assert!(matches!(
        Phrases::read(file.path()),
        Err(PhrasesError::Line {
            line: 1,
            wrong: Wrong::Encoding,
            ..
        })
    ));
    std::fs::write(file.path(), "# nothing\n\n").unwrap();
    assert!(matches!(
        Phrases::read(file.path()),
        Err(PhrasesError::Empty { .. })
    ));
    let nowhere = file.path().with_extension("gone");
    let sentence = Phrases::read(&nowhere).unwrap_err().to_string();
    assert!(sentence.contains("cannot be read"), "{sentence}");
}
