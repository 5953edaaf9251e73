//! A real nats-server with JetStream, in a folder of its own.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
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
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "no nats-server");
            std::thread::sleep(Duration::from_millis(20));
        }
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
