//! How many calls a gateway and a nats-server bear: audio at the pace of speech, and workers that do not recognise.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Failure;
use super::deaf::{self, Age, CALLS, Tally};
use super::figures::Figures;
use super::median::quantile;
use super::programs::{Moved, Nats, Program};
use super::usage::cpu_seconds;

/// 100 ms of audio.
const PIECE: usize = 3_200;
const PIECE_TIME: Duration = Duration::from_millis(100);
/// Calls that begin in a second.
const ARRIVALS: f64 = 40.0;
/// What lies before a figure is taken, and for how long it is.
const SETTLE: Duration = Duration::from_secs(4);
const WINDOW: Duration = Duration::from_secs(12);
/// Calls that end then, and the longest that one may take.
const ENDING: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
/// A message is no older than this, at the 95th percentile, in ms; more is too much.
const AIM: f64 = 100.0;
/// Of all cores: this share is all.
const FULL: f64 = 0.95;
/// Audio of one call, in MB/s.
const CALL: f64 = 0.032;

pub async fn run(most: usize, figures: &mut Figures) -> Result<(), Failure> {
    let nats = Nats::start()?;
    let (gateway, port) = Program::gateway(&nats)?;
    let processes = [gateway.pid(), nats.pid(), "self".to_owned()];
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    println!(
        "\nthroughput: calls that send {} ms at a time at the pace of speech, by one gateway and one nats-server, to workers that do not recognise; {:.0} s each, then {ENDING} of them end, one after the other\n",
        PIECE_TIME.as_millis(),
        WINDOW.as_secs_f64()
    );
    println!(
        "| calls | audio read (of what is spoken) | age since stored p50 | p95 (aim: {AIM:.0} ms at most) | since sent p50 | p95 | claim p50 | gateway | nats-server | clients and workers | of {cores} cores | NATS in | out | lost | a call is over after | age since stored p95 meanwhile |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut crowd = Crowd::new(port);
    let steps = std::iter::successors(Some(CALLS), |calls| Some(calls * 2));
    for calls in steps.take_while(|calls| *calls <= most) {
        let grown = crowd.grow(&nats, calls).await;
        tokio::time::sleep(SETTLE).await;
        let (owned, begun) = (crowd.tally.owned.load(Ordering::Relaxed), crowd.begun);
        if grown.is_err() || owned < begun {
            let rest = "| ".repeat(14);
            println!(
                "| {calls} | too many: of {begun} that were begun so far {owned} found a worker in time {rest}|"
            );
            break;
        }
        let mut step = Step::measure(&nats, &processes, &crowd.tally).await?;
        step.ending = crowd.end_some().await;
        let is_full = step.print(calls, cores);
        if is_full {
            break;
        }
        step.keep(calls, figures);
    }
    crowd.end().await;
    Ok(())
}

/// All clients, and who measures.
struct Crowd {
    port: u16,
    tally: Arc<Tally>,
    clients: JoinSet<Result<Duration, Failure>>,
    /// So many calls have begun, so many of them are to end, and there are so many workers.
    begun: usize,
    ending: watch::Sender<usize>,
    workers: usize,
    late: Arc<AtomicUsize>,
}

/// What is seen when calls end: the times until the server had closed, and the age of the other calls' messages meanwhile, in
/// ms.
#[derive(Default)]
struct Ending {
    over: Vec<f64>,
    age: f64,
}

impl Crowd {
    fn new(port: u16) -> Crowd {
        Crowd {
            port,
            tally: Arc::new(Tally::new()),
            clients: JoinSet::new(),
            begun: 0,
            ending: watch::Sender::new(0),
            workers: 0,
            late: Arc::default(),
        }
    }

    async fn grow(&mut self, nats: &Nats, calls: usize) -> Result<(), Failure> {
        let more = calls.saturating_sub(self.clients.len());
        // One more than it takes: none is offered a call that it has no room for.
        while self.workers < (self.begun + more).div_ceil(CALLS) + 1 {
            deaf::start(nats, self.workers, &self.tally).await?;
            self.workers += 1;
        }
        for _ in 0..more {
            let (number, port, ending) = (self.begun, self.port, self.ending.subscribe());
            let (tally, late) = (Arc::clone(&self.tally), Arc::clone(&self.late));
            self.clients
                .spawn(async move { client(number, port, &tally, ending, &late).await });
            self.begun += 1;
            tokio::time::sleep(Duration::from_secs_f64(1.0 / ARRIVALS)).await;
        }
        Ok(())
    }

    /// Those that have lasted longest.
    async fn end_some(&mut self) -> Ending {
        let mut ending = Ending::default();
        self.tally.ages();
        self.tally.is_open.store(true, Ordering::Relaxed);
        for _ in 0..ENDING {
            self.ending.send_modify(|ending| *ending += 1);
            if let Some(Ok(Ok(over))) = self.clients.join_next().await {
                ending.over.push(over.as_secs_f64() * 1e3);
            }
        }
        tokio::time::sleep(SETTLE).await;
        self.tally.is_open.store(false, Ordering::Relaxed);
        let ages = self.tally.ages();
        ending.age = quantile(ages.iter().map(|age| age.since_stored), 0.95);
        ending
    }

    /// All at once.
    async fn end(&mut self) {
        let (calls, begun, mut over) = (self.clients.len(), Instant::now(), 0);
        self.ending.send_replace(usize::MAX);
        let all = async {
            while let Some(client) = self.clients.join_next().await {
                over += usize::from(matches!(client, Ok(Ok(_))));
            }
        };
        let _ = tokio::time::timeout(PATIENCE, all).await;
        println!(
            "\n{calls} calls that ended at once: {over} were over within {:.1} s; {} in all could not be tidied up; {} pieces were sent more than 20 ms late",
            begun.elapsed().as_secs_f64(),
            self.tally.broken.load(Ordering::Relaxed),
            self.late.load(Ordering::Relaxed)
        );
    }
}

/// One call: sends until it is told to end, and waits until the server closes; returns how long that took.
async fn client(
    number: usize,
    port: u16,
    tally: &Tally,
    ending: watch::Receiver<usize>,
    late: &AtomicUsize,
) -> Result<Duration, Failure> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let mut ticks = tokio::time::interval(PIECE_TIME);
    let mut piece = vec![0; PIECE];
    while *ending.borrow() <= number {
        let due = ticks.tick().await;
        if due.elapsed() > Duration::from_millis(20) {
            late.fetch_add(1, Ordering::Relaxed);
        }
        // The time goes along as samples.
        let now = tally.began.elapsed().as_nanos() as u64;
        if let Some(head) = piece.first_chunk_mut() {
            *head = now.to_le_bytes();
        }
        socket.write_all(&piece).await?;
    }
    let begun = Instant::now();
    socket.shutdown().await?;
    let closed = async {
        let mut bytes = [0; 1024];
        while socket.read(&mut bytes).await? > 0 {}
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(PATIENCE, closed).await??;
    Ok(begun.elapsed())
}

/// What was measured at one number of calls.
struct Step {
    ages: Vec<Age>,
    claims: Vec<f64>,
    /// MB/s
    read: f64,
    /// Cores: gateway, nats-server, this.
    cpu: [f64; 3],
    moved: Moved,
    lost: usize,
    ending: Ending,
}

impl Step {
    async fn measure(nats: &Nats, processes: &[String; 3], tally: &Tally) -> Result<Step, Failure> {
        // Of the calls that have just begun.
        let claims = tally.claims();
        tally.ages();
        let (bytes, lost) = (
            tally.bytes.load(Ordering::Relaxed),
            tally.lost.load(Ordering::Relaxed),
        );
        let cpu = || processes.each_ref().map(|process| cpu_seconds(process));
        let (before, moved, begun) = (cpu(), nats.moved().await?, Instant::now());
        tally.is_open.store(true, Ordering::Relaxed);
        tokio::time::sleep(WINDOW).await;
        tally.is_open.store(false, Ordering::Relaxed);
        let (seconds, after, now) = (begun.elapsed().as_secs_f64(), cpu(), nats.moved().await?);
        Ok(Step {
            ages: tally.ages(),
            ending: Ending::default(),
            claims,
            read: (tally.bytes.load(Ordering::Relaxed) - bytes) as f64 / 1e6 / seconds,
            cpu: std::array::from_fn(|process| {
                let used = after.get(process).zip(before.get(process));
                used.map_or(f64::NAN, |(after, before)| (after - before) / seconds)
            }),
            moved: Moved {
                bytes_in: (now.bytes_in - moved.bytes_in) / seconds,
                bytes_out: (now.bytes_out - moved.bytes_out) / seconds,
            },
            lost: tally.lost.load(Ordering::Relaxed) - lost,
        })
    }

    fn stored(&self, share: f64) -> f64 {
        quantile(self.ages.iter().map(|age| age.since_stored), share)
    }

    fn sent(&self, share: f64) -> f64 {
        quantile(self.ages.iter().map(|age| age.since_sent), share)
    }

    fn claim(&self) -> f64 {
        quantile(self.claims.iter().copied(), 0.5)
    }

    /// Whether no more calls are to be tried.
    fn print(&self, calls: usize, cores: f64) -> bool {
        let [gateway, nats, own] = self.cpu;
        let spoken = calls as f64 * CALL;
        let used = gateway + nats + own;
        println!(
            "| {calls} | {:.1} MB/s (of {spoken:.1}) | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms | {gateway:.2} | {nats:.2} | {own:.2} | {used:.2} | {:.1} MB/s | {:.1} MB/s | {} | {:.0} ms | {:.1} ms |",
            self.read,
            self.stored(0.5),
            self.stored(0.95),
            self.sent(0.5),
            self.sent(0.95),
            self.claim(),
            self.moved.bytes_in / 1e6,
            self.moved.bytes_out / 1e6,
            self.lost,
            quantile(self.ending.over.iter().copied(), 0.5),
            self.ending.age
        );
        self.stored(0.95) > AIM || used > FULL * cores || self.read < 0.9 * spoken
    }

    fn keep(&self, calls: usize, figures: &mut Figures) {
        let calls = calls as f64;
        let [gateway, nats, _] = self.cpu;
        figures.nats_in = self.moved.bytes_in / calls;
        figures.nats_out = self.moved.bytes_out / calls;
        figures.gateway_cpu = gateway / calls;
        figures.nats_cpu = nats / calls;
        figures.claim = self.claim() / 1e3;
    }
}
