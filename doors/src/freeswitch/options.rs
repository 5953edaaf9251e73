//! Options of `whisperstream-freeswitch`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::call::Setting;

/// Which side of a channel is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Record {
    /// What comes from the other end
    #[default]
    Read,
    /// Both directions, as two legs: `remote` and `local`
    Stereo,
    /// Both directions in one
    Mixed,
}

/// Which channels `--all` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    Inbound,
    Outbound,
}

impl Direction {
    /// As FreeSWITCH names it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// What to do.
#[derive(Args, Clone, Debug, Default)]
#[group(required = true, multiple = false)]
pub struct Task {
    /// Say whether FreeSWITCH can be reached and what is missing
    #[arg(long)]
    pub test_connection: bool,
    /// Make a call and go through it step by step
    #[arg(long)]
    pub test: bool,
    /// A call that is there; may be repeated
    #[arg(long, value_name = "UUID")]
    pub uuid: Vec<String>,
    /// Every answered call, those already there too
    #[arg(long)]
    pub all: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where FreeSWITCH's event socket listens
    #[arg(long, env = "IP_ADDR", default_value = "127.0.0.1")]
    pub host: String,
    /// Its port
    #[arg(long, env = "ESL_PORT", default_value_t = 8021)]
    pub port: u16,
    /// Its password
    #[arg(
        long,
        env = "ESL_PASSWORD",
        hide_env_values = true,
        default_value = "ClueCon"
    )]
    pub password: String,
    #[command(flatten)]
    pub task: Task,
    /// With --test: whom to call, as FreeSWITCH dials it: user/1000, sofia/gateway/carrier/0612345678
    #[arg(long, value_name = "ENDPOINT")]
    pub endpoint: Option<String>,
    /// With --all: only calls of this direction
    #[arg(long, value_enum)]
    pub only: Option<Direction>,
    /// What is recorded of a channel
    #[arg(long, value_enum, default_value_t)]
    pub record: Record,
    /// Folder of the recordings, as this program sees it
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub record_dir: PathBuf,
    /// The same folder as FreeSWITCH sees it, if that differs
    #[arg(long, value_name = "DIR")]
    pub record_dir_fs: Option<String>,
    /// Seconds after which a recording is succeeded by the next, without a gap
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    pub record_limit: u64,
    /// Milliseconds of speech after which the prompt is stopped; 0: never
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub barge_in_after: u32,
    /// Words after which the prompt is stopped; 0: never
    #[arg(long, value_name = "WORDS", default_value_t = 0)]
    pub barge_in_min_words: u32,
    /// Say who answered (human, machine, ...), in channel variables too
    #[arg(long)]
    pub amd: bool,
    /// A property of answerdetect, as in decision-time=5000; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "amd")]
    pub amd_set: Vec<Setting>,
    /// Print and keep the level every half second
    #[arg(long)]
    pub energy: bool,
    /// Folder in which each call is kept as JSON lines
    #[arg(long, value_name = "DIR")]
    pub transcripts: Option<PathBuf>,
}

impl Options {
    /// What clap cannot know to be wrong.
    pub fn check(&self) -> Result<(), String> {
        if let Some(uuid) = self.task.uuid.iter().find(|uuid| !is_uuid(uuid)) {
            return Err(format!(
                "{uuid:?} is no id of a channel: take one from the first column of FreeSWITCH's `show channels`"
            ));
        }
        let interrupts = self.barge_in_after > 0 || self.barge_in_min_words > 0;
        if interrupts && self.record == Record::Mixed {
            return Err(
                "with --record mixed FreeSWITCH's own prompt would interrupt itself: take --record read or stereo".into(),
            );
        }
        // They go into a command, which a space or a newline would end.
        let dir = self.record_dir_fs();
        if dir.is_empty() || dir.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!(
                "the folder of the recordings, {dir:?}, has a space in its name, and FreeSWITCH's commands cannot name such; choose another by --record-dir"
            ));
        }
        Ok(())
    }

    /// The folder of the recordings as FreeSWITCH sees it.
    pub fn record_dir_fs(&self) -> String {
        self.record_dir_fs
            .clone()
            .unwrap_or_else(|| self.record_dir.display().to_string())
    }

    pub fn interrupts(&self) -> bool {
        self.barge_in_after > 0 || self.barge_in_min_words > 0
    }
}

/// Channel ids go into commands and file names: nothing that means something there.
pub fn is_uuid(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}
