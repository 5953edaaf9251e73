//! openai-whisper as a child process that does one measurement when asked.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::Round;
use crate::synthetic::Shape;

pub struct Peer {
    pub name: String,
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it if `benches/peers.sh` has installed it.
    pub fn start(threads: usize) -> Option<Peer> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/peers/venv/bin/python");
        if !python.exists() {
            return None;
        }
        let mut child = Command::new(python)
            .arg(root.join("benches/peers/openai_whisper.py"))
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let ask = child.stdin.take()?;
        let answers = BufReader::new(child.stdout.take()?);
        let mut peer = Peer {
            name: String::new(),
            child,
            ask,
            answers,
        };
        peer.name = peer.answer()?.get("name")?.as_str()?.to_owned();
        Some(peer)
    }

    pub fn load(&mut self, shape: &Shape) {
        let vocab = shape.vocab;
        self.ask(json!({"load": {
            "n_mels": shape.mel_bins, "n_audio_ctx": 1500, "n_audio_state": shape.d_model,
            "n_audio_head": shape.heads, "n_audio_layer": shape.encoder_layers, "n_vocab": vocab,
            "n_text_ctx": 448, "n_text_state": shape.d_model, "n_text_head": shape.heads,
            "n_text_layer": shape.decoder_layers,
        }}));
    }

    /// One window.
    pub fn run(&mut self, prompt: usize, steps: usize) -> Option<Round> {
        let answer = self.ask(json!({"run": {"prompt": prompt, "steps": steps}}))?;
        let ms = |name: &str| answer.get(name)?.as_f64();
        Some(Round {
            mel: ms("mel")?,
            encoder: ms("encoder")?,
            prefill: ms("prefill")?,
            step: ms("step")?,
        })
    }

    fn ask(&mut self, question: Value) -> Option<Value> {
        writeln!(self.ask, "{question}").ok()?;
        self.ask.flush().ok()?;
        self.answer()
    }

    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when its input does; this is for one that hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
