//! What is stored under a subject, in its order.

use async_nats::Client;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::jetstream::stream::Stream as Stored;
use futures::{Stream, StreamExt};

use super::AGAIN;

/// The messages of a subject (it may have wildcards) from one place of the stream on, without end; also behind a restart of the server.
pub fn follow<'a>(
    client: &'a Client,
    stored: &'a Stored,
    subject: String,
    from: Option<u64>,
) -> impl Stream<Item = Message> + 'a {
    let open = async move |subject: &str, from: Option<u64>| {
        loop {
            let config = push::OrderedConfig {
                deliver_subject: client.new_inbox(),
                filter_subject: subject.into(),
                deliver_policy: match from {
                    Some(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
                    None => DeliverPolicy::All,
                },
                ..push::OrderedConfig::default()
            };
            if let Ok(consumer) = stored.create_consumer(config).await
                && let Ok(messages) = consumer.messages().await
            {
                return messages;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let begin = (None, from, subject);
    futures::stream::unfold(begin, move |(messages, mut from, subject)| async move {
        let mut messages = match messages {
            Some(messages) => messages,
            None => open(&subject, from).await,
        };
        loop {
            match messages.next().await {
                Some(Ok(message)) => {
                    if let Ok(info) = message.info() {
                        from = Some(info.stream_sequence + 1);
                    }
                    return Some((message, (Some(messages), from, subject)));
                }
                // It begins anew by itself where it was.
                Some(Err(_)) => {}
                None => messages = open(&subject, from).await,
            }
        }
    })
}
