//! A hub of one repository on this machine, with the faults that networks have.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ring::digest;

pub const ID: &str = "org/whisper-test";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong with a file, once for each time it is put in the queue.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// So many bytes of the answer, then silence.
    Stall(usize),
    /// So many bytes, then the connection ends.
    Cut(usize),
    /// One bit of it is another.
    Damage,
    /// The whole file, whatever part was asked for.
    NoRange,
    Status(u16),
    /// So much time for each kilobyte.
    Slow(Duration),
}

/// How the repository is served.
#[derive(Clone, Default)]
pub struct Manner {
    /// Of the file, the next first.
    pub faults: Vec<(String, Fault)>,
    /// The answer to every request for the repository, and its `X-Error-Code`.
    pub refusal: Option<(u16, Option<&'static str>)>,
    /// Given only with this token.
    pub token: Option<&'static str>,
    /// The repository's name was another one before.
    pub former: Option<&'static str>,
    /// A mirror that lists names and no sums.
    pub bare: bool,
    /// Where the storage sends its visitors instead.
    pub elsewhere: Option<String>,
}

/// A request that came: its line, and the headers that matter.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
    /// To the storage, on another port.
    pub storage: bool,
}

pub struct Hub {
    pub endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    storage: String,
    manner: Mutex<Manner>,
    asked: Mutex<Vec<Asked>>,
}

impl Hub {
    /// Serves `files` until the process ends. Those of weights lie in the storage, as on the real one.
    pub fn serve(files: impl IntoIterator<Item = (String, Vec<u8>)>, manner: Manner) -> Hub {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [hub, storage] = listeners.each_ref().map(|listener| {
            let address = listener.local_addr().unwrap();
            format!("http://{address}")
        });
        let shared = Arc::new(Shared {
            files: files.into_iter().collect(),
            storage,
            manner: Mutex::new(manner),
            asked: Mutex::default(),
        });
        for (listener, storage) in listeners.into_iter().zip([false, true]) {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let shared = Arc::clone(&shared);
                    // Who was asked and left is no fault of the server's.
                    thread::spawn(move || drop(shared.answer(stream, storage)));
                }
            });
        }
        Hub {
            endpoint: hub,
            shared,
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Requests for this file, to the storage if it is one of weights.
    pub fn asked_for(&self, name: &str) -> Vec<Asked> {
        let storage = is_large(name);
        let mut asked = self.asked();
        asked.retain(|asked| asked.path.ends_with(name) && asked.storage == storage);
        asked
    }

    pub fn forget(&self) {
        self.shared.asked.lock().unwrap().clear();
    }

    pub fn set(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.shared.manner.lock().unwrap());
    }
}

pub fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

/// What the hub names a file's bytes by.
pub fn etag(name: &str, bytes: &[u8]) -> String {
    let sum = match is_large(name) {
        true => digest::digest(&digest::SHA256, bytes),
        false => {
            let blob = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
            digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &blob)
        }
    };
    sum.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    fault: Option<Fault>,
}

