// SPDX-License-Identifier: MPL-2.0

//! Starts programs with our plugin in their path, and never waits for ever.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine, shorter than a test runner's patience.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A caller's opening in French, 9.54 s; `tests/audio/fr-accueil.json` has its words.
pub const FRENCH: &str = "fr-accueil.wav";
/// The same in English, 12.08 s.
pub const ENGLISH: &str = "en-greeting.wav";

/// A bundled recording.
pub fn audio(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/audio")
        .join(name)
}

/// The beginning of [`FRENCH`], 5.4 s, up to "deux minutes": enough for all that is not about length.
pub fn opening() -> PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let aside = scratch().join(format!("opening-{}.wav", std::process::id()));
        let mut wav = hound::WavReader::open(audio(FRENCH)).unwrap();
        let mut out = hound::WavWriter::create(&aside, wav.spec()).unwrap();
        for sample in wav.samples::<i16>().take(16 * 5_400) {
            out.write_sample(sample.unwrap()).unwrap();
        }
        out.finalize().unwrap();
        let file = scratch().join("opening.wav");
        fs::rename(aside, &file).unwrap();
        file
    })
    .clone()
}

/// What is said in [`opening`].
pub fn spoken_opening() -> Vec<String> {
    let mut spoken = spoken(FRENCH);
    spoken.truncate(12);
    spoken
}

/// The samples of a file: 16 kHz, mono, S16LE.
pub fn pcm(wav: &Path) -> Vec<u8> {
    let mut wav = hound::WavReader::open(wav).unwrap();
    wav.samples::<i16>()
        .flat_map(|sample| sample.unwrap().to_le_bytes())
        .collect()
}

/// A program that ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

impl Ended {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails the test, with all that the program said, unless it ended well.
    #[track_caller]
    pub fn ok(self) -> Ended {
        assert!(
            self.status.success(),
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.text(),
            self.stderr
        );
        self
    }
}

/// A program that runs.
pub struct Running {
    child: Child,
    started: Instant,
    stdout: thread::JoinHandle<Vec<u8>>,
    stderr: thread::JoinHandle<Vec<u8>>,
    name: String,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, for the test to write to.
    pub fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Ends it without a chance to tidy up, as a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; kills it and fails the test when that takes more than [`PATIENCE`].
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        drop(self.child.stdin.take());
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if self.started.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let took = self.started.elapsed();
        let stdout = self.stdout.join().unwrap();
        let stderr = String::from_utf8_lossy(&self.stderr.join().unwrap()).into_owned();
        let Some(status) = status else {
            panic!(
                "{} still ran after {PATIENCE:?}\n--- stdout\n{}\n--- stderr\n{stderr}",
                self.name,
                String::from_utf8_lossy(&stdout)
            );
        };
        Ended {
            status,
            stdout,
            stderr,
            took,
        }
    }
}

/// Starts a program with the plugin in its path and standard input at hand. It logs what the test asks for, not what the tester's shell does.
pub fn start(command: &mut Command) -> Running {
    let name = format!("{command:?}");
    if !command.get_envs().any(|(key, _)| key == "GST_DEBUG") {
        command.env_remove("GST_DEBUG");
    }
    let mut child = command
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env("GST_REGISTRY", registry())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|err| panic!("{name} does not start: {err}"));
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    Running {
        child,
        started: Instant::now(),
        stdout,
        stderr,
        name,
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    start(command).wait()
}

/// `gst-launch-1.0` with a pipeline, in the pipeline's own syntax; each word is an argument.
pub fn launch(pipeline: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    // No index file or registry of the caller's, and a folder that is not the repository.
    command
        .current_dir(std::env::temp_dir())
        .args(pipeline.split_whitespace());
    command
}

/// An example program of this crate.
pub fn example(name: &str) -> Command {
    let path = profile_folder().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not there; `cargo test` builds it, `cargo test --test programs` alone does not: run `cargo build --examples`",
        path.display()
    );
    Command::new(path)
}

/// An UDP port that is free now.
pub fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A TCP port that is free now.
pub fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Connects as soon as somebody listens.
pub fn connect(port: u16) -> TcpStream {
    let started = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(err) if started.elapsed() > PATIENCE => panic!("nobody listens at {port}: {err}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Writes bytes as a live source would: 20 ms of S16LE mono at 16 kHz every 20 ms.
pub fn write_in_real_time(mut to: impl Write, bytes: &[u8]) {
    let started = Instant::now();
    for (n, packet) in bytes.chunks(640).enumerate() {
        let due = Duration::from_millis(20) * n as u32;
        thread::sleep(due.saturating_sub(started.elapsed()));
        if to.write_all(packet).is_err() {
            return;
        }
    }
}

/// The words in a text, lower case, without punctuation.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || ".,;:!?…".contains(c))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// What is said in a bundled recording.
pub fn spoken(name: &str) -> Vec<String> {
    let truth = fs::read_to_string(audio(name).with_extension("json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    words(truth["text"].as_str().unwrap())
}

/// Fails the test unless `heard` is `spoken` but for a fifth of it (the demo model is small; these tests are about the
/// plumbing, which loses far more when it leaks).
#[track_caller]
pub fn assert_heard(heard: &[String], spoken: &[String]) {
    let errors = edit_distance(heard, spoken);
    assert!(
        errors * 5 <= spoken.len(),
        "{errors} word errors\n heard {heard:?}\nspoken {spoken:?}"
    );
}

/// Insertions, deletions and substitutions from one list of words to the other.
pub fn edit_distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Whether an element is installed; says loudly that the test is skipped when it is not.
pub fn has_element(name: &str) -> bool {
    let there = Command::new("gst-inspect-1.0")
        .args(["--exists", name])
        .env("GST_REGISTRY", registry())
        .env("GST_PLUGIN_PATH", plugin_folder())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        eprintln!("SKIPPED: GStreamer has no element {name} here; scripts/setup test installs it");
    }
    there
}

/// `target/debug` or `target/release`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_path_buf()
}

/// A folder that holds the plugin and nothing else. Cargo builds a library for tests in `deps` and does not put it one
/// folder up, as `cargo build` does.
pub fn plugin_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let built = profile_folder().join("deps/libgstwhisperstream.so");
        assert!(built.exists(), "cargo built no {}", built.display());
        let folder = scratch().join("plugin");
        fs::create_dir_all(&folder).unwrap();
        // Made aside and moved there, because every test of this run does the same at once.
        let aside = scratch().join(format!("plugin-{}.so", std::process::id()));
        let _ = fs::remove_file(&aside);
        std::os::unix::fs::symlink(built, &aside).unwrap();
        fs::rename(aside, folder.join("libgstwhisperstream.so")).unwrap();
        folder
    })
}

/// A plugin registry of the tests' own, so that they neither read nor write the user's.
fn registry() -> PathBuf {
    scratch().join("registry.bin")
}

pub fn scratch() -> PathBuf {
    // Besides the profile's name, because debug and release builds must not share a plugin.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    let folder = folder.join(profile_folder().file_name().unwrap());
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}
