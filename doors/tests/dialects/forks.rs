use doors::call::Setting;
use doors::exchange::Policy;
use futures::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::*;
use crate::twilio::call;

/// The events in what FreeSWITCH is told: by the module's form of them.
fn events(told: &[Value], is_fork: bool) -> Vec<Value> {
    let events = told.iter().filter_map(|message| match is_fork {
        true if message["type"] == "transcription" => Some(message["data"].clone()),
        true => None,
        false => Some(message.clone()),
    });
    events.collect()
}

fn text(events: &[Value], leg: Option<&str>) -> String {
    let words = events
        .iter()
        .filter(|event| event["type"] == "words" && event["leg"].as_str() == leg);
    words
        .map(|event| event["text"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn a_stereo_fork_has_its_legs_transcribed_and_its_protocol_echoed() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let url = format!("ws://127.0.0.1:{port}/mod_audio_fork?mix=stereo&rate=8k");
    let mut request = url.into_client_request().unwrap();
    let protocol = "audio.drachtio.org".parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    let (mut fork, response) = connect_async(request).await.unwrap();
    assert_eq!(
        response.headers()["Sec-WebSocket-Protocol"],
        "audio.drachtio.org"
    );
    let metadata = json!({"callSid": "a-call", "language": "fr", "barge-in-after": 300, "customer": {"id": 7}, "from": "+33"});
    say(&mut fork, metadata.to_string()).await;
    let (caller, bot) = (
        halved(&samples("fr-accueil")),
        halved(&samples("fr-messagerie")),
    );
    for piece in s16le(&interleaved(&caller, &bot)).chunks(640) {
        fork.send(Message::binary(piece.to_vec())).await.unwrap();
    }
    call(&exchange, "a-call").await;
    fork.close(None).await.unwrap();
    let (told, _) = rest(&mut fork).await;
    assert!(told.contains(&json!({"type": "killAudio"})));
    gone(&exchange).await;
}

#[tokio::test]
async fn results_go_back_in_the_form_of_each_module() {
    for (path, is_fork) in [("/mod_audio_fork", true), ("/mod_audio_stream", false)] {
        let exchange = exchange();
        let port = serve(&exchange).await;
        // mod_audio_stream's frames are 20 ms: 640 bytes at 16 kHz.
        let mut client = socket(
            port,
            &format!("{path}?rate=16k&interim=true&channels=2&legs=caller,bot"),
        )
        .await;
        say(&mut client, r#"{"uuid":"b-call","barge_in_after":300}"#).await;
        let audio = s16le(&interleaved(
            &samples("fr-accueil"),
            &samples("fr-messagerie"),
        ));
        for (number, piece) in audio.chunks(1_280).enumerate() {
            client.send(Message::binary(piece.to_vec())).await.unwrap();
            if number == 100 {
                say(&mut client, "from the dialplan").await;
                say(&mut client, r#"{"type":"note","to":"somebody"}"#).await;
                say(&mut client, r#"{"type":"flush","marker":"two seconds"}"#).await;
            }
        }
        say(&mut client, "flush").await;
        let mut told = Vec::new();
        let mut flushes = 0;
        while flushes < 2 {
            let message = hear(&mut client).await.expect("a flush is answered");
            let event = if is_fork { &message["data"] } else { &message };
            flushes += usize::from(event["type"] == "flushed");
            told.push(message);
        }
        client.close(None).await.unwrap();
        let events = events(&told, is_fork);
        assert_said(&text(&events, Some("caller")), "fr-accueil");
        assert_said(&text(&events, Some("bot")), "fr-messagerie");
        assert!(
            events.iter().any(|event| event["type"] == "partial"),
            "interim was asked for"
        );
        let flushed = events
            .iter()
            .find(|event| event["type"] == "flushed")
            .unwrap();
        assert_eq!(flushed["marker"], "two seconds");
        assert!(
            events
                .iter()
                .any(|event| event["type"] == "barge-in" && event["cause"] == "speech")
        );
        let kills = told
            .iter()
            .filter(|message| message["type"] == "killAudio")
            .count();
        assert_eq!(kills > 0, is_fork);
        if is_fork {
            assert!(
                told.iter()
                    .all(|it| it["type"] == "transcription" || it["type"] == "killAudio")
            );
        }
        gone(&exchange).await;
    }
}

#[tokio::test]
async fn without_metadata_the_first_frame_is_audio() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    for first in [
        None,
        Some(""),
        Some("anything"),
        Some("language=fr&uuid=c-call"),
        Some("[1,2]"),
    ] {
        let mut client = socket(port, "/mod_audio_stream").await;
        if let Some(first) = first {
            say(&mut client, first).await;
        }
        let audio = s16le(&halved(&samples("fr-court")));
        // Odd sizes: samples are cut anywhere.
        for piece in audio.chunks(321) {
            client.send(Message::binary(piece.to_vec())).await.unwrap();
        }
        say(&mut client, r#"{"type":"flush"}"#).await;
        let mut told = Vec::new();
        loop {
            let message = hear(&mut client).await.expect("an answer");
            if message["type"] == "flushed" {
                break;
            }
            told.push(message);
        }
        assert_said(&text(&told, None), "fr-court");
        drop(client);
        gone(&exchange).await;
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_told_in_the_form_of_each_module() {
    let exchange = exchange_of(Policy {
        settings: vec![Setting::new("language", "fr")],
        max_calls: 1,
        ..Policy::default()
    });
    let port = serve(&exchange).await;
    for (path, metadata, says) in [
        ("/mod_audio_fork?rate=fast", "", "8k, 16k"),
        ("/mod_audio_fork?mix=quadro", "", "stereo"),
        ("/mod_audio_stream?legs=one", "", "two names"),
        ("/mod_audio_stream?colour=red", "", "no property colour"),
        (
            "/mod_audio_stream",
            r#"{"sampleRate":-8000}"#,
            "4000 to 192000",
        ),
        ("/mod_audio_fork", r#"{"language":"klingon"}"#, "klingon"),
        (
            "/mod_audio_fork",
            r#"{"dump-dir":"/tmp"}"#,
            "who runs the server",
        ),
        ("/mod_audio_fork", r#"{"uuid":"../x"}"#, "no id"),
    ] {
        let mut client = socket(port, path).await;
        say(&mut client, metadata).await;
        let (told, closed) = rest(&mut client).await;
        let error = &told[0];
        let sentence = match path.contains("fork") {
            true => error["data"]["error"].as_str(),
            false => error["error"].as_str(),
        };
        assert_eq!(error["type"], "error");
        assert!(
            sentence.unwrap().contains(says),
            "{path} {metadata}: {error}"
        );
        assert_eq!(closed.unwrap().0, 1008);
        gone(&exchange).await;
    }
    let mut first = socket(port, "/mod_audio_fork").await;
    say(&mut first, "uuid=d-call").await;
    call(&exchange, "d-call").await;
    let mut second = socket(port, "/mod_audio_fork").await;
    say(&mut second, "uuid=e-call").await;
    assert_eq!(rest(&mut second).await.1.unwrap().0, 1013);
    // Settings within the call: those that cannot be made are told, and the call goes on.
    say(
        &mut first,
        r#"{"vad-min-silence":"soon","model":"/etc/passwd","language":"fr","nonsense":1}"#,
    )
    .await;
    let mut errors = Vec::new();
    for _ in 0..2 {
        errors.push(
            hear(&mut first).await.unwrap()["data"]["error"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    errors.sort();
    assert!(errors[0].starts_with("model"), "{errors:?}");
    assert!(errors[1].starts_with("vad-min-silence"), "{errors:?}");
    for piece in s16le(&halved(&samples("fr-court"))).chunks(320) {
        first.send(Message::binary(piece.to_vec())).await.unwrap();
    }
    for _ in 0..40 {
        say(&mut first, "flush").await;
    }
    let mut told = Vec::new();
    while told
        .iter()
        .filter(|it: &&Value| it["data"]["type"] == "flushed")
        .count()
        < 40
    {
        told.push(hear(&mut first).await.expect("every flush is answered"));
    }
    assert_said(&text(&events(&told, true), None), "fr-court");
    // Longer than a message may be.
    let _ = first.send(Message::binary(vec![0; 2 << 20])).await;
    rest(&mut first).await;
    gone(&exchange).await;
}
