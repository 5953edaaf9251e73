//! Calls on a real nats-server: whatever dies, the transcript is that of the undisturbed call, byte for byte.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dice.rs"]
mod dice;
#[path = "../common/program.rs"]
mod program;

mod detours;
mod disturbed;
mod nats;
mod refused;
mod undisturbed;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nats::Nats;
use program::{PATIENCE, Program};

/// Workers take over after this without a sign of life.
const LEASE: Duration = Duration::from_secs(2);

/// A worker of that cluster.
fn worker(nats: &Nats, args: &[&str]) -> Worker {
    let mut all = vec!["--nats", &nats.url, "--lease", "2", "--http", "0"];
    all.extend(args);
    let program = Program::start(env!("CARGO_BIN_EXE_whisperstream-worker"), &all, &[]);
    let port = program.port("http://");
    let name = program.line().split_whitespace().last().unwrap().to_owned();
    Worker {
        program,
        name,
        port,
    }
}

struct Worker {
    program: Program,
    name: String,
    port: u16,
}

impl Worker {
    fn signal(&self, signal: &str) {
        signal_to(&self.program.child, signal);
    }

    /// A figure of `/metrics`.
    fn figure(&self, name: &str) -> f64 {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let line = answer.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in {answer}"));
        value.trim().parse().unwrap()
    }
}

fn signal_to(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(status.success());
}

/// A gateway with a line door that tells JSON, and its port.
fn gateway(nats: &Nats, args: &[&str]) -> (Program, u16) {
    let mut all = vec![
        "--nats",
        &nats.url,
        "--line",
        "0",
        "--json-lines",
        "--language",
        "fr",
    ];
    all.extend(args);
    Program::server(&all, &[], "tcp://")
}

/// What one process says of a recording.
fn alone(audio: &[u8]) -> String {
    let args = [
        "--line",
        "0",
        "--json-lines",
        "--language",
        "fr",
        "--set",
        "pace=exact",
    ];
    let (_server, port) = Program::server(&args, &[], "tcp://");
    Call::begin(port, audio, 50.0).end()
}

/// A client of a line door, that speaks and reads at the same time.
struct Call {
    said: Arc<Mutex<String>>,
    speaking: JoinHandle<()>,
    reading: JoinHandle<()>,
}

impl Call {
    /// Speaks so many times as fast as people do.
    fn begin(port: u16, audio: &[u8], speed: f64) -> Call {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut from, to) = (socket.try_clone().unwrap(), Arc::clone(&said));
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                to.lock().unwrap().push_str(&text);
            }
        });
        let audio = audio.to_vec();
        let speaking = std::thread::spawn(move || {
            let begun = Instant::now();
            for (number, piece) in audio.chunks(1_600).enumerate() {
                let due = Duration::from_secs_f64(number as f64 * 0.05 / speed);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
                // A server that is gone says so to who reads.
                let _ = socket.write_all(piece);
            }
            let _ = socket.shutdown(Shutdown::Write);
        });
        Call {
            said,
            speaking,
            reading,
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until so many lines were told.
    fn wait_for_lines(&self, lines: usize) {
        wait("lines", || self.said().lines().count() >= lines);
    }

    /// All that was told.
    fn end(self) -> String {
        self.speaking.join().unwrap();
        self.reading.join().unwrap();
        self.said.lock().unwrap().clone()
    }
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not so yet");
        std::thread::sleep(Duration::from_millis(10));
    }
}
