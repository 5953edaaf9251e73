//! What is said on the socket.

use serde_json::json;

use crate::client::{of, server, text};
use crate::common::{audio, bytes, samples, spoken};

/// Byte for byte what clients of old do and expect.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_old_is_served_as_ever() {
    let server = server().await;
    let mut client = server.connect("").await;
    let ready = client.next().await;
    assert_eq!(
        (&ready["type"], &ready["sample_rate"]),
        (&json!("ready"), &json!(16_000))
    );
    // 100 ms a message.
    client.audio(&audio("fr-accueil"), 3_200).await;
    client.text("flush").await;
    let said = client.until("flushed").await;
    assert_eq!(text(&said, None), spoken("fr-accueil"));
    assert_eq!(said.last(), Some(&json!({"type": "flushed"})));
    for said in &said[..said.len() - 1] {
        assert_eq!(
            said["type"], "final",
            "nothing that it does not know: {said}"
        );
        let (beg, end) = (
            said["beg_ms"].as_u64().unwrap(),
            said["end_ms"].as_u64().unwrap(),
        );
        assert!(beg < end && end <= 9_600, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_brings_the_tail_and_a_good_bye() {
    let server = server().await;
    let mut client = server.client("?language=fr&utterances=1").await;
    // However the audio is cut, odd bytes too.
    client.audio(&audio("fr-accueil"), 4_999).await;
    client.text("end").await;
    let said = client.until("close").await;
    assert_eq!(text(&said, None), spoken("fr-accueil"));
    assert_eq!(said[said.len() - 2], json!({"type": "ended"}));
    assert_eq!(said[said.len() - 1]["code"], 1000);
    let utterances = of("utterance", &said);
    let whole: Vec<_> = utterances
        .iter()
        .map(|u| u["text"].as_str().unwrap())
        .collect();
    assert_eq!(crate::common::plain(&whole.join(" ")), spoken("fr-accueil"));
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partials_come_on_request() {
    let server = server().await;
    let mut client = server.client("?language=fr&partials=1").await;
    client.audio(&audio("fr-court"), 3_200).await;
    client
        .text(r#"{"type":"flush","marker":"all of it"}"#)
        .await;
    let said = client.until("flushed").await;
    assert_eq!(
        said.last(),
        Some(&json!({"type": "flushed", "marker": "all of it"}))
    );
    let partials = of("partial", &said);
    assert!(partials.len() >= 2, "{said:?}");
    for partial in partials {
        let of = |field: &str| partial[field].as_str().unwrap().to_owned();
        assert_eq!(
            of("text"),
            format!("{}{}", of("committed"), of("tail")).trim(),
            "{partial}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flushes_are_answered_in_order_with_their_markers() {
    let server = server().await;
    let mut client = server.client("?language=fr").await;
    // More than may wait at a time.
    for n in 0..40 {
        client
            .text(&format!(r#"{{"type":"flush","marker":"{}"}}"#, n % 3))
            .await;
    }
    for n in 0..40 {
        let flushed = client.next().await;
        assert_eq!(
            flushed,
            json!({"type": "flushed", "marker": (n % 3).to_string()})
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn telephones_mu_law_is_heard() {
    let server = server().await;
    let mut client = server.client("?language=fr&rate=8000&encoding=mulaw").await;
    let mulaw: Vec<u8> = halved(&samples("fr-accueil"))
        .into_iter()
        .map(mulaw)
        .collect();
    // 20 ms a message.
    client.audio(&mulaw, 160).await;
    client.text("end").await;
    let said = client.until("close").await;
    let told = text(&said, None);
    let right = shared_words(&told, &spoken("fr-accueil"));
    assert!(right >= 17, "{right} of 22 words: {told}");
    let last = of("final", &said).last().unwrap()["end_ms"]
        .as_u64()
        .unwrap();
    assert!(
        (8_500..=9_600).contains(&last),
        "times are the stream's: {last}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_legs() {
    let server = server().await;
    let mut client = server
        .client("?language=fr&channels=2&legs=agent,customer&acks=1")
        .await;
    let (left, right) = (samples("fr-accueil"), samples("fr-court"));
    let stereo = (0..left.len().max(right.len()))
        .flat_map(|i| [&left, &right].map(|side| side.get(i).copied().unwrap_or(0)));
    client
        .audio(&bytes(&stereo.collect::<Vec<_>>()), 6_400)
        .await;
    client.text("flush").await;
    let said = client.until("flushed").await;
    assert_eq!(text(&said, Some("agent")), spoken("fr-accueil"));
    assert_eq!(text(&said, Some("customer")), spoken("fr-court"));
    client.text("end").await;
    client.until("close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumed_from_an_ack_says_the_rest_once() {
    let server = server().await;
    let query = "?language=fr&pace=exact&acks=1&utterances=1";
    let mut client = server.client(query).await;
    let audio = audio("fr-pauses");
    client.audio(&audio, 3_200).await;
    client.text("end").await;
    let whole = client.until("close").await;
    let acks = of("ack", &whole);
    assert!(acks.len() >= 2, "{whole:?}");
    let ms = acks[0]["ms"].as_u64().unwrap();
    let at = whole.iter().position(|said| said["type"] == "ack").unwrap();

    let mut client = server.client(&format!("{query}&resume_ms={ms}")).await;
    client.audio(&audio[ms as usize * 32..], 3_200).await;
    client.text("end").await;
    let rest = client.until("close").await;
    assert_eq!(text(&rest, None), text(&whole[at..], None));
    let first = |said: &[serde_json::Value]| of("final", said)[0]["beg_ms"].as_i64().unwrap();
    let (resumed, undisturbed) = (first(&rest), first(&whole[at..]));
    assert!(
        (resumed - undisturbed).abs() <= 200,
        "{resumed} for {undisturbed}"
    );
}

/// Every other sample, the mean of its neighbours.
fn halved(samples: &[i16]) -> Vec<i16> {
    let mean =
        |pair: &[i16]| (pair.iter().map(|s| i32::from(*s)).sum::<i32>() / pair.len() as i32) as i16;
    samples.chunks(2).map(mean).collect()
}

/// ITU-T G.711.
fn mulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let level = (i32::from(sample).abs() + 132).min(32_767);
    let exponent = (0..8).rev().find(|e| level >> (e + 7) != 0).unwrap_or(0);
    let mantissa = (level >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// Words of the longest common subsequence.
fn shared_words(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.split(' ').collect();
    let mut row = vec![0; b.len() + 1];
    for word in a.split(' ') {
        let mut diagonal = 0;
        for (i, other) in b.iter().enumerate() {
            let up = row[i + 1];
            row[i + 1] = if word == *other {
                diagonal + 1
            } else {
                up.max(row[i])
            };
            diagonal = up;
        }
    }
    row[b.len()]
}
