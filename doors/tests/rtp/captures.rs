//! Captures: what is found in them, and what real phones said.

use std::path::{Path, PathBuf};

use doors::tap::capture;
use doors::tap::rtp::{self, RtpOptions};
use tokio_util::sync::CancellationToken;

use crate::sender::{From, Sent, audio, capture as write, pcmu, rtp as encode};
use crate::{Printed, assert_near, exchange};

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/rtp/data")
        .join(name)
}

/// What is said in a capture.
pub async fn heard(path: &Path, options: RtpOptions) -> Printed {
    let printed = Printed::default();
    let options = RtpOptions {
        pcap: Some(path.into()),
        latency: 200,
        ..options
    };
    let exchange = exchange(&[("pace", "exact")]);
    let end = CancellationToken::new();
    rtp::run(&options, &exchange, printed.json(), end)
        .await
        .unwrap();
    assert!(printed.of_type("failed").is_empty(), "{}", printed.text());
    assert_eq!(printed.of_type("ended").len(), 1);
    printed
}

pub fn named(names: &[&str]) -> RtpOptions {
    RtpOptions {
        leg: names.iter().map(|name| (*name).into()).collect(),
        ..RtpOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_real_phones_are_two_legs() {
    let path = data("baresip.pcap");
    let flows = capture::flows(&path).unwrap();
    assert_eq!(flows.len(), 2, "{flows:?}");
    assert!(flows[0].to_string().contains("0 PCMU"), "{}", flows[0]);
    let printed = heard(&path, RtpOptions::default()).await;
    let caller = flows.iter().map(|flow| flow.from.to_string());
    let legs: Vec<_> = caller.collect();
    let (talker, other) = match printed.words(&legs[0]).len() > printed.words(&legs[1]).len() {
        true => (&legs[0], &legs[1]),
        false => (&legs[1], &legs[0]),
    };
    assert_near(printed.when(talker, "bonjour"), 0.4);
    assert_near(printed.when(talker, "minutes"), 4.646);
    assert_near(printed.when(talker, "nouvelle"), 8.27);
    assert_near(printed.when(other, "allô"), 0.4);
    assert_eq!(printed.count(talker)["lost"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_can_be_chosen_by_its_port() {
    let path = data("baresip.pcap");
    let flows = capture::flows(&path).unwrap();
    let longest = flows.iter().max_by_key(|flow| flow.packets).unwrap();
    let options = RtpOptions {
        flow: vec![longest.from.port().to_string()],
        ..named(&["only"])
    };
    let printed = heard(&path, options).await;
    let legs: Vec<_> = printed.of_type("leg");
    assert_eq!(legs.len(), 1);
    assert_eq!(legs[0]["leg"], "only");
    let none = RtpOptions {
        pcap: Some(path),
        flow: vec!["9".into()],
        ..RtpOptions::default()
    };
    let end = CancellationToken::new();
    let refused = rtp::run(&none, &exchange(&[]), Printed::default().json(), end).await;
    assert!(refused.unwrap_err().to_string().contains("no flow 9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_codec_says_the_same_words_at_the_same_times() {
    let folder = tempfile::tempdir().unwrap();
    let codecs = [
        (
            "pcma",
            "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay",
            None,
        ),
        (
            "g722",
            "audio/x-raw,rate=16000,channels=1 ! avenc_g722 ! rtpg722pay name=pay",
            None,
        ),
        (
            "opus",
            "audio/x-raw,rate=48000,channels=1 ! opusenc ! rtpopuspay name=pay pt=111",
            Some("opus=111"),
        ),
        (
            "l16",
            "audio/x-raw,rate=16000,channels=1 ! rtpL16pay name=pay pt=97",
            Some("l16/16000=97"),
        ),
    ];
    for (name, encoder, option) in codecs {
        let path = folder.path().join(format!("{name}.pcap"));
        let packets = encode("fr-accueil", encoder);
        let flow = From {
            from: ([10, 0, 0, 1], 4000),
            to: ([10, 0, 0, 2], 5000),
            packets: &packets,
        };
        write(&path, &[flow]);
        let options = RtpOptions {
            codec: option.iter().map(|codec| codec.parse().unwrap()).collect(),
            ..named(&[name])
        };
        let printed = heard(&path, options).await;
        assert_near(printed.when(name, "bonjour"), 0.4);
        assert_near(printed.when(name, "nouvelle"), 8.27);
        assert_eq!(printed.count(name)["undecodable"], 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_between_the_same_ports_at_once_are_two_legs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixed.pcap");
    let first = pcmu("fr-accueil");
    let mut second = pcmu("fr-numero");
    second.iter_mut().for_each(|packet| packet.set_ssrc(9));
    let all: Vec<Sent> = first.into_iter().chain(second).collect();
    let flow = From {
        from: ([10, 0, 0, 1], 4000),
        to: ([10, 0, 0, 2], 5000),
        packets: &all,
    };
    write(&path, &[flow]);
    assert_eq!(capture::flows(&path).unwrap().len(), 2);
    let printed = heard(&path, RtpOptions::default()).await;
    assert_eq!(printed.of_type("leg").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_capture_is_refused_in_a_sentence() {
    let end = CancellationToken::new();
    let wav = audio("fr-court");
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pcap");
    write(&empty, &[]);
    for (path, expected) in [
        (wav, "is no capture"),
        (folder.path().join("none.pcap"), "cannot be read"),
        (empty, "holds no RTP"),
    ] {
        let options = RtpOptions {
            pcap: Some(path),
            ..RtpOptions::default()
        };
        let printer = Printed::default().json();
        let refused = rtp::run(&options, &exchange(&[]), printer, end.clone()).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_cut_off_or_garbled_is_heard_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(data("baresip.pcap")).unwrap();
    let cut = folder.path().join("cut.pcap");
    std::fs::write(&cut, &whole[..whole.len() * 6 / 10]).unwrap();
    let printed = heard(&cut, RtpOptions::default()).await;
    let said = printed.text();
    assert!(said.to_lowercase().contains("bonjour"), "{said}");
    // Any damage is survived; what is heard of it is the machine's affair.
    let mut garbled = whole;
    let mut dice = crate::dice::Dice(7);
    for _ in 0..2_000 {
        let length = garbled.len() as u64;
        let place = 24 + usize::try_from(dice.roll(length - 24)).unwrap();
        garbled[place] = u8::try_from(dice.roll(256)).unwrap();
    }
    let path = folder.path().join("garbled.pcap");
    std::fs::write(&path, garbled).unwrap();
    let _ = capture::flows(&path).unwrap();
}
