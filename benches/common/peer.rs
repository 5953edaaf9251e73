//! Another implementation as a child process that does one measurement when asked.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::precision::Precision;
use super::window::Round;

pub struct Peer {
    /// Packages and versions.
    pub name: String,
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The interpreter that `benches/peers.sh` has set up.
pub fn python() -> Option<PathBuf> {
    let python = root().join("target/peers/venv/bin/python");
    python.exists().then_some(python)
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Peer {
    /// Starts `benches/peers/SCRIPT` if `benches/peers.sh` was run. What goes wrong there is said on standard error.
    pub fn start(script: &str, threads: usize) -> Option<Peer> {
        let mut child = Command::new(python()?)
            .arg(root().join("benches/peers").join(script))
            .arg(threads.to_string())
            .env("OMP_NUM_THREADS", threads.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
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

    /// Takes the model in `folder`; false if it cannot.
    pub fn load(&mut self, folder: &Path, precision: Precision) -> bool {
        let question = json!({"load": folder, "precision": precision.name()});
        self.ask(question).is_some()
    }

    /// One window; NaN for what the peer cannot time.
    pub fn run(&mut self, prompt: usize, steps: usize) -> Option<Round> {
        let answer = self.ask(json!({"run": {"prompt": prompt, "steps": steps}}))?;
        let ms = |name: &str| answer.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        Some(Round {
            mel: ms("mel"),
            encoder: ms("encoder"),
            prefill: ms("prefill"),
            step: ms("step"),
            beam: ms("beam"),
        })
    }

    pub fn ask(&mut self, question: Value) -> Option<Value> {
        writeln!(self.ask, "{question}").ok()?;
        self.ask.flush().ok()?;
        self.answer()
    }

    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when its input does; this is for one that hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
