//! What is on the server: made where it is not there, looked at where it is.

use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamErrorKind, KeyValueError, KeyValueErrorKind, RequestError,
    RequestErrorKind,
};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};

use super::names::Names;
use super::{ClusterError, NatsOptions, STARTING, patiently};

/// What is told of a call, and its last checkpoint, are kept so long; owners write them anew before. Nothing is deleted when a call
/// ends: servers before 2.10 go through all that is stored for it, and let who reads other calls miss messages.
const KEPT: Duration = Duration::from_secs(900);
/// What nobody tidied up in the bucket is gone after this.
const OWNED: Duration = Duration::from_secs(24 * 3600);
/// A message that was sent twice within this is one.
const TWICE: Duration = Duration::from_secs(120);

/// The three streams and the bucket.
#[derive(Clone)]
pub struct Stores {
    pub audio: Stream,
    pub text: Stream,
    /// The last checkpoint of each leg.
    pub state: Stream,
    pub owners: Store,
}

impl Stores {
    pub async fn open(
        jetstream: &Context,
        names: &Names,
        options: &NatsOptions,
    ) -> Result<Stores, ClusterError> {
        let config = |kind: &str| Config {
            name: names.stream(kind),
            subjects: vec![names.all(kind)],
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: options.nats_replicas,
            duplicate_window: TWICE,
            max_age: KEPT,
            allow_direct: true,
            ..Config::default()
        };
        let age = Duration::from_secs(options.nats_audio_age.max(60));
        let audio = Config {
            max_age: age,
            duplicate_window: TWICE.min(age),
            max_bytes: i64::try_from(options.nats_audio_bytes).unwrap_or(i64::MAX),
            // A full one says so to who would store more, and takes nothing from the calls that are there.
            discard: DiscardPolicy::New,
            ..config("audio")
        };
        let text = Config {
            // A call's text takes half of what its audio does; the oldest has long been read.
            max_bytes: audio.max_bytes,
            discard: DiscardPolicy::Old,
            ..config("text")
        };
        let state = Config {
            max_messages_per_subject: 1,
            ..config("state")
        };
        Ok(Stores {
            audio: stream(jetstream, audio).await?,
            text: stream(jetstream, text).await?,
            state: stream(jetstream, state).await?,
            owners: bucket(jetstream, names.stream("owners"), options.nats_replicas).await?,
        })
    }
}

async fn stream(jetstream: &Context, wanted: Config) -> Result<Stream, ClusterError> {
    let found = patiently(
        STARTING,
        |missing: &Missing| matches!(missing, Missing::Hesitates(_)),
        async || there_or_made(jetstream, &wanted).await,
    );
    found.await.map_err(|missing| match missing {
        Missing::JetStream => ClusterError::NoJetStream(String::new()),
        Missing::Hesitates(reason) | Missing::Refused(reason) => ClusterError::Store {
            what: "the stream",
            name: wanted.name.clone(),
            reason,
        },
    })
}

/// Why a stream cannot be used.
enum Missing {
    JetStream,
    /// Now.
    Hesitates(String),
    Refused(String),
}

async fn there_or_made(jetstream: &Context, wanted: &Config) -> Result<Stream, Missing> {
    match jetstream.get_stream(&wanted.name).await {
        Ok(there) => {
            let found = &there.cached_info().config;
            fits(found, wanted).map_err(Missing::Refused)?;
            if found.num_replicas != wanted.num_replicas {
                tracing::warn!(
                    stream = wanted.name,
                    "the stream was made with {} replicas, and stays so; --nats-replicas {} is for streams that are made",
                    found.num_replicas,
                    wanted.num_replicas
                );
            }
            return Ok(there);
        }
        Err(err) => match err.kind() {
            GetStreamErrorKind::JetStream(err)
                if err.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            // Who answers such requests is JetStream itself.
            GetStreamErrorKind::Request if lacks_responders(&err) => {
                return Err(Missing::JetStream);
            }
            GetStreamErrorKind::JetStream(err) if is_lacking(&err) => {
                return Err(Missing::JetStream);
            }
            GetStreamErrorKind::Request => return Err(Missing::Hesitates(err.to_string())),
            GetStreamErrorKind::JetStream(reply) if is_passing(&reply) => {
                return Err(Missing::Hesitates(err.to_string()));
            }
            _ => return Err(Missing::Refused(err.to_string())),
        },
    }
    let made = jetstream.create_stream(wanted).await;
    made.map_err(|err| match err.kind() {
        // Another process was faster.
        CreateStreamErrorKind::JetStream(reply)
            if reply.error_code() == ErrorCode::STREAM_NAME_EXIST =>
        {
            Missing::Hesitates("it comes and goes".into())
        }
        CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::Response => {
            Missing::Hesitates(err.to_string())
        }
        CreateStreamErrorKind::JetStream(reply) if is_passing(&reply) => {
            Missing::Hesitates(err.to_string())
        }
        _ => Missing::Refused(format!("it is not there and cannot be made: {err}")),
    })
}

