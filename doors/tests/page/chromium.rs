//! A real Chromium, driven over its own debugging protocol.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::PATIENCE;

/// What its microphone hears.
pub enum Microphone<'a> {
    /// A WAV file, once.
    File(&'a Path),
    /// Nobody allows it.
    Refused,
    /// There is none.
    None,
}

pub struct Chromium {
    process: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    next: u64,
    /// What the page wrote to the console as errors, and exceptions of its scripts.
    pub complaints: Vec<String>,
    pub folder: TempDir,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Chromium {
    pub async fn start(microphone: Microphone<'_>) -> Chromium {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
            "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
        ]);
        match microphone {
            Microphone::File(file) => {
                command.arg("--use-fake-device-for-media-stream");
                command.arg("--use-fake-ui-for-media-stream");
                command.arg(format!(
                    "--use-file-for-fake-audio-capture={}%noloop",
                    file.display()
                ));
            }
            Microphone::Refused => {
                command.arg("--use-fake-device-for-media-stream");
                command.arg("--use-fake-ui-for-media-stream=deny");
            }
            Microphone::None => {
                command.arg("--disable-audio-input");
                command.arg("--use-fake-ui-for-media-stream");
            }
        }
        command.arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ));
        command.arg("about:blank");
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium does not start; scripts/setup test installs it");
        let stderr = process.stderr.take().unwrap();
        let (found, address) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut found = Some(found);
            // Read to its end, so that the process never waits for us.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("DevTools listening on ")
                    && let Some(found) = found.take()
                {
                    let _ = found.send(address.trim().to_owned());
                }
            }
        });
        let address = tokio::time::timeout(PATIENCE, address)
            .await
            .unwrap()
            .unwrap();
        let (socket, _) = connect_async(address).await.unwrap();
        let mut chromium = Chromium {
            process,
            socket,
            session: String::new(),
            next: 0,
            complaints: Vec::new(),
            folder,
        };
        let target = chromium
            .call("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = chromium.call("Target.attachToTarget", attach).await;
        chromium.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            chromium.call(domain, json!({})).await;
        }
        chromium
    }

    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut request = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() && !method.starts_with("Browser.") {
            request["sessionId"] = json!(self.session);
        }
        self.socket
            .send(Message::text(request.to_string()))
            .await
            .unwrap();
        let answer = async {
            loop {
                let Message::Text(text) = self.socket.next().await.unwrap().unwrap() else {
                    continue;
                };
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["id"] == self.next {
                    assert!(message["error"].is_null(), "{method}: {message}");
                    return message["result"].clone();
                }
                let params = &message["params"];
                let complaint = match message["method"].as_str() {
                    Some("Runtime.exceptionThrown") => Some(params.to_string()),
                    Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                        Some(params.to_string())
                    }
                    Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                        Some(params.to_string())
                    }
                    _ => None,
                };
                self.complaints.extend(complaint);
            }
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| panic!("no answer to {method}"))
    }

    pub async fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({"url": address})).await;
        self.until("document.readyState === 'complete' && document.getElementById('language')?.options.length > 1")
            .await;
    }

    /// What an expression in the page gives; promises are awaited.
    pub async fn ask(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression holds.
    #[track_caller]
    pub fn until<'a>(&'a mut self, expression: &'a str) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let started = std::time::Instant::now();
            while self.ask(expression).await != json!(true) {
                if started.elapsed() > PATIENCE {
                    let page = self.ask("document.body.innerText").await;
                    panic!(
                        "{place}: {expression} never came true; the page says {page}, {:?}",
                        self.complaints
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Clicks as a hand does, in the middle of an element.
    pub async fn click(&mut self, id: &str) {
        let place = self
            .ask(&format!(
                "(() => {{ const r = document.getElementById('{id}').getBoundingClientRect(); \
                 return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    pub async fn point(&mut self, x: f64, y: f64) {
        self.call(
            "Input.dispatchMouseEvent",
            json!({"type": "mouseMoved", "x": x, "y": y}),
        )
        .await;
    }

    pub async fn press(&mut self, key: &str, code: &str) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": code, "text": if kind == "keyDown" { key } else { "" }});
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Width and height in CSS pixels.
    pub async fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", scheme).await;
    }

    /// To `target/page/NAME.png`.
    pub async fn screenshot(&mut self, name: &str) -> Vec<u8> {
        use base64::Engine;
        let shot = self
            .call("Page.captureScreenshot", json!({"format": "png"}))
            .await;
        let png = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/page");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), &png).unwrap();
        png
    }
}
