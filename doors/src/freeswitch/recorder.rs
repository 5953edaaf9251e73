//! How a channel is told to record itself.

use std::path::PathBuf;
use std::time::Duration;

use super::channel::Channel;
use super::growing::Growing;
use super::layout;
use super::link::LinkError;
use super::options::{Options, Record};
use super::recording::Unheard;

pub struct Recorder {
    pub channel: Channel,
    pub record: Record,
    /// After so long FreeSWITCH ends a recording by itself.
    pub limit: Duration,
    dir: PathBuf,
    dir_fs: String,
    /// Whether both directions may be in one: it was asked for, or could not be helped.
    pub mixed: bool,
}

impl Recorder {
    pub fn new(channel: Channel, options: &Options) -> Recorder {
        Recorder {
            channel,
            record: options.record,
            limit: Duration::from_secs(options.record_limit),
            dir: options.record_dir.clone(),
            dir_fs: options.record_dir_fs(),
            mixed: options.record == Record::Mixed,
        }
    }

    /// Begins a recording. What the variables were before is put back: other recordings of the call obey them, too.
    pub async fn begin(&mut self) -> Result<Growing, Unheard> {
        let random = uuid::Uuid::new_v4().as_u128() as u32;
        let file = format!("whisperstream-{}-{random:08x}.raw", self.channel.uuid());
        let theirs = format!("{}/{file}", self.dir_fs.trim_end_matches('/'));
        let before = self.prepare().await?;
        let recorded = self.channel.record(&theirs, self.limit.as_secs()).await;
        let growing = Growing::new(self.dir.join(&file), theirs);
        for (name, value) in before {
            if let Err(err) = self.channel.set(name, &value).await {
                tracing::debug!(call = self.channel.uuid(), "{name} is not put back: {err}");
            }
        }
        recorded?;
        Ok(growing)
    }

    /// Sets the variables that a recording obeys; tells what they were.
    async fn prepare(&mut self) -> Result<Vec<(&'static str, String)>, LinkError> {
        let (read_only, stereo) = match self.record {
            Record::Read => ("true", "false"),
            Record::Stereo => ("false", "true"),
            Record::Mixed => ("false", "false"),
        };
        let rate = layout::RATE.to_string();
        let wanted = [
            // Without it the file has the channel's own rate.
            ("record_sample_rate", rate.as_str()),
            // Without it 64 KiB are gathered before they are written: two seconds.
            ("enable_file_write_buffering", "false"),
            // A shorter recording is deleted when it ends: 3 s without it.
            ("RECORD_MIN_SEC", "0"),
            ("RECORD_READ_ONLY", read_only),
            ("RECORD_WRITE_ONLY", "false"),
            ("RECORD_STEREO", stereo),
        ];
        let mut before = Vec::new();
        for (name, value) in wanted {
            let was = self.channel.get(name).await?;
            let is_off = was.is_none() && value == "false" && name.starts_with("RECORD_");
            if is_off || was.as_deref() == Some(value) {
                continue;
            }
            match self.channel.set(name, value).await {
                Ok(()) => before.push((name, was.unwrap_or_default())),
                Err(err) => {
                    let call = self.channel.uuid();
                    tracing::warn!(call, "{name} cannot be set to {value}: {err}");
                    self.mixed |= name == "RECORD_READ_ONLY" && value == "true";
                }
            }
        }
        Ok(before)
    }
}
