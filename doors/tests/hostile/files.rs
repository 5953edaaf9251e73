//! No file of the server's is read or written for a stranger, and no model of his choice is loaded: every property of the element
//! that could do so is tried at every door, in every way in which a door takes properties.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doors::call::{BadSetting, Setting, check_client, is_setting};
use futures::{SinkExt, StreamExt};
use gst::glib;
use gst::prelude::*;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::program::PATIENCE;
use crate::server::Server;

/// Texts that are about what is said.
const SPOKEN: [&str; 6] = [
    "init-prompt",
    "keyterms",
    "language",
    "language-code",
    "languages",
    "static-init-prompt",
];
/// Texts that doors set themselves.
const DOORS: [&str; 2] = ["leg", "name"];
/// No texts, but they reach other calls, or the memory of all.
const SHARED: [&str; 2] = ["max-streams", "precision"];

fn element() -> gst::Element {
    crate::common::init();
    gst::ElementFactory::make("whisperstream").build().unwrap()
}

/// All that no client may set: whatever takes a text and is not known to be harmless, so that a property that is new is here until
/// somebody has thought about it.
fn guarded() -> Vec<String> {
    let properties = element().list_properties();
    let writable =
        |property: &&glib::ParamSpec| property.flags().contains(glib::ParamFlags::WRITABLE);
    let is_scalar = |property: &glib::ParamSpec| {
        let kind = property.value_type();
        kind.is_a(glib::Type::ENUM)
            || [
                glib::Type::BOOL,
                glib::Type::U32,
                glib::Type::I32,
                glib::Type::U64,
            ]
            .contains(&kind)
            || [glib::Type::F32, glib::Type::F64].contains(&kind)
    };
    let guarded = properties.iter().filter(writable).filter(|property| {
        let name = property.name();
        SHARED.contains(&name)
            || !(is_scalar(property)
                || SPOKEN.contains(&name)
                || DOORS.contains(&name)
                || name == "parent")
    });
    guarded.map(|property| property.name().to_owned()).collect()
}

/// Other spellings of a property. GObject knows the first two.
fn spellings(name: &str) -> Vec<String> {
    let kind = element().type_().name();
    vec![
        format!("{kind}::{name}"),
        name.replace('-', "_"),
        name.to_uppercase(),
        format!("{name}\0"),
        format!(" {name}"),
    ]
}

#[test]
fn what_reaches_files_or_other_calls_is_the_operators_however_it_is_spelt() {
    let guarded = guarded();
    for name in [
        "model",
        "device",
        "dump-dir",
        "cif-model",
        "alignment-heads",
    ] {
        assert!(guarded.iter().any(|other| other == name), "{guarded:?}");
    }
    let element = element();
    for name in &guarded {
        let setting = Setting::new(name, "x");
        let refused = check_client(&setting);
        assert_eq!(refused, Err(BadSetting::Operators(name.clone())), "{name}");
        // GObject would take it.
        assert!(element.find_property(&spellings(name)[0]).is_some());
        for other in spellings(name).into_iter().filter(|other| other != name) {
            assert!(!is_setting(&other), "{other:?}");
            let refused = Setting::new(&other, "x").apply(&element);
            assert!(
                matches!(
                    refused,
                    Err(BadSetting::Unknown { .. } | BadSetting::Zero(_))
                ),
                "{other:?}: {refused:?}"
            );
        }
    }
    let nul = Setting::new("init-prompt", "a\0b").apply(&element);
    assert_eq!(nul, Err(BadSetting::Zero("init-prompt".into())));
}

/// A way to bring a property.
struct Way {
    path: String,
    headers: Vec<(String, String)>,
    /// Before the audio.
    first: Vec<Message>,
    audio: Message,
    last: Vec<Message>,
    /// Whether it is a way at all: then it is refused, else it does nothing.
    leads: bool,
}

