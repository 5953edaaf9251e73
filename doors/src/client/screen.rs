//! What is printed: words on standard output, all else on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::json;

use super::transcript::Said;

/// Prints. Whoever closed standard output does not want to know.
pub struct Screen {
    json: bool,
    /// What may change is shown, and written over.
    terminal: bool,
    /// Something stands in the line.
    dirty: bool,
}

const GREY: &str = "\x1b[90m";
const PLAIN: &str = "\x1b[0m";
const CLEAR: &str = "\r\x1b[K";

impl Screen {
    pub fn new(json: bool) -> Screen {
        Screen {
            json,
            terminal: !json && io::stdout().is_terminal(),
            dirty: false,
        }
    }

    /// Whether partials are shown.
    pub fn shows_partials(&self) -> bool {
        self.terminal
    }

    pub fn words(&mut self, said: &Said) {
        if self.json {
            let words: Vec<_> = said
                .words
                .iter()
                .map(
                    |word| json!({"text": word.text, "beg_ms": word.beg_ms, "end_ms": word.end_ms}),
                )
                .collect();
            let line = json!({
                "type": "final",
                "beg_ms": said.beg_ms,
                "end_ms": said.end_ms,
                "text": said.text,
                "words": words,
            });
            return self.write(&format!("{line}\n"));
        }
        let clear = if self.terminal { CLEAR } else { "" };
        let time = clock(Duration::from_millis(said.beg_ms));
        self.write(&format!("{clear}{time}  {}\n", said.text.trim()));
        self.dirty = false;
    }

    /// The unstable tail, in grey.
    pub fn partial(&mut self, tail: &str) {
        if self.terminal {
            // One line only: it is written over.
            let tail: Vec<char> = tail.trim().chars().filter(|c| !c.is_control()).collect();
            let tail: String = tail.iter().skip(tail.len().saturating_sub(70)).collect();
            self.write(&format!("{CLEAR}{GREY}{tail}{PLAIN}"));
            self.dirty = !tail.is_empty();
        }
    }

    /// All said before a flush is told.
    pub fn flushed(&mut self) {
        if self.json {
            self.write("{\"type\":\"flushed\"}\n");
        }
    }

    pub fn close(&mut self) {
        if self.dirty {
            self.write(CLEAR);
        }
    }

    fn write(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}

/// A word about the connection.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "whisperstream-client: {text}");
}

fn clock(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    let (minutes, tenths) = (tenths / 600, tenths % 600);
    format!("{minutes:02}:{:02}.{}", tenths / 10, tenths % 10)
}
