//! What `answerdetect` makes of the calls of `tests/calls`, beside Asterisk's cadence rules on the same calls.
//!
//!     cargo bench --bench answers [-- [--decision-time MS] [--half tune|held] [--live] [--model DIR] [--calls] [--human DIR]]
//!
//! Each call goes through a pipeline of its own: `appsrc ! beepdetect ! whisperstream ! answerdetect ! fakesink`. Then once more with the
//! same speech, tones and clock, but with the words as written in the place of those recognised: what is left to blame on
//! the rules.

#[path = "../../tests/calls/mod.rs"]
mod calls;
mod human;
mod play;
mod score;
#[path = "../../tests/common/sounds.rs"]
mod sounds;
mod table;
#[path = "../../tests/common/voices.rs"]
mod voices;
mod written;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use calls::{Call, Placed};
use clap::Parser;
use play::Line;
use score::Scored;

#[derive(Clone, Parser)]
pub struct Options {
    /// Audio heard until the verdict is due, in milliseconds.
    #[arg(long, default_value_t = 2300)]
    decision_time: u32,
    /// Only this half of the calls.
    #[arg(long, value_parser = ["tune", "held"])]
    half: Option<String>,
    /// Only calls whose id begins so.
    #[arg(long, default_value = "")]
    only: String,
    /// Play in real time, as a call comes in, until the verdict: times then include what the passes take.
    #[arg(long)]
    live: bool,
    /// Calls at once.
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    /// Directory of a Whisper model; the bundled demo model when not given.
    #[arg(long)]
    model: Option<PathBuf>,
    /// A file of phrases in the place of the built-in ones.
    #[arg(long)]
    phrases: Option<PathBuf>,
    /// Let the language be found instead of naming it.
    #[arg(long)]
    auto_language: bool,
    /// Print every call; otherwise those that went wrong in the half `tune`.
    #[arg(long)]
    calls: bool,
    /// Score the voicemail prompts of a folder with a manifest.tsv instead: recordings of people.
    #[arg(long)]
    human: Option<PathBuf>,
    /// Given by cargo; of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    gst::init().expect("GStreamer");
    gstwhisperstream::plugin_register_static().expect("the plugin");
    if gst::ElementFactory::find("beepdetect").is_none() {
        println!("There is no beepdetect: tones are not told from speech.");
    }
    if let Some(folder) = &options.human {
        return human::score(folder, &options);
    }
    let chosen = |call: &Call| {
        let half = if call.held_out { "held" } else { "tune" };
        options.half.as_deref().is_none_or(|only| only == half)
            && call.id.starts_with(&options.only)
    };
    let calls: Vec<Call> = calls::all().into_iter().filter(chosen).collect();
    let scored = in_parallel(&calls, options.at_once, |call| one(call, &options));
    table::print(&scored, &options);
}

fn one(call: &Call, options: &Options) -> Scored {
    let (samples, placed) = call.render();
    let line = Line {
        samples: &samples,
        language: (!options.auto_language).then_some(call.language.as_str()),
    };
    let played = play::play(&line, options);
    let written = written::replay(&played, &text_in_time(&placed), &call.language, options);
    Scored::new(call.clone(), &samples, played, written, &placed)
}

/// Seconds for which espeak-ng is silent behind a text.
pub const TAIL: f64 = 0.15;

/// The words as written, each with its share of the time its text takes, in seconds.
fn text_in_time(placed: &[Placed]) -> Vec<written::Word> {
    let mut words = Vec::new();
    for Placed { part, start, end } in placed {
        let calls::Part::Say(text) = part else {
            continue;
        };
        let seconds = |samples: &usize| *samples as f64 / f64::from(sounds::RATE);
        let (mut at, length) = (seconds(start), seconds(end) - seconds(start) - TAIL);
        let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
        let all: Vec<&str> = text.split_whitespace().filter(is_word).collect();
        let letters: usize = all.iter().map(|word| word.chars().count() + 1).sum();
        for word in all {
            let share = (word.chars().count() + 1) as f64 / letters as f64;
            words.push(written::Word {
                text: word.into(),
                start: at,
                end: at + length * share,
            });
            at += length * share;
        }
    }
    words
}

/// `of` all `items`, `at_once` at once, in their order.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    of: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..at_once.max(1) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let n = items.iter().position(|other| std::ptr::eq(other, item));
                    let result = of(item);
                    *done[n.expect("one of them")].lock().expect("a result") = Some(result);
                }
            });
        }
    });
    let result =
        |slot: Mutex<Option<R>>| slot.into_inner().expect("a result").expect("all are done");
    done.into_iter().map(result).collect()
}
