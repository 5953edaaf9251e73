// SPDX-License-Identifier: MPL-2.0

//! Speech-to-text for many clients at once, behind the doors that are asked for.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use doors::call::{Setting, check_client};
use doors::cluster::{Cluster, Gateway, NatsOptions};
use doors::exchange::{Exchange, Policy};
use doors::options::{self, ElementOptions};
use doors::security::{Security, SecurityOptions};
use doors::webhook::{Webhook, WebhookOptions};
use doors::{http, line, logs, room, server, websocket};

/// Live speech-to-text for many clients, over TCP, WebSocket and HTTP
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address to listen on
    #[arg(long, env = "STREAM_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port of the line door (raw audio in, a line a release out)
    #[arg(long, alias = "port", env = "STREAM_PORT", value_name = "PORT")]
    line: Option<u16>,
    /// Lines of the line door are JSON
    #[arg(long)]
    json_lines: bool,
    /// Port of the WebSocket door
    #[arg(long, env = "STREAM_WS_PORT", value_name = "PORT")]
    ws: Option<u16>,
    /// Port of the HTTP doors
    #[arg(long, value_name = "PORT")]
    http: Option<u16>,
    /// A recording whose first words are heard before the doors open
    #[arg(long, value_name = "FILE")]
    warmup_file: Option<PathBuf>,
    /// Calls at a time; 0: as many as the machine bears
    #[arg(long, default_value_t = 0)]
    max_calls: usize,
    /// Calls at a time of one address; 0: as many as there are places
    #[arg(long, default_value_t = 0)]
    max_calls_per_peer: usize,
    /// Seconds that calls have to finish when the server is stopped
    #[arg(long, default_value_t = 30.0)]
    grace: f64,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value_t)]
    log: logs::Form,
    /// Seconds that a call waits for a worker that has room, with --nats; 0: it is refused at once
    #[arg(long, default_value_t = 0.0, requires = "nats", value_name = "SECONDS")]
    nats_wait: f64,
    #[command(flatten)]
    nats: NatsOptions,
    #[command(flatten)]
    dialects: doors::dialects::Ports,
    #[command(flatten)]
    security: SecurityOptions,
    #[command(flatten)]
    webhook: WebhookOptions,
    #[command(flatten)]
    element: ElementOptions,
}

impl Options {
    /// Who names no door gets the usual ones.
    fn names_no_door(&self) -> bool {
        self.line.is_none() && self.ws.is_none() && self.http.is_none() && !self.dialects.any()
    }
}

/// What is of the machine that hears is chosen there.
fn leave_to_workers(settings: &mut Vec<Setting>) {
    settings.retain(|setting| {
        let is_ours = check_client(setting).is_ok();
        if !is_ours {
            tracing::warn!(
                "{} is not set: with --nats it is the workers' (whisperstream-worker)",
                setting.name
            );
        }
        is_ours
    });
}

/// At the end the webhook's receiver has so long to take what calls said last.
const POSTED: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let options = Options::parse_from(options::args());
    logs::start_at(options.log, options.element.old.log_level());
    room::raise();
    options.element.tell_notices();
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
    let security = Security::load(&options.security)?;
    let webhook = Webhook::load(&options.webhook)?;
    doors::init()?;
    // Ports first: who cannot have them need not wait for the model.
    let usual = options.names_no_door();
    let open = async |port: Option<u16>, default, flag| match port.or(usual.then_some(default)) {
        Some(port) => server::bind(&options.host, port, flag).await.map(Some),
        None => Ok(None),
    };
    let lines = open(options.line, 43007, "--line").await?;
    let web_sockets = open(options.ws, 43008, "--ws").await?;
    let web = open(options.http, 8080, "--http").await?;
    let mut settings = options.element.settings();
    let (mut cluster, mut warm) = (None, None);
    match options.nats.nats {
        // Who hears the calls has the model.
        Some(_) => {
            leave_to_workers(&mut settings);
            cluster = Some(Cluster::connect(&options.nats, "whisperstream-server").await?);
        }
        None => {
            warm = Some(server::warm_up(&settings, options.warmup_file.as_deref()).await?);
        }
    }
    let exchange = Exchange::new(Policy {
        settings,
        // Who only passes calls on has room for as many as it has descriptors for.
        max_calls: match (options.max_calls, &cluster) {
            (0, Some(_)) => usize::MAX,
            (calls, _) => calls,
        },
        max_per_peer: options.max_calls_per_peer,
        ..Policy::default()
    });
    if let Some(cluster) = cluster {
        let wait = Duration::from_secs_f64(options.nats_wait.clamp(0.0, 3600.0));
        Gateway::start(cluster, &exchange, wait).await?;
        server::announce("nats", options.nats.address());
    }
    let posting = webhook.map(|webhook| webhook.start(&exchange));
    if let Some(listener) = lines {
        server::announce("line", format!("tcp://{}", listener.local_addr()?));
        let line = line::Line {
            json: options.json_lines,
            ..line::Line::default()
        };
        tokio::spawn(line::serve(listener, exchange.clone(), line));
    }
    let routes = [
        (
            "websocket",
            "ws",
            web_sockets,
            websocket::router(exchange.clone()),
        ),
        ("http", "http", web, http::router(exchange.clone())),
    ];
    for (door, scheme, listener, routes) in routes {
        if let Some(listener) = listener {
            let address = listener.local_addr()?;
            server::announce(door, format!("{}://{address}/", security.scheme(scheme)));
            let security = security.clone();
            tokio::spawn(async move { http::serve_with(listener, routes, &security).await });
        }
    }
    options
        .dialects
        .open(&options.host, &exchange, &security)
        .await?;
    let grace = Duration::from_secs_f64(options.grace.clamp(0.0, 86_400.0));
    server::until_stopped(&exchange, grace).await?;
    if let Some(posting) = posting {
        posting.finish(POSTED).await;
    }
    drop(warm);
    Ok(())
}
