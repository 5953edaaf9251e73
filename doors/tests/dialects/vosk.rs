use doors::dialects::Ports;
use doors::exchange::Policy;
use futures::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

fn text(replies: &[Value]) -> String {
    let texts = replies.iter().filter_map(|reply| reply["text"].as_str());
    texts.collect::<Vec<_>>().join(" ")
}

/// The address of the door's own port.
async fn own_port(exchange: &doors::exchange::Exchange) -> String {
    let ports = Ports {
        vosk: Some(0),
        ..Ports::default()
    };
    let open = ports
        .open("127.0.0.1", exchange, &doors::security::Security::default())
        .await
        .unwrap();
    format!("ws://{}", open[0])
}

async fn client(url: &str, rate: u32, audio: &[i16], configs: &[Value]) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), s16le(audio)).unwrap();
    let (rate, path) = (rate.to_string(), file.path().to_str().unwrap());
    let configs: Vec<_> = configs.iter().map(Value::to_string).collect();
    let mut args = vec![url, &rate, path];
    args.extend(configs.iter().map(String::as_str));
    python("vosk_client.py", &args).await
}

#[tokio::test]
async fn the_examples_loop_has_one_reply_a_chunk_and_all_words() {
    let exchange = exchange();
    let url = own_port(&exchange).await;
    let audio = halved(&samples("fr-pauses"));
    let mut replies = client(&url, 8_000, &audio, &[]).await;
    assert_eq!(replies.pop().unwrap(), json!({"code": 1000}));
    assert_eq!(replies.len(), audio.len().div_ceil(1_600) + 1);
    for reply in &replies {
        assert!(
            reply["partial"].is_string() ^ reply["text"].is_string(),
            "{reply}"
        );
    }
    let heard = text(&replies);
    assert_said(&heard, "fr-pauses");
    assert_eq!(heard, heard.to_lowercase(), "bare words, as Vosk's");
    assert!(
        replies.last().unwrap()["text"].is_string(),
        "the last is a result"
    );
    let mut last = 0.0;
    let results = replies
        .iter()
        .filter_map(|reply| reply["result"].as_array());
    for word in results.flatten() {
        let (start, end) = (
            word["start"].as_f64().unwrap(),
            word["end"].as_f64().unwrap(),
        );
        assert!(last <= start + 0.05 && start <= end, "{word}");
        assert!((0.0..=1.0).contains(&word["conf"].as_f64().unwrap()));
        assert!(heard.contains(word["word"].as_str().unwrap()));
        last = end;
    }
    assert!(last > 3.0 && last < audio.len() as f64 / 8_000.0 + 0.1);
    gone(&exchange).await;
}

#[tokio::test]
async fn the_client_in_vosks_own_package_has_its_text_and_subtitles() {
    let exchange = exchange();
    let url = own_port(&exchange).await;
    let audio = samples("fr-pauses");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), s16le(&audio)).unwrap();
    let path = file.path().to_str().unwrap();
    let mut results = python("vosk_transcriber.py", &[&url, path]).await;
    let end = results.pop().unwrap();
    assert_eq!(end["size"], audio.len() * 2);
    assert_said(&text(&results), "fr-pauses");
    let subtitles = end["subtitles"].as_str().unwrap();
    assert!(subtitles.contains(" --> "), "{subtitles}");
    gone(&exchange).await;
}

#[tokio::test]
async fn partials_come_while_somebody_speaks_and_configs_are_heeded() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let audio = samples("fr-accueil");
    let url = format!("ws://127.0.0.1:{port}/vosk");
    let more = json!({"words": false, "max_alternatives": 3, "phrase_list": ["contrat", "[unk]"], "punctuate": true, "model": "fr"});
    let mut replies = client(&url, 16_000, &audio, &[more]).await;
    replies.pop();
    let texts = replies
        .iter()
        .filter_map(|reply| reply["alternatives"][0]["text"].as_str());
    assert_said(&texts.collect::<Vec<_>>().join(" "), "fr-accueil");
    let result = replies
        .iter()
        .find(|reply| reply["alternatives"].is_array())
        .unwrap();
    assert!(result["alternatives"][0]["confidence"].is_number());
    assert!(
        result["alternatives"][0]["result"].is_null(),
        "no words unless asked"
    );
    assert!(
        replies.iter().any(|reply| reply["partial"]
            .as_str()
            .is_some_and(|text| !text.is_empty())),
        "something is told while it is said"
    );
}

