//! `/ajax/audio` over real sockets.

use doors::call::Setting;
use doors::exchange::Policy;
use serde_json::Value;

use crate::recordings::*;
use crate::support::*;

const FRENCH: &str = "fr-accueil.wav";
/// Sizes that no frame of a container has.
const ODD: [usize; 7] = [1, 333, 7, 4096, 2, 1021, 30_000];

#[tokio::test(flavor = "multi_thread")]
async fn webm_cut_anywhere_is_heard_with_true_times() {
    let server = server().await;
    let heard = server
        .connect("v=2")
        .await
        .send_all(&webm(FRENCH), &ODD)
        .await;
    assert_eq!(heard.frames[0]["type"], "ready", "{heard:?}");
    assert_heard(&heard.words(), &spoken(FRENCH), 0.0);
    assert!(
        heard
            .of("words")
            .iter()
            .all(|words| words["lag"].as_f64().unwrap() >= 0.0)
    );
    assert!(!heard.of("partial").is_empty());
    assert_eq!(heard.frames.last().unwrap()["type"], "ended");
    assert_eq!(heard.code, Some(1000));
    server.is_empty().await;
    let metrics = server.exchange.metrics().text();
    let seconds = metrics
        .lines()
        .find_map(|line| line.strip_prefix("whisperstream_audio_seconds_total "));
    let seconds: f64 = seconds.unwrap().parse().unwrap();
    assert!(
        (9.0..10.0).contains(&seconds),
        "{seconds} s of audio were counted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_pages_get_partials_and_finals() {
    let server = server().await;
    let heard = server
        .connect("")
        .await
        .send_all(&webm(FRENCH), &[4000])
        .await;
    let text = |name: &str| -> Vec<&str> {
        heard
            .frames
            .iter()
            .filter_map(|frame| frame[name].as_str())
            .collect()
    };
    let (partials, finals) = (text("partial"), text("final"));
    assert_eq!(
        partials.len() + finals.len(),
        heard.frames.len(),
        "{heard:?}"
    );
    assert!(partials.windows(2).all(|pair| pair[0] != pair[1]));
    let spoken: Vec<_> = spoken(FRENCH).into_iter().map(|(word, ..)| word).collect();
    let told: Vec<_> = finals.join(" ").split_whitespace().map(plain).collect();
    let common = told.iter().filter(|word| spoken.contains(word)).count();
    assert!(common * 10 >= spoken.len() * 9, "{finals:?}");
    assert!(
        partials
            .iter()
            .any(|partial| finals[0].starts_with(partial)),
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_begins_late_on_its_own_clock_begins_at_zero() {
    let late = muxed(
        FRENCH,
        "opusenc ! webmmux streamable=true",
        gst::ClockTime::from_seconds(100),
    );
    assert!(
        first_cluster(&late) >= 99_000,
        "{} ms",
        first_cluster(&late)
    );
    let heard = server()
        .await
        .connect("v=2")
        .await
        .send_all(&late, &[4000])
        .await;
    assert_heard(&heard.words(), &spoken(FRENCH), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mp4_fragments_of_safari_are_heard() {
    let heard = server()
        .await
        .connect("v=2")
        .await
        .send_all(&mp4(FRENCH), &ODD)
        .await;
    // The encoder begins with some silence of its own.
    assert_heard(&heard.words(), &spoken(FRENCH), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ogg_and_wav_are_heard() {
    let server = server().await;
    for encoding in [
        "opusenc ! oggmux",
        "audio/x-raw,rate=44100,channels=2 ! wavenc",
    ] {
        let file = muxed(FRENCH, encoding, gst::ClockTime::ZERO);
        let heard = server.connect("v=2").await.send_all(&file, &ODD).await;
        assert_heard(&heard.words(), &spoken(FRENCH), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_samples_of_any_rate_are_heard() {
    let wav = muxed(
        FRENCH,
        "audio/x-raw,rate=48000,channels=1 ! wavenc",
        gst::ClockTime::ZERO,
    );
    let heard = server()
        .await
        .connect("v=2&pcm=48000")
        .await
        .send_all(&wav[44..], &ODD)
        .await;
    assert_heard(&heard.words(), &spoken(FRENCH), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_beside_a_picture_is_heard() {
    doors::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mkv");
    let pipeline = gst::parse::launch(&format!(
        "matroskamux name=mux streamable=true ! filesink location={} \
         videotestsrc num-buffers=200 ! video/x-raw,width=64,height=48,framerate=20/1 ! vp8enc deadline=1 ! queue ! mux. \
         filesrc location={} ! wavparse ! audioconvert ! audioresample ! opusenc ! queue ! mux.",
        file.display(),
        audio(FRENCH).display()
    ))
    .unwrap();
    use gst::prelude::*;
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    let film = std::fs::read(file).unwrap();
    let heard = server()
        .await
        .connect("v=2")
        .await
        .send_all(&film, &[5000])
        .await;
    assert_heard(&heard.words(), &spoken(FRENCH), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_container_is_named_and_harms_nobody() {
    let server = server().await;
    let good = server.connect("v=2").await;
    let webm = webm(FRENCH);
    let good = tokio::spawn(async move { good.send_all(&webm, &[4000]).await });
    let noise: Vec<u8> = (0..50_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 | 1)
        .collect();
    for (bytes, sentence) in [
        (
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            "begins with the text \"GET / HTTP/1",
        ),
        (
            b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1:1/a.ts\n",
            "is no container",
        ),
        (&[0; 4000], "begins with zeros"),
        (&noise, "begins with the bytes "),
        // The second chunk of a recorder, without its first.
        (
            &[
                0x1f, 0x43, 0xb6, 0x75, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ],
            "from its first chunk on",
        ),
    ] {
        let heard = server
            .connect("v=2")
            .await
            .send_all(bytes, &[5, 6000])
            .await;
        assert!(heard.error().contains(sentence), "{heard:?}");
        assert_eq!(heard.code, Some(1007), "{heard:?}");
    }
    assert_heard(&good.await.unwrap().words(), &spoken(FRENCH), 0.0);
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_containers_end_in_a_sentence_or_in_silence_but_they_end() {
    let server = server().await;
    let whole = webm(FRENCH);
    let noise: Vec<u8> = (0..60_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    // A header with nothing, noise behind it, a film without sound.
    for (bytes, must_fail) in [
        (whole[..40].to_vec(), true),
        ([&whole[..40], &noise[..]].concat(), true),
        ([&whole[..20_000], &noise[..]].concat(), false),
        ([&whole[..20_000], &whole[..]].concat(), false),
    ] {
        let heard = server.connect("v=2").await.send_all(&bytes, &[3000]).await;
        assert!(heard.code.is_some(), "{heard:?}");
        if must_fail {
            assert!(
                heard
                    .error()
                    .starts_with("the WebM stream cannot be heard: "),
                "{heard:?}"
            );
        }
    }
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_without_sound_is_refused_in_a_sentence() {
    let film = muxed_film();
    let heard = server()
        .await
        .connect("v=2")
        .await
        .send_all(&film, &[3000])
        .await;
    assert!(
        heard.error().contains("there is no audio in it"),
        "{heard:?}"
    );
}

fn muxed_film() -> Vec<u8> {
    use gst::prelude::*;
    doors::init().unwrap();
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=60 ! video/x-raw,width=64,height=48,framerate=20/1 ! vp8enc deadline=1 \
         ! webmmux streamable=true ! appsink name=out sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let out = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut bytes = Vec::new();
    while let Ok(sample) = out.pull_sample() {
        bytes.extend_from_slice(&sample.buffer().unwrap().map_readable().unwrap());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_vanishes_leaves_no_call() {
    let server = server().await;
    let webm = webm(FRENCH);
    let mut client = server.connect("v=2").await;
    client.send(&webm[..25_000]).await;
    client.until("words").await;
    drop(client);
    server.is_empty().await;
    // Nor one that closes before it said anything.
    let mut client = server.connect("v=2").await;
    client.socket.close(None).await.unwrap();
    drop(client);
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flush_tells_what_was_said_before_the_stream_goes_on() {
    let server = server().await;
    let wav = muxed(
        FRENCH,
        "audio/x-raw,rate=16000,channels=1 ! wavenc",
        gst::ClockTime::ZERO,
    );
    let mut client = server.connect("v=2&pcm=16000").await;
    // To the middle of "contrat".
    client.send(&wav[44..44 + 32_000 * 3]).await;
    client.say("flush").await;
    let flushed = client.until("flushed").await;
    assert_eq!(flushed["marker"], "");
    let heard = client.send_all(&wav[44 + 32_000 * 3..], &[8000]).await;
    assert!(!heard.words().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries_are_explained() {
    let server = server().await;
    for (query, sentence) in [
        ("v=3", "v=\"3\" is no version"),
        ("pcm=7", "pcm=\"7\" is no rate"),
        ("colour=red", "whisperstream has no property colour"),
        (
            "language=klingon",
            "language \"klingon\" is unknown to Whisper",
        ),
        (
            "model=/etc/passwd",
            "model can only be set by who runs the server",
        ),
        (
            "dump-dir=/tmp",
            "dump-dir can only be set by who runs the server",
        ),
    ] {
        let heard = server.connect(query).await.hear_all().await;
        assert!(heard.error().contains(sentence), "{query}: {heard:?}");
        assert_eq!(heard.frames[0]["again"], Value::Bool(false));
        assert_eq!(heard.code, Some(1008));
    }
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_frames_are_explained() {
    let server = server().await;
    let mut client = server.connect("v=2").await;
    client.say("{\"type\":\"hello\"}").await;
    let heard = client.hear_all().await;
    assert!(
        heard
            .error()
            .contains("is not understood: \"stop\" ends the audio"),
        "{heard:?}"
    );
    assert_eq!(heard.code, Some(1003));

    let mut client = server.connect("v=2").await;
    client.send(&vec![0x1a; 1024 * 1024 + 1]).await;
    let heard = client.hear_all().await;
    assert!(
        heard
            .error()
            .contains("a chunk of 1048577 bytes is too large"),
        "{heard:?}"
    );
    assert_eq!(heard.code, Some(1009));
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_that_one_may_come_again() {
    let server = serve(Policy {
        settings: vec![Setting::new("language", "fr")],
        max_calls: 1,
        ..Policy::default()
    })
    .await;
    let mut first = server.connect("v=2").await;
    first.until("ready").await;
    let heard = server.connect("v=2").await.hear_all().await;
    assert!(
        heard.error().contains("all 1 places are taken"),
        "{heard:?}"
    );
    assert_eq!(heard.frames[0]["again"], Value::Bool(true));
    assert_eq!(heard.code, Some(1013));
    first.say("stop").await;
    first.hear_all().await;
    server.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_tells_the_tail() {
    let server = server().await;
    let mut client = server.connect("v=2").await;
    client.send(&webm(FRENCH)).await;
    client.until("words").await;
    let exchange = server.exchange.clone();
    let close = tokio::spawn(async move { exchange.close(std::time::Duration::ZERO).await });
    let heard = client.hear_all().await;
    assert_eq!(heard.frames.last().unwrap()["type"], "ended", "{heard:?}");
    close.await.unwrap();
}
