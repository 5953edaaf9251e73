//! What networks do to packets: times stay true.

use std::path::Path;
use std::time::Duration;

use doors::tap::rtp::RtpOptions;

use crate::captures::{heard, named};
use crate::dice::Dice;
use crate::sender::{From, Sent, capture, pcmu};
use crate::{Printed, assert_near, spoken};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn heard_of(packets: &[Sent]) -> Printed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pcap");
    write(&path, packets);
    heard(&path, named(&["leg"])).await
}

fn write(path: &Path, packets: &[Sent]) {
    let flow = From {
        from: ([10, 0, 0, 1], 4000),
        to: ([10, 0, 0, 2], 5000),
        packets,
    };
    capture(path, &[flow]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reordering_duplicates_and_jitter_change_no_word() {
    let whole = pcmu("fr-accueil");
    let undisturbed = heard_of(&whole).await;
    let mut dice = Dice(1);
    let mut sent = Vec::new();
    for packet in &whole {
        let mut packet = packet.clone();
        // Up to seven packets out of order; the first is not late, for it sets the clock.
        let late = if sent.is_empty() { 0 } else { dice.roll(150) };
        packet.at += ms(late);
        if dice.roll(10) == 0 {
            let mut again = packet.clone();
            again.at += ms(3);
            sent.push(again);
        }
        sent.push(packet);
    }
    let disturbed = heard_of(&sent).await;
    assert_eq!(disturbed.words("leg"), undisturbed.words("leg"));
    let count = disturbed.count("leg");
    assert_eq!(count["lost"], 0);
    let repeated = count["duplicates"].as_u64().unwrap() + count["late"].as_u64().unwrap();
    assert_eq!(repeated as usize, sent.len() - whole.len());
    assert_near(undisturbed.when("leg", "bonjour"), 0.4);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_shift_no_word() {
    for percent in [5, 30] {
        let mut dice = Dice(percent);
        let whole = pcmu("fr-accueil");
        let kept: Vec<_> = whole
            .iter()
            .enumerate()
            .filter(|(number, _)| *number == 0 || dice.roll(100) >= percent)
            .map(|(_, packet)| packet.clone())
            .collect();
        let lost = whole.len() - kept.len();
        let printed = heard_of(&kept).await;
        let counted = printed.count("leg")["lost"].as_u64().unwrap();
        assert!(lost as u64 - counted <= 3, "{counted} of {lost}");
        // Holes make some words others; those that are heard are in their place.
        let words = printed.words("leg");
        let said = spoken("fr-accueil");
        let in_place = |(word, start): &&(String, f64)| {
            let near = |(text, at): &(String, f64)| text == word && (at - start).abs() < 0.35;
            words.iter().any(near)
        };
        let right = said.iter().filter(in_place).count();
        let enough = if percent < 10 { 16 } else { 9 };
        assert!(
            right >= enough,
            "{percent} %: {right} of {}: {words:?}",
            said.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_that_is_not_sent_shifts_no_word() {
    // Nothing is sent for four seconds (DTX), but comfort noise now and then.
    let mut sent = Vec::new();
    for packet in pcmu("fr-accueil") {
        let mut packet = packet;
        packet.bytes[1] &= 0x7f;
        sent.push(packet);
    }
    let length = sent.last().unwrap().at + ms(20);
    let (pause, next) = (ms(4_000), sent.len());
    let last = sent.last().unwrap().clone();
    for step in 1..=3_u32 {
        let mut noise = last.clone();
        noise.at += ms(u64::from(step) * 1_000);
        noise.bytes.truncate(12);
        noise.bytes[1] = 13;
        noise.bytes.push(70);
        noise.set_sequence(last.sequence().wrapping_add(u16::try_from(step).unwrap()));
        noise.set_timestamp(last.timestamp().wrapping_add(step * 8_000));
        sent.push(noise);
    }
    let gap = length + pause;
    for packet in pcmu("fr-court") {
        let mut packet = packet;
        packet.set_sequence(
            packet
                .sequence()
                .wrapping_add(u16::try_from(next + 3).unwrap()),
        );
        let ticks = u32::try_from(gap.as_millis() * 8).unwrap();
        packet.set_timestamp(packet.timestamp().wrapping_add(ticks));
        packet.at += gap;
        sent.push(packet);
    }
    let printed = heard_of(&sent).await;
    assert_near(printed.when("leg", "nouvelle"), 8.27);
    assert_near(printed.when("leg", "allô"), gap.as_secs_f64() + 0.4);
    assert_eq!(printed.count("leg")["lost"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_starts_over_goes_on_in_its_place() {
    // Another SSRC, other sequence numbers and timestamps, right behind; then the same SSRC with numbers of its own again.
    let first = pcmu("fr-accueil");
    let length = first.last().unwrap().at + ms(20);
    let mut sent = first;
    for packet in pcmu("fr-court") {
        let mut packet = packet;
        packet.at += length;
        packet.set_ssrc(77);
        packet.set_sequence(packet.sequence().wrapping_add(30_000));
        packet.set_timestamp(packet.timestamp().wrapping_mul(3).wrapping_add(12_345));
        // Timestamps of eight to a millisecond, wherever they begin.
        let ticks = u32::try_from((packet.at - length).as_micros() * 8 / 1_000).unwrap();
        packet.set_timestamp(1_000_000 + ticks);
        sent.push(packet);
    }
    let second = length + ms(3_000);
    for packet in pcmu("fr-court") {
        let mut packet = packet;
        packet.at += second;
        packet.set_ssrc(77);
        packet.set_sequence(packet.sequence().wrapping_add(10_000));
        sent.push(packet);
    }
    // A packet of a stranger's in between says nothing.
    let mut stranger = sent[100].clone();
    stranger.at += ms(7);
    stranger.set_ssrc(5);
    sent.push(stranger);
    let printed = heard_of(&sent).await;
    let hellos: Vec<_> = printed
        .words("leg")
        .into_iter()
        .filter(|(text, _)| text == "allô")
        .collect();
    assert_eq!(hellos.len(), 2, "{:?}", printed.words("leg"));
    assert_near(hellos[0].1, length.as_secs_f64() + 0.4);
    assert_near(hellos[1].1, second.as_secs_f64() + 0.4);
    assert_eq!(printed.count("leg")["changes"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_and_not_heard() {
    // The caller presses 5 for 100 ms in the pause at 3.4 s, with the end three times, and # whose end is lost.
    let mut sent = pcmu("fr-accueil");
    let begin = sent[0].timestamp();
    let mut keys = Vec::new();
    for (event, at, ends) in [(5_u8, 3_400_u64, 3), (11, 3_700, 0)] {
        let stamp = begin.wrapping_add(u32::try_from(at * 8).unwrap());
        for step in 1..=5 + ends {
            let mut packet = sent[0].clone();
            packet.at = ms(at + step.min(5) * 20 + step);
            packet.bytes.truncate(12);
            packet.bytes[1] = 101;
            let length = u16::try_from(step.min(5) * 160).unwrap().to_be_bytes();
            let end = if step > 5 { 0x80 } else { 0 };
            packet.bytes.extend([event, end | 10, length[0], length[1]]);
            packet.set_timestamp(stamp);
            keys.push(packet);
        }
    }
    // They take sequence numbers among the others.
    sent.extend(keys);
    sent.sort_by_key(|packet| packet.at);
    for (number, packet) in sent.iter_mut().enumerate() {
        packet.set_sequence(u16::try_from(number).unwrap());
    }
    let printed = heard_of(&sent).await;
    let digits = printed.of_type("digit");
    let told: Vec<_> = digits
        .iter()
        .map(|digit| digit["digit"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["5", "#"]);
    assert_near(digits[0]["start"].as_f64().unwrap(), 3.4);
    assert_near(digits[0]["end"].as_f64().unwrap(), 3.5);
    assert_near(printed.when("leg", "nouvelle"), 8.27);
    assert_eq!(printed.count("leg")["lost"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_clock_stood_still_on_hold_goes_on_where_it_is() {
    // Three seconds of hold that its timestamps and numbers know nothing of.
    let mut sent = pcmu("fr-accueil");
    let length = sent.last().unwrap().at + ms(20);
    let count = u16::try_from(sent.len()).unwrap();
    for packet in pcmu("fr-court") {
        let mut packet = packet;
        packet.set_sequence(packet.sequence().wrapping_add(count));
        let ticks = u32::try_from(length.as_millis() * 8).unwrap();
        packet.set_timestamp(packet.timestamp().wrapping_add(ticks));
        packet.at += length + ms(3_000);
        sent.push(packet);
    }
    let printed = heard_of(&sent).await;
    assert_near(printed.when("leg", "allô"), length.as_secs_f64() + 3.4);
    assert_eq!(printed.of_type("stopped").len(), 1);
    assert_eq!(printed.of_type("resumed").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_is_counted_and_harms_nobody() {
    let mut sent = pcmu("fr-accueil");
    let mut dice = Dice(3);
    let mut garbage = Vec::new();
    for packet in &sent {
        let mut bad = packet.clone();
        bad.at += ms(5);
        match dice.roll(5) {
            0 => bad.bytes.truncate(7),
            1 => bad.bytes[0] = 0,
            2 => bad.bytes.truncate(12),
            // An unknown payload type, and an extension that is longer than the packet.
            3 => bad.bytes[1] = 99,
            _ => bad.bytes[0] |= 0x1f,
        }
        garbage.push(bad);
    }
    sent.extend(garbage);
    let options = RtpOptions::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("garbage.pcap");
    write(&path, &sent);
    let printed = heard(&path, options).await;
    let leg = "10.0.0.1:4000";
    assert_near(printed.when(leg, "bonjour"), 0.4);
    assert_near(printed.when(leg, "nouvelle"), 8.27);
    assert!(
        printed.count(leg)["strays"].as_u64().unwrap() > 0
            || printed.count(leg)["undecodable"].as_u64().unwrap() > 0
    );
}
