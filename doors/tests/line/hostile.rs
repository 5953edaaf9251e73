//! What clients that mean ill, or lines that break, do to the others: nothing.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn resets_silence_noise_and_deaf_clients_harm_nobody() {
    let deaf = Line {
        patience: Duration::from_secs(2),
        ..Line::default()
    };
    let server = Server::start(&[("pace", "exact")], deaf).await;
    let audio = common::audio("fr-accueil");
    let alone = server.told(cut(&audio, 4096).into_iter()).await;

    // Half-open: never says anything.
    let mute = server.connect().await;
    // Never reads, though much is said.
    let mut never_reads = server.connect().await;
    let all = common::audio("fr-long");
    let pour = tokio::spawn(async move { while never_reads.write_all(&all).await.is_ok() {} });
    // Reset in the middle of a word.
    for at in [1, 3_201, 40_001] {
        let mut socket = server.connect().await;
        socket.write_all(&audio[..at]).await.unwrap();
        #[allow(deprecated)]
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(socket);
    }
    // A web browser that has lost its way.
    let mut lost = server.connect().await;
    lost.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        .await
        .unwrap();
    // Noise.
    let noise: Vec<u8> = (0..200_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let noise = server.told(cut(&noise, 999).into_iter());
    let well = server.told(cut(&audio, 4096).into_iter());
    let (_, told) = tokio::join!(noise, well);
    assert_eq!(told, alone);
    drop((mute, lost));
    pour.abort();
    server.none_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_hear_what_one_hears_alone() {
    let server = Server::start(&[("pace", "exact")], Line::default()).await;
    let audio = common::audio("fr-court");
    let alone = server.told(cut(&audio, 3200).into_iter()).await;
    let all = (0..8).map(|_| server.told(cut(&audio, 3200).into_iter()));
    for told in futures::future::join_all(all).await {
        assert_eq!(told, alone);
    }
    server.none_left().await;
}

/// A server where an address has two places.
async fn two_of_a_peer() -> Server {
    let policy = Policy {
        settings: vec![Setting::new("language", "fr")],
        max_per_peer: 2,
        ..Policy::default()
    };
    Server::with(policy, Line::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_so_many_places_and_leaves_the_others_theirs() {
    let server = two_of_a_peer().await;
    let greedy = vec![server.connect().await, server.connect().await];
    while server.exchange.calls().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut third = server.connect().await;
    let mut told = String::new();
    // The connection closes, well or (with audio on its way) by a reset.
    let _ = tokio::time::timeout(PATIENCE, third.read_to_string(&mut told))
        .await
        .unwrap();
    assert_eq!(told, "");
    let counted = server.exchange.metrics().text();
    assert!(
        counted.contains(r#"whisperstream_refusals_total{door="line",cause="peer"} 1"#),
        "{counted}"
    );
    // Somebody else is heard.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(server.address).await.unwrap();
    other.write_all(&common::audio("fr-court")).await.unwrap();
    other.shutdown().await.unwrap();
    let _ = tokio::time::timeout(PATIENCE, other.read_to_string(&mut told))
        .await
        .unwrap();
    assert!(!told.is_empty());
    // And so is whoever comes when a place is free again.
    drop(greedy);
    server.none_left().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = server
        .told(cut(&common::audio("fr-court"), 3200).into_iter())
        .await;
    assert!(!again.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_in_no_time_is_not_served_all_the_time() {
    let server = two_of_a_peer().await;
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        let mut socket = server.connect().await;
        let _ = socket.shutdown().await;
        let _ = socket.read_to_string(&mut String::new()).await;
    }
    server.none_left().await;
    let seconds = begun.elapsed().as_secs();
    let counted = server.exchange.metrics().text();
    let name = r#"whisperstream_calls_taken_total{door="line"} "#;
    let taken = counted.lines().find_map(|line| line.strip_prefix(name));
    let taken: u64 = taken.unwrap().parse().unwrap();
    assert!(
        (1..=2 * (seconds + 2)).contains(&taken),
        "{taken} in {seconds} s"
    );
}
