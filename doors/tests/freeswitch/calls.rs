//! Which calls are heard, what is done to them, and how they end.

use std::time::Duration;

use crate::bridge::{Bridge, share};
use crate::peer::{Manner, Peer, Talk};

#[tokio::test]
async fn a_call_is_heard_to_its_last_word() {
    let peer = Peer::start(Manner::default()).await;
    peer.add("a-1", Talk::of("fr-accueil"), "ACTIVE");
    let mut bridge = Bridge::start(peer.port, &["--uuid", "a-1", "--energy"]);
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    assert!(
        share("fr-accueil", &bridge.text("a-1", Some("remote"))) > 0.9,
        "{}",
        bridge.text("a-1", None)
    );
    let said = bridge.said().join("\n");
    assert!(said.contains("[0698765432 remote 0:0"), "{said}");
    assert!(said.contains("nouvelle"), "{said}");
    assert!(said.contains(" dB"), "{said}");
    assert!(bridge.recordings().is_empty());

    let lines = bridge.transcript("a-1");
    assert_eq!(lines[0]["type"], "call");
    assert_eq!(lines[0]["caller"], "0698765432");
    assert!(
        lines
            .iter()
            .all(|line| line["time"].as_str().unwrap().ends_with('Z'))
    );
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "ended");
    assert!(
        (last["audio"].as_f64().unwrap() - 9.5).abs() < 0.1,
        "{last}"
    );
    let levels: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "energy")
        .collect();
    assert_eq!(levels.len(), 19);
    assert!(
        levels
            .iter()
            .any(|line| line["db"][0].as_f64().unwrap() > -40.0)
    );

    // What a recording obeys was set, and is as it was.
    assert_eq!(peer.set("a-1", "record_sample_rate"), ["16000", ""]);
    assert_eq!(
        peer.set("a-1", "enable_file_write_buffering"),
        ["false", ""]
    );
    assert_eq!(peer.set("a-1", "RECORD_READ_ONLY"), ["true", ""]);
    assert_eq!(peer.set("a-1", "RECORD_STEREO"), ["false", "true"]);
    assert_eq!(peer.set("a-1", "RECORD_MIN_SEC"), ["0", ""]);
}

#[tokio::test]
async fn a_call_that_hangs_up_within_a_word_is_told_up_to_there() {
    let peer = Peer::start(Manner::default()).await;
    // Within "contrat".
    let talk = Talk {
        hangs_up: Some(3.1),
        ..Talk::of("fr-accueil")
    };
    peer.add("a-1", talk, "ACTIVE");
    let mut bridge = Bridge::start(peer.port, &["--uuid", "a-1"]);
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    let text = bridge.text("a-1", None);
    assert!(
        text.contains("bonjour je vous appelle au sujet de votre"),
        "{text}"
    );
    assert!(!text.contains("minutes"), "{text}");
    assert_eq!(bridge.transcript("a-1").last().unwrap()["type"], "ended");
    assert!(bridge.recordings().is_empty());
}

#[tokio::test]
async fn all_answered_calls_are_heard_at_once_and_only_those() {
    let peer = Peer::start(Manner {
        fragments: true,
        ..Manner::default()
    })
    .await;
    peer.add("there", Talk::of("fr-accueil"), "ACTIVE");
    peer.add("rings", Talk::of("fr-long"), "RINGING");
    let mut bridge = Bridge::start(peer.port, &["--all"]);
    bridge
        .until("the first call", |_| {
            peer.commands()
                .iter()
                .any(|c| c.starts_with("api uuid_record there start"))
        })
        .await;
    peer.answer("later", Talk::of("fr-messagerie"));
    for uuid in ["there", "later"] {
        bridge.ended(uuid).await;
    }
    assert!(
        share("fr-accueil", &bridge.text("there", None)) > 0.9,
        "{}",
        bridge.text("there", None)
    );
    assert!(
        share("fr-messagerie", &bridge.text("later", None)) > 0.7,
        "{}",
        bridge.text("later", None)
    );
    assert_eq!(bridge.transcript("later")[0]["caller"], "0612345678");
    assert!(
        !peer
            .commands()
            .iter()
            .any(|command| command.contains("rings"))
    );
    bridge
        .until("the files to be gone", |bridge| {
            bridge.recordings().is_empty()
        })
        .await;
    bridge.interrupt();
    assert!(bridge.end().await.success(), "{}", bridge.logged());
}

