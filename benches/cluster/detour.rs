//! How much later lines come by the cluster.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::push;
use async_nats::jetstream::stream::Config;
use futures::StreamExt;

use super::Failure;
use super::client::{Call, Said, Told, recording, text};
use super::figures::Figures;
use super::median::quantile;
use super::programs::{Nats, Program, Worker, stored};

const RECORDINGS: [&str; 4] = ["fr-numero", "fr-dense", "fr-accueil", "fr-messagerie"];
/// A line may come so much later, in ms.
const AIM: f64 = 50.0;
/// Of a piece of audio, and of a line, in bytes: what goes through NATS between a sample and its text.
const HOPS: [usize; 2] = [3_200, 600];

pub async fn run(rounds: usize, figures: &mut Figures) -> Result<(), Failure> {
    let nats = Nats::start()?;
    let floor = floor(&nats.connect().await?).await?;
    let (_alone, alone) = Program::server(&["--set", "pace=exact"])?;
    let worker = Worker::start(&nats, 6.0)?;
    let (_gateway, gateway) = Program::gateway(&nats)?;
    println!(
        "\ndetour: from the sending of a line's last audio to the line at the client, at the pace of speech; {rounds} rounds of {}\n",
        RECORDINGS.join(", ")
    );
    let (mut direct, mut by_cluster, mut added) = (Vec::new(), Vec::new(), Vec::new());
    let mut different = 0;
    let mut cost = Cost::default();
    for round in 0..rounds {
        for name in RECORDINGS {
            let audio = recording(name)?;
            // In turn, so that both see the same machine; who is first changes.
            let (one, other) = if round % 2 == 0 {
                let one = call(alone, &audio).await?;
                (one, cost.of(&nats, gateway, &audio).await?)
            } else {
                let other = cost.of(&nats, gateway, &audio).await?;
                (call(alone, &audio).await?, other)
            };
            if text(&one.0) != text(&other.0) {
                different += 1;
            }
            let lags = |(told, said): &(Vec<Told>, Said)| -> Vec<f64> {
                told.iter().map(|told| 1e3 * said.lag(told)).collect()
            };
            let (one, other) = (lags(&one), lags(&other));
            added.extend(one.iter().zip(&other).map(|(one, other)| other - one));
            direct.extend(one);
            by_cluster.extend(other);
        }
    }
    let at = |lags: &[f64], share| quantile(lags.iter().copied(), share);
    println!("| | p50 | p95 | lines |\n|---|---|---|---|");
    for (name, lags) in [("one process", &direct), ("cluster", &by_cluster)] {
        let (p50, p95) = (at(lags, 0.5), at(lags, 0.95));
        println!("| {name} | {p50:.0} ms | {p95:.0} ms | {} |", lags.len());
    }
    let (p50, p95) = (
        at(&by_cluster, 0.5) - at(&direct, 0.5),
        at(&by_cluster, 0.95) - at(&direct, 0.95),
    );
    println!("| added (aim: {AIM:.0} ms at most) | {p50:.0} ms | {p95:.0} ms | |");
    println!(
        "| added, line by line | {:.0} ms | {:.0} ms | {} |",
        at(&added, 0.5),
        at(&added, 0.95),
        added.len()
    );
    println!(
        "| limit: {} and {} bytes stored and read back, nothing else to do | {:.1} ms | {:.1} ms | |",
        HOPS[0],
        HOPS[1],
        at(&floor, 0.5),
        at(&floor, 0.95)
    );
    println!(
        "\n{different} of {} calls said anything else than one process did",
        rounds * RECORDINGS.len()
    );
    cost.checkpoints = worker.figure("checkpoints_total").await?;
    figures.lag_deciles = std::array::from_fn(|tenth| {
        quantile(by_cluster.iter().map(|lag| lag / 1e3), tenth as f64 / 10.0)
    });
    cost.print(figures);
    if different > 0 {
        return Err("the cluster said something else than one process".into());
    }
    Ok(())
}

async fn call(port: u16, audio: &[u8]) -> Result<(Vec<Told>, Said), Failure> {
    Call::begin(port, audio).await?.end().await
}

/// What calls put on NATS beside audio.
#[derive(Default)]
struct Cost {
    /// Of audio, in s.
    seconds: f64,
    text: u64,
    /// Of the last checkpoints, and how many they were.
    state: u64,
    states: u64,
    /// Of all calls.
    checkpoints: f64,
}

impl Cost {
    /// A call of the cluster's. What is stored is looked at before it is tidied up.
    async fn of(
        &mut self,
        nats: &Nats,
        port: u16,
        audio: &[u8],
    ) -> Result<(Vec<Told>, Said), Failure> {
        let seconds = audio.len() as f64 / 32_000.0;
        let call = call(port, audio);
        let look = async {
            tokio::time::sleep(Duration::from_secs_f64(seconds - 0.2)).await;
            let jetstream = nats.connect().await?;
            let (text, state) = (
                stored(&jetstream, "text").await?,
                stored(&jetstream, "state").await?,
            );
            Ok::<_, Failure>((text.0, state))
        };
        let (said, (text, (state, states))) = tokio::try_join!(call, look)?;
        self.seconds += seconds;
        self.text += text;
        self.state += state;
        self.states += states;
        Ok(said)
    }

    fn print(&self, figures: &mut Figures) {
        figures.text_bytes = self.text as f64 / self.seconds;
        figures.checkpoint_bytes = self.state as f64 / self.states.max(1) as f64;
        figures.checkpoints = self.checkpoints / self.seconds;
        println!(
            "a second of a call: {:.0} bytes of text stored, {:.2} checkpoints of {:.0} bytes",
            figures.text_bytes, figures.checkpoints, figures.checkpoint_bytes
        );
        let deciles = figures.lag_deciles.map(|lag| format!("{lag:.3}"));
        println!("deciles of the cluster's lag, in s: {}", deciles.join(", "));
    }
}

/// The least that NATS takes: what is between a sample and its text, stored and read back, in ms.
async fn floor(jetstream: &Context) -> Result<Vec<f64>, Failure> {
    let config = Config {
        name: "floor".into(),
        ..Config::default()
    };
    let stream = jetstream.create_stream(config).await?;
    let config = push::OrderedConfig {
        deliver_subject: jetstream.client().new_inbox(),
        ..push::OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.messages().await?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        for bytes in HOPS {
            let stored = jetstream.publish("floor", vec![0; bytes].into()).await?;
            let message = messages.next().await;
            message.ok_or("the nats-server reads nothing back")??;
            stored.await?;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(messages);
    jetstream.delete_stream("floor").await?;
    Ok(times)
}
