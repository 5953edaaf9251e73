// SPDX-License-Identifier: MPL-2.0

//! Hears FreeSWITCH's calls: words, interruptions and who answered.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use doors::exchange::{Exchange, Policy};
use doors::options::{self, ElementOptions};
use doors::signals::Signals;
use doors::{freeswitch, logs, room};

/// Live speech-to-text of FreeSWITCH's calls
#[derive(Parser)]
#[command(name = "whisperstream-freeswitch", version)]
struct Program {
    #[command(flatten)]
    freeswitch: freeswitch::Options,
    /// Calls at a time; 0: as many as the machine bears
    #[arg(long, default_value_t = 0)]
    max_calls: usize,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value_t)]
    log: logs::Form,
    #[command(flatten)]
    element: ElementOptions,
}

fn main() -> ExitCode {
    let options = Program::parse_from(options::args());
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

fn run(options: Program) -> Result<(), Box<dyn std::error::Error>> {
    doors::init()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(serve(options));
    // A thread that waits for the terminal must not keep the program.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve(options: Program) -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = freeswitch::settings(&options.freeswitch);
    settings.extend(options.element.settings());
    let exchange = Exchange::new(Policy {
        settings,
        max_calls: options.max_calls,
        ..Policy::default()
    });
    let mut signals = Signals::new()?;
    let bridge = freeswitch::run(options.freeswitch, exchange.clone());
    tokio::pin!(bridge);
    tokio::select! {
        done = &mut bridge => return Ok(done?),
        () = signals.next() => {}
    }
    // The calls' tails are told, and their files removed.
    let closing = async { tokio::join!(exchange.close(Duration::ZERO), &mut bridge).1 };
    match tokio::time::timeout(Duration::from_secs(20), closing).await {
        Ok(Err(freeswitch::Failure::Link(freeswitch::LinkError::Closing))) | Err(_) => Ok(()),
        Ok(done) => Ok(done?),
    }
}
