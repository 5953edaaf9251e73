//! What a client that means well gets.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_word_comes_with_its_times_before_the_socket_closes_however_the_audio_is_cut() {
    let server = Server::start(&[("pace", "exact")], Line::default()).await;
    let audio = common::audio("fr-accueil");
    let whole = server.told(cut(&audio, audio.len()).into_iter()).await;
    assert_eq!(words(&whole, 9.0), common::spoken("fr-accueil"));
    for size in [1001, 37] {
        let told = server.told(cut(&audio, size).into_iter()).await;
        assert_eq!(told, whole, "in pieces of {size} bytes");
    }
    let odd = [audio.as_slice(), b"x"].concat();
    assert_eq!(
        server.told(cut(&odd, 4096).into_iter()).await,
        whole,
        "half a sample more"
    );
    server.none_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_a_client_faster_than_speech_waits_and_loses_nothing() {
    let server = Server::start(&[], Line::default()).await;
    let audio = common::audio("fr-long");
    let told = server.told(cut(&audio, 65_536).into_iter()).await;
    let (heard, said) = (words(&told, 120.0), common::spoken("fr-long"));
    let (heard, said): (Vec<_>, Vec<_>) = (heard.split(' ').collect(), said.split(' ').collect());
    assert!(
        heard.len().abs_diff(said.len()) <= said.len() / 20,
        "{heard:?}"
    );
    assert_eq!(heard.last(), said.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_set_off_by_two_spaces_as_the_reference_prints_it_and_by_one_otherwise() {
    let audio = common::audio("fr-court");
    for (compat, gap) in [("simulstreaming", "  "), ("none", " ")] {
        let server = Server::start(&[("compat", compat), ("pace", "exact")], Line::default()).await;
        let told = server.told(cut(&audio, 3200).into_iter()).await;
        let line = told.lines().next().unwrap();
        let times = line
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start_matches(' ');
        let text = times.trim_start_matches(|c: char| c.is_ascii_digit());
        assert!(
            text.starts_with(gap) && !text.starts_with(&format!("{gap} ")),
            "{line:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_have_words_with_their_times() {
    let json = Line {
        json: true,
        ..Line::default()
    };
    let server = Server::start(&[], json).await;
    let told = server
        .told(cut(&common::audio("fr-court"), 3200).into_iter())
        .await;
    let mut said = Vec::new();
    for line in told.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for word in line["words"].as_array().unwrap() {
            assert!(word["start"].as_f64().unwrap() < word["end"].as_f64().unwrap());
            said.push(word["text"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(common::plain(&said.join(" ")), common::spoken("fr-court"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_nothing_at_all_yield_no_line() {
    let server = Server::start(&[], Line::default()).await;
    assert_eq!(
        server.told(cut(&vec![0; 320_000], 3200).into_iter()).await,
        ""
    );
    assert_eq!(server.told(std::iter::empty()).await, "");
    assert_eq!(server.told([b"x".to_vec()].into_iter()).await, "");
    server.none_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_there_finish_while_new_ones_are_refused() {
    let server = Server::start(&[], Line::default()).await;
    let audio = common::audio("fr-court");
    let (first, second) = audio.split_at(audio.len() / 2 / 2 * 2);
    let mut socket = server.connect().await;
    socket.write_all(first).await.unwrap();
    while server.exchange.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let exchange = server.exchange.clone();
    let closing = tokio::spawn(async move { exchange.close(PATIENCE).await });
    server
        .exchange
        .phase()
        .wait_for(|phase| *phase != doors::exchange::Phase::Open)
        .await
        .unwrap();
    socket.write_all(second).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut told = String::new();
    socket.read_to_string(&mut told).await.unwrap();
    assert_eq!(words(&told, 10.0), common::spoken("fr-court"));
    closing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_finish_is_ended_with_its_tail() {
    let server = Server::start(&[], Line::default()).await;
    let mut socket = server.connect().await;
    socket.write_all(&common::audio("fr-court")).await.unwrap();
    while server.exchange.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let exchange = server.exchange.clone();
    let mut told = String::new();
    let read = async { socket.read_to_string(&mut told).await.unwrap() };
    // What the door has read by then is what it tells: some of it, whole words.
    tokio::join!(read, async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        exchange.close(Duration::ZERO).await;
    });
    let said = words(&told, 10.0);
    assert!(
        common::spoken("fr-court").starts_with(said.split(' ').next().unwrap()),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_is_let_go_at_once_and_counted() {
    let policy = Policy {
        max_calls: 1,
        ..Policy::default()
    };
    let server = Server::with(policy, Line::default()).await;
    let first = server.connect().await;
    while server.exchange.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut second = server.connect().await;
    let mut told = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, second.read_to_end(&mut told))
        .await
        .unwrap();
    assert!(told.is_empty());
    let metrics = server.exchange.metrics().text();
    assert!(
        metrics.contains(r#"whisperstream_refusals_total{door="line",cause="full"} 1"#),
        "{metrics}"
    );
    drop(first);
    server.none_left().await;
}
