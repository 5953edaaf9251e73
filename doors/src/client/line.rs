//! The line door: raw audio in, `start_ms end_ms text` out; SimulStreaming's server, or ours.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::address::LineAddress;
use super::source::Source;
use super::tape::{Next, Tape};
use super::transcript::{Manner, Said, SaidWord, Transcript};
use super::{ClientError, End, RATE, screen};

const CONNECT: Duration = Duration::from_secs(20);
/// A connection that has stood for so long is one to a server.
const MET: Duration = Duration::from_secs(3);
/// Longest line, in bytes.
const LONGEST: u64 = 1 << 20;

/// One connection, sent the audio from `start` on.
pub async fn talk(
    address: &LineAddress,
    tape: &Tape,
    source: &Source,
    start: Duration,
    transcript: &mut Transcript,
) -> End {
    let shown = address.shown();
    transcript.manner(Manner::Silent);
    let lost = |reason| End::Lost { reason, met: false };
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let mut socket = match timeout(CONNECT, connecting).await {
        // Where nobody listens on this machine, the system may connect a knocker to himself.
        Ok(Ok(socket)) if socket.local_addr().ok() == socket.peer_addr().ok() => {
            return lost(ClientError::Refused(shown));
        }
        Ok(Ok(socket)) => socket,
        Ok(Err(err)) => return lost(ClientError::connecting(&shown, err)),
        Err(_) => {
            return lost(ClientError::Stranger {
                address: shown,
                reason: "it does not answer".into(),
            });
        }
    };
    let _ = socket.set_nodelay(true);
    source.start();
    let (from, to) = socket.split();
    let ended = Cell::new(false);
    let position = (start.as_nanos() * u128::from(RATE) / 1_000_000_000) as u64;
    tokio::select! {
        end = send(to, tape, position, &ended) => end,
        end = receive(from, &shown, start, tape, transcript, &ended) => end,
    }
}

async fn send(mut to: WriteHalf<'_>, tape: &Tape, mut position: u64, ended: &Cell<bool>) -> End {
    let mut flushed = None;
    let mut was_said = false;
    loop {
        match tape.next(position, flushed).await {
            Next::Audio(audio) => {
                let samples = audio.len() as u64 / 2;
                if to.write_all(&audio).await.is_err() {
                    // The other direction says why: lines may still be there to be read.
                    break;
                }
                position += samples;
                tape.note_sent(position);
            }
            Next::Flush => {
                flushed = Some(position);
                if !std::mem::replace(&mut was_said, true) {
                    screen::say(
                        "the line door has no flush: end the audio, or use the WebSocket (--to ws://...)",
                    );
                }
            }
            Next::End => {
                ended.set(true);
                if to.shutdown().await.is_err() {
                    break;
                }
                std::future::pending::<()>().await;
            }
            Next::Gone => {
                return End::Lost {
                    reason: ClientError::Gone(
                        "what it was to hear next is not on the tape any more".into(),
                    ),
                    met: true,
                };
            }
        }
    }
    tokio::time::sleep(CONNECT).await;
    End::Lost {
        reason: ClientError::Gone("it takes nothing any more".into()),
        met: true,
    }
}

async fn receive(
    from: ReadHalf<'_>,
    shown: &str,
    start: Duration,
    tape: &Tape,
    transcript: &mut Transcript,
    ended: &Cell<bool>,
) -> End {
    let begun = Instant::now();
    let origin = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
    let mut from = BufReader::new(from);
    let mut met = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut from).take(LONGEST).read_until(b'\n', &mut line).await;
        let met_now = met || begun.elapsed() > MET;
        let lost = |reason: String| End::Lost {
            reason: ClientError::Gone(reason),
            met: met_now,
        };
        match read {
            Err(err) => return lost(err.to_string()),
            Ok(0) if ended.get() => return End::Done,
            Ok(0) if !met_now => {
                return lost("it hung up at once, as one does that is full or starts no call; its log says why".into());
            }
            Ok(0) => return lost("it hung up".into()),
            Ok(_) => {}
        }
        // A line that broke off with the server is no line.
        if line.last() != Some(&b'\n') {
            continue;
        }
        match parse(&String::from_utf8_lossy(&line), origin) {
            Some(said) => {
                met = true;
                if !said.text.trim().is_empty() {
                    transcript.said(said);
                    tape.forget(transcript.resume_at());
                }
            }
            None => {
                return End::Refused(ClientError::Stranger {
                    address: shown.into(),
                    reason: format!(
                        "it says {:?}",
                        String::from_utf8_lossy(&line)
                            .trim()
                            .chars()
                            .take(60)
                            .collect::<String>()
                    ),
                });
            }
        }
    }
}

#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    start: f64,
    #[serde(default)]
    end: f64,
    #[serde(default)]
    text: String,
    #[serde(default)]
    words: Vec<PieceWord>,
}

#[derive(Deserialize)]
struct PieceWord {
    start: f64,
    end: f64,
    text: String,
}

/// `start_ms end_ms text`, or a JSON line; in times of the stream.
pub(crate) fn parse(line: &str, origin: u64) -> Option<Said> {
    let line = line.trim_end_matches(['\r', '\n']);
    if line.starts_with('{') {
        let piece: Piece = serde_json::from_str(line).ok()?;
        let ms = |seconds: f64| origin.saturating_add((seconds * 1000.0).round() as u64);
        return Some(Said {
            beg_ms: ms(piece.start),
            end_ms: ms(piece.end),
            text: piece.text.trim().into(),
            words: piece
                .words
                .into_iter()
                .map(|word| SaidWord {
                    text: word.text.trim().into(),
                    beg_ms: ms(word.start),
                    end_ms: ms(word.end),
                })
                .collect(),
        });
    }
    let (beg, rest) = line.split_once(' ')?;
    let (end, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let (beg, end): (u64, u64) = (beg.parse().ok()?, end.parse().ok()?);
    Some(Said {
        beg_ms: origin.saturating_add(beg),
        end_ms: origin.saturating_add(end),
        text: text.trim().into(),
        words: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_forms_are_read() {
        let said = parse("340 1520  bonjour je\n", 1000).unwrap();
        assert_eq!((said.beg_ms, said.end_ms), (1340, 2520));
        assert_eq!(said.text, "bonjour je");
        let json = r#"{"start":0.34,"end":1.52,"text":" bonjour","tokens":[1],"words":[{"start":0.34,"end":1.52,"text":" bonjour","tokens":[1]}]}"#;
        let said = parse(json, 0).unwrap();
        assert_eq!((said.beg_ms, said.words[0].end_ms), (340, 1520));
        assert_eq!(said.words[0].text, "bonjour");
        assert!(parse("{\"is_final\":true,\"emission_time\":1.0}\n", 0).is_some());
        for stranger in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 400 Bad Request\n",
            "\n",
            "1\n",
            "{\n",
        ] {
            assert!(parse(stranger, 0).is_none(), "{stranger}");
        }
    }
}
