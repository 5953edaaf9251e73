//! Recordings that are not what was asked for, and those that go wrong.

use crate::bridge::{Bridge, share};
use crate::peer::{Manner, Peer, Talk, samples};

/// In real time: the rate is told by how fast the file grows.
fn telephone(ignores: &'static [&'static str]) -> Manner {
    Manner {
        ignores,
        rate: 8_000,
        speed: 1.0,
        ..Manner::default()
    }
}

async fn heard(manner: Manner, talk: Talk, options: &[&str]) -> Bridge {
    let peer = Peer::start(manner).await;
    peer.add("a-1", talk, "ACTIVE");
    let options = [&["--uuid", "a-1"][..], options].concat();
    let mut bridge = Bridge::start(peer.port, &options);
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    assert!(bridge.recordings().is_empty());
    bridge
}

#[tokio::test]
async fn a_telephone_call_is_heard_at_the_rate_asked_for() {
    let bridge = heard(telephone(&[]), Talk::of("fr-accueil"), &[]).await;
    assert!(
        share("fr-accueil", &bridge.text("a-1", None)) > 0.9,
        "{}",
        bridge.text("a-1", None)
    );
    assert!(
        !bridge.logged().contains("instead of what was asked for"),
        "{}",
        bridge.logged()
    );
}

#[tokio::test]
async fn a_recording_at_8_khz_in_bursts_and_mixed_is_heard_as_it_is() {
    let ignores = &[
        "record_sample_rate",
        "enable_file_write_buffering",
        "RECORD_READ_ONLY",
        "RECORD_MIN_SEC",
    ];
    let bridge = heard(telephone(ignores), Talk::of("fr-accueil"), &[]).await;
    assert!(
        bridge
            .logged()
            .contains("records 8000 Hz with 1 channel(s)"),
        "{}",
        bridge.logged()
    );
    assert!(
        share("fr-accueil", &bridge.text("a-1", None)) > 0.75,
        "{}",
        bridge.text("a-1", None)
    );
    let ended = bridge.transcript("a-1").last().unwrap()["audio"]
        .as_f64()
        .unwrap();
    assert!((ended - 9.5).abs() < 0.2, "{ended}");
}

#[tokio::test]
async fn two_legs_at_8_khz_are_not_taken_for_one_at_16() {
    let talk = Talk {
        local: samples("fr-messagerie"),
        ..Talk::of("fr-accueil")
    };
    let bridge = heard(
        telephone(&["record_sample_rate"]),
        talk,
        &["--record", "stereo"],
    )
    .await;
    assert!(
        bridge
            .logged()
            .contains("records 8000 Hz with 2 channel(s)"),
        "{}",
        bridge.logged()
    );
    assert!(
        share("fr-accueil", &bridge.text("a-1", Some("remote"))) > 0.75,
        "{}",
        bridge.text("a-1", Some("remote"))
    );
    assert!(
        share("fr-messagerie", &bridge.text("a-1", Some("local"))) > 0.6,
        "{}",
        bridge.text("a-1", Some("local"))
    );
}

#[tokio::test]
async fn recordings_succeed_each_other_without_a_word_lost_or_doubled() {
    let manner = Manner {
        speed: 1.0,
        ..Manner::default()
    };
    let peer = Peer::start(manner).await;
    peer.add("a-1", Talk::of("fr-accueil"), "ACTIVE");
    let mut bridge = Bridge::start(peer.port, &["--uuid", "a-1", "--record-limit", "6"]);
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    let started = peer
        .commands()
        .iter()
        .filter(|command| command.contains(" start "))
        .count();
    assert!(started >= 3, "{:?}", peer.commands());
    let text = bridge.text("a-1", None);
    assert!(
        share("fr-accueil", &text) > 0.9,
        "{text}\n{}",
        bridge.logged()
    );
    let audio = bridge.transcript("a-1").last().unwrap()["audio"]
        .as_f64()
        .unwrap();
    assert!((audio - 9.54).abs() < 0.05, "{audio}");
    assert!(bridge.recordings().is_empty());
}

#[tokio::test]
async fn a_recording_that_somebody_stops_is_begun_again() {
    let manner = Manner {
        speed: 1.0,
        ..Manner::default()
    };
    let peer = Peer::start(manner).await;
    peer.add("a-1", Talk::of("fr-pauses"), "ACTIVE");
    let mut bridge = Bridge::start(peer.port, &["--uuid", "a-1"]);
    bridge
        .until("a word", |bridge| !bridge.text("a-1", None).is_empty())
        .await;
    peer.stop_recordings("a-1");
    bridge
        .until("a new recording", |bridge| {
            bridge.logged().contains("was stopped; it is begun again")
        })
        .await;
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    let started = peer
        .commands()
        .iter()
        .filter(|command| command.contains(" start "))
        .count();
    assert_eq!(started, 2);
    let ended = bridge.transcript("a-1").last().unwrap()["audio"]
        .as_f64()
        .unwrap();
    assert!(ended > 10.0, "{ended}");
    assert!(bridge.recordings().is_empty());
}

#[tokio::test]
async fn a_recording_that_does_not_appear_is_explained() {
    let peer = Peer::start(Manner::default()).await;
    let talk = Talk {
        hangs_up: Some(600.0),
        ..Talk::of("fr-accueil")
    };
    peer.add("a-1", talk, "ACTIVE");
    let mut bridge = Bridge::start(
        peer.port,
        &["--uuid", "a-1", "--record-dir-fs", "/nowhere/at/all"],
    );
    bridge.end().await;
    let logged = bridge.logged();
    assert!(
        logged.contains("/nowhere/at/all/whisperstream-a-1-"),
        "{logged}"
    );
    assert!(logged.contains("--record-dir-fs there"), "{logged}");
}

#[tokio::test]
async fn a_folder_has_one_name_here_and_one_there() {
    let peer = Peer::start(Manner::default()).await;
    peer.answer("a-1", Talk::of("fr-court"));
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = elsewhere.path().join("recordings");
    // The bridge's own folder, under another name.
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(dir.path(), &theirs).unwrap();
    let (ours, theirs) = (
        dir.path().display().to_string(),
        theirs.display().to_string(),
    );
    let options = [
        "--uuid",
        "a-1",
        "--record-dir",
        &ours,
        "--record-dir-fs",
        &theirs,
    ];
    let mut bridge = Bridge::start_with(peer.port, &options);
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    assert!(
        peer.commands()
            .iter()
            .any(|command| command.contains(&format!(" start {theirs}/whisperstream-")))
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(!bridge.text("a-1", None).is_empty());
}
