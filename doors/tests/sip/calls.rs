//! Calls of sipp's that are taken: with real audio, changes, holds and ends of all kinds.

use std::net::UdpSocket;
use std::time::Duration;

use crate::scenario::{SDP, Scenario, alaw, mulaw, offer, streamed};
use crate::{Tap, assert_near};

const PCMU: &str = "a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_heard_and_its_tail_is_told_when_the_caller_hangs_up_in_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::start(|_| {}).await;
    let file = mulaw("fr-accueil", folder.path());
    let call = Scenario::call(&streamed("0 101", PCMU))
        .play(&file, "0,PCMU/8000")
        .pause(5_300)
        .bye();
    let exchange = tap.exchange.clone();
    let watch = tokio::spawn(async move {
        loop {
            if let Some(call) = exchange.calls().first()
                && let Some(events) = exchange.watch(&call.id)
            {
                return events;
            }
            tokio::task::yield_now().await;
        }
    });
    tap.sipp(call).await;
    tap.over(1).await;
    assert_near(tap.when("bonjour"), 0.45);
    assert_near(tap.when("minutes"), 4.7);
    assert!(tap.words(None).iter().all(|(text, _)| text != "nouvelle"));
    let facts = tap.of_type("call");
    assert_eq!(facts[0]["from"], "Alice");
    assert_eq!(facts[0]["legs"][0], "Alice");
    let mut watched = watch.await.unwrap();
    assert!(watched.try_recv().is_ok(), "who watches hears it, too");
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_tcp_is_like_one_over_udp() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::start(|_| {}).await;
    let file = mulaw("fr-court", folder.path());
    let call = Scenario::default()
        .invite(&streamed("0", PCMU))
        .recv_with(200, "transport=tcp")
        .ack()
        .play(&file, "0,PCMU/8000")
        .pause(2_500)
        .bye();
    tap.sipp_over("t1", call).await;
    tap.over(1).await;
    assert_near(tap.when("allô"), 0.45);
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_codecs_and_holds_shift_no_word() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::start(|_| {}).await;
    let first = mulaw("fr-court", folder.path());
    let second = alaw("fr-court", folder.path());
    let hold = offer("0", PCMU) + "a=inactive\n";
    let pcma = streamed("8", "a=rtpmap:8 PCMA/8000\n");
    let call = Scenario::call(&streamed("0", PCMU))
        .play(&first, "0,PCMU/8000")
        .pause(2_000)
        .invite(&hold)
        .recv_with(200, "a=inactive")
        .ack()
        .pause(2_000)
        .invite(&pcma)
        .recv_with(200, "a=rtpmap:8 PCMA/8000")
        .ack()
        .play(&second, "8,PCMA/8000")
        .pause(3_000)
        .bye();
    tap.sipp(call).await;
    tap.over(1).await;
    let hellos: Vec<_> = tap
        .words(None)
        .into_iter()
        .filter(|(text, _)| text == "allô")
        .collect();
    assert_eq!(hellos.len(), 2, "{}", tap.text());
    assert_near(hellos[0].1, 0.45);
    assert_near(hellos[1].1, 4.5);
    assert_eq!(tap.of_type("held").len(), 1, "{}", tap.text());
    assert_eq!(tap.of_type("unheld").len(), 1);
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_followed_leaves_the_call_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::start(|_| {}).await;
    let file = mulaw("fr-court", folder.path());
    let g729 = offer("18", "a=rtpmap:18 G729/8000\n");
    let mut call = Scenario::call(&streamed("0", PCMU)).invite(&g729).recv(488);
    call = call.ack_refusal();
    let call = call
        .invite("nonsense")
        .recv(400)
        .ack_refusal()
        .play(&file, "0,PCMU/8000")
        .pause(2_500)
        .send(
            "INFO",
            "Content-Type: application/dtmf-relay",
            "Signal=7\nDuration=160",
        )
        .recv(200)
        .send("OPTIONS", "", "")
        .recv(200)
        .send("UPDATE", SDP, &offer("0", PCMU))
        .recv(200)
        .bye();
    tap.sipp(call).await;
    tap.over(1).await;
    assert!(tap.words(None).iter().any(|(text, _)| text == "allô"));
    assert_eq!(tap.of_type("digit")[0]["digit"], "7");
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_repeated_until_they_are_acknowledged() {
    let tap = Tap::start(|_| {}).await;
    let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let ours = socket.local_addr().unwrap();
    let request = |method: &str, cseq: &str, branch: u32, to: &str, body: &str| {
        format!(
            "{method} sip:tap@127.0.0.1:{} SIP/2.0\r\nVia: SIP/2.0/UDP {ours};branch=z9hG4bK{branch};rport\r\n\
             From: <sip:a@{ours}>;tag=1\r\nTo: <sip:tap@127.0.0.1>{to}\r\nCall-ID: again\r\nCSeq: {cseq}\r\n\
             Contact: <sip:a@{ours}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            tap.port,
            body.len()
        )
    };
    let send = |message: String| {
        socket
            .send_to(message.as_bytes(), ("127.0.0.1", tap.port))
            .unwrap();
    };
    let answer = || {
        let mut bytes = [0; 4_096];
        loop {
            let (length, _) = socket.recv_from(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.starts_with("SIP/2.0 200") {
                return text;
            }
        }
    };
    // The same INVITE twice, and no ACK: one answer, several times.
    let invite = request("INVITE", "1 INVITE", 1, "", body);
    send(invite.clone());
    send(invite);
    let first = tokio::task::block_in_place(answer);
    let again = tokio::task::block_in_place(answer);
    assert_eq!(first, again);
    let tag = first.split("To: ").nth(1).unwrap();
    let tag = tag.split("tag=").nth(1).unwrap();
    let tag = format!(";tag={}", tag.split(['\r', ';']).next().unwrap());
    send(request("ACK", "1 ACK", 2, &tag, ""));
    send(request("BYE", "2 BYE", 3, &tag, ""));
    while !tokio::task::block_in_place(answer).contains("2 BYE") {}
    tap.over(1).await;
    assert_eq!(tap.of_type("call").len(), 1);
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_offers_nothing_is_made_an_offer() {
    let tap = Tap::start(|_| {}).await;
    let call = Scenario::default()
        .send("INVITE", "", "")
        .recv_with(200, "opus/48000/2")
        .ack()
        .pause(300)
        .bye();
    tap.sipp(call).await;
    tap.over(1).await;
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_cancels_is_let_go() {
    let tap = Tap::start(|options| options.answer_after = 20.0).await;
    let call = Scenario::default()
        .invite(&offer("0", PCMU))
        .recv(180)
        .cancel()
        .recv(200)
        .recv(487)
        .ack_refusal();
    tap.sipp(call).await;
    tap.until("an empty exchange", |tap| tap.exchange.calls().is_empty())
        .await;
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_audio_is_ended_and_one_on_hold_is_not() {
    let tap = Tap::start(|options| options.timeout = 2.0).await;
    let silent = Scenario::call(&offer("0", PCMU))
        .recv_request("BYE")
        .reply("200 OK");
    tap.sipp(silent).await;
    tap.over(1).await;
    let held = Scenario::call(&(offer("0", PCMU) + "a=inactive\n"))
        .pause(4_000)
        .bye();
    tap.sipp(held).await;
    tap.over(2).await;
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_the_tap_hangs_up_its_calls_and_hears_their_tails() {
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::start(|_| {}).await;
    let file = mulaw("fr-court", folder.path());
    let call = Scenario::call(&streamed("0", PCMU))
        .play(&file, "0,PCMU/8000")
        .recv_request("BYE")
        .reply("200 OK");
    let end = tap.end.clone();
    let exchange = tap.exchange.clone();
    tokio::spawn(async move {
        while exchange.calls().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        end.cancel();
    });
    tap.sipp(call).await;
    tap.over(1).await;
    assert_near(tap.when("allô"), 0.45);
    tap.stop().await;
}
