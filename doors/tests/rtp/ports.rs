//! Ports: real sockets, in real time.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use doors::tap::rtp::{self, RtpOptions};
use tokio_util::sync::CancellationToken;

use crate::sender::{Sent, pcmu};
use crate::{Printed, assert_near, exchange};

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Sends packets when it is their time.
fn send(packets: Vec<Sent>, to: u16) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let start = Instant::now();
        for packet in packets {
            std::thread::sleep((start + packet.at).saturating_duration_since(Instant::now()));
            let to: SocketAddr = ([127, 0, 0, 1], to).into();
            socket.send_to(&packet.bytes, to).unwrap();
        }
    })
}

async fn until(printed: &Printed, what: &str, is: impl Fn(&Printed) -> bool) {
    for _ in 0..600 {
        if is(printed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come: {}", printed.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ports_are_two_legs_and_a_leg_that_stops_is_told_while_the_call_stays() {
    let ports = [free_port(), free_port()];
    let options = RtpOptions {
        port: ports.to_vec(),
        host: Some([127, 0, 0, 1].into()),
        leg: vec!["caller".into(), "agent".into()],
        latency: 200,
        timeout: 4.0,
        ..RtpOptions::default()
    };
    let printed = Printed::default();
    let printer = printed.json();
    let exchange = exchange(&[]);
    let calls = exchange.clone();
    let end = CancellationToken::new();
    let call = tokio::spawn(async move { rtp::run(&options, &calls, printer, end).await });
    until(&printed, "the second port", |printed| {
        printed.of_type("listening").len() == 2
    })
    .await;
    until(&printed, "the call", |_| exchange.calls().len() == 1).await;
    let id = exchange.calls()[0].id.clone();
    let mut watched = exchange.watch(&id).unwrap();
    let caller = send(pcmu("fr-accueil"), ports[0]);
    let agent = send(pcmu("fr-court"), ports[1]);
    // The agent's word is told though he sends nothing more, and the call goes on.
    until(&printed, "the agent's word", |printed| {
        printed
            .words("agent")
            .iter()
            .any(|(text, _)| text == "allô")
    })
    .await;
    until(&printed, "that the agent stopped", |printed| {
        let stopped = printed.of_type("stopped");
        stopped.iter().any(|line| line["leg"] == "agent")
    })
    .await;
    call.await.unwrap().unwrap();
    caller.join().unwrap();
    agent.join().unwrap();
    assert_near(printed.when("agent", "allô"), 0.4);
    assert_near(printed.when("caller", "nouvelle"), 8.27);
    assert!(printed.text().contains("nothing came for 4 s"));
    assert!(watched.try_recv().is_ok(), "who watches hears it, too");
    assert!(exchange.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_description_says_where_and_what() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let sdp = folder.path().join("call.sdp");
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 96\r\ni=caller\r\na=rtpmap:96 PCMU/8000\r\na=recvonly\r\n"
    );
    std::fs::write(&sdp, text).unwrap();
    let options = RtpOptions {
        sdp: Some(sdp.clone()),
        latency: 200,
        timeout: 3.0,
        ..RtpOptions::default()
    };
    let printed = Printed::default();
    let printer = printed.json();
    let calls = exchange(&[]);
    let end = CancellationToken::new();
    let stop = end.clone();
    let call = tokio::spawn(async move { rtp::run(&options, &calls, printer, stop).await });
    until(&printed, "the port", |printed| {
        printed.of_type("listening").len() == 1
    })
    .await;
    let mut packets = pcmu("fr-court");
    for packet in &mut packets {
        packet.bytes[1] = (packet.bytes[1] & 0x80) | 96;
    }
    send(packets, port).join().unwrap();
    call.await.unwrap().unwrap();
    assert_near(printed.when("caller", "allô"), 0.4);
    for (bad, expected) in [
        ("hello", "no session description"),
        (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\n",
            "no audio",
        ),
    ] {
        std::fs::write(&sdp, bad).unwrap();
        let options = RtpOptions {
            sdp: Some(sdp.clone()),
            ..RtpOptions::default()
        };
        let printer = Printed::default().json();
        let refused = rtp::run(&options, &exchange(&[]), printer, end.clone()).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_explained() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = RtpOptions {
        port: vec![taken.local_addr().unwrap().port()],
        host: Some([127, 0, 0, 1].into()),
        ..RtpOptions::default()
    };
    let end = CancellationToken::new();
    let printer = Printed::default().json();
    let refused = rtp::run(&options, &exchange(&[]), printer, end.clone()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("cannot be listened on"), "{said}");
    let printer = Printed::default().json();
    let nowhere = rtp::run(&RtpOptions::default(), &exchange(&[]), printer, end).await;
    assert!(nowhere.unwrap_err().to_string().contains("--port"));
}
