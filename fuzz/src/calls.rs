//! Whole calls, as a door opens them: bytes through the real pipeline, with GStreamer's own demuxers and decoders.

use std::sync::OnceLock;
use std::time::Duration;

use doors::call::{self, Encoding, Event, Feed, Format, Setting, Source, Wanted};
use tokio::runtime::{Builder, Runtime};

use crate::bytes::Bytes;
use crate::targets::quick;

/// A container, in pieces of some size.
pub fn media(bytes: &[u8]) -> String {
    let wanted = Wanted {
        source: Source::Media,
        ..wanted()
    };
    let size = 1 + bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 4_000;
    run(&wanted, async |feed| {
        for piece in bytes.chunks(size) {
            if feed.push(piece).await.is_err() {
                return;
            }
        }
    })
}

/// Samples of some form in pieces of any size, with flushes and jumps between: what the line door and its like push.
pub fn raw(bytes: &[u8]) -> String {
    let mut from = Bytes::new(bytes);
    let codings = [
        Encoding::S16le,
        Encoding::S16be,
        Encoding::Mulaw,
        Encoding::Alaw,
    ];
    let format = Format {
        encoding: from.one_of(&codings),
        rate: from.one_of(&[8_000, 16_000, 11_025, 4_000, 48_000, 192_000]),
        channels: from.one_of(&[1, 1, 2]),
    };
    let legs = match format.channels == 2 && from.bool() {
        true => vec!["a".to_owned(), "b".to_owned()],
        false => Vec::new(),
    };
    let wanted = Wanted {
        source: Source::Raw(format),
        legs,
        lines: from.bool(),
        start: Duration::from_millis(from.number() % 10_000_000),
        ..wanted()
    };
    run(&wanted, async |feed| {
        for _ in 0..64 {
            if from.is_empty() {
                return;
            }
            let before = feed.position();
            match from.u8() % 8 {
                0 => _ = feed.flush("fuzz"),
                1 => feed.jump(Duration::from_millis(from.number() % 40_000_000)),
                _ => {
                    let count = usize::from(from.u16() % 20_000);
                    let piece = from.samples(count);
                    if feed.push(&piece).await.is_err() {
                        return;
                    }
                }
            }
            assert!(feed.position() >= before, "the feed went back");
        }
    })
}

fn wanted() -> Wanted {
    Wanted {
        settings: [quick(), vec![Setting::new("interim", "true")]].concat(),
        ..Wanted::default()
    }
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
/// Its model stays in memory, so that no call loads it anew.
static KEPT: OnceLock<call::Control> = OnceLock::new();

/// A call from its opening to its last event, and what it told.
fn run(wanted: &Wanted, push: impl AsyncFnOnce(&mut Feed)) -> String {
    let runtime = RUNTIME.get_or_init(|| {
        doors::init().expect("GStreamer starts");
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all();
        runtime.build().expect("threads start")
    });
    runtime.block_on(async {
        if KEPT.get().is_none() {
            let call = call::open(&self::wanted()).expect("a plain call opens");
            call.control.park();
            _ = KEPT.set(call.control.clone());
        }
        let call = match call::open(wanted) {
            Ok(call) => call,
            Err(refused) => return refused.to_string(),
        };
        let (mut feed, mut events) = (call.feed, call.events);
        drop(call.control);
        let hear = async {
            push(&mut feed).await;
            feed.end();
        };
        let tell = async {
            let mut said = Vec::new();
            let mut is_over = false;
            while let Some(event) = events.next().await {
                assert!(!is_over, "told behind the end: {event:?}");
                is_over = matches!(event, Event::Ended | Event::Failed { .. });
                said.extend(name(&event));
            }
            assert!(is_over, "the end is not told: {said:?}");
            said.dedup();
            said.join(" ")
        };
        let ((), said) = tokio::join!(hear, tell);
        said
    })
}

/// What is told whenever a pass ends is nothing new.
fn name(event: &Event) -> Option<String> {
    if let Event::Words(words) = event {
        let spans = words.words.iter().map(|word| (word.start, word.end));
        assert!(spans.clone().all(|(start, end)| start <= end), "{words:?}");
        assert!(spans.is_sorted(), "{words:?}");
    }
    Some(match event {
        Event::Failed { reason } => format!("failed {}", reason.split(':').next()?),
        Event::Words(_) => "words".into(),
        Event::Final(_) => "final".into(),
        Event::Partial(_) => "partial".into(),
        Event::Flushed { .. } => "flushed".into(),
        Event::SpeechStart(_) => "speech".into(),
        Event::Warning { .. } => "warning".into(),
        Event::Ended => "ended".into(),
        _ => return None,
    })
}
