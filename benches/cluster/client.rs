//! A client of a line door that speaks at the pace of people, and knows when it said and was told what.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::Failure;

/// 20 ms.
const PIECE: usize = 640;
const PIECE_TIME: Duration = Duration::from_millis(20);
/// Longer than any line takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line as it came.
#[derive(Clone, Debug)]
pub struct Told {
    pub json: String,
    /// Where it ends in the stream, in s.
    end: f64,
    pub when: Instant,
}

/// A call that goes on.
pub struct Call {
    lines: UnboundedReceiver<Told>,
    speaking: JoinHandle<std::io::Result<Vec<Instant>>>,
    reading: JoinHandle<std::io::Result<()>>,
}

/// One that is over.
pub struct Said {
    /// When each piece was sent.
    sent: Vec<Instant>,
}

impl Said {
    /// From the sending of the last audio of a line to its arrival, in s.
    pub fn lag(&self, told: &Told) -> f64 {
        let piece = (told.end / PIECE_TIME.as_secs_f64()).ceil().max(1.0) as usize - 1;
        let sent = self.sent.get(piece).or(self.sent.last());
        sent.map_or(f64::NAN, |sent| {
            told.when.saturating_duration_since(*sent).as_secs_f64()
        })
    }
}

impl Call {
    pub async fn begin(port: u16, audio: &[u8]) -> Result<Call, Failure> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let (from, to) = socket.into_split();
        let (tell, lines) = unbounded_channel();
        Ok(Call {
            lines,
            speaking: tokio::spawn(speak(to, audio.to_vec())),
            reading: tokio::spawn(read(from, tell)),
        })
    }

    /// The next line; `None`: the call is over.
    pub async fn next(&mut self) -> Result<Option<Told>, Failure> {
        let next = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        next.map_err(|_| "no line came for a minute".into())
    }

    /// The lines that are left, and what was said.
    pub async fn end(mut self) -> Result<(Vec<Told>, Said), Failure> {
        let mut told = Vec::new();
        while let Some(line) = self.next().await? {
            told.push(line);
        }
        self.reading.await??;
        let sent = self.speaking.await??;
        Ok((told, Said { sent }))
    }
}

async fn speak(mut to: OwnedWriteHalf, audio: Vec<u8>) -> std::io::Result<Vec<Instant>> {
    let (begun, mut sent) = (Instant::now(), Vec::new());
    for (number, piece) in audio.chunks(PIECE).enumerate() {
        let spoken = begun + PIECE_TIME * (number as u32 + 1);
        tokio::time::sleep_until(spoken.into()).await;
        to.write_all(piece).await?;
        sent.push(Instant::now());
    }
    to.shutdown().await?;
    Ok(sent)
}

async fn read(from: OwnedReadHalf, tell: UnboundedSender<Told>) -> std::io::Result<()> {
    let mut lines = BufReader::new(from).lines();
    while let Some(json) = lines.next_line().await? {
        let when = Instant::now();
        let line: Value = serde_json::from_str(&json).unwrap_or_default();
        let end = line.get("end").and_then(Value::as_f64).unwrap_or_default();
        let _ = tell.send(Told { json, end, when });
    }
    Ok(())
}

/// Samples of a recording of the repository, as S16LE.
pub fn recording(name: &str) -> Result<Vec<u8>, Failure> {
    let path = super::plot::root().join(format!("tests/audio/{name}.wav"));
    let mut wav = hound::WavReader::open(path)?;
    let samples: Result<Vec<i16>, _> = wav.samples().collect();
    Ok(samples?.into_iter().flat_map(i16::to_le_bytes).collect())
}

/// The text of lines, to compare.
pub fn text(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.json.as_str()).collect()
}
