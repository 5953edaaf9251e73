//! One stream through a day of audio, faster than real time: memory, pass times and words of its last hour beside those of
//! its first. `scripts/soak` runs it, short or in full.
//!
//!     cargo bench --bench soak -- --rounds 24 --seconds 3600 --pace exact

#[path = "../../tests/common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "../../tests/common/music.rs"]
mod music;
#[path = "../../tests/common/sounds.rs"]
mod sounds;
mod stream;
mod tape;
#[path = "../common/usage.rs"]
mod usage;
mod verdict;

use std::process::ExitCode;

use clap::Parser;

use stream::Stream;
use tape::Round;

#[derive(Parser)]
#[command(about = "One stream through a day of audio")]
struct Options {
    /// Rounds of the same audio
    #[arg(long, default_value_t = 24)]
    rounds: usize,
    /// Of audio in a round
    #[arg(long, default_value_t = 3600.0)]
    seconds: f64,
    /// The round with which later ones are compared; those before it warm up
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    warm: usize,
    /// `exact`, as files are heard, or `live`
    #[arg(long, default_value = "exact")]
    pace: String,
    /// Properties of the element
    #[arg(long, value_name = "NAME=VALUE", default_values_t = ["precision=int8".to_owned(), "audio-ctx=auto".to_owned(), "min-chunk-size=1000".to_owned()])]
    set: Vec<String>,
    /// Cargo's own
    #[arg(long, hide = true)]
    bench: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse::<std::num::NonZeroUsize>();
    number.map(Into::into).map_err(|err| err.to_string())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    gst::init().map_err(|err| err.to_string())?;
    gstwhisperstream::plugin_register_static().map_err(|err| err.to_string())?;
    let mut settings = vec![("pace", options.pace.as_str())];
    for setting in &options.set {
        let wrong = || format!("--set {setting} is not NAME=VALUE");
        settings.push(setting.split_once('=').ok_or_else(wrong)?);
    }
    let round = Round::new(options.seconds, &tape::recordings());
    println!(
        "{} rounds of {} s, {:.0} s of which are speech; {settings:?}\n",
        options.rounds, options.seconds, round.speech
    );
    println!(
        "| round | words | resident, MB | threads | passes | pass, ms (median) | processor, s | clock, s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut stream = Stream::open(&round, &settings);
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let figures = stream.hear(&round)?;
        println!(
            "| {number} | {} | {:.1} | {} | {} | {:.1} | {:.1} | {:.1} |",
            figures.words.len(),
            figures.memory,
            figures.threads,
            figures.passes,
            figures.pass_time * 1e3,
            figures.cpu,
            figures.wall
        );
        rounds.push(figures);
        let (before, last) = rounds.split_at_mut(number - 1);
        if let (Some(first), [last]) = (before.get(options.warm - 1), last) {
            println!("{}", verdict::compared(first, last));
        }
        // Only one is compared with, so that what is kept here does not look like growth there.
        if let [.., kept, _] = rounds.as_mut_slice()
            && number - 1 != options.warm
        {
            kept.words = Vec::new();
        }
    }
    let warm = rounds.get(options.warm - 1..).unwrap_or_default();
    println!("\n{}", verdict::summary(warm));
    verdict::of(warm, options.pace == "exact")
}
