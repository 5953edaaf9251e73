//! nats-server, gateways and workers, as their users start them. All end with who started them.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Failure;

const SERVER: &str = env!("CARGO_BIN_EXE_whisperstream-server");
const WORKER: &str = env!("CARGO_BIN_EXE_whisperstream-worker");

/// A program that runs, and announces on standard output where it is.
pub struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Program {
    fn start(path: &str, args: &[&str]) -> Result<Program, Failure> {
        let mut child = Command::new(path)
            .args(args)
            .env("WHISPERSTREAM_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("a program has no output")?;
        let out = BufReader::new(out);
        Ok(Program { child, out })
    }

    /// The server with its line door, and the door's port.
    pub fn server(args: &[&str]) -> Result<(Program, u16), Failure> {
        let doors = ["--line", "0", "--json-lines", "--language", "fr"];
        let mut server = Program::start(SERVER, &[&doors, args].concat())?;
        let port = port_of(&server.announced("line")?)?;
        Ok((server, port))
    }

    /// The server as a gateway.
    pub fn gateway(nats: &Nats) -> Result<(Program, u16), Failure> {
        // By itself it takes no more calls than its cores could hear.
        Program::server(&["--nats", &nats.url, "--max-calls", "100000"])
    }

    /// Where that is, or what it is called.
    fn announced(&mut self, what: &str) -> Result<String, Failure> {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line)? == 0 {
                return Err(format!(
                    "a program ended before it announced its {what}; why is said above"
                )
                .into());
            }
            let mut words = line.split_whitespace();
            if words.next() == Some(what) {
                return Ok(words.next().unwrap_or_default().to_owned());
            }
        }
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end.
    pub fn stop(&self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or("a program has no id")?;
        Ok(rustix::process::kill_process(
            pid,
            rustix::process::Signal::TERM,
        )?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn port_of(line: &str) -> Result<u16, Failure> {
    let port = line.trim().trim_end_matches('/').rsplit(':').next();
    let port = port.and_then(|port| port.parse().ok());
    port.ok_or_else(|| format!("there is no port in {line:?}").into())
}

/// A worker, and where its figures are.
pub struct Worker {
    pub program: Program,
    http: u16,
}

impl Worker {
    pub fn start(nats: &Nats, lease: f64) -> Result<Worker, Failure> {
        let lease = lease.to_string();
        let args = ["--nats", &nats.url, "--lease", &lease, "--http", "0"];
        let mut program = Program::start(WORKER, &args)?;
        let http = port_of(&program.announced("http")?)?;
        // It says its name when it takes calls.
        program.announced("worker")?;
        Ok(Worker { program, http })
    }

    /// A figure of `/metrics`, without what all their names begin with.
    pub async fn figure(&self, name: &str) -> Result<f64, Failure> {
        let metrics = get(self.http, "/metrics").await?;
        let name = format!("whisperstream_cluster_{name} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        let value = value.ok_or_else(|| format!("a worker has no figure {name}"))?;
        Ok(value.trim().parse()?)
    }
}

async fn get(port: u16, path: &str) -> Result<String, Failure> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(body.unwrap_or_default().to_owned())
}

/// A nats-server with JetStream in a folder of its own.
pub struct Nats {
    pub url: String,
    monitor: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

/// What a nats-server has read and written, contents and headers, since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    pub bytes_in: f64,
    pub bytes_out: f64,
}

impl Nats {
    pub fn start() -> Result<Nats, Failure> {
        let free = || Ok::<u16, Failure>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (port, monitor) = (free()?, free()?);
        let folder = tempfile::tempdir()?;
        let started = Command::new("nats-server")
            .args(["--jetstream", "-a", "127.0.0.1"])
            .args(["-p", &port.to_string(), "-m", &monitor.to_string()])
            .arg("--store_dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = started.map_err(|err| match err.kind() {
            ErrorKind::NotFound => {
                "this bench starts a nats-server, and there is none on the PATH; Debian has it in the package nats-server".into()
            }
            _ => Failure::from(err),
        })?;
        let nats = Nats {
            url: format!("nats://127.0.0.1:{port}"),
            monitor,
            child,
            _folder: folder,
        };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("the nats-server takes no connections".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(nats)
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub async fn moved(&self) -> Result<Moved, Failure> {
        let figures: serde_json::Value = serde_json::from_str(&get(self.monitor, "/varz").await?)?;
        let bytes = |name: &str| {
            let bytes = figures.get(name).and_then(serde_json::Value::as_f64);
            bytes.ok_or_else(|| Failure::from(format!("the nats-server does not say its {name}")))
        };
        Ok(Moved {
            bytes_in: bytes("in_bytes")?,
            bytes_out: bytes("out_bytes")?,
        })
    }

    pub async fn connect(&self) -> Result<async_nats::jetstream::Context, Failure> {
        let client = async_nats::connect(&self.url).await?;
        Ok(async_nats::jetstream::new(client))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes and messages of one of the cluster's streams.
pub async fn stored(
    jetstream: &async_nats::jetstream::Context,
    kind: &str,
) -> Result<(u64, u64), Failure> {
    let stream = jetstream
        .get_stream(format!("whisperstream-{kind}"))
        .await?;
    let state = &stream.cached_info().state;
    Ok((state.bytes, state.messages))
}
