//! Nothing goes wrong: clients notice nothing of the detour.

use std::process::Command;

use super::*;

#[test]
fn many_calls_on_two_workers_say_what_one_process_says() {
    let nats = Nats::start();
    let workers = [worker(&nats, &[]), worker(&nats, &[])];
    let (_gateway, port) = gateway(&nats, &[]);
    let recordings = ["fr-numero", "fr-pauses", "fr-court", "fr-accueil"];
    let calls = recordings.map(|name| Call::begin(port, &common::audio(name), 8.0));
    let said = calls.map(Call::end);
    for (name, said) in recordings.iter().zip(said) {
        assert_eq!(said, alone(&common::audio(name)), "{name}");
        assert!(!said.is_empty());
    }
    // All is tidied up behind them.
    for worker in &workers {
        wait("no legs", || {
            worker.figure("whisperstream_cluster_legs ") == 0.0
        });
        assert_eq!(worker.figure("whisperstream_cluster_replays_total "), 0.0);
        assert_eq!(
            worker.figure("whisperstream_cluster_bad_messages_total "),
            0.0
        );
    }
}

#[test]
fn calls_are_listed_with_their_owners() {
    let nats = Nats::start();
    let one = worker(&nats, &[]);
    let (_gateway, port) = gateway(&nats, &[]);
    let call = Call::begin(port, &common::audio("fr-numero"), 1.0);
    call.wait_for_lines(1);
    let list = || {
        let path = env!("CARGO_BIN_EXE_whisperstream-worker");
        let args = ["--nats", &nats.url, "--list"];
        let out = Command::new(path).args(args).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let rows = list();
    let row = rows.lines().nth(1).unwrap_or_default();
    assert!(row.contains(&one.name) && row.contains(" s"), "{rows}");
    call.end();
    wait("nothing is listed", || list().lines().count() == 1);
}

#[test]
fn a_worker_that_is_stopped_hands_its_calls_over() {
    let nats = Nats::start();
    let mut first = worker(&nats, &[]);
    let (_gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-pauses");
    let call = Call::begin(port, &audio, 2.0);
    call.wait_for_lines(2);
    let second = worker(&nats, &[]);
    first.signal("-TERM");
    assert!(first.program.wait().success(), "{}", first.program.errors());
    assert_eq!(call.end(), alone(&audio));
    assert_eq!(second.figure("whisperstream_cluster_replays_total "), 1.0);
    let repeated = second.figure("whisperstream_cluster_repeated_seconds_total ");
    assert!(repeated < 12.0, "{repeated} s");
    assert_eq!(
        second.figure("whisperstream_cluster_fenced_writes_total "),
        0.0
    );
}
