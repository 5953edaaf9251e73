//! Options that programs have in common, and the command lines of the systems replaced.
//!
//! Their flags keep their names and units: seconds where they had seconds. Either spelling is taken, `--frame-threshold` or
//! `--frame_threshold` ([`args`]). What has no meaning here is accepted and [noticed](ElementOptions::notices).

mod models;
mod old;
mod seconds;
mod spelling;

pub use old::{Level, OldOptions};
pub use seconds::Seconds;
pub use spelling::args;

use clap::{ArgAction, Args, ValueEnum};

use crate::call::Setting;

/// What is passed on to the element.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Recognition")]
pub struct ElementOptions {
    /// A Whisper model: directory, file, id on the hub, or a size (large-v3) [default: the bundled demo model]
    #[arg(long, alias = "model-path", env = "STREAM_MODEL", value_name = "MODEL")]
    pub model: Option<String>,
    /// Spoken language: a code, a name, a tag, or auto
    #[arg(long, alias = "lan", env = "STREAM_LANG", value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// Write down what is said, or translate it into English
    #[arg(long, value_enum)]
    task: Option<Task>,
    /// Seconds of audio before each pass (in milliseconds: --set min-chunk-size=500)
    #[arg(long, env = "STREAM_MIN_CHUNK", value_name = "SECONDS")]
    min_chunk_size: Option<Seconds>,
    /// Longest audio that a pass hears, in seconds
    #[arg(long, value_name = "SECONDS")]
    audio_max_len: Option<Seconds>,
    /// Shortest audio for a first pass, in seconds
    #[arg(long, value_name = "SECONDS")]
    audio_min_len: Option<Seconds>,
    /// A token heard this close to the end of the audio is not believed yet: frames of 20 ms
    #[arg(long, value_name = "FRAMES")]
    frame_threshold: Option<u32>,
    /// A pass whose attention jumps back further is discarded: frames of 20 ms
    #[arg(long, value_name = "FRAMES")]
    rewind_threshold: Option<u32>,
    /// Texts that decoding follows at a time
    #[arg(long, short = 'b', value_name = "N")]
    beams: Option<u32>,
    /// Text that came before: names, terms, spelling
    #[arg(long, value_name = "TEXT")]
    init_prompt: Option<String>,
    /// The same, but it never scrolls out
    #[arg(long, value_name = "TEXT")]
    static_init_prompt: Option<String>,
    /// Tokens of earlier text that a pass is reminded of
    #[arg(long, value_name = "N")]
    max_context_tokens: Option<u32>,
    /// Checkpoint that tells where words end
    #[arg(long, alias = "cif-ckpt-path", value_name = "FILE")]
    cif_model: Option<String>,
    /// Drop the last word of each pass; the next hears it again
    #[arg(long, alias = "never-fire", overrides_with = "keep_last_word")]
    truncate_last_word: bool,
    #[arg(
        long = "no-never-fire",
        hide = true,
        overrides_with = "truncate_last_word"
    )]
    keep_last_word: bool,
    /// Directory in which every stream is recorded, audio and decisions
    #[arg(long, alias = "logdir", value_name = "DIR")]
    dump_dir: Option<String>,
    /// Any property of the element, with its own unit (times in milliseconds); may be repeated, and has the last word
    #[arg(long = "set", value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub set: Vec<Setting>,
    #[command(flatten)]
    pub old: OldOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    Transcribe,
    Translate,
}

impl ElementOptions {
    /// In the order in which they are applied: `--set` has the last word.
    pub fn settings(&self) -> Vec<Setting> {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let ms = |seconds: Option<Seconds>| seconds?.ms().map(|ms| ms.to_string());
        let task = self.task.map(|task| match task {
            Task::Transcribe => "transcribe",
            Task::Translate => "translate",
        });
        let truncate = match (self.truncate_last_word, self.keep_last_word) {
            (true, _) => Some("true"),
            (_, true) => Some("false"),
            _ => None,
        };
        let named = [
            ("model", self.model_name()),
            ("language", given(&self.language)),
            ("task", task.map(str::to_owned)),
            ("min-chunk-size", ms(self.min_chunk_size)),
            ("audio-max-len", ms(self.audio_max_len)),
            ("audio-min-len", ms(self.audio_min_len)),
            ("frame-threshold", number(self.frame_threshold)),
            ("rewind-threshold", number(self.rewind_threshold)),
            ("beams", number(self.beams)),
            ("init-prompt", given(&self.init_prompt)),
            ("static-init-prompt", given(&self.static_init_prompt)),
            ("max-context-tokens", number(self.max_context_tokens)),
            ("cif-model", given(&self.cif_model)),
            ("truncate-last-word", truncate.map(str::to_owned)),
            ("dump-dir", given(&self.dump_dir)),
        ];
        let named = named
            .into_iter()
            .filter_map(|(name, value)| Some(Setting::new(name, value?)));
        let old = self.old.settings(self.beams);
        named.chain(old).chain(self.set.iter().cloned()).collect()
    }

    /// One sentence for each option that means nothing here, or not quite what it did.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = self.old.notices(self.beams);
        let asked = given(&self.old.model_dir).or(given(&self.model));
        if let (Some(asked), Some(model)) = (asked, self.model_name())
            && asked != model
        {
            notices.push(format!(
                "{asked:?} is no file here, so the model is {model}, fetched from the hub when it is not there yet"
            ));
        }
        notices
    }

    /// Logs the notices.
    pub fn tell_notices(&self) {
        for notice in self.notices() {
            tracing::warn!("{notice}");
        }
    }

    fn model_name(&self) -> Option<String> {
        let asked = given(&self.old.model_dir).or(given(&self.model))?;
        Some(models::known(&asked).unwrap_or(asked))
    }
}

/// An empty value, as a variable that is set to nothing brings it, is none.
fn given(value: &Option<String>) -> Option<String> {
    value.clone().filter(|value| !value.trim().is_empty())
}