impl Reply {
    fn new(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            fault: None,
        }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Reply {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream, storage: bool) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut asked = Asked {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            range: None,
            token: None,
            storage,
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "range" => asked.range = Some(value.to_owned()),
                "authorization" => asked.token = Some(value.to_owned()),
                _ => {}
            }
        }
        self.asked.lock().unwrap().push(asked.clone());
        let reply = match storage {
            true => self.stored(&asked),
            false => self.told(&asked),
        };
        send(stream, &asked, reply)
    }

    /// What the hub itself answers.
    fn told(&self, asked: &Asked) -> Reply {
        let manner = self.manner.lock().unwrap().clone();
        if let Some((status, code)) = manner.refusal {
            let reply = Reply::new(status);
            return match code {
                Some(code) => reply.with("X-Error-Code", code),
                None => reply,
            };
        }
        if let Some(former) = manner.former.filter(|former| asked.path.contains(former)) {
            return Reply::new(307).with("Location", asked.path.replace(former, ID));
        }
        let wanted = manner.token.map(|token| format!("Bearer {token}"));
        if wanted.is_some() && asked.token != wanted {
            return Reply::new(401).with("X-Error-Code", "RepoNotFound");
        }
        if let Some(rest) = asked
            .path
            .strip_prefix(&format!("/api/models/{ID}/revision/"))
        {
            let revision = rest.split('?').next().unwrap_or_default();
            return match revision {
                "main" | "refs%2Fpr%2F1" | COMMIT => {
                    let mut reply = Reply::new(200).with("Content-Type", "application/json");
                    reply.body = self.listing(manner.bare).into_bytes();
                    reply
                }
                _ => Reply::new(404).with("X-Error-Code", "RevisionNotFound"),
            };
        }
        let name = asked.path.strip_prefix(&format!("/{ID}/resolve/{COMMIT}/"));
        let Some((name, bytes)) = name.and_then(|name| self.files.get_key_value(name)) else {
            return Reply::new(404).with("X-Error-Code", "RepoNotFound");
        };
        match is_large(name) {
            true => {
                let storage = manner.elsewhere.as_ref().unwrap_or(&self.storage);
                Reply::new(302)
                    .with("Location", format!("{storage}/cas/{name}"))
                    .with("X-Linked-Etag", format!("\"{}\"", etag(name, bytes)))
                    .with("X-Linked-Size", bytes.len())
            }
            false => self
                .file(name, asked)
                .with("ETag", format!("\"{}\"", etag(name, bytes))),
        }
    }

    fn stored(&self, asked: &Asked) -> Reply {
        let name = asked.path.rsplit('/').next().unwrap_or_default();
        self.file(name, asked)
    }

    fn file(&self, name: &str, asked: &Asked) -> Reply {
        let Some(bytes) = self.files.get(name) else {
            return Reply::new(404);
        };
        let fault = {
            let faults = &mut self.manner.lock().unwrap().faults;
            let next = faults.iter().position(|(of, _)| of == name);
            next.map(|next| faults.remove(next).1)
        };
        if let Some(Fault::Status(status)) = fault {
            return Reply::new(status);
        }
        let range = asked
            .range
            .as_deref()
            .filter(|_| !matches!(fault, Some(Fault::NoRange)));
        let from = range
            .and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) else {
            return Reply::new(416);
        };
        let mut reply = match range {
            None => Reply::new(200),
            Some(_) => {
                let (last, all) = (bytes.len() - 1, bytes.len());
                Reply::new(206).with("Content-Range", format!("bytes {from}-{last}/{all}"))
            }
        };
        reply.body = rest.to_vec();
        if let (Some(Fault::Damage), Some(byte)) = (fault, reply.body.last_mut()) {
            *byte ^= 1;
        }
        reply.fault = fault;
        reply
    }

    fn listing(&self, bare: bool) -> String {
        let siblings: Vec<_> = self
            .files
            .iter()
            .map(|(name, bytes)| match (bare, is_large(name)) {
                (true, _) => serde_json::json!({ "rfilename": name }),
                (false, false) => serde_json::json!({
                    "rfilename": name, "size": bytes.len(), "blobId": etag(name, bytes),
                }),
                (false, true) => serde_json::json!({
                    "rfilename": name, "size": bytes.len(), "blobId": "0".repeat(40),
                    "lfs": { "sha256": etag(name, bytes), "size": bytes.len(), "pointerSize": 134 },
                }),
            })
            .collect();
        serde_json::json!({ "id": ID, "sha": COMMIT, "siblings": siblings }).to_string()
    }
}

fn send(mut stream: TcpStream, asked: &Asked, reply: Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} so\r\nConnection: close\r\n", reply.status);
    head += &format!("Content-Length: {}\r\n", reply.body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if asked.method == "HEAD" {
        return Ok(());
    }
    match reply.fault {
        Some(Fault::Cut(bytes)) => stream.write_all(&reply.body[..bytes.min(reply.body.len())]),
        Some(Fault::Stall(bytes)) => {
            stream.write_all(&reply.body[..bytes.min(reply.body.len())])?;
            stream.flush()?;
            thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        Some(Fault::Slow(pause)) => reply.body.chunks(1024).try_for_each(|piece| {
            thread::sleep(pause);
            stream.write_all(piece)
        }),
        _ => stream.write_all(&reply.body),
    }
}
