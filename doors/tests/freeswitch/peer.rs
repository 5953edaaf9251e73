//! A FreeSWITCH to test against, made after its documentation: the event socket, and a recorder that obeys the channel's
//! variables as telephony.md has it, or does not.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

/// How it behaves.
#[derive(Clone)]
pub struct Manner {
    pub password: &'static str,
    /// Sends a byte at a time.
    pub fragments: bool,
    /// Variables that it has never heard of.
    pub ignores: &'static [&'static str],
    /// The channels' own rate.
    pub rate: u32,
    /// How much faster than life it speaks.
    pub speed: f64,
    /// What it answers a call to.
    pub originate: &'static str,
    /// Lets nobody in.
    pub rude: bool,
    /// Modules that are not loaded.
    pub lacks: &'static [&'static str],
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            password: "ClueCon",
            fragments: false,
            ignores: &[],
            rate: 16_000,
            speed: 3.0,
            originate: "+OK",
            rude: false,
            lacks: &[],
        }
    }
}

/// What is said on a channel, at 16 kHz, and when it ends.
#[derive(Clone, Default)]
pub struct Talk {
    pub remote: Vec<i16>,
    pub local: Vec<i16>,
    /// Seconds of audio behind which the far end hangs up; unset: at the end of the audio.
    pub hangs_up: Option<f64>,
}

impl Talk {
    pub fn of(name: &str) -> Talk {
        Talk {
            remote: samples(name),
            ..Talk::default()
        }
    }
}

