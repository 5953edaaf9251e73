//! A real nats-server with JetStream, in a folder of its own.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A port that stays the listener's while it is down: the system gives it to no connection, and connects nobody who knocks
/// there to himself.
pub fn free_port() -> u16 {
    let ports = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = ports.split_whitespace().next().unwrap().parse().unwrap();
    loop {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let port = 10_000 + random as u16 % (first.max(11_000) - 10_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub struct Nats {
    pub url: String,
    port: u16,
    folder: tempfile::TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

impl Nats {
    pub fn start() -> Nats {
        Nats::with(&["--jetstream"])
    }

    pub fn with(args: &[&str]) -> Nats {
        let port = free_port();
        let mut nats = Nats {
            url: format!("nats://127.0.0.1:{port}"),
            port,
            folder: tempfile::tempdir().unwrap(),
            args: args.iter().map(ToString::to_string).collect(),
            child: None,
        };
        nats.up();
        nats
    }

    pub fn up(&mut self) {
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["--store_dir", self.folder.path().to_str().unwrap()])
            .args(&self.args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's package nats-server is installed by scripts/setup test");
        self.child = Some(child);
        let begun = Instant::now();
        while !self.greets() {
            assert!(begun.elapsed() < Duration::from_secs(30), "no nats-server");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn greets(&self) -> bool {
        let mut greeting = [0; 5];
        let socket = TcpStream::connect(("127.0.0.1", self.port));
        let read = socket.and_then(|mut socket| {
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.read_exact(&mut greeting)
        });
        read.is_ok() && &greeting == b"INFO "
    }

    /// It stands still for so long.
    pub fn hesitate(&self, time: Duration) {
        let child = self.child.as_ref().unwrap();
        super::signal_to(child, "-STOP");
        std::thread::sleep(time);
        super::signal_to(child, "-CONT");
    }

    /// Ends it at once.
    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.down();
    }
}
