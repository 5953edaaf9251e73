use std::path::Path;

use doors::exchange::Policy;
use futures::SinkExt;
use gst::prelude::*;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::*;

/// What is told for good on a channel.
fn text(messages: &[Value], channel: usize) -> String {
    let finals = messages.iter().filter(|message| {
        message["type"] == "Results"
            && message["is_final"] == true
            && message["channel_index"][0] == channel
    });
    let texts = finals.map(|message| {
        message["channel"]["alternatives"][0]["transcript"]
            .as_str()
            .unwrap()
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn of<'a>(messages: &'a [Value], kind: &str) -> Vec<&'a Value> {
    messages
        .iter()
        .filter(|message| message["type"] == kind)
        .collect()
}

async fn sdk(port: u16, audio: &[u8], options: Value) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), audio).unwrap();
    let path = file.path().to_str().unwrap();
    python(
        "deepgram_client.py",
        &[&port.to_string(), path, &options.to_string()],
    )
    .await
}

#[tokio::test]
async fn the_sdk_is_told_words_and_ends_and_its_finalize_is_answered() {
    // A pass at every chunk, so that there are texts to be revised however fast the audio comes.
    let settings = ["language=fr", "pace=exact"];
    let exchange = exchange_of(Policy {
        settings: settings.map(|it| it.parse().unwrap()).into(),
        ..Policy::default()
    });
    let port = serve(&exchange).await;
    let mut audio = s16le(&samples("fr-accueil"));
    audio.resize(audio.len() + 2 * 32_000, 0);
    let connect = json!({
        "encoding": "linear16", "sample_rate": "16000", "language": "fr-FR", "interim_results": "true",
        "vad_events": "true", "utterance_end_ms": "1000", "endpointing": "300", "smart_format": "true",
    });
    let options = json!({"connect": connect, "finalize_at": 3 * 32_000, "terms": ["Belledonne"]});
    let told = sdk(port, &audio, options).await;

    assert_said(&text(&told, 0), "fr-accueil");
    let results = of(&told, "Results");
    assert!(results.iter().all(|it| it["class"] == "ListenV1Results"));
    assert!(
        results.iter().any(|it| it["is_final"] == false),
        "interim results"
    );
    assert!(
        results.iter().any(|it| it["speech_final"] == true),
        "an end"
    );
    let finalized: Vec<_> = results
        .iter()
        .filter(|it| it["from_finalize"] == true)
        .collect();
    assert_eq!(finalized.len(), 1);
    // It is of what was said before it: three seconds.
    assert!(finalized[0]["start"].as_f64().unwrap() < 3.0);
    let before: Vec<_> = told
        .iter()
        .take_while(|it| it["from_finalize"] != true)
        .cloned()
        .collect();
    let said = format!(
        "{} {}",
        text(&before, 0),
        finalized[0]["channel"]["alternatives"][0]["transcript"]
    );
    assert!(
        said.to_lowercase().contains("appelle"),
        "said before the Finalize: {said}"
    );

    for result in results.iter().filter(|it| it["is_final"] == true) {
        let words = result["channel"]["alternatives"][0]["words"]
            .as_array()
            .unwrap();
        for word in words {
            assert!(
                word["start"].as_f64() <= word["end"].as_f64()
                    && word["end"].as_f64().unwrap() < 13.0
            );
            assert!((0.0..=1.0).contains(&word["confidence"].as_f64().unwrap()));
            assert!(word["punctuated_word"].is_string());
        }
    }
    assert_eq!(
        of(&told, "SpeechStarted")[0]["class"],
        "ListenV1SpeechStarted"
    );
    let ends = of(&told, "UtteranceEnd");
    assert_eq!(ends.last().unwrap()["class"], "ListenV1UtteranceEnd");
    let configured = of(&told, "ConfigureSuccess")[0];
    assert_eq!(configured["keyterms"], json!(["Belledonne"]));
    let metadata = told.last().unwrap();
    assert_eq!(metadata["class"], "ListenV1Metadata");
    let seconds = audio.len() as f64 / 32_000.0;
    assert!((metadata["duration"].as_f64().unwrap() - seconds).abs() < 0.001);
    let sum = ring::digest::digest(&ring::digest::SHA256, &audio);
    let hex: String = sum
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(metadata["sha256"], hex);
    gone(&exchange).await;
}

#[tokio::test]
async fn the_sdk_has_both_sides_of_a_mulaw_call_apart() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let (caller, agent) = (
        halved(&samples("fr-accueil")),
        halved(&samples("fr-messagerie")),
    );
    let audio = mulaw(&interleaved(&caller, &agent));
    let connect = json!({
        "encoding": "mulaw", "sample_rate": "8000", "channels": "2", "multichannel": "true", "language": "fr",
    });
    let told = sdk(port, &audio, json!({"connect": connect})).await;
    assert_said(&text(&told, 0), "fr-accueil");
    assert_said(&text(&told, 1), "fr-messagerie");
    assert!(
        of(&told, "Results")
            .iter()
            .all(|it| it["channel_index"][1] == 2)
    );
    assert!(
        of(&told, "Results").iter().all(|it| it["is_final"] == true),
        "no interim unless asked"
    );
    let first = of(&told, "Results")[0]["channel"]["alternatives"][0].clone();
    let transcript = first["transcript"].as_str().unwrap();
    assert_eq!(
        transcript,
        transcript.to_lowercase(),
        "bare words unless asked"
    );
    assert!(first["words"][0]["punctuated_word"].is_null());
}

