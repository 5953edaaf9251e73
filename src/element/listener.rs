//! What the engine says, turned into buffers, messages and events. Runs on the session's worker.

use std::sync::atomic::Ordering;

use gst::ClockTime;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::cues::{TimedWord, tidy};
use super::imp::{CAT, WhisperStream, lock};
use super::messages::{self, Stretch};
use super::session::error_message;
use super::speaker::{Progress, Speaker, Timed, Untold, Utterance};
use super::timeline::{Timeline, duration_of};
use crate::engine::{Degradation, Event};
use crate::policy::{Detected, PartialWord, Release, Samples, Word};
use crate::whisper::{Fetched, Loading};

/// A `stats` message comes this often, in time of the stream.
const STATS_EVERY: ClockTime = ClockTime::from_seconds(10);

impl WhisperStream {
    /// One event of session `number`.
    pub(super) fn hear(&self, number: u64, event: Event) {
        if lock(&self.held).number != number {
            return;
        }
        match event {
            Event::Loading(loading) => self.loading(number, loading),
            Event::Loaded { took, shared } => {
                gst::info!(
                    CAT,
                    imp = self,
                    "model ready after {took:?}, shared: {shared}"
                );
                if self.loaded(number) {
                    self.post_progress(gst::ProgressType::Complete, "The model is ready");
                }
            }
            Event::Words {
                release,
                utterance,
                is_final,
                heard,
            } => {
                let decided = self.end_of(heard.max(release.end));
                self.words(number, &release, utterance, is_final, decided);
            }
            Event::UtteranceEnd { heard, .. } => {
                let decided = self.end_of(heard);
                let ended = self.speaking(number, |speaker| self.end_utterance(speaker, decided));
                self.utterance.fetch_add(1, Ordering::Relaxed);
                if let Some(messages) = ended {
                    messages.into_iter().for_each(|message| self.post(message));
                }
            }
            Event::Partial {
                utterance,
                committed,
                words,
                heard,
            } => self.partial(utterance, &committed, &words, heard),
            Event::Noticed(detection) => self.noticed(&detection),
            Event::Speech {
                detection,
                utterance,
            } => self.speech(number, &detection, utterance),
            Event::Interrupting(interruption) => self.interrupting(&interruption),
            Event::Interrupted {
                interruption,
                utterance,
            } => self.interrupted(number, &interruption, utterance),
            Event::Drained { number: drain } => self.drained(drain),
            Event::Language(detected) => self.language(number, &detected),
            Event::Progress { quiet_until, heard } => self.progress(number, quiet_until, heard),
            Event::Guarded(guards) => gst::debug!(CAT, imp = self, "guards cut {guards:?}"),
            Event::Refused(refusal) => {
                self.restore_policy();
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Settings,
                    ("{refusal}; the stream goes on as before")
                );
            }
            Event::Cautioned(caution) => {
                gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{caution}"));
            }
            Event::Dropped { start, samples } => self.dropped(number, start, samples),
            Event::Degraded(degradation) => self.degraded(number, &degradation),
            Event::NotRecorded(error) => {
                gst::element_imp_warning!(self, gst::ResourceError::Write, ("{error}"));
            }
            Event::Failed(error) => {
                if std::mem::take(&mut lock(&self.held).loading) {
                    self.post_progress(gst::ProgressType::Error, "The model could not be loaded");
                }
                self.post_error_message(error_message(&error));
                self.answer_all_markers();
            }
        }
    }

    fn loading(&self, number: u64, Loading { percent, fetched }: Loading) {
        let first = {
            let mut held = lock(&self.held);
            // Stopped meanwhile, which has told of the load's end.
            if held.number != number {
                return;
            }
            let first = !std::mem::replace(&mut held.loading, true);
            // Every tenth is enough for a bar; a download can take its time over one.
            if !first && fetched.is_none() && percent / 10 == held.percent / 10 {
                return;
            }
            held.percent = percent;
            first
        };
        let kind = match first {
            true => gst::ProgressType::Start,
            false => gst::ProgressType::Continue,
        };
        let fetched = fetched.map_or_else(String::new, |Fetched { bytes, of }| {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let (here, all) = (megabytes(bytes), megabytes(of));
            format!(" ({here:.1} of {all:.1} MB are fetched)")
        });
        self.post_progress(kind, &format!("Loading the model: {percent} %{fetched}"));
    }

    /// Runs `say` under the output's lock, if session `number` may still speak.
    pub(super) fn speaking<T>(
        &self,
        number: u64,
        say: impl FnOnce(&mut Speaker) -> T,
    ) -> Option<T> {
        let settings = lock(&self.settings);
        let (latency, lateness) = (settings.latency(), settings.lateness());
        drop(settings);
        let mut speaker = lock(&self.speaker);
        if speaker.session != number {
            return None;
        }
        speaker.manner.latency = latency;
        speaker.out.set_lateness(lateness);
        Some(say(&mut speaker))
    }

    fn words(
        &self,
        number: u64,
        release: &Release,
        utterance: u64,
        is_final: bool,
        decided: ClockTime,
    ) {
        let timed = Timed {
            utterance,
            is_final,
            decided,
            ..timed(&lock(&self.timeline), release)
        };
        let next = utterance + u64::from(is_final);
        self.utterance.store(next, Ordering::Relaxed);
        let said = self.speaking(number, |speaker| {
            if release.end < speaker.floor {
                return None;
            }
            self.speak_language(speaker);
            let segment = speaker.out.segment()?.clone();
            let told = self.edit(speaker, &timed).map(|edited| {
                speaker.say(&edited);
                let (stretch, message) = self.words_message(speaker, &segment, &edited);
                speaker.untold.push(Untold::Message(message));
                stretch
            });
            let mut messages = self.untold(speaker);
            if is_final {
                messages.extend(self.end_utterance(speaker, timed.decided));
            }
            Some((told, messages))
        });
        if let Some((told, messages)) = said.flatten() {
            messages.into_iter().for_each(|message| self.post(message));
            if let Some(stretch) = told {
                self.observe(&stretch);
            }
        }
    }

    /// What is left of a release when it is edited, if anything is. Digits masked in it are told of.
    fn edit(&self, speaker: &mut Speaker, release: &Timed) -> Option<Timed> {
        if !speaker.edits.is_any() {
            return Some(release.clone());
        }
        let language = speaker.stream.language.clone();
        let words = release.words.clone();
        let edited = speaker
            .edits
            .take(words, language.as_deref(), release.is_final);
        speaker.mute(&edited.spans, release.utterance);
        release.with(edited.words)
    }

    /// The message about words that were said.
    fn words_message(
        &self,
        speaker: &Speaker,
        segment: &gst::FormattedSegment<ClockTime>,
        release: &Timed,
    ) -> (Stretch, gst::Structure) {
        let stretch = Stretch::new(segment, release.start, release.end);
        let message = stretch
            .structure("whisperstream/words", release.utterance)
            .field("text", tidy(&release.text))
            .field("words", messages::words(&release.words))
            .field_if_some("language", speaker.stream.language.clone())
            .field_if_some("probability", speaker.stream.probability())
            .field("is-final", release.is_final)
            .field("delay", self.delay(&stretch, release.decided))
            .build();
        (stretch, message)
    }

    /// Messages about what was said since the last were posted.
    pub(super) fn untold(&self, speaker: &mut Speaker) -> Vec<gst::Structure> {
        let untold = std::mem::take(&mut speaker.untold);
        let Some(segment) = speaker.out.segment().cloned() else {
            return Vec::new();
        };
        let message = |untold| match untold {
            Untold::Words(release) => self.words_message(speaker, &segment, &release).1,
            Untold::Message(message) => message,
        };
        untold.into_iter().map(message).collect()
    }

    /// Posts what the speaker said of itself.
    pub(super) fn tell_untold(&self) {
        let messages = {
            let mut speaker = lock(&self.speaker);
            match speaker.untold.is_empty() {
                true => return,
                false => self.untold(&mut speaker),
            }
        };
        messages.into_iter().for_each(|message| self.post(message));
    }

    /// A language set while playing is in force from the utterance that starts now.
    fn speak_language(&self, speaker: &mut Speaker) {
        if !speaker.utterance.words.is_empty() {
            return;
        }
        let Some(code) = lock(&self.held).next_language.take() else {
            return;
        };
        speaker.stream.language = Some(code.to_string());
        speaker.stream.probability = 1.0;
        if let Some(tags) = language_tags(code) {
            speaker.out.tag(tags);
        }
    }

    /// Behind an utterance's last words: the event for caption elements, and the `final` message.
    fn end_utterance(&self, speaker: &mut Speaker, decided: ClockTime) -> Vec<gst::Structure> {
        speaker.say_all_held(decided);
        let mut messages = self.untold(speaker);
        messages.extend(self.finish_utterance(speaker, decided));
        messages
    }

    fn finish_utterance(
        &self,
        speaker: &mut Speaker,
        decided: ClockTime,
    ) -> Option<gst::Structure> {
        let Utterance {
            number,
            words,
            start,
            end,
            truncated,
        } = speaker.end_utterance(decided);
        let segment = speaker.out.segment()?.clone();
        let event = gst::Structure::new_empty("rstranscribe/final-transcript");
        speaker.out.event(gst::event::CustomDownstream::new(event));
        let stretch = Stretch::new(&segment, start?, end);
        let text: String = words.iter().map(|word| word.text.as_str()).collect();
        let message = stretch
            .structure("whisperstream/final", number)
            .field("text", tidy(&text))
            .field("words", messages::words(&words))
            .field_if_some("language", speaker.stream.language.clone())
            .field_if_some("probability", speaker.stream.probability())
            .field("truncated", truncated)
            .field("delay", self.delay(&stretch, decided));
        Some(message.build())
    }

    fn partial(&self, utterance: u64, committed: &str, words: &[PartialWord], heard: Samples) {
        if !lock(&self.settings).policy.interim {
            return;
        }
        let stream = lock(&self.speaker).stream.clone();
        let first = words.first().map_or(heard, |first| first.word.start);
        let last = words.last().map_or(heard, |last| last.word.end);
        let timeline = lock(&self.timeline);
        let (start, end) = (
            timeline.at(first),
            timeline.at_end_of(last).max(timeline.at(first)),
        );
        let timed: Vec<_> = words
            .iter()
            .map(|partial| (timed_word(&timeline, &partial.word), partial.stability))
            .collect();
        drop(timeline);
        let Some(segment) = lock(&self.input).segment.clone() else {
            return;
        };
        let (committed, timed) = {
            let speaker = lock(&self.speaker);
            let language = stream.language.as_deref();
            speaker.edits.preview(committed, timed, language)
        };
        let tail: String = timed.iter().map(|(word, _)| word.text.as_str()).collect();
        let stretch = Stretch::new(&segment, start, end);
        let message = stretch
            .structure("whisperstream/partial", utterance)
            .field("text", tidy(&format!("{committed}{tail}")))
            .field("committed", tidy(&committed))
            .field("tail", tidy(&tail))
            .field("words", messages::partial_words(&timed))
            .field_if_some("probability", stream.probability())
            .field_if_some("language", stream.language)
            .field("speech", self.speech_ns())
            .field("delay", self.delay(&stretch, self.end_of(heard.max(last))));
        self.post(message.build());
    }

    fn language(&self, number: u64, detected: &Detected) {
        let tags = language_tags(detected.code);
        let message = self.speaking(number, |speaker| {
            speaker.stream.language = Some(detected.code.to_string());
            speaker.stream.probability = detected.probability;
            if let Some(tags) = tags {
                speaker.out.tag(tags);
            }
            let end = lock(&self.timeline).end();
            let segment = speaker.out.segment()?.clone();
            Some(
                Stretch::new(&segment, end, end)
                    .structure("whisperstream/language", speaker.number())
                    .field("language", detected.code)
                    .field("probability", f64::from(detected.probability))
                    .build(),
            )
        });
        if let Some(message) = message.flatten() {
            self.post(message);
        }
    }

    fn progress(&self, number: u64, quiet_until: Samples, heard: Samples) {
        let timeline = lock(&self.timeline);
        let progress = Progress {
            quiet_until: timeline.at_end_of(quiet_until),
            heard: timeline.at_end_of(heard),
            received: timeline.end(),
        };
        drop(timeline);
        self.speaking(number, |speaker| {
            if heard >= speaker.floor {
                speaker.progress(progress);
            }
        });
        self.tell_untold();
        let due = {
            let mut input = lock(&self.input);
            input.heard = heard;
            let due = duration_of(heard.saturating_sub(input.stats_at)) >= STATS_EVERY;
            if due {
                input.stats_at = heard;
            }
            due
        };
        if due {
            self.post(self.stats());
        }
    }

    fn dropped(&self, number: u64, start: Samples, samples: u64) {
        let timeline = lock(&self.timeline);
        let from = timeline.at(start);
        let until = timeline.at_end_of(start.saturating_add(samples));
        drop(timeline);
        gst::warning!(
            CAT,
            imp = self,
            "too slow: audio from {from} to {until} is dropped"
        );
        let message = self.speaking(number, |speaker| {
            let segment = speaker.out.segment()?;
            let stretch = Stretch::new(segment, from, until);
            Some(
                stretch
                    .structure("whisperstream/dropped", speaker.number())
                    .build(),
            )
        });
        if let Some(message) = message.flatten() {
            self.post(message);
        }
    }

    fn degraded(&self, number: u64, degradation: &Degradation) {
        let message = self.speaking(number, |speaker| {
            let end = lock(&self.timeline).end();
            let segment = speaker.out.segment()?;
            let fields = Stretch::new(segment, end, end)
                .structure("whisperstream/overload", speaker.number());
            Some(messages::overload(fields, degradation))
        });
        if let Some(message) = message.flatten() {
            gst::warning!(CAT, imp = self, "{message}");
            self.post(message);
        }
    }

    /// The instant at which the audio before `position` ends.
    fn end_of(&self, position: Samples) -> ClockTime {
        lock(&self.timeline).at_end_of(position)
    }

    /// Now minus the end of what is reported, in ns: on the clock when upstream is live or paced by it, else on the
    /// stream's own time.
    pub(super) fn delay(&self, stretch: &Stretch, decided: ClockTime) -> u64 {
        let by_stream = decided.saturating_sub(stretch.timestamp + stretch.duration);
        let by_clock = || {
            let now = self.obj().current_running_time()?;
            now.checked_sub(stretch.running_end()?)
        };
        by_clock()
            .filter(|_| lock(&self.input).is_paced_live)
            .unwrap_or(by_stream)
            .nseconds()
    }

    /// Warns, with each new maximum, when text comes later than `latency` and `lateness` promise.
    fn observe(&self, stretch: &Stretch) {
        let (live, upstream) = {
            let input = lock(&self.input);
            (input.upstream_live, input.upstream_latency)
        };
        let (Some(now), Some(start), true) = (
            self.obj().current_running_time(),
            stretch.running_time,
            live,
        ) else {
            return;
        };
        let delay = now.saturating_sub(start).saturating_sub(upstream);
        let delay_ms = u32::try_from(delay.mseconds()).unwrap_or(u32::MAX);
        if self
            .observed_delay_ms
            .fetch_max(delay_ms, Ordering::Relaxed)
            >= delay_ms
        {
            return;
        }
        self.obj().notify("max-observed-delay");
        let settings = lock(&self.settings);
        let promised = settings.latency() + settings.lateness();
        drop(settings);
        if delay > promised {
            gst::element_imp_warning!(
                self,
                gst::CoreError::Clock,
                (
                    "Text came {delay_ms} ms after it was spoken, but latency and lateness promise {} ms; raise \
                     latency, or choose a smaller model",
                    promised.mseconds()
                ),
                details: gst::Structure::builder("whisperstream/excessive-delay")
                    .field("new-observed-max-delay", delay.nseconds())
                    .build()
            );
        }
    }
}

fn timed(timeline: &Timeline, release: &Release) -> Timed {
    Timed {
        words: release
            .words
            .iter()
            .map(|word| timed_word(timeline, word))
            .collect(),
        text: release.text.clone(),
        start: timeline.at(release.start),
        end: timeline
            .at_end_of(release.end)
            .max(timeline.at(release.start)),
        utterance: 0,
        is_final: false,
        decided: ClockTime::ZERO,
    }
}

fn timed_word(timeline: &Timeline, word: &Word) -> TimedWord {
    let start = timeline.at(word.start);
    TimedWord {
        text: word.text.clone(),
        tokens: word.tokens.clone(),
        start,
        end: timeline.at_end_of(word.end).max(start),
        confidence: word.confidence,
    }
}

/// A TAG event that names the language.
pub fn language_tags(code: &str) -> Option<gst::Event> {
    let mut tags = gst::TagList::new();
    tags.get_mut()?
        .add::<gst::tags::LanguageCode>(&code, gst::TagMergeMode::Replace);
    Some(gst::event::Tag::new(tags))
}
