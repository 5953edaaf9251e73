//! All attacks on all doors.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::attacks::{Attack, attack, upgrade};
use crate::common::spoken;
use crate::program::PATIENCE;
use crate::server::{DOORS, Server};

/// MB that may be more afterwards: arenas that the system was not given back. The attacks bring thirty times as much.
const TOLERANCE: f64 = 32.0;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_at_a_door_the_others_lose_no_word_and_nothing_is_left() {
    let server = Server::start(&["--max-calls", "40"]);
    let (alone, ()) = server.told_meanwhile(async {}).await;
    assert_eq!(alone[1], spoken("fr-court"));
    let mut before = None;
    for round in 0..3 {
        for door in &DOORS {
            let attacks = Attack::ALL.map(|kind| attack(&server, door, kind));
            let (told, held) = server.told_meanwhile(join_all(attacks)).await;
            let path = door.path.unwrap_or_default();
            assert_eq!(told, alone, "{}{path}, round {round}", door.port);
            drop(held);
        }
        server.is_empty().await;
        // Two rounds bring what stays: arenas, threads of the pools.
        if round == 1 {
            before = Some((server.descriptors(), server.memory()));
        }
    }
    let (descriptors, memory) = before.unwrap();
    server
        .until("the return of all descriptors", async |server| {
            server.descriptors() <= descriptors
        })
        .await;
    let after = server.memory();
    println!("{memory:.0} MB before, {after:.0} MB after; {descriptors} descriptors");
    assert!(after < memory + TOLERANCE, "{memory} MB became {after} MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_ends_his_request_is_let_go() {
    let server = Server::start(&[]);
    let calls = DOORS.iter().filter(|door| door.port != "line").map(|door| {
        let server = &server;
        async move {
            let mut socket = server.connect(door).await;
            let request = match door.path {
                Some(path) => upgrade(path).replace("\r\n\r\n", "\r\nX: "),
                None => "\x01\0\x10".into(),
            };
            socket.write_all(request.as_bytes()).await.unwrap();
            let (mut from, mut to) = socket.split();
            let trickle = async {
                // Not as many bytes as the frame of AudioSocket has.
                for _ in 0..15 {
                    tokio::time::sleep(Duration::from_secs(8)).await;
                    if to.write_all(b"x").await.is_err() {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            };
            let mut said = Vec::new();
            tokio::select! {
                _ = from.read_to_end(&mut said) => {}
                () = trickle => {}
                () = tokio::time::sleep(PATIENCE) => panic!("{}: it is still there", door.port),
            }
        }
    });
    join_all(calls).await;
}
