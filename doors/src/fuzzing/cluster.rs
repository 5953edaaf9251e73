//! What comes off NATS, where anybody with the credentials may write.

use async_nats::HeaderMap;

use super::{headed, told};
use crate::cluster::fuzzing::{audio_message, key, text_message};

/// A first line of JSON pairs for the headers, then the contents of a message of the audio's subject.
pub fn cluster_audio(bytes: &[u8]) -> String {
    let (head, contents) = headed(bytes);
    let pairs: Vec<(String, String)> = serde_json::from_str(&head).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in &pairs {
        let name = name.parse::<async_nats::HeaderName>();
        let value = value.parse::<async_nats::HeaderValue>();
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    told(audio_message(&headers, contents))
}

/// A message of the text's subject: the count in front of it on a line, then what is told.
pub fn cluster_text(bytes: &[u8]) -> String {
    let (head, contents) = headed(bytes);
    told(text_message(&head, contents))
}

/// A key of the bucket on a line, then its value.
pub fn cluster_key(bytes: &[u8]) -> String {
    let (head, value) = headed(bytes);
    key(&head, value)
}
