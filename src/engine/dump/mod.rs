//! Recordings of streams, and their replay (docs/replay.md).
//!
//! All that a stream's policy is told are the calls that its runner gets: audio, boundaries of speech, passes, resets,
//! settings. So a dump is a recording of these calls and of what each pass did; and a replay is a stream of its own that
//! gets the same calls, records itself the same way, and has the two records compared.

mod files;
mod fingerprint;
mod record;
mod recorder;
mod recording;
mod replay;
mod wav;

use std::path::{Path, PathBuf};

pub use record::{
    Came, Detection, FORMAT, Header, Inserted, Line, ModelInfo, Networked, PaceName, Passed,
    Released, Span, Speech, Step, Told,
};
pub use recorder::DumpError;
pub use recording::{Recording, RecordingError};
pub use replay::{Changes, Replay, ReplayError};

pub(super) use recorder::Recorder;

use super::{ModelKey, Pace};
use crate::policy::PolicySettings;
use crate::whisper::{ModelSource, Tokenizer, Whisper, cached};

/// Names of the files of a dump.
pub const HEADER: &str = "header.json";
pub const AUDIO: &str = "audio.wav";
pub const PASSES: &str = "passes.jsonl";

/// That a stream is to be recorded, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpSettings {
    /// Gets a directory for each stream; made if it is not there.
    pub dir: PathBuf,
    /// Which side of the call it is.
    pub leg: Option<String>,
}

impl DumpSettings {
    /// Begins to record a stream.
    pub(super) fn record(&self, header: Header, whisper: &Whisper) -> Recorder {
        let leg = self.leg.clone();
        let keeper = files::Files::new(self.dir.clone(), Header { leg, ..header });
        Recorder::new(Box::new(keeper), tokenizer(whisper))
    }
}

impl Header {
    /// What a stream on this model has in common with all others; the rest is as by default.
    pub(super) fn of(key: &ModelKey, whisper: &Whisper) -> Header {
        Header {
            format: FORMAT,
            program: program(),
            started: files::now(),
            leg: None,
            model: model_info(&key.source),
            device: key.backend.device.to_string(),
            arithmetic: whisper.arithmetic().to_string(),
            pace: PaceName::Exact,
            alignment_heads: Vec::new(),
            cif_model: None,
            settings: PolicySettings::default(),
        }
    }
}

impl From<Pace> for PaceName {
    fn from(pace: Pace) -> PaceName {
        match pace {
            Pace::Exact => PaceName::Exact,
            Pace::Live => PaceName::Live,
        }
    }
}

/// A path as it can be found again from anywhere.
pub(super) fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().into_owned()
}

fn tokenizer(whisper: &Whisper) -> std::sync::Arc<Tokenizer> {
    std::sync::Arc::clone(whisper.tokenizer())
}

fn program() -> String {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    format!("{name} {version}-{}", env!("COMMIT_ID"))
}

/// Which model it is, and what tells it from others.
fn model_info(source: &ModelSource) -> ModelInfo {
    match source {
        ModelSource::Demo => ModelInfo {
            path: None,
            fingerprint: Some(fingerprint::of_bytes(&crate::whisper::demo_files())),
        },
        ModelSource::Path(path) => ModelInfo {
            path: Some(absolute(path)),
            fingerprint: fingerprint::of_path(path).ok(),
        },
        // The folder in the cache: the branch may stand elsewhere when the stream is run again.
        ModelSource::Hub { id, revision } => match cached(id, revision) {
            Some(folder) => model_info(&ModelSource::Path(folder)),
            None => ModelInfo {
                path: Some(format!("{id}@{revision}")),
                fingerprint: None,
            },
        },
    }
}
