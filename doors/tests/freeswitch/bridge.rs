//! The program, as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here may take so long, on any machine.
const PATIENCE: Duration = Duration::from_secs(240);

pub struct Bridge {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    logged: Arc<Mutex<Vec<String>>>,
    dir: tempfile::TempDir,
}

impl Bridge {
    /// With recordings and transcripts in folders of its own.
    pub fn start(port: u16, options: &[&str]) -> Bridge {
        let dir = tempfile::tempdir().unwrap();
        let recordings = dir.path().join("recordings");
        std::fs::create_dir(&recordings).unwrap();
        let recordings = recordings.display().to_string();
        Bridge::start_in(
            dir,
            port,
            &[&["--record-dir", &recordings], options].concat(),
        )
    }

    /// With its recordings where the options say.
    pub fn start_with(port: u16, options: &[&str]) -> Bridge {
        Bridge::start_in(tempfile::tempdir().unwrap(), port, options)
    }

    fn start_in(dir: tempfile::TempDir, port: u16, options: &[&str]) -> Bridge {
        let mut child = Command::new(env!("CARGO_BIN_EXE_whisperstream-freeswitch"))
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--language",
                "fr",
            ])
            .arg("--transcripts")
            .arg(dir.path().join("transcripts"))
            .args(options)
            .env("WHISPERSTREAM_LOG", "info,doors=debug")
            .env_remove("IP_ADDR")
            .env_remove("ESL_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = lines(child.stdout.take().unwrap());
        let logged = lines(child.stderr.take().unwrap());
        Bridge {
            child,
            said,
            logged,
            dir,
        }
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    pub fn logged(&self) -> String {
        self.logged.lock().unwrap().join("\n")
    }

    pub fn recordings(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path().join("recordings")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The JSON lines of a call.
    pub fn transcript(&self, uuid: &str) -> Vec<Value> {
        let path = self
            .dir
            .path()
            .join("transcripts")
            .join(format!("{uuid}.jsonl"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What was said in a call, of one leg or of all.
    pub fn text(&self, uuid: &str, leg: Option<&str>) -> String {
        let lines = self.transcript(uuid);
        let words = lines.iter().filter(|line| line["type"] == "words");
        let words = words.filter(|line| leg.is_none_or(|leg| line["leg"] == leg));
        words
            .map(|line| line["text"].as_str().unwrap().trim())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Waits until a call's transcript is closed.
    pub async fn ended(&mut self, uuid: &str) {
        let is_closed = |bridge: &Bridge| {
            let transcript = bridge.transcript(uuid);
            transcript
                .last()
                .is_some_and(|line| line["type"] == "ended")
        };
        self.until(&format!("the end of the call {uuid}"), is_closed)
            .await;
    }

    pub async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Bridge) -> bool) {
        let since = Instant::now();
        while !is_so(self) {
            let over = self.child.try_wait().unwrap();
            let is_late = since.elapsed() > PATIENCE;
            if (over.is_some() && !is_so(self)) || is_late {
                tokio::time::sleep(Duration::from_millis(300)).await;
                if is_so(self) {
                    return;
                }
                panic!(
                    "{what} did not happen ({over:?})\n{}\n{}",
                    self.said().join("\n"),
                    self.logged()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // The readers' threads come behind.
                tokio::time::sleep(Duration::from_millis(300)).await;
                return status;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "it does not end\n{}\n{}",
                self.said().join("\n"),
                self.logged()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.lock().unwrap().push(line);
        }
    });
    lines
}

/// The true words of a recording that were understood, in order, as a share.
pub fn share(name: &str, heard: &str) -> f64 {
    let path = format!("{}/../tests/audio/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let truth: Value =
        serde_json::from_str(&std::fs::read_to_string(Path::new(&path)).unwrap()).unwrap();
    let truth: Vec<String> = plain(truth["text"].as_str().unwrap());
    let heard = plain(heard);
    // The longest common subsequence, less what was invented.
    let mut row = vec![0usize; heard.len() + 1];
    for word in &truth {
        let mut before = 0;
        for (at, other) in heard.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other {
                before + 1
            } else {
                row[at].max(above)
            };
            before = above;
        }
    }
    let common = row[heard.len()] as f64;
    let invented = heard.len() as f64 - common;
    (common - invented) / truth.len() as f64
}

fn plain(text: &str) -> Vec<String> {
    let text = text
        .to_lowercase()
        .replace(['-', '\'', '\u{2019}', ',', '.', '?', '!'], " ");
    text.split_whitespace().map(str::to_owned).collect()
}
