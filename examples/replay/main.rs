// SPDX-License-Identifier: MPL-2.0
//! Runs a recorded stream again (property `dump-dir`, docs/replay.md) and says whether every pass decides as it did then:
//!
//!     cargo run --release --example replay -- DUMP
//!     cargo run --release --example replay -- DUMP --diff --set frame-threshold=10
//!     cargo run --release --example replay -- DUMP --pass 7 --wav pass-7.wav
//!
//! Ends with 0 if all passes agree (or a pass was shown), with 1 if one does not, or if the dump cannot be run.

mod show;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gstwhisperstream::engine::dump::{Changes, Networked, Passed, Recording, Replay};

#[derive(Parser)]
#[command(about = "Runs a recorded stream again and compares every decision")]
struct Options {
    /// Directory of one stream, as dump-dir made it.
    dump: PathBuf,
    /// Shows the first pass that decides otherwise, then and now side by side.
    #[arg(long)]
    diff: bool,
    /// Another setting of the policy, by its name in header.json; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Another model, or where the same lies now.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Runs nothing, but shows what this pass did.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["diff", "set", "model"])]
    pass: Option<u64>,
    /// Writes the audio that the pass heard.
    #[arg(long, value_name = "FILE", requires = "pass")]
    wav: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write it as NAME=VALUE, such as frame-threshold=10")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.pass {
        Some(number) => look(&options, number),
        None => again(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Shows one pass as it was recorded.
fn look(options: &Options, number: u64) -> Result<bool, Box<dyn Error>> {
    let recording = Recording::open(&options.dump)?;
    let pass = recording.pass(number)?;
    print!("{}", show::one(&pass));
    if let Some(file) = &options.wav {
        let Some(Networked { audio, .. }) = &pass.network else {
            return Err(format!(
                "pass {number} did not ask the network, so it heard no audio; choose another one"
            )
            .into());
        };
        std::fs::write(file, recording.wav(audio)?)
            .map_err(|reason| format!("{} cannot be written: {reason}", file.display()))?;
    }
    Ok(true)
}

/// Runs all passes again; whether they decided the same.
fn again(options: &Options) -> Result<bool, Box<dyn Error>> {
    let recording = Recording::open(&options.dump)?;
    let changes = Changes {
        model: options.model.clone(),
        settings: options.set.clone(),
    };
    let replay = Replay::new(&recording, changes)?;
    if !replay.is_same_model() {
        eprintln!(
            "warning: this is not the model that was recorded; its files have another fingerprint"
        );
    }
    let mut tally = Tally::default();
    for pair in replay {
        let (then, now) = pair?;
        let differs = !then.decides_as(&now);
        if differs && tally.first.is_none() && options.diff {
            print!("{}", show::both(&then, &now));
        }
        tally.add(&then, &now, differs);
    }
    if !options.set.is_empty() && tally.first.is_some() {
        println!("then: {}", tally.then.trim());
        println!("now:  {}", tally.now.trim());
    }
    println!("{}", tally.sentence(options.diff));
    Ok(tally.first.is_none())
}

/// How the passes compare.
#[derive(Default)]
struct Tally {
    passes: u64,
    differing: u64,
    first: Option<u64>,
    /// Some probability differs, be it in its last digit.
    odds_differ: bool,
    then: String,
    now: String,
}

impl Tally {
    fn add(&mut self, then: &Passed, now: &Passed, differs: bool) {
        self.passes += 1;
        if differs {
            self.differing += 1;
            self.first.get_or_insert(then.number);
        }
        self.odds_differ |= then != now;
        for (text, pass) in [(&mut self.then, then), (&mut self.now, now)] {
            if let Some(release) = pass.outcome.as_ref().and_then(|came| came.release.as_ref()) {
                text.push_str(&release.text);
            }
        }
    }

    fn sentence(&self, shown: bool) -> String {
        let Tally {
            passes, differing, ..
        } = *self;
        match self.first {
            None if self.odds_differ => format!(
                "All {passes} passes decide as recorded; only probabilities differ, in their last digits."
            ),
            None => format!("All {passes} passes decide as recorded."),
            Some(first) => format!(
                "{differing} of {passes} passes decide otherwise than recorded; the first is pass {first}{}.",
                if shown { "" } else { " (--diff shows it)" }
            ),
        }
    }
}
