//! Who hears what: asked of all workers at once.

use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::names::Leg;
use super::owners::Entry;
use super::{Cluster, ClusterError};

/// All workers have said what they hear by then.
const ROLL: Duration = Duration::from_millis(700);

/// What a worker says of a leg when it is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub call: String,
    pub leg: u32,
    pub gateway: String,
    /// None: it waits for a worker.
    pub worker: Option<String>,
    /// Workers that had it, with this one.
    pub term: u64,
    /// Seconds of audio not yet heard.
    pub lag: Option<f64>,
}

/// What is known of a leg by its key.
pub fn row(leg: &Leg, entry: &Entry) -> Row {
    Row {
        call: leg.call.clone(),
        leg: leg.number,
        gateway: leg.gateway.clone(),
        worker: entry.owner.clone(),
        term: entry.term,
        lag: None,
    }
}

/// All legs of the cluster, those that wait for a worker first.
pub async fn list(cluster: &Cluster) -> Result<Vec<Row>, ClusterError> {
    let asked = |err: &dyn std::fmt::Display| ClusterError::Asked(err.to_string());
    let owners = &cluster.stores.owners;
    let mut keys = owners.keys().await.map_err(|err| asked(&err))?;
    let mut rows = Vec::new();
    while let Some(key) = keys.next().await {
        let key = key.map_err(|err| asked(&err))?;
        let Some(leg) = key.strip_prefix("leg.").and_then(Leg::of) else {
            continue;
        };
        let value = owners.get(key).await.map_err(|err| asked(&err))?;
        if let Some(entry) = value.and_then(|value| Entry::read(&value)) {
            rows.push(row(&leg, &entry));
        }
    }
    let inbox = cluster.client.new_inbox();
    let mut answers = cluster
        .client
        .subscribe(inbox.clone())
        .await
        .map_err(|err| asked(&err))?;
    cluster
        .client
        .publish_with_reply(cluster.names.roll(), inbox, bytes::Bytes::new())
        .await
        .map_err(|err| asked(&err))?;
    let until = tokio::time::Instant::now() + ROLL;
    while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
        let heard: Vec<Row> = serde_json::from_slice(&answer.payload).unwrap_or_default();
        for row in heard {
            let same = |other: &&mut Row| {
                (&other.gateway, &other.call, other.leg) == (&row.gateway, &row.call, row.leg)
                    && other.worker == row.worker
            };
            if let Some(found) = rows.iter_mut().find(same) {
                found.lag = row.lag;
            }
        }
    }
    rows.sort_by(|a, b| (&a.worker, &a.call, a.leg).cmp(&(&b.worker, &b.call, b.leg)));
    Ok(rows)
}
