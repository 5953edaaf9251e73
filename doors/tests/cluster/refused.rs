//! What cannot be: a sentence, and no harm to others.

use std::process::Command;

use super::*;

/// What the gateway says that does not start.
fn says(args: &[&str]) -> String {
    let path = env!("CARGO_BIN_EXE_whisperstream-server");
    let out = Command::new(path)
        .args(["--line", "0"])
        .args(args)
        .output()
        .unwrap();
    assert!(!out.status.success(), "{out:?}");
    String::from_utf8(out.stderr).unwrap()
}

#[test]
fn a_cluster_that_cannot_be_used_is_explained() {
    let without = Nats::with(&[]);
    let nats = Nats::with(&["--jetstream", "--user", "me", "--pass", "secret"]);
    let with = |user: &str| nats.url.replace("://", &format!("://{user}@"));
    for (args, expected) in [
        (["--nats", "nats://127.0.0.1:1"], "could be reached"),
        (["--nats", "nats://no host"], "could be reached"),
        (["--nats", &without.url], "has no JetStream"),
        (["--nats", &nats.url], "credentials"),
        (["--nats", &with("me:wrong")], "credentials"),
    ] {
        let said = says(&args);
        assert!(said.contains(expected), "{args:?}: {said}");
        assert!(!said.contains("wrong"), "{said}");
    }
    let good = with("me:secret");
    for (args, expected) in [
        (["--nats-prefix", "a.b"], "--nats-prefix"),
        (["--nats-creds", "/no/where"], "--nats-creds"),
        (["--nats-ca", "/no/where"], "--nats-ca"),
    ] {
        let said = says(&[&["--nats", good.as_str()], &args[..]].concat());
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn a_call_that_no_worker_has_room_for_is_told_so_or_waits() {
    let nats = Nats::start();
    let audio = common::audio("fr-court");
    let (at_once, refusing) = gateway(&nats, &[]);
    assert_eq!(Call::begin(refusing, &audio, 4.0).end(), "");
    at_once.wait_for_error("no worker of the cluster has room");
    let (_patient, waiting) = gateway(&nats, &["--nats-wait", "60"]);
    let call = Call::begin(waiting, &audio, 4.0);
    let one = worker(&nats, &["--max-calls", "1"]);
    let said = call.end();
    assert_eq!(said, alone(&audio));
    // A worker that is full takes none, one that is not takes the next.
    let long = Call::begin(refusing, &common::audio("fr-numero"), 1.0);
    wait("it is heard", || {
        one.figure("whisperstream_cluster_legs ") == 1.0
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(Call::begin(refusing, &audio, 4.0).end(), "");
    assert!(!long.end().is_empty());
    let (impatient, hasty) = gateway(&nats, &["--nats-wait", "1"]);
    drop(one);
    std::thread::sleep(LEASE);
    assert_eq!(Call::begin(hasty, &audio, 4.0).end(), "");
    impatient.wait_for_error("had room for the call in 1 s");
}

#[test]
fn a_call_whose_gateway_is_gone_ends() {
    let nats = Nats::start();
    let one = worker(&nats, &["--abandon", "1"]);
    let (mut gateway, port) = gateway(&nats, &[]);
    let call = Call::begin(port, &common::audio("fr-numero"), 1.0);
    call.wait_for_lines(1);
    gateway.kill();
    wait("it ends", || {
        one.figure("whisperstream_cluster_legs ") == 0.0
    });
    assert!(
        one.program.errors().contains("gateway"),
        "{}",
        one.program.errors()
    );
}

#[test]
fn two_gateways_have_no_call_of_the_same_id() {
    let nats = Nats::start();
    let _one = worker(&nats, &[]);
    let args = ["--nats", &nats.url, "--ws", "0"];
    let (mut first, one) = Program::server(&args, &[], "ws://");
    let (_second, other) = Program::server(&args, &[], "ws://");
    let open = |port: u16| {
        let address = format!("ws://127.0.0.1:{port}/?id=the%2Fcall");
        let address = address.replace("%2F", ".");
        tokio_tungstenite::tungstenite::connect(address)
    };
    let refusal = |port| {
        let Ok((mut socket, _)) = open(port) else {
            return "refused".to_owned();
        };
        let text = socket.read().map(|it| it.to_string());
        text.unwrap_or_default()
    };
    let (mut held, _) = open(one).unwrap();
    assert!(held.read().unwrap().to_string().contains("\"ready\""));
    let said = refusal(other);
    assert!(!said.contains("\"ready\""), "{said}");
    // It is free when the gateway that had it is gone.
    first.kill();
    wait("it is free", || refusal(other).contains("\"ready\""));
}

/// It holds what it has, and what comes waits at the gateway.
#[test]
fn a_full_stream_is_told_of_and_loses_nothing_that_it_has() {
    let nats = Nats::start();
    // Five seconds of audio.
    let (gateway, port) = gateway(&nats, &["--nats-audio-bytes", "160000"]);
    let one = worker(&nats, &[]);
    let audio = common::audio("fr-numero");
    let whole = alone(&audio);
    let call = Call::begin(port, &audio, 4.0);
    gateway.wait_for_error("maximum bytes exceeded");
    gateway.wait_for_error("is kept here");
    call.wait_for_lines(1);
    assert!(whole.starts_with(&call.said()), "{}", call.said());
    assert_eq!(one.figure("whisperstream_cluster_legs "), 1.0);
}

#[test]
fn messages_that_are_none_of_the_gateways_change_nothing() {
    let nats = Nats::start();
    let one = worker(&nats, &[]);
    let (_gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-numero");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stray = runtime.block_on(async {
        let client = async_nats::connect(&nats.url).await.unwrap();
        let mut messages = client.subscribe("whisperstream.audio.>").await.unwrap();
        client.flush().await.unwrap();
        let call = Call::begin(port, &audio, 2.0);
        let mut seen = 0;
        while let Some(message) = futures::StreamExt::next(&mut messages).await {
            seen += 1;
            let subject = message.subject.clone();
            let Some(headers) = message.headers.clone() else {
                continue;
            };
            let with = |name: &str, value: &str| {
                let mut headers = headers.clone();
                headers.insert(name, value);
                headers
            };
            let junk = match seen {
                5 => vec![(None, "no headers at all")],
                10 => vec![
                    (Some(headers.clone()), "odd"),
                    (Some(with("Whisperstream-Number", "-7")), "even"),
                    (Some(with("Whisperstream-Number", "99999999")), "odd"),
                    (Some(with("Whisperstream-Kind", "video")), "even"),
                    // Once more as it was.
                    (Some(headers.clone()), "even"),
                ],
                15 => break,
                _ => continue,
            };
            for (headers, contents) in junk {
                let contents = contents.to_owned().into();
                match headers {
                    Some(headers) => {
                        client.publish_with_headers(subject.clone(), headers, contents)
                    }
                    None => {
                        client.publish(subject.clone(), contents).await.unwrap();
                        continue;
                    }
                }
                .await
                .unwrap();
            }
        }
        call
    });
    assert_eq!(stray.end(), alone(&audio));
    wait("they are counted", || {
        one.figure("whisperstream_cluster_bad_messages_total ") >= 4.0
    });
    one.program.wait_for_error("is left out");
}

/// Nobody who is in conversation is sent away.
#[test]
fn a_call_that_begins_anew_waits_for_room() {
    let nats = Nats::start();
    let _full = worker(&nats, &["--max-calls", "1"]);
    let (_gateway, port) = Program::server(
        &["--nats", &nats.url, "--ws", "0", "--language", "fr"],
        &[],
        "ws://",
    );
    let (_alone, alone) = Program::server(&["--ws", "0", "--language", "fr"], &[], "ws://");
    let expected = told(alone, "pace=exact");
    assert!(expected.len() > 4, "{expected:?}");
    assert_eq!(told(port, "pace=exact"), expected);
}

#[test]
fn an_id_may_be_used_again() {
    let nats = Nats::start();
    let _worker = worker(&nats, &[]);
    let (_gateway, port) = Program::server(
        &["--nats", &nats.url, "--ws", "0", "--language", "fr"],
        &[],
        "ws://",
    );
    let query = "pace=exact&id=reception";
    let first = told(port, query);
    assert!(!first.is_empty());
    assert_eq!(told(port, query), first);
}

/// What our client has of a recording, as JSON.
fn told(port: u16, query: &str) -> Vec<String> {
    let file = program::file("tests/audio/fr-pauses.wav");
    let address = format!("ws://127.0.0.1:{port}/?{query}");
    let args = [file.to_str().unwrap(), "--json", "--to", &address];
    Program::start(env!("CARGO_BIN_EXE_whisperstream-client"), &args, &[]).rest()
}

/// Asked for while the server stands still, as it may while it chooses a leader or its disk is busy.
#[test]
fn a_server_that_hesitates_refuses_nobody() {
    let nats = Nats::start();
    let hesitate = || nats.hesitate(Duration::from_secs(3));
    let audio = common::audio("fr-court");
    let _worker = std::thread::scope(|scope| {
        scope.spawn(hesitate);
        worker(&nats, &[])
    });
    let (_gateway, port) = std::thread::scope(|scope| {
        scope.spawn(hesitate);
        gateway(&nats, &[])
    });
    let said = std::thread::scope(|scope| {
        scope.spawn(hesitate);
        Call::begin(port, &audio, 4.0).end()
    });
    assert_eq!(said, alone(&audio));
}

#[test]
fn a_call_whose_beginning_is_no_longer_kept_is_told_so() {
    let nats = Nats::start();
    let (waiting, port) = gateway(&nats, &["--nats-wait", "60"]);
    let call = Call::begin(port, &common::audio("fr-numero"), 1.0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(&nats.url).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        let audio = jetstream.get_stream("whisperstream-audio").await.unwrap();
        // As their age does it.
        while audio.purge().await.unwrap().purged == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let _late = worker(&nats, &[]);
    assert_eq!(call.end(), "");
    waiting.wait_for_error("the beginning of the call's audio is no longer kept");
}
