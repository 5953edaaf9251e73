//! What the element posts on the bus: names and fields of its element messages.
//!
//! Common to all that concern a stretch of the stream: `timestamp`, `stream-time`, `running-time`, `duration` (guint64,
//! ns; the true times, unclamped), `utterance` (guint64, from 0; in what is told at once: as far as passes have come) and,
//! if it is set, `leg`.
//!
//! | name | when | further fields |
//! |---|---|---|
//! | `whisperstream/words` | each release | `text`, `words`, `language`, `probability`, `is-final`, `delay` |
//! | `whisperstream/final` | once an utterance, behind its last words | `text`, `words`, `language`, `probability`, `delay`, `truncated` |
//! | `whisperstream/partial` | each pass and each boundary of speech, with `interim` | `text` (all of the utterance), `committed`, `tail`, `words` (of the tail, with `stability`), `language`, `probability`, `speech`, `delay` |
//! | `whisperstream/speech-start` | at once | `probability`, `delay` |
//! | `whisperstream/speech-end` | at once | `delay` |
//! | `whisperstream/barge-in` | at once | `speech`, `words` (how many), `text`, `cause`, `delay` |
//! | `whisperstream/redact` | digits were masked: the stretch in which they are spoken | |
//! | `whisperstream/language` | when it is known | `language`, `probability` |
//! | `whisperstream/flushed` | when a flush is done | `marker` |
//! | `whisperstream/saved` | when the event `whisperstream/save` passes | `marker`, `position` (samples), `state` (GBytes) |
//! | `whisperstream/dropped` | audio was dropped | (the stretch that was) |
//! | `whisperstream/overload` | what is done so that the machine keeps up has changed | `level`, `reason`, `chunk`, `audio-ctx`, `late`, `busy` |
//! | `whisperstream/stats` | every 10 s of audio and at EOS | as the property `stats` |

use std::time::Duration;

use gst::ClockTime;

use super::cues::TimedWord;
use super::meta;
use super::settings::Settings;
use crate::engine::{Degradation, Stats};

/// A stretch of the stream, on the clocks that messages name.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    pub timestamp: ClockTime,
    pub stream_time: Option<ClockTime>,
    pub running_time: Option<ClockTime>,
    pub duration: ClockTime,
}

impl Stretch {
    pub fn new(
        segment: &gst::FormattedSegment<ClockTime>,
        start: ClockTime,
        end: ClockTime,
    ) -> Self {
        Stretch {
            timestamp: start,
            stream_time: segment.to_stream_time(start),
            running_time: segment.to_running_time(start),
            duration: end.saturating_sub(start),
        }
    }

    /// When its end is heard, on the running clock.
    pub fn running_end(&self) -> Option<ClockTime> {
        Some(self.running_time?.saturating_add(self.duration))
    }

    /// A message structure with the common fields.
    pub fn structure(&self, name: &str, utterance: u64) -> gst::structure::Builder {
        let ns = |time: Option<ClockTime>| time.unwrap_or(self.timestamp).nseconds();
        gst::Structure::builder(name)
            .field("timestamp", self.timestamp.nseconds())
            .field("stream-time", ns(self.stream_time))
            .field("running-time", ns(self.running_time))
            .field("duration", self.duration.nseconds())
            .field("utterance", utterance)
    }
}

/// Words as a field.
pub fn words(words: &[TimedWord]) -> gst::Array {
    meta::array(words.iter().map(meta::structure))
}

/// Words of the unstable tail as a field.
pub fn partial_words(words: &[(TimedWord, u32)]) -> gst::Array {
    meta::array(
        words
            .iter()
            .map(|(word, stability)| meta::structure(word).field("stability", *stability)),
    )
}