/// Ogg with Opus in it, as clients that name no encoding send it.
fn opus(from: &Path) -> Vec<u8> {
    let to = tempfile::NamedTempFile::new().unwrap();
    let line = format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! opusenc ! oggmux ! filesink location={}",
        from.display(),
        to.path().display()
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends)
        .unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    std::fs::read(to.path()).unwrap()
}

#[tokio::test]
async fn the_sdk_may_send_a_container_and_name_no_encoding() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let audio = opus(&wav("fr-accueil"));
    let told = sdk(
        port,
        &audio,
        json!({"connect": {"language": "fr", "punctuate": "true"}}),
    )
    .await;
    assert_said(&text(&told, 0), "fr-accueil");
    let duration = told.last().unwrap()["duration"].as_f64().unwrap();
    assert!((9.0..10.5).contains(&duration), "{duration}");
}

#[tokio::test]
async fn a_query_that_cannot_be_served_is_answered_in_deepgrams_form() {
    let exchange = exchange_of(Policy {
        max_calls: 1,
        ..Policy::default()
    });
    let port = serve(&exchange).await;
    let told = sdk(
        port,
        &[],
        json!({"connect": {"encoding": "g729", "sample_rate": "8000"}}),
    )
    .await;
    assert_eq!(
        (&told[0]["class"], &told[0]["status"]),
        (&json!("InvalidStatus"), &json!(400))
    );
    assert!(
        told[0]["headers"]["dg-error"]
            .as_str()
            .unwrap()
            .contains("linear16"),
        "{}",
        told[0]
    );

    let refused = |path: &'static str| async move {
        let url = format!("ws://127.0.0.1:{port}/v1/listen?{path}");
        let Err(tungstenite::Error::Http(response)) = connect_async(url).await else {
            panic!("{path} was taken");
        };
        let status = response.status().as_u16();
        let body: Value = serde_json::from_slice(&response.into_body().unwrap()).unwrap();
        (status, body["err_msg"].as_str().unwrap().to_owned())
    };
    let (status, why) = refused("encoding=linear16&language=klingon").await;
    assert_eq!(status, 400);
    assert!(why.contains("klingon"), "{why}");
    let _one = socket(port, "/v1/listen?encoding=linear16").await;
    let (status, why) = refused("encoding=linear16").await;
    assert_eq!(status, 429);
    assert!(why.contains("try again"), "{why}");
}

#[tokio::test]
async fn a_finalize_without_audio_and_many_of_them_are_answered() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut client = socket(port, "/v1/listen?encoding=linear16").await;
    for _ in 0..100 {
        say(&mut client, r#"{"type": "Finalize"}"#).await;
    }
    // Three odd bytes a message: samples are cut anywhere.
    for piece in s16le(&samples("fr-court")).chunks(333) {
        client.send(Message::binary(piece.to_vec())).await.unwrap();
    }
    say(&mut client, r#"{"type":"Finalize"}"#).await;
    // An empty message ends, as for old clients.
    client.send(Message::binary(Vec::new())).await.unwrap();
    let (told, closed) = rest(&mut client).await;
    let finalized = of(&told, "Results")
        .into_iter()
        .filter(|it| it["from_finalize"] == true);
    assert_eq!(finalized.count(), 101);
    assert_said(&text(&told, 0), "fr-court");
    assert_eq!(closed.unwrap().0, 1000);
    gone(&exchange).await;
}

#[tokio::test]
async fn what_is_no_order_ends_the_call_with_an_error_and_harms_nobody_else() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    for wrong in [
        "{\"type\":\"Sing\"}",
        "{",
        "flush",
        "[]",
        "{\"type\":\"Configure\",\"keyterms\":7}",
    ] {
        let mut client = socket(port, "/v1/listen?encoding=linear16").await;
        say(&mut client, wrong).await;
        let (told, closed) = rest(&mut client).await;
        let error = told.last().unwrap();
        assert_eq!(
            (&error["type"], &error["variant"]),
            (&json!("Error"), &json!("SchemaError")),
            "{wrong}"
        );
        assert_eq!(closed.unwrap().0, 1008);
    }
    // No container at all.
    let mut client = socket(port, "/v1/listen").await;
    let noise: Vec<u8> = (0..200_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for piece in noise.chunks(8_000) {
        if client.send(Message::binary(piece.to_vec())).await.is_err() {
            break;
        }
    }
    let _ = client
        .send(Message::text("{\"type\":\"CloseStream\"}"))
        .await;
    let (told, closed) = rest(&mut client).await;
    assert_eq!(told.last().unwrap()["variant"], "DATA-0000");
    assert_eq!(closed.unwrap().0, 1008);
    // Longer than a message may be.
    let mut client = socket(port, "/v1/listen?encoding=linear16").await;
    let _ = client.send(Message::binary(vec![0; 2 << 20])).await;
    rest(&mut client).await;
    // Gone within a word.
    let mut client = socket(port, "/v1/listen?encoding=linear16").await;
    let audio = s16le(&samples("fr-court"));
    client
        .send(Message::binary(audio[..20_001].to_vec()))
        .await
        .unwrap();
    drop(client);
    gone(&exchange).await;
    let mut client = socket(port, "/v1/listen?encoding=linear16").await;
    client.send(Message::binary(audio)).await.unwrap();
    say(&mut client, r#"{"type":"CloseStream"}"#).await;
    assert_said(&text(&rest(&mut client).await.0, 0), "fr-court");
}
