// SPDX-License-Identifier: MPL-2.0

//! Speech-to-text for many clients at once, behind the doors that are asked for.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use doors::exchange::{Exchange, Policy};
use doors::options::ElementOptions;
use doors::{http, line, logs};
use tokio::net::TcpListener;

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
    /// Port of the HTTP doors
    #[arg(long, value_name = "PORT")]
    http: Option<u16>,
    /// Calls at a time; 0: as many as the machine bears
    #[arg(long, default_value_t = 0)]
    max_calls: usize,
    /// Seconds that calls have to finish when the server is stopped
    #[arg(long, default_value_t = 30.0)]
    grace: f64,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value_t)]
    log: logs::Form,
    #[command(flatten)]
    element: ElementOptions,
}

fn main() -> ExitCode {
    let options = Options::parse();
    logs::start(options.log);
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
    doors::init()?;
    let exchange = Exchange::new(Policy {
        settings: options.element.settings(),
        max_calls: options.max_calls,
        ..Policy::default()
    });
    if let Some(port) = options.line {
        let listener = TcpListener::bind((options.host.as_str(), port)).await?;
        println!("line       tcp://{}", listener.local_addr()?);
        let line = line::Line {
            json: options.json_lines,
            ..line::Line::default()
        };
        tokio::spawn(line::serve(listener, exchange.clone(), line));
    }
    if let Some(port) = options.http {
        let listener = TcpListener::bind((options.host.as_str(), port)).await?;
        println!("http       http://{}", listener.local_addr()?);
        let routes = http::router(exchange.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }
    tokio::signal::ctrl_c().await?;
    exchange
        .close(Duration::from_secs_f64(options.grace.clamp(0.0, 86_400.0)))
        .await;
    Ok(())
}
