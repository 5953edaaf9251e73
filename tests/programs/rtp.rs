// SPDX-License-Identifier: MPL-2.0

//! A telephone line: mu-law at 8 kHz over RTP, whole and with lost packets.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::runner::*;

/// The packets of the recording, 20 ms each.
fn packets() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packets");
    run(&mut launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=8000 ! mulawenc \
         ! rtppcmupay min-ptime=20000000 max-ptime=20000000 ! rtpstreampay ! filesink location={}",
        audio(FRENCH).display(),
        file.display()
    )))
    .ok();
    // Each packet stands behind its length in two bytes (RFC 4571).
    let bytes = std::fs::read(file).unwrap();
    let mut rest = bytes.as_slice();
    let mut packets = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (packet, behind) = behind.split_at(u16::from_be_bytes(*length).into());
        packets.push(packet.to_vec());
        rest = behind;
    }
    assert!(packets.len() > 460, "only {} packets", packets.len());
    packets
}

/// Sends the packets at the pace of speech, but for those that `lost` names by their place. From here and not by
/// `udpsink`, whose first packet may be late on a busy machine: the jitter buffer takes such a start for the truth.
fn send(packets: &[Vec<u8>], port: u16, lost: fn(usize) -> bool) {
    let out = UdpSocket::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    for (n, packet) in packets.iter().enumerate() {
        let due = Duration::from_millis(20) * n as u32;
        thread::sleep(due.saturating_sub(started.elapsed()));
        if !lost(n) {
            out.send_to(packet, ("127.0.0.1", port)).unwrap();
        }
    }
}

/// Plays the French recording over RTP; returns each word heard with its start in seconds.
fn call(lost: fn(usize) -> bool) -> Vec<(String, f64)> {
    let packets = packets();
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
    // Till the receiver listens: packets before that would be lost without the test's leave.
    while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
        thread::sleep(Duration::from_millis(50));
    }
    // The socket is open in PAUSED, but time runs from PLAYING: what comes before that is read in one burst, and the
    // jitter buffer spreads such a start over the seconds behind it.
    thread::sleep(Duration::from_secs(1));
    send(&packets, port, lost);

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