fn lacks_responders(err: &dyn std::error::Error) -> bool {
    let asked = err
        .source()
        .and_then(|err| err.downcast_ref::<RequestError>());
    asked.is_some_and(|err| err.kind() == RequestErrorKind::NoResponders)
}

/// The servers of a cluster have no leader yet.
fn is_passing(err: &async_nats::jetstream::Error) -> bool {
    let code = err.error_code();
    code == ErrorCode::CLUSTER_NOT_AVAILABLE || code == ErrorCode::CLUSTER_NOT_LEADER
}

fn is_lacking(err: &async_nats::jetstream::Error) -> bool {
    let code = err.error_code();
    code == ErrorCode::JETSTREAM_NOT_ENABLED || code == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
}

/// Whether what is there does what is asked of it; else what does not fit, and what to do.
fn fits(found: &Config, wanted: &Config) -> Result<(), String> {
    let differs = |what: &str, found: String, wanted: String| {
        Err(format!(
            "{what} {found}, where {wanted} is needed; delete it (what is in it is lost), or choose another --nats-prefix"
        ))
    };
    if found.subjects != wanted.subjects {
        let (found, wanted) = (found.subjects.join(","), wanted.subjects.join(","));
        return differs("its subjects are", found, wanted);
    }
    if found.retention != wanted.retention {
        let name = |config: &Config| format!("{:?}", config.retention).to_lowercase();
        return differs("its retention is", name(found), name(wanted));
    }
    if found.max_messages_per_subject.max(0) != wanted.max_messages_per_subject.max(0) {
        let most = |config: &Config| config.max_messages_per_subject.to_string();
        return differs("its messages a subject are", most(found), most(wanted));
    }
    if found.sealed || found.deny_purge || found.no_ack {
        return differs(
            "it is sealed, denies purging or acknowledges nothing:".trim_end_matches(':'),
            "so".into(),
            "none of these".into(),
        );
    }
    Ok(())
}

/// A bucket is a stream. The library makes none on servers before 2.10, whose account it cannot read.
async fn bucket(jetstream: &Context, name: String, replicas: usize) -> Result<Store, ClusterError> {
    let config = Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: replicas,
        max_messages_per_subject: 1,
        max_age: OWNED,
        duplicate_window: TWICE,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    };
    stream(jetstream, config).await?;
    let opened = patiently(
        STARTING,
        |err: &KeyValueError| err.kind() == KeyValueErrorKind::GetBucket,
        async || jetstream.get_key_value(&name).await,
    );
    opened.await.map_err(|err| ClusterError::Store {
        what: "the bucket",
        name,
        reason: err.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_somebody_elses_is_refused_in_a_sentence() {
        let wanted = Config {
            subjects: vec!["whisperstream.audio.>".into()],
            max_messages_per_subject: -1,
            ..Config::default()
        };
        let as_it_is = Config {
            max_messages_per_subject: 0,
            num_replicas: 3,
            ..wanted.clone()
        };
        assert_eq!(fits(&as_it_is, &wanted), Ok(()));
        let queue = Config {
            retention: RetentionPolicy::WorkQueue,
            ..wanted.clone()
        };
        let other = Config {
            subjects: vec!["orders.*".into()],
            ..wanted.clone()
        };
        let sealed = Config {
            sealed: true,
            ..wanted.clone()
        };
        for (found, says) in [
            (queue, "retention"),
            (other, "orders.*"),
            (sealed, "sealed"),
        ] {
            let refused = fits(&found, &wanted).unwrap_err();
            assert!(
                refused.contains(says) && refused.contains("--nats-prefix"),
                "{refused}"
            );
        }
    }
}
