use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doors::call::{Event, Setting};
use doors::exchange::{Exchange, Policy};
use futures::SinkExt;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

fn connected() -> String {
    json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}).to_string()
}

fn start(call: &str, tracks: &[&str], parameters: Value) -> String {
    json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1", "accountSid": "AC1", "callSid": call, "tracks": tracks,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        },
    })
    .to_string()
}

fn media(track: &str, chunk: usize, ms: usize, payload: &[u8]) -> String {
    json!({
        "event": "media", "sequenceNumber": (chunk + 1).to_string(), "streamSid": "MZ1",
        "media": {"track": track, "chunk": chunk.to_string(), "timestamp": ms.to_string(), "payload": STANDARD.encode(payload)},
    })
    .to_string()
}

fn stop() -> String {
    json!({"event": "stop", "sequenceNumber": "9", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}})
        .to_string()
}

/// A recording as mu-law at 8 kHz.
fn telephone(name: &str) -> Vec<u8> {
    mulaw(&halved(&samples(name)))
}

#[tokio::test]
async fn both_sides_of_a_call_are_told_apart_to_who_watches_it() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut twilio = socket(port, "/twilio").await;
    say(&mut twilio, connected()).await;
    // What is none of the element's business is the application's own.
    let parameters = json!({"language": "fr", "customer": "17", "barge-in-after": "0"});
    say(
        &mut twilio,
        start("CA1", &["inbound", "outbound"], parameters),
    )
    .await;
    let watched = tokio::spawn(watch(exchange.clone(), "CA1"));
    let (caller, bot) = (telephone("fr-accueil"), telephone("fr-messagerie"));
    let pieces = caller.chunks(160).map(Some).chain(std::iter::repeat(None));
    let mut held = None;
    for (n, (inbound, outbound)) in pieces.zip(bot.chunks(160)).enumerate() {
        if n == 40 {
            let dtmf = json!({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "5"}});
            say(&mut twilio, dtmf.to_string()).await;
            say(
                &mut twilio,
                json!({"event": "mark", "mark": {"name": "a"}}).to_string(),
            )
            .await;
            say(
                &mut twilio,
                json!({"event": "something-new", "x": [1]}).to_string(),
            )
            .await;
        }
        if let Some(inbound) = inbound {
            // Every seventh chunk is overtaken by the one behind it.
            let message = media("inbound", n + 1, n * 20, inbound);
            match held.take() {
                None if n % 7 == 3 => held = Some(message),
                overtaken => {
                    say(&mut twilio, message).await;
                    if let Some(overtaken) = overtaken {
                        say(&mut twilio, overtaken).await;
                    }
                }
            }
        }
        say(&mut twilio, media("outbound", n + 1, n * 20, outbound)).await;
    }
    say(&mut twilio, stop()).await;
    let (told, closed) = rest(&mut twilio).await;
    assert!(told.is_empty(), "there is no channel for text: {told:?}");
    assert_eq!(closed.unwrap().0, 1000);
    let events = watched.await.unwrap();
    assert_said(&text(&events, Some("inbound")), "fr-accueil");
    assert_said(&text(&events, Some("outbound")), "fr-messagerie");
    let digit = Event::Digit {
        digit: "5".into(),
        leg: Some("inbound".into()),
    };
    assert!(events.contains(&digit));
    gone(&exchange).await;
}

/// A recording as a WAV file of 8 kHz.
fn narrow(name: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".wav").unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(file.path(), spec).unwrap();
    for sample in halved(&samples(name)) {
        wav.write_sample(sample).unwrap();
    }
    wav.finalize().unwrap();
    file
}