/// Fields of `whisperstream/overload`: what is done so that the machine keeps up, and why.
pub fn overload(to: gst::structure::Builder, degradation: &Degradation) -> gst::Structure {
    let Degradation {
        level,
        chunk,
        shortened,
        late,
        busy,
    } = *degradation;
    let percent = |share: f64| (share * 100.0).round();
    let measures = format!(
        "passes wait for {} ms of audio{}",
        chunk.as_millis(),
        if shortened {
            " and encode only the audio held"
        } else {
            ""
        }
    );
    let reason = match level {
        0 => format!("the machine keeps up: {measures}, as was asked for"),
        _ => format!(
            "{} % of the passes of all live streams on this model came late, and the network ran {} % of the time: {measures}",
            percent(late),
            percent(busy)
        ),
    };
    to.field("level", level)
        .field("reason", reason)
        .field("chunk", u64::try_from(chunk.as_nanos()).unwrap_or(u64::MAX))
        .field("audio-ctx", if shortened { "auto" } else { "exact" })
        .field("late", late)
        .field("busy", busy)
        .build()
}

/// The figures of the property `stats` and the message of that name. Times in ns (guint64).
pub fn stats(name: &str, settings: &Settings, stats: &Stats, clamped: u64) -> gst::Structure {
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let precision = match settings.arithmetic() {
        Ok(arithmetic) => arithmetic.to_string(),
        Err(_) => "none".to_owned(),
    };
    let guards = gst::Structure::builder("guards")
        .field("no-speech", stats.guards.no_speech)
        .field("rate", stats.guards.rate)
        .field("repetition", stats.guards.repetition)
        .field("rewind", stats.guards.rewind)
        .field("quiet", stats.guards.quiet)
        .field("unlikely", stats.guards.unlikely)
        .field("resampled", stats.guards.resampled)
        .field("repeated", stats.guards.repeated)
        .build();
    gst::Structure::builder(name)
        .field(
            "model",
            settings
                .model
                .as_deref()
                .unwrap_or("whisper-nano (bundled)"),
        )
        .field("device", settings.device.as_str())
        .field("precision", precision)
        .field("loaded", stats.loaded)
        .field("streams", stats.streams)
        .field("passes", stats.passes)
        .field("skipped", stats.skipped)
        .field("late", stats.late)
        .field("pass-time-p50", ns(stats.pass_time_p50))
        .field("pass-time-p95", ns(stats.pass_time_p95))
        .field("waiting-p50", ns(stats.waiting_p50))
        .field("waiting-p95", ns(stats.waiting_p95))
        .field("network-time", ns(stats.network_time))
        .field("batch-mean", stats.batch_mean)
        .field("degradation", stats.degradation)
        .field("degradations", stats.degradations)
        .field("chunk-to-text-p50", ns(stats.chunk_to_text_p50))
        .field("chunk-to-text-p95", ns(stats.chunk_to_text_p95))
        .field("lag", ns(stats.lag))
        .field("backlog", ns(stats.backlog))
        .field("dropped", ns(stats.dropped))
        .field("clamped", clamped)
        .field("guards", guards)
        .field("memory", stats.memory)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overload_says_what_is_done_and_why_and_when_it_is_over() {
        gst::init().unwrap();
        let of = |level, shortened| {
            let degradation = Degradation {
                level,
                chunk: Duration::from_millis(2_000),
                shortened,
                late: 0.625,
                busy: 1.0,
            };
            overload(gst::Structure::builder("overload"), &degradation)
        };
        let text =
            |structure: &gst::Structure, field: &str| structure.get::<String>(field).unwrap();
        let worst = of(3, true);
        assert_eq!(worst.get::<u32>("level"), Ok(3));
        assert_eq!(worst.get::<u64>("chunk"), Ok(2_000_000_000));
        assert_eq!(text(&worst, "audio-ctx"), "auto");
        let reason = text(&worst, "reason");
        for part in ["63 %", "100 %", "2000 ms", "only the audio held"] {
            assert!(reason.contains(part), "{reason}");
        }
        let over = of(0, false);
        assert_eq!(text(&over, "audio-ctx"), "exact");
        assert!(text(&over, "reason").contains("keeps up"));
    }
}
