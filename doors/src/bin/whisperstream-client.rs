// SPDX-License-Identifier: MPL-2.0

//! What is said into a microphone or on a file, by a server of `whisperstream`.

use std::process::ExitCode;

use clap::Parser;
use doors::client::{self, ClientOptions};
use doors::{logs, options};

/// Sends a microphone or a file to whisperstream-server and prints what is said. Enter tells all said so far at once;
/// Ctrl+C ends the audio and tells the rest, a second one ends all
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    client: ClientOptions,
}

fn main() -> ExitCode {
    let options = Options::parse_from(options::args());
    logs::start_at(logs::Form::Text, Some(options::Level::Warning));
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("whisperstream-client: error: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    doors::init()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ran = runtime.block_on(client::run(options.client));
    // Standard input may be waited for still.
    runtime.shutdown_background();
    Ok(ran?)
}
