//! Recording sessions (SIPREC): a PBX sends a copy of its call, with two streams and who is on them.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::scenario::{Scenario, mulaw};
use crate::{Tap, assert_near};

const METADATA: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
<datamode>complete</datamode>
<session session_id="c1=="/>
<participant participant_id="p1=="><nameID aor="sip:bob@example.com"><name>Bob</name></nameID></participant>
<participant participant_id="p2=="><nameID aor="sip:alice@example.com"/></participant>
<stream stream_id="s1==" session_id="c1=="><label>1</label></stream>
<stream stream_id="s2==" session_id="c1=="><label>2</label></stream>
<participantstreamassoc participant_id="p1=="><send>s1==</send><recv>s2==</recv></participantstreamassoc>
<participantstreamassoc participant_id="p2=="><send>s2==</send><recv>s1==</recv></participantstreamassoc>
</recording>"#;

const HEADERS: &str =
    "Require: siprec\nMIME-Version: 1.0\nContent-Type: multipart/mixed;boundary=unique-boundary";

fn body(metadata: &str) -> String {
    format!(
        "--unique-boundary\nContent-Type: application/sdp\n\n\
         v=0\no=src 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\n\
         m=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=label:1\na=sendonly\n\
         m=audio 40002 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=label:2\na=sendonly\n\n\
         --unique-boundary\nContent-Type: application/rs-metadata+xml\nContent-Disposition: recording-session\n\n\
         {metadata}\n--unique-boundary--\n"
    )
}

/// Sends bare mu-law as RTP when it is its time.
fn send(bytes: Vec<u8>, to: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    for (number, payload) in bytes.chunks(160).enumerate() {
        let number = u32::try_from(number).unwrap();
        let at = start + Duration::from_millis(20) * number;
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let mut packet = vec![0x80, 0];
        packet.extend(u16::try_from(number).unwrap().to_be_bytes());
        packet.extend((number * 160).to_be_bytes());
        packet.extend(u32::from(to).to_be_bytes());
        packet.extend(payload);
        socket.send_to(&packet, ("127.0.0.1", to)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_call_has_two_legs_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::start(|_| {}).await;
    let long = std::fs::read(mulaw("fr-accueil", folder.path())).unwrap();
    let short = std::fs::read(mulaw("fr-court", folder.path())).unwrap();
    let call = Scenario::default()
        .send("INVITE", HEADERS, &body(METADATA))
        .recv_with(
            200,
            "m=audio.*a=label:1.*a=recvonly.*m=audio.*a=label:2.*a=recvonly",
        )
        .ack()
        .pause(10_500)
        .bye();
    let (first, second) = (tap.rtp, tap.rtp + 2);
    let audio = async {
        tap.until("the call", |tap| !tap.exchange.calls().is_empty())
            .await;
        let one = tokio::task::spawn_blocking(move || send(long, first));
        let other = tokio::task::spawn_blocking(move || send(short, second));
        one.await.unwrap();
        other.await.unwrap();
    };
    tokio::join!(tap.sipp(call), audio);
    tap.over(1).await;
    let facts = tap.of_type("call");
    assert_eq!(facts[0]["recording"], true);
    assert_eq!(
        facts[0]["legs"],
        serde_json::json!(["Bob", "alice@example.com"])
    );
    let bob = tap.words(Some("Bob"));
    assert!(bob.iter().any(|(text, _)| text == "nouvelle"), "{bob:?}");
    let alice = tap.words(Some("alice@example.com"));
    assert_eq!(alice.len(), 1, "{alice:?}");
    assert_eq!(alice[0].0, "allô");
    assert_near(alice[0].1, 0.5);
    assert_near(tap.when("bonjour"), 0.5);
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_without_usable_metadata_is_heard_by_its_labels() {
    let tap = Tap::start(|_| {}).await;
    let call = Scenario::default()
        .send("INVITE", HEADERS, &body("<recording>"))
        .recv_with(200, "[+]sip.srs")
        .ack()
        .pause(300)
        .bye();
    tap.sipp(call).await;
    tap.over(1).await;
    assert_eq!(
        tap.of_type("call")[0]["legs"],
        serde_json::json!(["1", "2"])
    );
    tap.stop().await;
}
