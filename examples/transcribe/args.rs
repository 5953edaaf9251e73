// SPDX-License-Identifier: MPL-2.0

//! The command line. Flags below `--realtime` are the element's properties under their own names.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use gstwhisperstream::text::CueRules;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text, a line for each utterance
    Txt,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// JSON lines with every word's time and confidence
    Json,
}

/// Transcribe any media file with whisperstream.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Args {
    /// A media file, a URI, or `-` for a media stream on standard input
    pub input: String,

    /// What to write
    #[arg(short, long, value_enum, default_value_t = Format::Txt)]
    pub format: Format,

    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Write SubRip subtitles, too
    #[arg(long, value_name = "FILE", help_heading = CAPTIONS)]
    pub srt: Option<PathBuf>,

    /// Write WebVTT subtitles, too
    #[arg(long, value_name = "FILE", help_heading = CAPTIONS)]
    pub vtt: Option<PathBuf>,

    /// Most characters of a line of subtitles
    #[arg(long, value_name = "CHARS", default_value_t = 42, help_heading = CAPTIONS)]
    pub line_length: usize,

    /// Most lines of a subtitle
    #[arg(long, default_value_t = 2, help_heading = CAPTIONS)]
    pub lines: usize,

    /// Characters a second that subtitles stay readable at, where the speaker leaves the time
    #[arg(long, value_name = "CHARS", default_value_t = 17.0, help_heading = CAPTIONS)]
    pub reading_speed: f64,

    /// Take the input at the pace of a live speaker instead of as fast as the machine can
    #[arg(long)]
    pub realtime: bool,

    /// No progress bar, no notes; warnings and errors only
    #[arg(short, long)]
    pub quiet: bool,

    /// Directory or file of a Whisper model, or its id on the hub [default: the bundled demo model]
    #[arg(short, long, value_name = "MODEL", help_heading = MODEL)]
    pub model: Option<String>,

    /// Where the model runs [default: cpu]
    #[arg(long, help_heading = MODEL)]
    pub device: Option<String>,

    /// Attention heads that follow the sound, `layer:head,...` [default: the model's own]
    #[arg(long, value_name = "HEADS", help_heading = MODEL)]
    pub alignment_heads: Option<String>,

    /// Whisper code, name or BCP-47 tag, or `auto` [default: auto]
    #[arg(short, long, help_heading = SPEECH)]
    pub language: Option<String>,

    /// What to do with the speech; `translate` writes English [default: transcribe]
    #[arg(long, value_parser = ["transcribe", "translate"], help_heading = SPEECH)]
    pub task: Option<String>,

    /// Text that came before, to set style and spelling; forgotten as the speech goes on
    #[arg(long, value_name = "TEXT", help_heading = SPEECH)]
    pub init_prompt: Option<String>,

    /// The same, but never forgotten
    #[arg(long, value_name = "TEXT", help_heading = SPEECH)]
    pub static_init_prompt: Option<String>,

    /// What one line or JSON object holds [default: chunk for JSON, else utterance]
    #[arg(long, value_parser = ["word", "chunk", "utterance"], help_heading = SPEECH)]
    pub unit: Option<String>,

    /// `remove` leaves hesitations out (euh, um) [default: keep]
    #[arg(long, value_parser = ["keep", "remove"], help_heading = SPEECH)]
    pub fillers: Option<String>,

    /// `digits` masks runs of three digits or more, spoken or in numerals [default: none]
    #[arg(long, value_parser = ["none", "digits"], help_heading = SPEECH)]
    pub redact: Option<String>,

    /// Show the words not yet decided behind the progress bar
    #[arg(long, help_heading = SPEECH)]
    pub interim: bool,

    /// How often to decide, in ms of audio [default: 500]
    #[arg(long, value_name = "MS", help_heading = POLICY)]
    pub min_chunk_size: Option<u32>,

    /// Decide nothing before this much audio, in ms [default: 0]
    #[arg(long, value_name = "MS", help_heading = POLICY)]
    pub audio_min_len: Option<u32>,

    /// Longest audio window, in ms [default: 30000]
    #[arg(long, value_name = "MS", help_heading = POLICY)]
    pub audio_max_len: Option<u32>,

    /// Distance from the end of the audio at which a word is held back, in frames of 20 ms [default: 25]
    #[arg(long, value_name = "FRAMES", help_heading = POLICY)]
    pub frame_threshold: Option<u32>,

    /// Jump back of the attention that discards a pass, in frames of 20 ms [default: 200]
    #[arg(long, value_name = "FRAMES", help_heading = POLICY)]
    pub rewind_threshold: Option<u32>,

    /// Longest context handed from window to window [default: 448]
    #[arg(long, value_name = "TOKENS", help_heading = POLICY)]
    pub max_context_tokens: Option<u32>,

    /// Hold back the last word at the end of an utterance's passes
    #[arg(long, help_heading = POLICY)]
    pub truncate_last_word: bool,

    /// `simulstreaming` decides as the reference implementation does, faults included [default: none]
    #[arg(long, value_parser = ["none", "simulstreaming"], help_heading = POLICY)]
    pub compat: Option<String>,

    /// When to decide [default: live with --realtime, else exact]
    #[arg(long, value_parser = ["auto", "exact", "live"], help_heading = POLICY)]
    pub pace: Option<String>,

    /// The delay promised downstream, in ms [default: 2000]
    #[arg(long, value_name = "MS", help_heading = POLICY)]
    pub latency: Option<u32>,

    /// Added to every time stamp, in ms [default: 0]
    #[arg(long, value_name = "MS", help_heading = POLICY)]
    pub lateness: Option<u32>,

    /// Record audio and every decision in a directory below this one, for `replay`
    #[arg(long, value_name = "DIR", help_heading = POLICY)]
    pub dump_dir: Option<String>,
}

