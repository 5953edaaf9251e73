//! What strangers send, each kind of it as a function of bytes. For `fuzz/` alone.
//!
//! The parsers themselves stay where they are, and private to the crate; here each is given bytes as its door gives them, and
//! says in a line what became of them. So the fuzzer sees one function a format, and nothing of a door is public for its sake.

mod cluster;
mod telephone;
mod web;

/// A parser: what it says of these bytes, in one line.
pub type Target = fn(&[u8]) -> String;

/// Every parser by its name.
pub const TARGETS: [(&str, Target); 25] = [
    ("websocket-command", web::websocket_command),
    ("websocket-query", web::websocket_query),
    ("page-query", web::page_query),
    ("page-head", web::page_head),
    ("token", web::token),
    ("deepgram-query", web::deepgram_query),
    ("deepgram-order", web::deepgram_order),
    ("vosk", web::vosk),
    ("twilio", web::twilio),
    ("forks", web::forks),
    ("setting", web::setting),
    ("client-websocket", web::client_websocket),
    ("client-line", web::client_line),
    ("audiosocket", telephone::audiosocket),
    ("esl", telephone::esl),
    ("esl-channels", telephone::esl_channels),
    ("recording", telephone::recording),
    ("sdp", telephone::sdp),
    ("siprec", telephone::siprec),
    ("sip", telephone::sip),
    ("rtp", telephone::rtp),
    ("pcap", telephone::pcap),
    ("cluster-audio", cluster::cluster_audio),
    ("cluster-text", cluster::cluster_text),
    ("cluster-key", cluster::cluster_key),
];

pub use telephone::{esl_wire, rtp_leg};

/// Both forms of an outcome as one line.
fn told(result: Result<String, impl std::fmt::Display>) -> String {
    result.unwrap_or_else(|error| error.to_string())
}

/// The first line, and what is behind it.
fn headed(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let head = String::from_utf8_lossy(head).into_owned();
    (head, rest.get(1..).unwrap_or_default())
}

/// Pieces as a length (two bytes, little-endian) and so many bytes each; the last may be short.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (piece, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Some(piece)
    })
}