/// What who watches the next call is told.
async fn watch_next(exchange: Exchange) -> Vec<Event> {
    let id = loop {
        if let Some(call) = exchange.calls().first() {
            break call.id.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    listen(exchange.watch(&id).expect("the call")).await
}

#[tokio::test]
async fn a_simulator_of_twilio_finds_no_fault() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let url = format!("ws://127.0.0.1:{port}/twilio");
    let (caller, agent) = (narrow("fr-accueil"), narrow("fr-court"));
    let (caller, agent) = (
        caller.path().to_str().unwrap(),
        agent.path().to_str().unwrap(),
    );

    let watched = tokio::spawn(watch_next(exchange.clone()));
    let arguments = [
        &url,
        caller,
        "--param",
        "barge-in-after=300",
        "--param",
        "customer=17",
    ];
    let report = &python("twilio_client.py", &arguments).await[0];
    assert_eq!(
        (&report["violations"], &report["unknown_events"]),
        (&json!([]), &json!([]))
    );
    let count = |name| report[name].as_u64().unwrap();
    assert!(count("clears_received") > 0);
    assert_eq!(count("marks_received"), count("clears_received"));
    assert_eq!(count("marks_echoed"), count("clears_received"));
    assert_said(&text(&watched.await.unwrap(), None), "fr-accueil");
    gone(&exchange).await;

    // A fork of both sides over a network that loses frames and delays them.
    let watched = tokio::spawn(watch_next(exchange.clone()));
    let network = ["--packet-loss", "0.01", "--jitter", "30"];
    let fork = [
        "--fork",
        "--track",
        "both",
        "--agent-audio",
        agent,
        "--strict-fork",
    ];
    let arguments: Vec<_> = [url.as_str(), caller]
        .into_iter()
        .chain(fork)
        .chain(network)
        .collect();
    let report = &python("twilio_client.py", &arguments).await[0];
    assert_eq!(
        (&report["violations"], &report["exit_code"]),
        (&json!([]), &json!(0))
    );
    let events = watched.await.unwrap();
    assert_said(&text(&events, Some("inbound")), "fr-accueil");
    assert_said(&text(&events, Some("outbound")), "fr-court");
    gone(&exchange).await;
}

#[tokio::test]
async fn who_interrupts_stops_what_is_played() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut twilio = socket(port, "/twilio").await;
    say(&mut twilio, connected()).await;
    say(
        &mut twilio,
        start("CA2", &["inbound"], json!({"barge-in-after": "300"})),
    )
    .await;
    for (n, piece) in telephone("fr-accueil").chunks(160).enumerate() {
        say(&mut twilio, media("inbound", n + 1, n * 20, piece)).await;
    }
    say(&mut twilio, stop()).await;
    let (told, _) = rest(&mut twilio).await;
    assert_eq!(told[0], json!({"event": "clear", "streamSid": "MZ1"}));
    assert_eq!(
        told[1],
        json!({"event": "mark", "streamSid": "MZ1", "mark": {"name": "barge-in-1"}})
    );
}

#[tokio::test]
async fn times_are_the_streams_own_across_a_hole() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut twilio = socket(port, "/twilio").await;
    say(&mut twilio, start("CA3", &["inbound"], json!({}))).await;
    let watched = tokio::spawn(watch(exchange.clone(), "CA3"));
    let audio = telephone("fr-court");
    let chunks = audio.len().div_ceil(160);
    for (n, piece) in audio.chunks(160).enumerate() {
        say(&mut twilio, media("inbound", n + 1, n * 20, piece)).await;
    }
    // Muted for a minute: nothing was sent.
    for (n, piece) in audio.chunks(160).enumerate() {
        say(
            &mut twilio,
            media("inbound", chunks + n + 1, 60_000 + n * 20, piece),
        )
        .await;
    }
    // It hangs up without a stop.
    drop(twilio);
    let events = watched.await.unwrap();
    let words: Vec<_> = words(&events, None);
    let (before, after): (Vec<_>, Vec<_>) =
        words.iter().partition(|word| word.start.as_secs() < 30);
    assert!(
        !before.is_empty() && before.len() == after.len(),
        "{words:?}"
    );
    for (before, after) in before.iter().zip(&after) {
        let apart = after.start.abs_diff(before.start);
        assert!(
            (59.5..60.5).contains(&apart.as_secs_f64()),
            "{before:?} {after:?}"
        );
    }
}

