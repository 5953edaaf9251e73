//! Workers, gateways and the server die in the middle of words.

use std::sync::mpsc::TryRecvError;

use super::dice::Dice;
use super::*;

/// Not more is heard again after one failure.
const AGAIN: f64 = 12.0;

#[test]
fn the_owner_is_killed_in_the_middle_of_a_word() {
    let nats = Nats::start();
    let mut first = worker(&nats, &[]);
    let (_gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-dense");
    let call = Call::begin(port, &audio, 2.0);
    call.wait_for_lines(4);
    let second = worker(&nats, &[]);
    first.program.kill();
    assert_eq!(call.end(), alone(&audio));
    assert_eq!(second.figure("whisperstream_cluster_replays_total "), 1.0);
    let repeated = second.figure("whisperstream_cluster_repeated_seconds_total ");
    assert!(repeated > 0.0 && repeated <= AGAIN, "{repeated} s");
}

#[test]
fn an_owner_that_slept_too_long_writes_nothing_when_it_wakes_up_and_may_own_again() {
    let nats = Nats::start();
    let first = worker(&nats, &[]);
    let (_gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-dense");
    let call = Call::begin(port, &audio, 1.0);
    call.wait_for_lines(3);
    let mut second = worker(&nats, &[]);
    first.signal("-STOP");
    wait("it is taken over", || {
        second.figure("whisperstream_cluster_replays_total ") == 1.0
    });
    first.signal("-CONT");
    wait("the first one knows", || {
        first.figure("whisperstream_cluster_legs ") == 0.0
    });
    assert_eq!(
        first.figure("whisperstream_cluster_fenced_writes_total "),
        1.0
    );
    second.program.kill();
    assert_eq!(call.end(), alone(&audio));
    assert_eq!(first.figure("whisperstream_cluster_replays_total "), 1.0);
}

/// As one does that chooses a leader, or waits for its disk, again and again: leases run out, writes time out and are done all the
/// same, calls wander, and a worker dies besides.
#[test]
fn the_server_of_all_hesitates_all_the_time() {
    let nats = Nats::start();
    let mut workers: Vec<_> = (0..3).map(|_| worker(&nats, &[])).collect();
    let (_gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-numero");
    let said: Vec<_> = std::thread::scope(|scope| {
        // Dropped when the calls are over, or a check fails.
        let (_going_on, is_over) = std::sync::mpsc::channel::<()>();
        let nats = &nats;
        scope.spawn(move || {
            // Half a second to three, in an order that is none.
            let mut times = (1_u64..).map(|n| Duration::from_millis(500 + n * 7_919 % 2_500));
            while is_over.try_recv() == Err(TryRecvError::Empty) {
                nats.hesitate(times.next().unwrap());
                std::thread::sleep(times.next().unwrap());
            }
        });
        let calls: Vec<_> = (0..10).map(|_| Call::begin(port, &audio, 1.0)).collect();
        calls[3].wait_for_lines(2);
        workers[0].program.kill();
        calls.into_iter().map(Call::end).collect()
    });
    let alone = alone(&audio);
    for (number, said) in said.into_iter().enumerate() {
        assert_eq!(said, alone, "call {number}");
    }
}

#[test]
fn the_server_of_all_is_away_for_a_while() {
    let mut nats = Nats::start();
    let one = worker(&nats, &[]);
    let (gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-dense");
    let call = Call::begin(port, &audio, 1.0);
    call.wait_for_lines(3);
    nats.down();
    gateway.wait_for_error("is kept here");
    std::thread::sleep(Duration::from_secs(3));
    nats.up();
    assert_eq!(call.end(), alone(&audio));
    gateway.wait_for_error("nothing is lost");
    wait("no legs", || {
        one.figure("whisperstream_cluster_legs ") == 0.0
    });
}

/// Which, and when, is another matter in each run; `CLUSTER_SEED` repeats one.
#[test]
fn three_of_these_at_random_in_one_call() {
    let seed = match std::env::var("CLUSTER_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("CLUSTER_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let mut nats = Nats::start();
    let mut workers: Vec<_> = (0..2).map(|_| worker(&nats, &[])).collect();
    let (_gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-long");
    let call = Call::begin(port, &audio, 2.0);
    let mut lines = [0; 3].map(|_| 2 + dice.roll(20) as usize);
    lines.sort_unstable();
    for lines in lines {
        call.wait_for_lines(lines);
        let mut owner = None;
        wait("somebody hears the call", || {
            let mut legs = workers
                .iter()
                .map(|worker| worker.figure("whisperstream_cluster_legs "));
            owner = legs.position(|legs| legs == 1.0);
            owner.is_some()
        });
        let owner = owner.unwrap();
        match dice.roll(3) {
            0 => {
                println!("killed behind line {lines}");
                workers.push(worker(&nats, &[]));
                workers.remove(owner).program.kill();
            }
            1 => {
                println!("asleep behind line {lines}");
                workers[owner].signal("-STOP");
                std::thread::sleep(2 * LEASE);
                workers[owner].signal("-CONT");
            }
            _ => {
                println!("without a server behind line {lines}");
                nats.down();
                std::thread::sleep(Duration::from_secs(1));
                nats.up();
            }
        }
    }
    assert_eq!(call.end(), alone(&audio));
}

#[test]
fn ten_calls_on_three_workers_of_which_two_are_killed() {
    let nats = Nats::start();
    let mut workers: Vec<_> = (0..3).map(|_| worker(&nats, &[])).collect();
    let (_gateway, port) = gateway(&nats, &[]);
    let audio = common::audio("fr-numero");
    let calls: Vec<_> = (0..10).map(|_| Call::begin(port, &audio, 1.0)).collect();
    calls[3].wait_for_lines(2);
    workers[0].program.kill();
    calls[7].wait_for_lines(3);
    workers[1].program.kill();
    let alone = alone(&audio);
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.end(), alone, "call {number}");
    }
}

/// Its client goes to another gateway, which begins where the utterance before had ended.
#[test]
fn the_gateway_is_killed() {
    let nats = Nats::start();
    let _worker = worker(&nats, &[]);
    let port = nats::free_port().to_string();
    let doors = ["--nats", &nats.url, "--ws", &port, "--language", "fr"];
    let (mut gateway, _) = Program::server(&doors, &[], "ws://");
    let file = program::file("tests/audio/fr-pauses.wav");
    let said = |address: &str, between: &mut dyn FnMut(&Program)| {
        let args = [file.to_str().unwrap(), "--json", "--to", address];
        let client = Program::start(env!("CARGO_BIN_EXE_whisperstream-client"), &args, &[]);
        between(&client);
        client.rest()
    };
    let address = format!("ws://127.0.0.1:{port}/?pace=exact");
    let undisturbed = said(&address, &mut |_| {});
    assert!(undisturbed.len() > 4, "{undisturbed:?}");
    let mut before = Vec::new();
    let mut disturbed = said(&address, &mut |client| {
        for _ in 0..4 {
            before.push(client.line());
        }
        gateway.kill();
        gateway = Program::server(&doors, &[], "ws://").0;
    });
    before.append(&mut disturbed);
    assert_eq!(before, undisturbed);
}
