//! The event socket: who is let in, what is missing, what is garbage.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::bridge::Bridge;
use crate::peer::{Manner, Peer};

#[tokio::test]
async fn the_connection_is_checked_through_the_smallest_fragments() {
    let peer = Peer::start(Manner {
        fragments: true,
        ..Manner::default()
    })
    .await;
    let mut bridge = Bridge::start(peer.port, &["--test-connection"]);
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    let said = bridge.said().join("\n");
    assert!(said.contains("FreeSWITCH Version 1.10.12"), "{said}");
    assert!(said.contains("ok       mod_sndfile"), "{said}");
    assert!(said.contains("2 session(s)"), "{said}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let peer = Peer::start(Manner {
        lacks: &["mod_sndfile", "mod_audio_stream"],
        ..Manner::default()
    })
    .await;
    let mut bridge = Bridge::start(peer.port, &["--test-connection"]);
    assert!(!bridge.end().await.success());
    assert!(
        bridge
            .said()
            .join("\n")
            .contains("absent   mod_audio_stream")
    );
    assert!(
        bridge.logged().contains("load mod_sndfile"),
        "{}",
        bridge.logged()
    );
}

#[tokio::test]
async fn a_wrong_password_is_a_sentence_in_every_task() {
    let peer = Peer::start(Manner::default()).await;
    for task in [
        &["--test-connection"][..],
        &["--all"],
        &["--uuid", "a-1"],
        &["--test"],
    ] {
        let options = [task, &["--password", "no"]].concat();
        let mut bridge = Bridge::start(peer.port, &options);
        assert!(!bridge.end().await.success());
        assert!(
            bridge
                .logged()
                .contains("does not accept the password: set --password"),
            "{}",
            bridge.logged()
        );
    }
    assert!(peer.commands().is_empty());
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so() {
    let peer = Peer::start(Manner {
        rude: true,
        ..Manner::default()
    })
    .await;
    let mut bridge = Bridge::start(peer.port, &["--test-connection"]);
    assert!(!bridge.end().await.success());
    assert!(
        bridge.logged().contains("apply-inbound-acl"),
        "{}",
        bridge.logged()
    );
}

#[tokio::test]
async fn nobody_there_is_a_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut bridge = Bridge::start(port, &["--test-connection"]);
    assert!(!bridge.end().await.success());
    assert!(
        bridge
            .logged()
            .contains("is it running, with mod_event_socket loaded"),
        "{}",
        bridge.logged()
    );
}

#[tokio::test]
async fn garbage_in_the_place_of_freeswitch_is_refused() {
    let pieces = [
        &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
        b"Content-Type: auth/request\nContent-Length: 99999999999999\n\n",
        b"Content-Type: auth/request\nContent-Length: -1\n\n",
        &[0xff; 4096],
        b"",
    ];
    for piece in pieces {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let garbage = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.write_all(piece).await;
        });
        let mut bridge = Bridge::start(port, &["--test-connection"]);
        assert!(!bridge.end().await.success());
        assert!(
            bridge
                .logged()
                .contains("no FreeSWITCH answers at 127.0.0.1"),
            "{piece:?}: {}",
            bridge.logged()
        );
        garbage.await.unwrap();
    }
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    let peer = Peer::start(Manner::default()).await;
    let cases = [
        (&["--uuid", "../etc/passwd"][..], "is no id of a channel"),
        (&["--uuid", "a-1"], "FreeSWITCH has no channel a-1"),
        (
            &["--all", "--record", "mixed", "--barge-in-after", "500"],
            "would interrupt itself",
        ),
        (&["--all", "--record-dir-fs", "/tmp/a b"], "has a space"),
        (&["--all", "--test"], "cannot be used with"),
        (&[], "required"),
    ];
    for (options, sentence) in cases {
        let mut bridge = Bridge::start(peer.port, options);
        assert!(!bridge.end().await.success());
        assert!(
            bridge.logged().contains(sentence),
            "{options:?}: {}",
            bridge.logged()
        );
    }
}

#[tokio::test]
async fn a_test_call_is_gone_through_to_its_end() {
    let peer = Peer::start(Manner::default()).await;
    let mut bridge = Bridge::start(peer.port, &["--test", "--endpoint", "user/1000"]);
    let status = bridge.end().await;
    let said = bridge.said().join("\n");
    assert!(status.success(), "{said}\n{}", bridge.logged());
    for step in [
        "Step 1",
        "user/1000 goes out",
        "answered",
        "bonjour",
        "All works.",
    ] {
        assert!(said.contains(step), "{step}: {said}");
    }
    assert!(bridge.recordings().is_empty());
}

#[tokio::test]
async fn a_test_call_that_nobody_takes_says_why() {
    let peer = Peer::start(Manner {
        originate: "-ERR USER_BUSY\n",
        ..Manner::default()
    })
    .await;
    let mut bridge = Bridge::start(peer.port, &["--test", "--endpoint", "user/1000"]);
    assert!(!bridge.end().await.success());
    assert!(bridge.logged().contains("USER_BUSY"), "{}", bridge.logged());
    let mut bridge = Bridge::start(
        peer.port,
        &["--test", "--endpoint", "user/1000 &system(rm)"],
    );
    assert!(!bridge.end().await.success());
    assert!(
        bridge.logged().contains("is no endpoint"),
        "{}",
        bridge.logged()
    );
}
