//! A stranger's recording may name other sources: none of them is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::program::{PATIENCE, file};
use crate::server::Server;

/// An atom of QuickTime.
fn atom(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).unwrap();
    [&length.to_be_bytes(), kind.as_slice(), content].concat()
}

/// A film that is elsewhere.
fn film(url: &str) -> Vec<u8> {
    let url = [url.as_bytes(), &[0]].concat();
    let length = u32::try_from(url.len()).unwrap().to_be_bytes();
    let reference = [&[0; 4], b"url ".as_slice(), &length, &url].concat();
    let reference = atom(b"rmda", &atom(b"rdrf", &reference));
    let brand = atom(b"ftyp", b"qt  \0\0\0\0qt  ");
    [brand, atom(b"moov", &atom(b"rmra", &reference))].concat()
}

fn playlists(url: &str) -> Vec<Vec<u8>> {
    let texts = [
        format!("#EXTM3U\n#EXTINF:10,\n{url}\n"),
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-MAP:URI=\"{url}\"\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n"
        ),
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n"),
        format!("[playlist]\nFile1={url}\nNumberOfEntries=1\n"),
        format!("<asx version=\"3.0\"><entry><ref href=\"{url}\"/></entry></asx>"),
        format!("<?xml version=\"1.0\"?><smil><body><audio src=\"{url}\"/></body></smil>"),
        format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"><BaseURL>{url}</BaseURL>\
             <Period><AdaptationSet mimeType=\"audio/mp4\"><Representation id=\"1\"/></AdaptationSet></Period></MPD>"
        ),
        format!(
            "<?xml version=\"1.0\"?><SmoothStreamingMedia MajorVersion=\"2\"><c url=\"{url}\"/></SmoothStreamingMedia>"
        ),
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=control:{url}\r\nm=audio 9 RTP/AVP 0\r\n"
        ),
        format!("RTSPtext\r\n{url}\r\n"),
        format!("{url}\r\n"),
    ];
    let mut all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    all.push(film(url));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_names_another_source_opens_none() {
    let server = Server::start(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let speech = file("tests/audio/fr-court.wav").canonicalize().unwrap();
    let urls = [
        format!("http://127.0.0.1:{port}/a.wav"),
        format!("rtsp://127.0.0.1:{port}/a"),
        format!("file://{}", speech.display()),
        speech.display().to_string(),
    ];
    for (path, end) in [
        ("/v1/listen", r#"{"type":"CloseStream"}"#),
        ("/ajax/audio", "stop"),
    ] {
        for list in urls.iter().flat_map(|url| playlists(url)) {
            let address = format!("ws://127.0.0.1:{}{path}", server.port("http"));
            let (mut socket, _) = connect_async(address).await.unwrap();
            let shown = String::from_utf8_lossy(&list).into_owned();
            let _ = socket.send(Message::binary(list)).await;
            let _ = socket.send(Message::text(end)).await;
            let mut said = String::new();
            let listen = async {
                while let Some(Ok(message)) = socket.next().await {
                    said.push_str(&message.to_string());
                }
            };
            timeout(PATIENCE, listen).await.expect("an end");
            assert!(
                !said.to_lowercase().contains("allô"),
                "{path}, {shown}: {said}"
            );
        }
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    server.is_empty().await;
}
