//! The real programs, as children of a test: ended with it, whatever becomes of it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything takes on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// A program that runs. Its standard output comes line by line.
pub struct Program {
    pub child: Child,
    lines: Receiver<String>,
    pub errors: Arc<Mutex<String>>,
    name: String,
}

impl Program {
    /// Starts `path` with none of the variables that programs heed but `env`.
    pub fn start(path: &str, args: &[&str], env: &[(&str, &str)]) -> Program {
        let mut command = Command::new(path);
        for name in [
            "STREAM_HOST",
            "STREAM_PORT",
            "STREAM_WS_PORT",
            "STREAM_MODEL",
            "STREAM_LANG",
            "STREAM_BACKEND",
            "STREAM_MIN_CHUNK",
            "IP_ADDR",
            "WHISPERSTREAM_LOG",
            "STREAM_TOKEN",
        ] {
            command.env_remove(name);
        }
        command
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&errors);
        let mut err = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = err.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                heard.lock().unwrap().push_str(&text);
            }
        });
        Program {
            child,
            lines,
            errors,
            name: path.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }

    /// The server, when the door whose line has `scheme` in it is open, and its port.
    pub fn server(args: &[&str], env: &[(&str, &str)], scheme: &str) -> (Program, u16) {
        let server = Program::start(env!("CARGO_BIN_EXE_whisperstream-server"), args, env);
        let port = server.port(scheme);
        (server, port)
    }

    /// The port in the line of standard output that has `scheme` (`tcp://`) in it.
    pub fn port(&self, scheme: &str) -> u16 {
        loop {
            let line = self.line();
            if let Some((_, address)) = line.split_once(scheme) {
                let address = address.trim_end_matches('/');
                return address.rsplit(':').next().unwrap().parse().unwrap();
            }
        }
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(err) => panic!("{} says no more: {err}\n{}", self.name, self.errors()),
        }
    }

    /// What is left of standard output, until the program ends.
    pub fn rest(&self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(err) => panic!("{} does not end: {err}\n{}", self.name, self.errors()),
            }
        }
    }

    /// What it wrote to standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until standard error has `text` in it.
    pub fn wait_for_error(&self, text: &str) {
        let begun = std::time::Instant::now();
        while !self.errors().contains(text) {
            assert!(
                begun.elapsed() < PATIENCE,
                "no {text:?} of {}:\n{}",
                self.name,
                self.errors()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