#[tokio::test]
async fn telnyx_frames_are_understood() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut telnyx = socket(port, "/twilio?barge-in-after=300").await;
    say(
        &mut telnyx,
        json!({"event": "connected", "version": "1.0.0"}).to_string(),
    )
    .await;
    let start = json!({
        "event": "start", "sequence_number": "1", "stream_id": "32de0dea",
        "start": {"user_id": "u", "call_control_id": "v2:T02", "client_state": "x",
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}},
    });
    say(&mut telnyx, start.to_string()).await;
    let watched = tokio::spawn(watch(exchange.clone(), "v2:T02"));
    for (n, piece) in telephone("fr-court").chunks(160).enumerate() {
        let media = json!({
            "event": "media", "sequence_number": (n + 2).to_string(), "stream_id": "32de0dea",
            "media": {"track": "inbound", "chunk": (n + 1).to_string(), "timestamp": (n * 20).to_string(), "payload": STANDARD.encode(piece)},
        });
        say(&mut telnyx, media.to_string()).await;
    }
    say(
        &mut telnyx,
        json!({"event": "stop", "stream_id": "32de0dea", "stop": {}}).to_string(),
    )
    .await;
    let (told, _) = rest(&mut telnyx).await;
    assert_said(&text(&watched.await.unwrap(), None), "fr-court");
    assert_eq!(told[0], json!({"event": "clear", "stream_id": "32de0dea"}));
}

#[tokio::test]
async fn a_stream_of_two_sides_that_brings_no_audio_ends() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    for ends in [true, false] {
        let mut twilio = socket(port, "/twilio").await;
        say(&mut twilio, connected()).await;
        let both = ["inbound", "outbound"];
        say(&mut twilio, start("CA1", &both, json!({}))).await;
        call(&exchange, "CA1").await;
        match ends {
            true => say(&mut twilio, stop()).await,
            false => twilio.close(None).await.unwrap(),
        }
        gone(&exchange).await;
    }
}

#[tokio::test]
async fn a_second_stream_of_a_call_goes_by_its_own_name() {
    let exchange = exchange();
    let port = serve(&exchange).await;
    let mut first = socket(port, "/twilio").await;
    say(&mut first, start("CA4", &["inbound"], json!({}))).await;
    call(&exchange, "CA4").await;
    let mut second = socket(port, "/twilio").await;
    say(&mut second, start("CA4", &["outbound"], json!({}))).await;
    call(&exchange, "MZ1").await;
    assert_eq!(exchange.calls().len(), 2);
}