#[tokio::test]
async fn calls_go_on_while_the_connection_is_lost() {
    let peer = Peer::start(Manner::default()).await;
    peer.add("a-1", Talk::of("fr-accueil"), "ACTIVE");
    let mut bridge = Bridge::start(peer.port, &["--all"]);
    bridge
        .until("the first word", |bridge| {
            !bridge.text("a-1", None).is_empty()
        })
        .await;
    // The call ends while nobody can tell of it.
    peer.shut(true);
    peer.disconnect();
    bridge
        .until("the hang-up", |_| {
            peer.variable("a-1", "read_rate").is_none()
        })
        .await;
    peer.shut(false);
    bridge.ended("a-1").await;
    assert!(
        share("fr-accueil", &bridge.text("a-1", None)) > 0.9,
        "{}",
        bridge.text("a-1", None)
    );
    assert!(
        bridge.logged().contains("is connected again"),
        "{}",
        bridge.logged()
    );
    // And the next one is heard, too.
    peer.answer("a-2", Talk::of("fr-court"));
    bridge.ended("a-2").await;
}

#[tokio::test]
async fn who_interrupts_stops_the_prompt_and_the_prompt_itself_does_not() {
    let peer = Peer::start(Manner::default()).await;
    peer.add("speaks", Talk::of("fr-accueil"), "ACTIVE");
    let prompt = Talk {
        local: crate::peer::samples("fr-messagerie"),
        ..Talk::default()
    };
    peer.add("listens", prompt, "ACTIVE");
    let options = ["--all", "--record", "stereo", "--barge-in-after", "300"];
    let mut bridge = Bridge::start(peer.port, &options);
    for uuid in ["speaks", "listens"] {
        bridge.ended(uuid).await;
    }
    assert!(
        peer.was_told("api uuid_break speaks all"),
        "{:?}",
        peer.commands()
    );
    assert!(!peer.was_told("api uuid_break listens all"));
    // The prompt was heard, on its own leg.
    assert!(share("fr-messagerie", &bridge.text("listens", Some("local"))) > 0.7);
    assert_eq!(bridge.text("listens", Some("remote")), "");
    assert!(
        bridge.said().iter().any(|line| line.contains("interrupts")),
        "{:?}",
        bridge.said()
    );
}

#[tokio::test]
async fn who_answered_is_written_into_the_channel() {
    let peer = Peer::start(Manner::default()).await;
    let talk = Talk {
        hangs_up: Some(60.0),
        ..Talk::of("fr-messagerie")
    };
    peer.add("machine", talk, "ACTIVE");
    let options = [
        "--uuid",
        "machine",
        "--amd",
        "--amd-set",
        "decision-time=5000",
    ];
    let mut bridge = Bridge::start(peer.port, &options);
    bridge
        .until("a verdict", |_| {
            !peer.set("machine", "amd_result").is_empty()
        })
        .await;
    let variable = |name| peer.variable("machine", name).unwrap();
    assert_eq!(variable("whisperstream_amd_result"), "machine");
    assert_eq!(variable("amd_result"), "MACHINE");
    assert_eq!(
        variable("amd_cause"),
        variable("whisperstream_amd_cause").to_uppercase()
    );
    assert!(
        variable("whisperstream_amd_confidence")
            .parse::<f64>()
            .unwrap()
            > 0.5
    );
    assert!(
        variable("whisperstream_amd_took_ms")
            .parse::<u64>()
            .unwrap()
            <= 8_000
    );
    assert!(!variable("whisperstream_amd_text").is_empty());
    bridge
        .until("it printed", |bridge| {
            bridge
                .said()
                .iter()
                .any(|line| line.contains("answered by: machine"))
        })
        .await;
    // It goes on listening for the greeting's end.
    bridge
        .until("the greeting's end", |_| {
            !peer.set("machine", "whisperstream_greeting_end").is_empty()
        })
        .await;
    let lines = bridge.transcript("machine");
    assert!(
        lines
            .iter()
            .any(|line| line["type"] == "verdict" && line["result"] == "machine")
    );
}

#[tokio::test]
async fn a_bridge_that_is_stopped_tells_the_tail_and_leaves_nothing_behind() {
    let peer = Peer::start(Manner::default()).await;
    let talk = Talk {
        hangs_up: Some(600.0),
        ..Talk::of("fr-accueil")
    };
    peer.add("a-1", talk, "ACTIVE");
    let mut bridge = Bridge::start(peer.port, &["--all"]);
    bridge
        .until("a word", |bridge| !bridge.text("a-1", None).is_empty())
        .await;
    bridge.interrupt();
    assert!(bridge.end().await.success(), "{}", bridge.logged());
    assert_eq!(bridge.transcript("a-1").last().unwrap()["type"], "ended");
    assert!(bridge.recordings().is_empty());
    let stopped = |command: &String| command.starts_with("api uuid_record a-1 stop ");
    assert!(peer.commands().iter().any(stopped), "{:?}", peer.commands());
    // The call itself is not ours to end.
    assert!(peer.variable("a-1", "read_rate").is_some());
}

#[tokio::test]
async fn a_freeswitch_that_comes_late_is_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut bridge = Bridge::start(port, &["--all"]);
    bridge
        .until("an attempt", |bridge| {
            bridge.logged().contains("The next attempt is in")
        })
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    bridge.interrupt();
    assert!(bridge.end().await.success(), "{}", bridge.logged());
}
