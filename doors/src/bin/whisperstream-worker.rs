// SPDX-License-Identifier: MPL-2.0

//! Hears the calls of a cluster: those whose audio gateways (`whisperstream-server --nats`) put on NATS JetStream.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use doors::cluster::{self, Cluster, NatsOptions, Worker, WorkerOptions};
use doors::exchange::{Exchange, Policy};
use doors::options::{self, ElementOptions};
use doors::signals::Signals;
use doors::{http, logs, room, server};

/// Hears the calls that gateways put on NATS
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Print all calls of the cluster, whose they are and how far behind, and exit
    #[arg(long)]
    list: bool,
    /// Address on which /metrics and /health are served
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port
    #[arg(long, value_name = "PORT")]
    http: Option<u16>,
    /// A recording whose first words are heard before calls are taken
    #[arg(long, value_name = "FILE")]
    warmup_file: Option<PathBuf>,
    /// Legs of calls at a time; 0: as many as the machine bears
    #[arg(long, default_value_t = 0)]
    max_calls: usize,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value_t)]
    log: logs::Form,
    #[command(flatten)]
    nats: NatsOptions,
    #[command(flatten)]
    worker: WorkerOptions,
    #[command(flatten)]
    element: ElementOptions,
}

fn main() -> ExitCode {
    let mut options = Options::parse_from(options::args());
    logs::start_at(options.log, options.element.old.log_level());
    room::raise();
    options.element.tell_notices();
    options
        .nats
        .nats
        .get_or_insert_with(|| "nats://127.0.0.1:4222".into());
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::connect(&options.nats, "whisperstream-worker").await?;
    if options.list {
        print(&cluster::list(&cluster).await?);
        return Ok(());
    }
    doors::init()?;
    let web = match options.http {
        Some(port) => Some(server::bind(&options.host, port, "--http").await?),
        None => None,
    };
    let mut signals = Signals::new()?;
    let settings = options.element.settings();
    let warm = server::warm_up(&settings, options.warmup_file.as_deref()).await?;
    let exchange = Exchange::new(Policy {
        settings,
        max_calls: options.max_calls,
        // Lag says how much is too much: nothing is dropped here.
        full_at: 0,
        ..Policy::default()
    });
    if let Some(listener) = web {
        server::announce("http", format!("http://{}/", listener.local_addr()?));
        tokio::spawn(http::serve(listener, http::figures(exchange.clone())));
    }
    let worker = Worker::start(cluster, exchange.clone(), &options.worker).await?;
    server::announce("worker", worker.name());
    signals.next().await;
    tracing::info!("no more calls are taken; those there are are handed over");
    tokio::select! {
        () = worker.drain() => {}
        () = signals.next() => {}
    }
    exchange.close(Duration::ZERO).await;
    drop(warm);
    Ok(())
}

fn print(rows: &[cluster::Row]) {
    println!(
        "{:<38} {:>3} {:<13} {:<13} {:>5} {:>7}",
        "CALL", "LEG", "GATEWAY", "WORKER", "TERM", "LAG"
    );
    for row in rows {
        let lag = row.lag.map(|lag| format!("{lag:.2} s"));
        println!(
            "{:<38} {:>3} {:<13} {:<13} {:>5} {:>7}",
            row.call,
            row.leg,
            row.gateway,
            row.worker.as_deref().unwrap_or("(waits)"),
            row.term,
            lag.as_deref().unwrap_or("-")
        );
    }
}