const MODEL: &str = "Model";
const CAPTIONS: &str = "Subtitles";
const SPEECH: &str = "Speech";
const POLICY: &str = "Policy and time";

impl Args {
    /// What subtitles are to be like.
    pub fn cue_rules(&self) -> CueRules {
        CueRules {
            line_chars: self.line_length,
            lines: self.lines,
            chars_per_second: self.reading_speed,
            ..CueRules::default()
        }
    }

    /// The element's properties this command line asks for, by name.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let by_default = |given: &Option<String>, default: Option<&str>| {
            given.clone().or_else(|| default.map(str::to_owned))
        };
        let number = |n: Option<u32>| n.map(|n| n.to_string());
        let switch = |on: bool| on.then(|| "true".to_owned());
        let unit = match self.format {
            Format::Txt => Some("utterance"),
            // Subtitles are cut here, not in the element.
            Format::Json | Format::Srt | Format::Vtt => None,
        };
        [
            ("model", self.model.clone()),
            ("device", self.device.clone()),
            ("alignment-heads", self.alignment_heads.clone()),
            ("language", self.language.clone()),
            ("task", self.task.clone()),
            ("init-prompt", self.init_prompt.clone()),
            ("static-init-prompt", self.static_init_prompt.clone()),
            ("unit", by_default(&self.unit, unit)),
            ("interim", switch(self.interim)),
            ("min-chunk-size", number(self.min_chunk_size)),
            ("audio-min-len", number(self.audio_min_len)),
            ("audio-max-len", number(self.audio_max_len)),
            ("frame-threshold", number(self.frame_threshold)),
            ("rewind-threshold", number(self.rewind_threshold)),
            ("max-context-tokens", number(self.max_context_tokens)),
            ("truncate-last-word", switch(self.truncate_last_word)),
            ("compat", self.compat.clone()),
            (
                "pace",
                by_default(&self.pace, self.realtime.then_some("live")),
            ),
            ("latency", number(self.latency)),
            ("lateness", number(self.lateness)),
            ("dump-dir", self.dump_dir.clone()),
            ("fillers", self.fillers.clone()),
            ("redact", self.redact.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }
}
