//! Flags of the systems replaced that other options have taken the place of, or nothing.

use clap::{Args, ValueEnum};

use super::{Seconds, given};
use crate::call::Setting;

/// Not shown in the help; docs/doors-migrating.md has them all.
#[derive(Args, Clone, Debug, Default)]
pub struct OldOptions {
    #[arg(long, hide = true)]
    vac: bool,
    #[arg(long, hide = true)]
    vad: bool,
    #[arg(long, hide = true, value_name = "SECONDS")]
    vac_chunk_size: Option<Seconds>,
    #[arg(long, hide = true, value_enum)]
    decoder: Option<Decoder>,
    #[arg(long, hide = true)]
    comp_unaware: bool,
    #[arg(long, hide = true)]
    out_txt: bool,
    #[arg(long, hide = true)]
    offline: bool,
    #[arg(long, hide = true, value_name = "SECONDS")]
    start_at: Option<String>,
    #[arg(long, hide = true, env = "STREAM_BACKEND", value_name = "BACKEND")]
    backend: Option<String>,
    #[arg(long, hide = true, value_name = "DIR")]
    model_cache_dir: Option<String>,
    /// Before `--model`.
    #[arg(long, hide = true, value_name = "DIR")]
    pub(super) model_dir: Option<String>,
    #[arg(long, hide = true, value_enum)]
    buffer_trimming: Option<Trimming>,
    #[arg(long, hide = true, value_name = "SECONDS")]
    buffer_trimming_sec: Option<Seconds>,
    #[arg(long, hide = true, env = "IP_ADDR", value_name = "ADDRESS")]
    ip_addr: Option<String>,
    /// How much is logged; `WHISPERSTREAM_LOG` has the last word
    #[arg(
        long,
        short = 'l',
        value_enum,
        ignore_case = true,
        value_name = "LEVEL"
    )]
    log_level: Option<Level>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Decoder {
    Beam,
    Greedy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Trimming {
    Sentence,
    Segment,
}

/// Python's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Debug,
    Info,
    #[value(alias = "warn")]
    Warning,
    #[value(alias = "critical")]
    Error,
}

impl Level {
    /// As the log's filters have it.
    pub fn filter(self) -> &'static str {
        match self {
            Level::Debug => "info,doors=debug",
            Level::Info => "info",
            Level::Warning => "warn",
            Level::Error => "error",
        }
    }
}

impl OldOptions {
    pub fn log_level(&self) -> Option<Level> {
        self.log_level
    }

    pub(super) fn settings(&self, beams: Option<u32>) -> impl Iterator<Item = Setting> + use<> {
        let trimming = self.buffer_trimming.map(|trimming| match trimming {
            Trimming::Sentence => "sentence",
            Trimming::Segment => "segment",
        });
        let trimmed = self.buffer_trimming_sec.and_then(Seconds::ms);
        let greedy = self.decoder == Some(Decoder::Greedy) && beams.is_none();
        let settings = [
            ("vad", (self.vac || self.vad).then(|| "auto".to_owned())),
            ("beams", greedy.then(|| "1".to_owned())),
            ("pace", self.comp_unaware.then(|| "exact".to_owned())),
            ("buffer-trimming", trimming.map(str::to_owned)),
            ("buffer-trimming-len", trimmed.map(|ms| ms.to_string())),
        ];
        settings
            .into_iter()
            .filter_map(|(name, value)| Some(Setting::new(name, value?)))
    }

    pub(super) fn notices(&self, beams: Option<u32>) -> Vec<String> {
        let beams = beams.unwrap_or(1);
        let contradicts = self.decoder == Some(Decoder::Greedy) && beams > 1;
        let backend = given(&self.backend);
        let of = |value: Option<String>, notice: &str| {
            value.map(|value| notice.replace("{}", &format!("{value:?}")))
        };
        let flag = |is_given: bool, notice: &str| is_given.then(|| notice.to_owned());
        [
            flag(
                self.vac_chunk_size.is_some(),
                "--vac-chunk-size has no effect: the voice detector hears every sample as it comes",
            ),
            flag(
                contradicts,
                &format!("--decoder greedy has no effect: --beams {beams} decides"),
            ),
            flag(
                self.offline,
                "--offline has no effect: a server hears its clients, not a file",
            ),
            flag(
                self.start_at.is_some(),
                "--start_at has no effect: a server hears its clients, not a file",
            ),
            of(
                backend,
                "the backend {} is not there: one network, in Rust, runs everywhere; --set device=cuda:0 takes a GPU",
            ),
            of(
                given(&self.model_cache_dir),
                "--model_cache_dir {} has no effect: set HF_HUB_CACHE to it in the environment",
            ),
            of(
                given(&self.ip_addr),
                "IP_ADDR={} tells clients where the server is; a server listens on what --host or STREAM_HOST says",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
