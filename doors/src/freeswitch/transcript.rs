//! Calls kept as JSON lines: a file each, a line an event. A line is written at once, at the file's end, so that a reader sees
//! whole lines only, and a bridge that is killed has kept what was said.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gst::glib;
use serde::Serialize;
use serde_json::{Value, json};

use super::link::Party;
use crate::call::Event;

/// Makes the folder, if it is not there, and sees whether it can be written.
pub fn prepare(dir: &Path) -> io::Result<()> {
    create_dir_all(dir)?;
    let probe = dir.join(".whisperstream-writable");
    File::create(&probe)?;
    std::fs::remove_file(probe)
}

/// The file of one call, if calls are kept.
pub struct Transcript {
    file: Option<File>,
    path: PathBuf,
}

impl Transcript {
    pub fn open(dir: Option<&Path>, party: &Party) -> Transcript {
        let path = dir
            .unwrap_or(Path::new(""))
            .join(format!("{}.jsonl", party.uuid));
        let open = |_| OpenOptions::new().create(true).append(true).open(&path);
        let file = match dir.map(open) {
            Some(Ok(file)) => Some(file),
            Some(Err(err)) => {
                tracing::error!(call = %party.uuid, "the call is not kept: {} cannot be written: {err}", path.display());
                None
            }
            None => None,
        };
        let mut transcript = Transcript { file, path };
        transcript.write(json!({
            "type": "call",
            "uuid": party.uuid,
            "direction": party.direction,
            "caller": party.caller,
            "callee": party.callee,
        }));
        transcript
    }

    /// An event, if it is one of those that are kept.
    pub fn event(&mut self, event: &Event) {
        let is_kept = matches!(
            event,
            Event::Words(_)
                | Event::Final(_)
                | Event::SpeechStart(_)
                | Event::SpeechEnd(_)
                | Event::BargeIn { .. }
                | Event::Language { .. }
                | Event::Verdict(_)
                | Event::GreetingEnd { .. }
                | Event::Beep { .. }
                | Event::Redact(_)
                | Event::Dropped(_)
                | Event::Failed { .. }
        );
        if is_kept && self.file.is_some() {
            self.write(event);
        }
    }

    /// Anything that is a JSON object; the time of day is added.
    pub fn write(&mut self, what: impl Serialize) {
        let Some(file) = &mut self.file else { return };
        let Ok(Value::Object(mut object)) = serde_json::to_value(what) else {
            return;
        };
        object.insert("time".into(), now().into());
        let mut line = Value::Object(object).to_string();
        line.push('\n');
        if let Err(err) = file.write_all(line.as_bytes()) {
            tracing::error!("{} is not continued: {err}", self.path.display());
            self.file = None;
        }
    }
}

/// UTC, to the millisecond, as ISO 8601.
fn now() -> String {
    let time = glib::DateTime::now_utc();
    let text = time.and_then(|time| {
        let second = time.format("%Y-%m-%dT%H:%M:%S")?;
        Ok(format!("{second}.{:03}Z", time.microsecond() / 1000))
    });
    text.unwrap_or_default()
}