pub fn samples(name: &str) -> Vec<i16> {
    let path = format!("{}/../tests/audio/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let mut wav = hound::WavReader::open(path).unwrap();
    wav.samples().map(Result::unwrap).collect()
}

struct Channel {
    talk: Talk,
    state: &'static str,
    variables: HashMap<String, String>,
    /// When the first recording began: that is when they begin to speak.
    began: Option<Instant>,
    recordings: HashMap<String, watch::Sender<bool>>,
    ended: watch::Sender<bool>,
}

struct Shared {
    manner: Manner,
    channels: Mutex<HashMap<String, Channel>>,
    commands: Mutex<Vec<String>>,
    events: broadcast::Sender<String>,
    open: watch::Sender<u32>,
    shut: AtomicBool,
}

#[derive(Clone)]
pub struct Peer {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Peer {
    pub async fn start(manner: Manner) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::new(Shared {
                manner,
                channels: Mutex::default(),
                commands: Mutex::default(),
                events: broadcast::Sender::new(1024),
                open: watch::Sender::new(0),
                shut: AtomicBool::new(false),
            }),
        };
        let accepting = peer.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if accepting.shared.shut.load(Ordering::Relaxed) {
                    continue;
                }
                let peer = accepting.clone();
                tokio::spawn(async move { peer.serve(socket).await });
            }
        });
        peer
    }

    /// A channel that is answered.
    pub fn answer(&self, uuid: &str, talk: Talk) {
        self.add(uuid, talk, "ACTIVE");
        self.event(
            "CHANNEL_ANSWER",
            uuid,
            &[
                ("Call-Direction", "inbound"),
                ("Caller-Caller-ID-Number", "0612345678"),
                ("Caller-Destination-Number", "100"),
                // What has to be decoded.
                ("Channel-Name", "sofia/internal/caf\u{e9} %41: x@y"),
            ],
            "",
        );
    }

    /// A channel that is there, in this call state.
    pub fn add(&self, uuid: &str, talk: Talk, state: &'static str) {
        let variables = [
            ("read_rate".to_owned(), self.shared.manner.rate.to_string()),
            ("RECORD_STEREO".to_owned(), "true".to_owned()),
        ];
        let channel = Channel {
            talk,
            state,
            variables: variables.into(),
            began: None,
            recordings: HashMap::new(),
            ended: watch::Sender::new(false),
        };
        let mut channels = self.shared.channels.lock().unwrap();
        channels.insert(uuid.to_owned(), channel);
    }

    pub fn hang_up(&self, uuid: &str) {
        let channel = self.shared.channels.lock().unwrap().remove(uuid);
        let Some(channel) = channel else { return };
        channel.ended.send_replace(true);
        for stop in channel.recordings.values() {
            stop.send_replace(true);
        }
        for name in ["CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"] {
            self.event(name, uuid, &[("Hangup-Cause", "NORMAL_CLEARING")], "");
        }
    }

    /// Somebody else stops all recordings of a call.
    pub fn stop_recordings(&self, uuid: &str) {
        let channels = self.shared.channels.lock().unwrap();
        for stop in channels[uuid].recordings.values() {
            stop.send_replace(true);
        }
    }

    /// New connections are dropped, or taken again.
    pub fn shut(&self, shut: bool) {
        self.shared.shut.store(shut, Ordering::Relaxed);
    }

    /// All connections break.
    pub fn disconnect(&self) {
        self.shared.open.send_modify(|generation| *generation += 1);
    }

    /// What was commanded so far.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }

    pub fn was_told(&self, command: &str) -> bool {
        self.commands().iter().any(|told| told == command)
    }

    /// What a variable of a channel was set to, in order.
    pub fn set(&self, uuid: &str, name: &str) -> Vec<String> {
        let start = format!("api uuid_setvar {uuid} {name}");
        let commands = self.commands();
        let values = commands.iter().filter_map(|told| {
            let value = told.strip_prefix(&start)?;
            (value.is_empty() || value.starts_with(' ')).then(|| value.trim().to_owned())
        });
        values.collect()
    }

    pub fn variable(&self, uuid: &str, name: &str) -> Option<String> {
        let channels = self.shared.channels.lock().unwrap();
        channels.get(uuid)?.variables.get(name).cloned()
    }

    fn event(&self, name: &str, uuid: &str, headers: &[(&str, &str)], body: &str) {
        let mut event = format!("Event-Name: {name}\nUnique-ID: {uuid}\n");
        for (name, value) in headers {
            event.push_str(&format!("{name}: {}\n", encoded(value)));
        }
        if !body.is_empty() {
            event.push_str(&format!("Content-Length: {}\n", body.len()));
        }
        event.push('\n');
        event.push_str(body);
        let _ = self.shared.events.send(event);
    }

    async fn serve(self, socket: TcpStream) {
        socket.set_nodelay(true).unwrap();
        let mut broken = self.shared.open.subscribe();
        tokio::select! {
            _ = self.talk(socket) => {}
            _ = broken.changed() => {}
        }
    }

    async fn talk(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let (from, mut to) = socket.split();
        let mut lines = BufReader::new(from).lines();
        let mut events = self.shared.events.subscribe();
        let manner = &self.shared.manner;
        if manner.rude {
            let text = "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n";
            return self.send(&mut to, text).await;
        }
        self.send(&mut to, "Content-Type: auth/request\n\n").await?;
        let (mut is_in, mut subscribed) = (false, false);
        loop {
            let command = tokio::select! {
                line = lines.next_line() => match line? {
                    Some(line) => line,
                    None => return Ok(()),
                },
                event = events.recv() => {
                    if let Ok(event) = event && subscribed {
                        let text = format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{event}", event.len());
                        self.send(&mut to, &text).await?;
                    }
                    continue;
                }
            };
            if command.is_empty() {
                continue;
            }
            let (verb, rest) = command.split_once(' ').unwrap_or((&command, ""));
            if verb == "auth" {
                is_in = rest == manner.password;
                let reply = if is_in {
                    "+OK accepted"
                } else {
                    "-ERR invalid"
                };
                self.reply(&mut to, reply).await?;
                if !is_in {
                    let bye = "Content-Type: text/disconnect-notice\nContent-Length: 21\n\nDisconnected, goodbye";
                    return self.send(&mut to, bye).await;
                }
                continue;
            }
            assert!(is_in, "{command:?} before the password");
            self.shared.commands.lock().unwrap().push(command.clone());
            match verb {
                "event" => {
                    subscribed = true;
                    self.reply(&mut to, "+OK event listener enabled plain")
                        .await?;
                }
                "api" => {
                    let answer = self.api(rest).await;
                    let text = format!(
                        "Content-Type: api/response\nContent-Length: {}\n\n{answer}",
                        answer.len()
                    );
                    self.send(&mut to, &text).await?;
                }
                "bgapi" => {
                    let job = "7f4db0d5-0000-4000-8000-000000000001";
                    let text = format!("+OK Job-UUID: {job}\nJob-UUID: {job}");
                    self.reply(&mut to, &text).await?;
                    let (peer, command) = (self.clone(), rest.to_owned());
                    tokio::spawn(async move { peer.originate(&command, job).await });
                }
                "exit" => return self.reply(&mut to, "+OK bye").await,
                _ => self.reply(&mut to, "-ERR command not found").await?,
            }
        }
    }

    async fn reply(
        &self,
        to: &mut (impl AsyncWriteExt + Unpin),
        reply: &str,
    ) -> std::io::Result<()> {
        let text = format!("Content-Type: command/reply\nReply-Text: {reply}\n\n");
        self.send(to, &text).await
    }

    async fn send(&self, to: &mut (impl AsyncWriteExt + Unpin), text: &str) -> std::io::Result<()> {
        if !self.shared.manner.fragments {
            return to.write_all(text.as_bytes()).await;
        }
        for byte in text.as_bytes() {
            to.write_all(&[*byte]).await?;
            to.flush().await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn api(&self, command: &str) -> String {
        let words: Vec<&str> = command.splitn(4, ' ').collect();
        let gone = "-ERR No such channel!\n".to_owned();
        let mut channels = self.shared.channels.lock().unwrap();
        match words[..] {
            ["version"] => "FreeSWITCH Version 1.10.12-release~64bit\n".into(),
            ["status"] => {
                "UP 0 years, 1 day\nFreeSWITCH is ready\n2 session(s) since startup\n".into()
            }
            ["module_exists", module] => (!self.shared.manner.lacks.contains(&module)).to_string(),
            ["show", "channels", ..] => {
                let row = |(uuid, channel): (&String, &Channel)| {
                    serde_json::json!({"uuid": uuid, "direction": "inbound", "callstate": channel.state,
                        "cid_num": "0698765432", "dest": "100", "read_rate": "8000"})
                };
                let rows: Vec<_> = channels.iter().map(row).collect();
                match rows.len() {
                    0 => "{\"row_count\":0}\n".into(),
                    count => serde_json::json!({"row_count": count, "rows": rows}).to_string(),
                }
            }
            ["uuid_exists", uuid] => channels.contains_key(uuid).to_string(),
            ["uuid_getvar", uuid, name] => match channels.get(uuid) {
                Some(channel) => channel
                    .variables
                    .get(name)
                    .cloned()
                    .unwrap_or("_undef_".into()),
                None => gone,
            },
            ["uuid_setvar", uuid, name, ..] => match channels.get_mut(uuid) {
                Some(channel) => {
                    match words.get(3) {
                        Some(value) => channel.variables.insert(name.into(), (*value).into()),
                        None => channel.variables.remove(name),
                    };
                    "+OK\n".into()
                }
                None => gone,
            },
            ["uuid_break", uuid, "all"] if channels.contains_key(uuid) => "+OK\n".into(),
            ["uuid_kill", uuid] if channels.contains_key(uuid) => {
                let (peer, uuid) = (self.clone(), uuid.to_owned());
                tokio::spawn(async move { peer.hang_up(&uuid) });
                "+OK\n".into()
            }
            ["uuid_record", uuid, "start", rest] => {
                let (path, limit) = rest.split_once(' ').unwrap();
                let Some(channel) = channels.get_mut(uuid) else {
                    return "-ERR Cannot locate session!\n".into();
                };
                let began = *channel.began.get_or_insert_with(Instant::now);
                let stop = watch::Sender::new(false);
                channel.recordings.insert(path.into(), stop.clone());
                let recorder =
                    Recorder::new(self, uuid, path, limit.parse().unwrap(), channel, began);
                tokio::spawn(recorder.run(stop));
                "+OK Success\n".into()
            }
            ["uuid_record", uuid, "stop", path] => {
                match channels.get(uuid).and_then(|c| c.recordings.get(path)) {
                    Some(stop) => {
                        stop.send_replace(true);
                        "+OK Success\n".into()
                    }
                    None => "-ERR Cannot locate session!\n".into(),
                }
            }
            _ => gone,
        }
    }

    async fn originate(&self, command: &str, job: &str) {
        let manner = &self.shared.manner;
        let reply = match manner.originate {
            "+OK" => {
                let uuid = command.split("origination_uuid=").nth(1).unwrap();
                let uuid = uuid.split([',', '}']).next().unwrap();
                self.answer(uuid, Talk::of("fr-accueil"));
                format!("+OK {uuid}\n")
            }
            other => other.to_owned(),
        };
        self.event("BACKGROUND_JOB", "", &[("Job-UUID", job)], &reply);
    }
}

fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                text.push(byte.into())
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Writes what is said into a file.
struct Recorder {
    peer: Peer,
    uuid: String,
    path: PathBuf,
    limit: f64,
    talk: Talk,
    began: Instant,
    rate: u32,
    stereo: bool,
    read_only: bool,
    gathers: bool,
    least: f64,
    ended: watch::Receiver<bool>,
}

impl Recorder {
    fn new(
        peer: &Peer,
        uuid: &str,
        path: &str,
        limit: f64,
        channel: &Channel,
        began: Instant,
    ) -> Recorder {
        let manner = &peer.shared.manner;
        let variable = |name: &str| {
            let known = channel
                .variables
                .get(name)
                .filter(|_| !manner.ignores.contains(&name));
            known.cloned().unwrap_or_default()
        };
        Recorder {
            peer: peer.clone(),
            uuid: uuid.into(),
            path: path.into(),
            limit,
            talk: channel.talk.clone(),
            began,
            rate: variable("record_sample_rate")
                .parse()
                .unwrap_or(manner.rate),
            stereo: variable("RECORD_STEREO") == "true",
            read_only: variable("RECORD_READ_ONLY") == "true",
            gathers: variable("enable_file_write_buffering") != "false",
            least: variable("RECORD_MIN_SEC").parse().unwrap_or(3.0),
            ended: channel.ended.subscribe(),
        }
    }

    async fn run(self, stop: watch::Sender<bool>) {
        let Ok(mut file) = std::fs::File::create(&self.path) else {
            return;
        };
        let speed = self.peer.shared.manner.speed;
        let position = || (self.began.elapsed().as_secs_f64() * speed * 50.0) as usize;
        let first = position();
        let (mut frame, mut gathered) = (first, Vec::new());
        let length = self.talk.remote.len().max(self.talk.local.len()) as f64 / 16_000.0;
        let hangs_up = self.talk.hangs_up.unwrap_or(length);
        let mut stopped = stop.subscribe();
        loop {
            // A stop takes effect where the call is now.
            let is_stopped = *stopped.borrow() || *self.ended.borrow();
            while frame < position() {
                if frame as f64 / 50.0 < hangs_up {
                    gathered.extend(self.frame(frame));
                }
                frame += 1;
            }
            let least = if self.gathers { 65_536 } else { 1 };
            while gathered.len() >= least {
                let size = if self.gathers { 65_536 } else { gathered.len() };
                let piece: Vec<u8> = gathered.drain(..size).collect();
                file.write_all(&piece).unwrap();
            }
            let now = frame as f64 / 50.0;
            let is_over = now >= hangs_up;
            let is_full = (frame - first) as f64 / 50.0 / speed >= self.limit;
            if is_stopped || is_over || is_full {
                file.write_all(&gathered).unwrap();
                drop(file);
                if (frame - first) as f64 / 50.0 < self.least {
                    let _ = std::fs::remove_file(&self.path);
                }
                let path = self.path.display().to_string();
                self.peer.event(
                    "RECORD_STOP",
                    &self.uuid,
                    &[("Record-File-Path", &path)],
                    "",
                );
                if is_over {
                    self.peer.hang_up(&self.uuid);
                }
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    /// 20 ms.
    fn frame(&self, number: usize) -> Vec<u8> {
        let side = |samples: &[i16]| -> Vec<i16> {
            let range = number * 320..(number + 1) * 320;
            let samples: Vec<i16> = range
                .map(|at| samples.get(at).copied().unwrap_or(0))
                .collect();
            match self.rate {
                8_000 => samples
                    .chunks(2)
                    .map(|two| ((i32::from(two[0]) + i32::from(two[1])) / 2) as i16)
                    .collect(),
                _ => samples,
            }
        };
        let (remote, local) = (side(&self.talk.remote), side(&self.talk.local));
        let both = remote.into_iter().zip(local);
        let samples: Vec<i16> = match (self.stereo, self.read_only) {
            (true, _) => both.flat_map(|(a, b)| [a, b]).collect(),
            (false, true) => both.map(|(a, _)| a).collect(),
            (false, false) => both.map(|(a, b)| a.saturating_add(b)).collect(),
        };
        samples.into_iter().flat_map(i16::to_le_bytes).collect()
    }
}
