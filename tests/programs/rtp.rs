// SPDX-License-Identifier: MPL-2.0

//! A telephone line: mu-law at 8 kHz over RTP, whole and with lost packets.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::runner::*;

/// Hands packets on from one port to another, but for those that `lost` names by their place.
fn relay(from: UdpSocket, to: u16, lost: fn(usize) -> bool) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        let out = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut packet = [0; 2048];
        let mut count = 0;
        // Two seconds without a packet: the caller has hung up.
        while let Ok(size) = from.recv(&mut packet) {
            from.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            if !lost(count) {
                out.send_to(&packet[..size], ("127.0.0.1", to)).unwrap();
            }
            count += 1;
        }
        count
    })
}

/// Plays the French recording over RTP; returns each word heard with its start in seconds.
fn call(lost: fn(usize) -> bool) -> Vec<(String, f64)> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("json");
    let port = free_udp_port();
    let receiver = start(&mut launch(&format!(
        "-e udpsrc address=127.0.0.1 port={port} \
         caps=application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMU,payload=0 \
         ! rtpjitterbuffer latency=100 do-lost=true ! rtppcmudepay ! mulawdec ! audioconvert ! audioresample \
         ! whisperstream language=fr ! application/x-json ! filesink location={}",
        out.display()
    )));
    let wire = UdpSocket::bind("127.0.0.1:0").unwrap();
    wire.set_read_timeout(Some(PATIENCE)).unwrap();
    let wire_port = wire.local_addr().unwrap().port();
    let relay = relay(wire, port, lost);
    // Till the receiver listens: packets before that would be lost without the test's leave.
    while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
        thread::sleep(Duration::from_millis(50));
    }
    run(&mut launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=8000 ! mulawenc \
         ! rtppcmupay min-ptime=20000000 max-ptime=20000000 ! udpsink host=127.0.0.1 port={wire_port}",
        audio(FRENCH).display()
    )))
    .ok();
    let packets = relay.join().unwrap();
    assert!(packets > 400, "only {packets} packets were sent");

    // `gst-launch-1.0 -e` turns the interrupt into EOS, so that the last word is decided.
    let hang_up = Command::new("kill")
        .args(["-INT", &receiver.pid().to_string()])
        .status();
    assert!(hang_up.unwrap().success());
    receiver.wait().ok();

    std::fs::read_to_string(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .flat_map(|object| object["words"].as_array().unwrap().clone())
        .map(|word| {
            (
                word["text"].as_str().unwrap().to_owned(),
                word["start"].as_f64().unwrap(),
            )
        })
        .collect()
}

/// From "bonjour" at 0.400 s to "nouvelle" at 8.234 s in the recording.
#[track_caller]
fn assert_no_drift(heard: &[(String, f64)]) {
    let at = |word: &str| {
        let found = heard.iter().find(|(text, _)| text == word);
        found
            .unwrap_or_else(|| panic!("no {word:?} in {heard:?}"))
            .1
    };
    let apart = at("nouvelle") - at("bonjour");
    assert!(
        (apart - 7.834).abs() < 0.3,
        "bonjour to nouvelle took {apart} s in {heard:?}"
    );
}

#[test]
fn a_telephone_call_is_transcribed() {
    let heard = call(|_| false);
    let text: Vec<String> = heard.iter().map(|(text, _)| text.clone()).collect();
    assert_heard(&text, &spoken(FRENCH));
    assert_no_drift(&heard);
}

#[test]
fn lost_packets_do_not_shift_the_words() {
    // One packet in twenty, two in a row each time: 20 ms a packet, so 400 ms in all.
    let heard = call(|n| n % 40 >= 38);
    assert_no_drift(&heard);
    assert!(heard.len() >= 15, "{heard:?}");
}