#[tokio::test]
async fn a_reset_tells_what_was_said_and_nothing_twice() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut client = socket(port, "/vosk").await;
    say(&mut client, r#"{"config":{"sample_rate":16000.0}}"#).await;
    let audio = s16le(&samples("fr-accueil"));
    let mut replies = Vec::new();
    for (number, piece) in audio.chunks(16_001).enumerate() {
        client.send(Message::binary(piece.to_vec())).await.unwrap();
        replies.push(hear(&mut client).await.unwrap());
        if number == 8 {
            say(&mut client, r#"{"reset":1}"#).await;
            let reply = hear(&mut client).await.unwrap();
            assert!(!reply["text"].as_str().unwrap().is_empty(), "{reply}");
            replies.push(reply);
        }
    }
    say(&mut client, r#"  {  "eof":1 }"#).await;
    let (last, closed) = rest(&mut client).await;
    assert_eq!((last.len(), closed.unwrap().0), (1, 1000));
    replies.extend(last);
    assert_said(&text(&replies), "fr-accueil");
}

#[tokio::test]
async fn without_audio_there_is_an_empty_result() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut client = socket(port, "/vosk").await;
    say(&mut client, r#"{"reset" : 1}"#).await;
    assert_eq!(hear(&mut client).await.unwrap(), json!({"text": ""}));
    say(&mut client, r#"{"eof" : 1}"#).await;
    assert_eq!(rest(&mut client).await.0, [json!({"text": ""})]);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_the_close_frame() {
    let exchange = exchange_of(Policy {
        max_calls: 1,
        ..Policy::default()
    });
    let port = serve(&exchange).await;
    for (wrong, says) in [
        ("{", "no config"),
        ("{\"sing\":1}", "config, eof and reset"),
        (r#"{"config":{"sample_rate":"high"}}"#, "no config"),
        (r#"{"config":{"sample_rate":-8000}}"#, "4000 to 192000"),
    ] {
        let mut client = socket(port, "/vosk").await;
        say(&mut client, wrong).await;
        let (told, closed) = rest(&mut client).await;
        let (code, reason) = closed.unwrap();
        assert!(
            told.is_empty() && code == 1008 && reason.contains(says),
            "{wrong}: {code} {reason}"
        );
    }
    for (path, says) in [
        ("/vosk?dump-dir=/tmp", "who runs the server"),
        ("/vosk?colour=red", "no property colour"),
    ] {
        let mut client = socket(port, path).await;
        client.send(Message::binary(vec![0; 3_200])).await.unwrap();
        let (code, reason) = rest(&mut client).await.1.unwrap();
        assert!(
            code == 1008 && reason.contains(says),
            "{path}: {code} {reason}"
        );
    }
    // A second client is told to come again, and the first one's words are whole.
    let mut first = socket(port, "/vosk?language=fr").await;
    say(&mut first, r#"{"config":{"sample_rate":16000}}"#).await;
    let audio = s16le(&samples("fr-court"));
    let (head, tail) = audio.split_at(20_001);
    first.send(Message::binary(head.to_vec())).await.unwrap();
    let mut replies = vec![hear(&mut first).await.unwrap()];
    let mut second = socket(port, "/vosk").await;
    second.send(Message::binary(vec![0; 3_200])).await.unwrap();
    let (code, reason) = rest(&mut second).await.1.unwrap();
    assert!(
        code == 1013 && reason.contains("try again"),
        "{code} {reason}"
    );
    first.send(Message::binary(tail.to_vec())).await.unwrap();
    replies.push(hear(&mut first).await.unwrap());
    say(&mut first, r#"{"eof" : 1}"#).await;
    replies.extend(rest(&mut first).await.0);
    assert_said(&text(&replies), "fr-court");
    // Gone within a word, without a word.
    let mut client = socket(port, "/vosk").await;
    client
        .send(Message::binary(audio[..9_001].to_vec()))
        .await
        .unwrap();
    drop(client);
    gone(&exchange).await;
}