fn ways(name: &str, value: &str) -> Vec<Way> {
    let query = serde_urlencoded::to_string([(name, value)]).unwrap();
    let silence = Message::binary(vec![0; 640]);
    let way = |path: String, first: Vec<Message>, last: &str, leads| Way {
        path,
        headers: Vec::new(),
        first,
        audio: silence.clone(),
        last: match last {
            "" => Vec::new(),
            last => vec![Message::text(last)],
        },
        leads,
    };
    let bare = |path: &str| path.to_owned();
    let text = |value: serde_json::Value| Message::text(value.to_string());
    let eof = r#"{"eof" : 1}"#;
    let over = r#"{"type":"CloseStream"}"#;
    let listen = "/v1/listen?encoding=linear16&sample_rate=16000";
    let stop = json!({"event": "stop", "streamSid": "MZ1", "stop": {}}).to_string();
    let start = |parameters| {
        text(json!({"event": "start", "streamSid": "MZ1", "start": {
            "streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"], "customParameters": parameters,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }}))
    };
    let media = json!({"event": "media", "streamSid": "MZ1", "media":
        {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": STANDARD.encode([0xff; 160])}});
    let twilio = |way: Way| Way {
        audio: text(media.clone()),
        ..way
    };
    let mut ways = vec![
        way(format!("/ws?{query}"), vec![], "end", true),
        way(
            format!("/ajax/audio?pcm=16000&{query}"),
            vec![],
            "stop",
            true,
        ),
        way(format!("/vosk?{query}"), vec![], eof, true),
        twilio(way(
            format!("/twilio?{query}"),
            vec![start(json!({}))],
            &stop,
            true,
        )),
        twilio(way(
            bare("/twilio"),
            vec![start(json!({name: value}))],
            &stop,
            true,
        )),
        way(format!("/mod_audio_stream?{query}"), vec![], "", true),
        way(
            bare("/mod_audio_stream"),
            vec![text(json!({name: value}))],
            "",
            true,
        ),
        way(
            bare("/mod_audio_fork"),
            vec![Message::text(format!("{name}={value}"))],
            "",
            true,
        ),
        // What is no way in at all.
        way(format!("{listen}&{query}"), vec![], over, false),
        way(
            bare(listen),
            vec![text(
                json!({"type": "Configure", "features": {name: value}, name: value}),
            )],
            over,
            false,
        ),
        way(
            bare("/vosk"),
            vec![text(json!({"config": {name: value}}))],
            eof,
            false,
        ),
        way(
            bare("/ws"),
            vec![text(json!({"type": "set", name: value}))],
            "end",
            false,
        ),
        way(bare("/ws"), vec![text(json!({name: value}))], "end", false),
    ];
    // Within the call.
    let mut within = way(bare("/mod_audio_fork"), vec![silence.clone()], "", true);
    within.last = vec![text(json!({name: value}))];
    ways.push(within);
    if name
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    {
        let mut headers = way(bare("/ws"), vec![], "end", false);
        for prefix in ["", "X-", "X-Whisperstream-", "Stream-"] {
            headers
                .headers
                .push((format!("{prefix}{name}"), value.to_owned()));
        }
        ways.push(headers);
    }
    ways
}

/// All that is said to who comes this way.
async fn said(server: &Server, way: &Way) -> String {
    let address = format!("ws://127.0.0.1:{}{}", server.port("http"), way.path);
    let mut request = address.into_client_request().unwrap();
    for (name, value) in &way.headers {
        let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut socket = match connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(refused)) => {
            let body = refused.into_body().unwrap_or_default();
            return String::from_utf8_lossy(&body).into_owned();
        }
        Err(err) => panic!("{}: {err}", way.path),
    };
    let messages = way.first.iter().chain([&way.audio]).chain(&way.last);
    for message in messages {
        // It may be sent away before it has said all.
        let _ = socket.send(message.clone()).await;
    }
    let hangs_up = way
        .last
        .iter()
        .all(|last| last.to_string().starts_with('{'))
        && way.path.contains("mod_audio");
    if hangs_up {
        // No word of theirs ends a call: it ends when all is answered.
        let _ = socket.send(Message::text("flush")).await;
    }
    let mut said = String::new();
    let listen = async {
        while let Some(Ok(message)) = socket.next().await {
            let is_over = message.is_close() || (hangs_up && message.to_string().contains("flush"));
            said.push_str(&message.to_string());
            if is_over {
                break;
            }
        }
    };
    timeout(PATIENCE, listen).await.expect("an end");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn no_door_takes_what_is_the_operators() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("canary");
    let canary = path.to_str().unwrap();
    for name in guarded() {
        let value = match name.as_str() {
            "max-streams" => "1",
            "precision" => "int8",
            _ => canary,
        };
        for (number, name) in [name.clone(), spellings(&name)[0].clone()]
            .iter()
            .enumerate()
        {
            for way in ways(name, value) {
                let said = said(&server, &way).await;
                let what = format!("{name} at {}, {:?}: {said}", way.path, way.first);
                if way.leads && number == 0 {
                    assert!(
                        said.contains("can only be set by who runs the server"),
                        "{what}"
                    );
                }
                // Whoever uses it fails, and names it; what is no command is told back.
                let named = said.contains(canary) && !said.contains("is no command");
                assert!(!named, "{what}");
            }
        }
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "something was written");
    let (told, ()) = server.told_meanwhile(async {}).await;
    assert_eq!(told[1], crate::common::spoken("fr-court"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_page() {
    let server = Server::start(&[]);
    assert!(
        server
            .get("/page/page.js", "")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let up = "../".repeat(12);
    let coded = "%2e%2e%2f".repeat(12);
    let twice = "%252e%252e%252f".repeat(12);
    for path in [
        format!("/page/{up}etc/passwd"),
        format!("/{up}etc/passwd"),
        format!("/page/{coded}etc/passwd"),
        format!("/page/{twice}etc/passwd"),
        format!("/page/{}etc/passwd", "..\\".repeat(12)),
        format!("/page/page.js/{up}etc/passwd"),
        "//etc/passwd".into(),
        "/page//etc/passwd".into(),
        "/page/%00/etc/passwd".into(),
        "/page/".into(),
        "/page/index.html".into(),
        "file:///etc/passwd".into(),
        format!("http://x/page/{up}etc/passwd"),
        format!("/calls/{coded}etc%2fpasswd/events"),
        "/calls/%2fetc%2fpasswd/events".into(),
    ] {
        let answer = server.get(&path, "").await;
        let status = answer.lines().next().unwrap_or_default();
        assert!(
            status.contains(" 400 ") || status.contains(" 404 "),
            "{path}: {answer}"
        );
        assert!(!answer.contains("root:"), "{path}: {answer}");
    }
}