#[tokio::test]
async fn what_is_no_stream_is_sent_away_with_a_sentence() {
    let exchange = exchange_of(Policy {
        settings: vec![Setting::new("language", "fr")],
        max_calls: 1,
        ..Policy::default()
    });
    let port = serve(&exchange).await;
    let good = start("CA5", &["inbound"], json!({}));
    let wide = good.replace("8000", "16000");
    let opus = good.replace("audio/x-mulaw", "OPUS");
    let nameless = json!({"event": "start", "start": {"callSid": "CA5"}}).to_string();
    let bad_id = start("../../etc", &["inbound"], json!({}));
    let operators = start("CA5", &["inbound"], json!({"model": "/etc/passwd"}));
    let unheard = start("CA5", &["inbound"], json!({"language": "klingon"}));
    let early = media("inbound", 1, 0, &[0xff; 160]);
    let unpaid = json!({"event": "media", "media": {"payload": "!!!"}}).to_string();
    let far = media("inbound", 1, 1 << 60, &[0xff; 160]);
    let odd =
        json!({"event": "media", "media": {"chunk": "minus one", "payload": "/w=="}}).to_string();
    let hollow = json!({"event": "media"}).to_string();
    let cases: [(&[&str], &str); 14] = [
        (&["{"], "none of a media stream"),
        (&["[1]"], "none of a media stream"),
        (&["{\"event\":7}"], "none of a media stream"),
        (&[&early], "before start"),
        (&[&wide], "8000"),
        (&[&opus], "mu-law"),
        (&[&nameless], "no stream"),
        (&[&bad_id], "no id"),
        (&[&operators], "who runs the server"),
        (&[&unheard], "klingon"),
        (&[&good, &unpaid], "no base64"),
        (&[&good, &far], "ten days"),
        (&[&good, &odd], "whole number"),
        (&[&good, &hollow], "no media"),
    ];
    for (messages, says) in cases {
        let mut client = socket(port, "/twilio").await;
        for message in messages {
            say(&mut client, *message).await;
        }
        let (_, closed) = rest(&mut client).await;
        let (code, reason) = closed.unwrap_or_else(|| panic!("no reason for {messages:?}"));
        assert!(
            code == 1008 && reason.contains(says),
            "{messages:?}: {code} {reason}"
        );
        gone(&exchange).await;
    }
    let mut client = socket(port, "/twilio").await;
    client.send(Message::binary(vec![0; 160])).await.unwrap();
    assert!(rest(&mut client).await.1.unwrap().1.contains("binary"));
    let mut client = socket(port, "/twilio").await;
    for message in [&good, &good] {
        say(&mut client, message.as_str()).await;
    }
    assert!(rest(&mut client).await.1.unwrap().1.contains("twice"));
    gone(&exchange).await;
    // Longer than a message may be.
    let mut client = socket(port, "/twilio").await;
    let _ = client
        .send(Message::text(media("inbound", 1, 0, &vec![0xff; 300_000])))
        .await;
    rest(&mut client).await;
    // One place: the second is asked to come again.
    let mut first = socket(port, "/twilio").await;
    say(&mut first, good.as_str()).await;
    call(&exchange, "CA5").await;
    let mut second = socket(port, "/twilio").await;
    say(&mut second, start("CA6", &["inbound"], json!({}))).await;
    assert_eq!(rest(&mut second).await.1.unwrap().0, 1013);
    // Garbage among good audio ends the stream, but what was said before it is told.
    let watched = tokio::spawn(watch(exchange.clone(), "CA5"));
    for (n, piece) in telephone("fr-court").chunks(160).enumerate() {
        say(&mut first, media("inbound", n + 1, n * 20, piece)).await;
    }
    say(&mut first, "garbage").await;
    assert_eq!(rest(&mut first).await.1.unwrap().0, 1008);
    assert_said(&text(&watched.await.unwrap(), None), "fr-court");
    gone(&exchange).await;
}

/// Waits until a call is there.
pub async fn call(exchange: &Exchange, id: &str) {
    let there = async {
        while exchange.watch(id).is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there)
        .await
        .expect("the call");
}

/// Everything that who watches a call is told.
pub async fn watch(exchange: Exchange, id: &str) -> Vec<Event> {
    call(&exchange, id).await;
    listen(exchange.watch(id).expect("the call")).await
}

pub async fn listen(mut events: Receiver<Arc<Event>>) -> Vec<Event> {
    let mut told = Vec::new();
    let all = async {
        loop {
            match events.recv().await {
                Ok(event) => told.push((*event).clone()),
                Err(RecvError::Lagged(missed)) => panic!("missed {missed}"),
                Err(RecvError::Closed) => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("an end");
    told
}

pub fn words(events: &[Event], leg: Option<&str>) -> Vec<doors::call::Word> {
    let released = events.iter().filter_map(|event| match event {
        Event::Words(words) if words.span.leg.as_deref() == leg => Some(words.words.clone()),
        _ => None,
    });
    released.flatten().collect()
}

/// What was said on a leg.
pub fn text(events: &[Event], leg: Option<&str>) -> String {
    let words = words(events, leg);
    let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    texts.join(" ")
}
