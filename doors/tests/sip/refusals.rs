//! What is refused, and with which answer.

use std::net::UdpSocket;

use crate::Tap;
use crate::scenario::{SDP, Scenario, offer};

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_own_answer() {
    let tap = Tap::start(|_| {}).await;
    let good = offer("0", "a=rtpmap:0 PCMU/8000\n");
    let g729 = offer("18", "a=rtpmap:18 G729/8000\n");
    let secret = good.replace("RTP/AVP", "RTP/SAVP");
    let huge = format!("{good}a=x:{}", "y".repeat(3_000));
    let required = format!("Require: 100rel, siprec\n{SDP}");
    let faults: [(&str, &str, u16); 8] = [
        (SDP, "this is no description", 400),
        (
            SDP,
            "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=audio x RTP/AVP 0",
            400,
        ),
        (SDP, &g729, 488),
        (SDP, &secret, 488),
        (
            SDP,
            "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=video 4000 RTP/AVP 99",
            488,
        ),
        ("Content-Type: text/plain", "hello", 415),
        (&required, &good, 420),
        ("Require: siprec", "", 400),
    ];
    for (headers, body, status) in faults {
        let call = Scenario::default()
            .send("INVITE", headers, body)
            .recv_with(status, "Warning: 399")
            .ack_refusal();
        tap.sipp(call).await;
    }
    // One that is long, but right, is taken.
    tap.sipp(Scenario::call(&huge).bye()).await;
    tap.over(1).await;
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_told_and_what_is_unknown_is_refused() {
    let tap = Tap::start(|_| {}).await;
    let options = Scenario::default()
        .send("OPTIONS", "Accept: application/sdp", "")
        .recv_with(200, "Allow:.*INVITE");
    tap.sipp(options).await;
    let register = Scenario::default().send("REGISTER", "", "").recv(405);
    tap.sipp(register).await;
    let bye = Scenario::default().send("BYE", "", "").recv(481);
    tap.sipp(bye).await;
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_places_are_busy() {
    let tap = Tap::start(|options| options.max_calls = 1).await;
    let good = offer("0", "a=rtpmap:0 PCMU/8000\n");
    let first = Scenario::call(&good).pause(3_000).bye();
    let second = Scenario::default()
        .invite(&good)
        .recv_with(486, "all 1 places are taken")
        .ack_refusal();
    let refused = async {
        tap.until("the first call", |tap| tap.exchange.calls().len() == 1)
            .await;
        tap.sipp(second).await;
    };
    tokio::join!(tap.sipp(first), refused);
    tap.over(1).await;
    // The place is free again.
    tap.sipp(Scenario::call(&good).bye()).await;
    tap.over(2).await;
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_harms_nobody() {
    let tap = Tap::start(|_| {}).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let garbage: [&[u8]; 6] = [
        b"",
        b"\r\n\r\n",
        b"INVITE",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n",
        &[0xff; 1_400],
    ];
    for bytes in garbage {
        socket.send_to(bytes, ("127.0.0.1", tap.port)).unwrap();
    }
    {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", tap.port)).unwrap();
        stream.write_all(&[b'x'; 20_000]).unwrap();
    }
    let good = offer("0", "a=rtpmap:0 PCMU/8000\n");
    tap.sipp(Scenario::call(&good).bye()).await;
    tap.over(1).await;
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_explained() {
    use doors::tap::print::Printer;
    use doors::tap::sip::{self, Listen, SipOptions};
    let tap = Tap::start(|_| {}).await;
    for is_tcp in [false, true] {
        let options = SipOptions {
            listen: vec![Listen {
                is_tcp,
                address: ([127, 0, 0, 1], tap.port).into(),
            }],
            address: None,
            rtp_ports: "20000-20010".parse().unwrap(),
            answer_after: 0.0,
            max_calls: 0,
            timeout: 0.0,
            longest: 0.0,
            latency: 200,
        };
        let end = tokio_util::sync::CancellationToken::new();
        let printer = Printer::new(true, Box::new(std::io::sink()));
        let refused = sip::serve(options, tap.exchange.clone(), printer, end).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("cannot be listened on"), "{said}");
    }
    tap.stop().await;
}
