// SPDX-License-Identifier: MPL-2.0

//! What is said in calls that come as RTP: on ports, in a capture, or by SIP.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use doors::call::Setting;
use doors::exchange::{Exchange, Policy};
use doors::options::ElementOptions;
use doors::signals::Signals;
use doors::tap::print::Printer;
use doors::tap::rtp::{self, RtpOptions};
use doors::tap::sip::{self, SipOptions};
use doors::{http, logs, room};
use tokio_util::sync::CancellationToken;

/// Prints what is said in calls, with who said it and when
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Listens to the RTP of one call, on ports or in a capture
    Rtp {
        #[command(flatten)]
        rtp: RtpOptions,
        #[command(flatten)]
        common: Common,
    },
    /// Answers calls by SIP, and records calls of a PBX or SBC (SIPREC)
    Sip {
        #[command(flatten)]
        sip: SipOptions,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(clap::Args)]
struct Common {
    /// Prints JSON lines: words, partial words, digits, and what else happens
    #[arg(long)]
    json: bool,
    /// Address and port of metrics and of what is watched over HTTP, as in 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<std::net::SocketAddr>,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value_t)]
    log: logs::Form,
    #[command(flatten)]
    element: ElementOptions,
}

fn main() -> ExitCode {
    let Options { command } = Options::parse();
    let common = match &command {
        Command::Rtp { common, .. } | Command::Sip { common, .. } => common,
    };
    logs::start(common.log);
    room::raise();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    doors::init()?;
    let end = CancellationToken::new();
    let interrupted = end.clone();
    // A service is stopped by a signal of its own; calls end the same way.
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        interrupted.cancel();
    });
    match command {
        Command::Rtp { rtp, common } => {
            // What was captured waits for nobody: every pass is made, so that the same file gives the same text.
            let pace = rtp.pcap.as_ref().map(|_| Setting::new("pace", "exact"));
            let exchange = exchange(&common, pace, 0).await?;
            rtp::run(&rtp, &exchange, Printer::stdout(common.json), end).await?;
        }
        Command::Sip { sip, common } => {
            let exchange = exchange(&common, None, sip.max_calls).await?;
            sip::serve(sip, exchange, Printer::stdout(common.json), end).await?;
        }
    }
    Ok(())
}

async fn exchange(
    common: &Common,
    first: Option<Setting>,
    max_calls: usize,
) -> Result<Exchange, Box<dyn Error>> {
    let exchange = Exchange::new(Policy {
        settings: first.into_iter().chain(common.element.settings()).collect(),
        max_calls,
        ..Policy::default()
    });
    if let Some(address) = common.http {
        let listener = tokio::net::TcpListener::bind(address).await?;
        tracing::info!("watched at http://{}", listener.local_addr()?);
        let routes = http::router(exchange.clone());
        tokio::spawn(http::serve(listener, routes));
    }
    Ok(exchange)
}
