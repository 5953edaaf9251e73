//! What is asked of a channel.

use super::link::{Link, LinkError, Party};
use super::options::is_uuid;

/// A channel of FreeSWITCH, by its id.
#[derive(Clone)]
pub struct Channel {
    link: Link,
    uuid: String,
}

impl Channel {
    pub fn new(link: Link, uuid: impl Into<String>) -> Channel {
        Channel {
            link,
            uuid: uuid.into(),
        }
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    pub async fn exists(&self) -> Result<bool, LinkError> {
        let reply = self.link.api(&format!("uuid_exists {}", self.uuid)).await?;
        Ok(reply == "true")
    }

    /// A channel variable, if it is set.
    pub async fn get(&self, name: &str) -> Result<Option<String>, LinkError> {
        let reply = self
            .link
            .api(&format!("uuid_getvar {} {name}", self.uuid))
            .await?;
        Ok(Some(reply).filter(|value| !value.is_empty() && value != "_undef_"))
    }

    /// Sets a channel variable; an empty value unsets it.
    pub async fn set(&self, name: &str, value: &str) -> Result<(), LinkError> {
        // A newline would end the command.
        let value: String = value
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let command = format!("uuid_setvar {} {name} {value}", self.uuid);
        self.link.api(command.trim_end()).await.map(drop)
    }

    /// Records into a file of FreeSWITCH's machine, for so many seconds at most.
    pub async fn record(&self, path: &str, limit: u64) -> Result<(), LinkError> {
        let command = format!("uuid_record {} start {path} {limit}", self.uuid);
        self.link.api(&command).await.map(drop)
    }

    pub async fn stop_recording(&self, path: &str) -> Result<(), LinkError> {
        let command = format!("uuid_record {} stop {path}", self.uuid);
        self.link.api(&command).await.map(drop)
    }

    /// Stops what is played to it, and what waits to be.
    pub async fn stop_prompts(&self) -> Result<(), LinkError> {
        let command = format!("uuid_break {} all", self.uuid);
        self.link.api(&command).await.map(drop)
    }

    pub async fn hang_up(&self) -> Result<(), LinkError> {
        self.link
            .api(&format!("uuid_kill {}", self.uuid))
            .await
            .map(drop)
    }
}

/// The channels that are answered.
pub async fn answered(link: &Link) -> Result<Vec<Party>, LinkError> {
    let command = "show channels as json";
    let reply = link.api(command).await?;
    parties(&reply).ok_or_else(|| LinkError::Said {
        command: command.into(),
        reply: reply.chars().take(200).collect(),
    })
}

pub(crate) fn parties(json: &str) -> Option<Vec<Party>> {
    let table: serde_json::Value = serde_json::from_str(json).ok()?;
    // With no channel there are no rows at all.
    let rows = table.get("rows").and_then(|rows| rows.as_array());
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    let party = |row: &serde_json::Value| {
        let text = |name: &str| {
            let value = row.get(name).and_then(|value| value.as_str());
            value.unwrap_or_default().to_owned()
        };
        let is_answered = ["ACTIVE", "HELD", "UNHELD"].contains(&text("callstate").as_str());
        let uuid = text("uuid");
        (is_answered && is_uuid(&uuid)).then(|| Party {
            uuid,
            direction: text("direction"),
            caller: text("cid_num"),
            callee: text("dest"),
        })
    };
    Some(rows.iter().filter_map(party).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answered_channels_with_a_usable_id_are_taken() {
        let json = r#"{"row_count":3,"rows":[
            {"uuid":"a-1","direction":"inbound","callstate":"ACTIVE","cid_num":"0612","dest":"100"},
            {"uuid":"a-2","direction":"inbound","callstate":"RINGING"},
            {"uuid":"../../etc","direction":"inbound","callstate":"ACTIVE"}]}"#;
        let parties = parties(json).unwrap();
        assert_eq!(parties.len(), 1);
        assert_eq!(parties[0].uuid, "a-1");
        assert_eq!(parties[0].caller, "0612");
        assert_eq!(parties[0].callee, "100");
    }

    #[test]
    fn a_table_without_rows_has_no_channels() {
        assert_eq!(parties(r#"{"row_count":0}"#), Some(Vec::new()));
        assert_eq!(parties("-USAGE: show"), None);
    }
}
