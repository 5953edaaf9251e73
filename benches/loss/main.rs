// SPDX-License-Identifier: MPL-2.0

//! What the tap hears of RTP that a network damaged: word errors against the truth, and how far words that are heard in both
//! runs are from their times in the undisturbed one. The demo model, on the recordings of tests/audio.
//!
//!     cargo bench -p whisperstream-doors --bench loss -- [--full] [NAME]...
//!
//! `--full` hears all recordings of people one after the other speaking, in each codec; without it three recordings in PCMU. A
//! NAME runs only the rows whose name holds it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/align.rs"]
mod align;
#[path = "../../doors/tests/common/dice.rs"]
mod dice;
#[path = "../../doors/tests/rtp/network.rs"]
mod network;
#[path = "../../doors/tests/common/printed.rs"]
mod printed;
#[allow(dead_code)]
#[path = "../../doors/tests/rtp/sender.rs"]
mod sender;
#[path = "../../doors/tests/rtp/trial.rs"]
mod trial;

use std::time::{Duration, Instant};

use network::{Loss, Way, change_source, lose, pause, shake, skew};
use sender::{Sent, pcmu, rtp};
use trial::{Tally, Word, hear, quantile, said, within};

const SHORT: [&str; 3] = ["fr-accueil", "en-greeting", "fr-messagerie"];
const FULL: [&str; 10] = [
    "fr-accueil",
    "fr-court",
    "fr-dense",
    "fr-messagerie",
    "fr-numero",
    "fr-pauses",
    "en-digits",
    "en-greeting",
    "en-short",
    "en-voicemail",
];
const RATES: [u64; 5] = [1, 5, 10, 20, 30];

type Damage = Box<dyn Fn(&[Sent], u64) -> Vec<Sent>>;

/// What is done to the packets, by name.
fn rows() -> Vec<(String, Damage)> {
    let mut rows: Vec<(String, Damage)> = Vec::new();
    for rate in RATES {
        rows.push((
            format!("{rate} % lost, each for itself"),
            Box::new(move |packets, seed| lose(packets, Loss::Random(rate), seed)),
        ));
    }
    for rate in RATES {
        rows.push((
            format!("{rate} % lost, in bursts"),
            Box::new(move |packets, seed| lose(packets, Loss::Burst(rate), seed)),
        ));
    }
    let way = Way {
        jitter: Duration::from_millis(150),
        twice: 10,
    };
    rows.push((
        "jitter of 150 ms, out of order, 10 % twice".into(),
        Box::new(move |packets, seed| shake(packets, way, seed)),
    ));
    for ppm in [-200, 200] {
        rows.push((
            format!("sender's clock off by {ppm:+} ppm"),
            Box::new(move |packets, _| skew(packets, ppm)),
        ));
    }
    rows.push((
        "another SSRC in mid-speech".into(),
        Box::new(|packets, _| change_source(packets, packets.len() / 2)),
    ));
    rows
}

/// A codec: its name, the end of a pipeline that sends it, what the tap must be told of it.
type Codec = (&'static str, fn(&str) -> Vec<Sent>, Option<&'static str>);

const CODECS: [Codec; 2] = [
    ("PCMU", pcmu, None),
    (
        "Opus",
        |file| {
            rtp(
                file,
                "audio/x-raw,rate=48000,channels=1 ! opusenc audio-type=voice inband-fec=true packet-loss-percentage=10 ! \
                 rtpopuspay name=pay pt=111",
            )
        },
        Some("opus=111"),
    ),
];

#[tokio::main]
async fn main() {
    // Cargo says --bench.
    let args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (options, names): (Vec<String>, Vec<String>) = args.partition(|arg| arg == "--full");
    let full = !options.is_empty();
    let begun = Instant::now();
    let (files, codecs) = match full {
        true => (FULL.as_slice(), CODECS.as_slice()),
        false => (SHORT.as_slice(), &CODECS[..1]),
    };
    for (name, encode, option) in codecs {
        println!("\n{name}\n");
        println!(
            "| | lost | word errors | words in both | within 40 ms | with neighbours in both | within 40 ms | p95 | most |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let mut whole: Vec<(Vec<Sent>, Vec<Word>, Vec<Word>)> = Vec::new();
        let mut tally = Tally::default();
        for file in files {
            let (packets, truth) = (encode(file), said(file));
            let (heard, count) = hear(file, &packets, *option).await;
            tally.add(&truth, &heard, &heard, &count);
            whole.push((packets, truth, heard));
        }
        print("nothing", &tally);
        let mut rows = rows();
        if *name == "PCMU" {
            rows.push((
                "silence not sent (DTX)".into(),
                Box::new(|packets, _| pause(packets)),
            ));
        }
        for (row, damage) in rows {
            if !names.is_empty() && !names.iter().any(|name| row.contains(name.as_str())) {
                continue;
            }
            let mut tally = Tally::default();
            for (number, (file, (packets, truth, undisturbed))) in
                files.iter().zip(&whole).enumerate()
            {
                let damaged = damage(packets, number as u64 + 1);
                let (heard, count) = hear(file, &damaged, *option).await;
                tally.add(truth, undisturbed, &heard, &count);
            }
            print(&row, &tally);
        }
    }
    println!("\n{:.0} s", begun.elapsed().as_secs_f64());
}

fn print(name: &str, tally: &Tally) {
    let shifts = tally.starts.iter().zip(&tally.ends);
    let shifts: Vec<f64> = shifts.map(|(start, end)| start.max(*end)).collect();
    println!(
        "| {name} | {:.1} % | {:.1} % | {} of {} | {:.1} % | {} | {:.1} % | {:.0} ms | {:.0} ms |",
        100.0 * tally.lost as f64 / (tally.packets + tally.lost).max(1) as f64,
        tally.errors(),
        shifts.len(),
        tally.words,
        within(&shifts, 40.0),
        tally.settled.len(),
        within(&tally.settled, 40.0),
        quantile(&tally.settled, 0.95),
        quantile(&tally.settled, 1.0),
    );
}
