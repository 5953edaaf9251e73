// SPDX-License-Identifier: MPL-2.0

//! Transcribes any media file, URI or standard input to text, SRT, WebVTT or JSON lines.
//!
//!     cargo run --release --example transcribe -- interview.mp4 --format vtt --output interview.vtt
//!
//! It shows how to embed `whisperstream` behind `decodebin`, how to hear its messages and how to stop it.
//!
//! Exit status: 0 done, 1 failed (the reason is on stderr), 2 bad command line, 130 interrupted (all that was
//! decided until then is written).

mod args;
mod captions;
mod failure;
mod output;
mod pipeline;
mod progress;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use signal_hook::{consts::SIGINT, flag};

use args::Args;
use captions::Captions;
use failure::{Failure, MissingPlugins};
use output::Output;
use pipeline::Transcription;
use progress::Progress;

/// How a run that did not fail came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    Interrupted,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(End::Finished) => ExitCode::SUCCESS,
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<End, Failure> {
    gst::init().map_err(|err| Failure::Setup(format!("GStreamer does not start: {err}")))?;
    // The plugin is linked in, so this program needs no GST_PLUGIN_PATH.
    gstwhisperstream::plugin_register_static().map_err(|err| {
        Failure::Setup(format!("the whisperstream plugin does not register: {err}"))
    })?;

    let interrupts = watch_interrupts()?;
    let progress = Progress::new(args);
    let output = Output::open(args.output.as_deref(), progress.clone())?;
    let captions = Captions::open(args, &output, &progress)?;
    let transcription = Transcription::build(args, output.clone(), captions.clone())?;

    let end = transcription
        .start()
        .and_then(|()| follow(&transcription, &progress, &interrupts));
    transcription.stop();
    progress.finish();
    // A reader that went away (`| head`) is no failure: it has what it wanted.
    if output.reader_left() {
        return Ok(End::Finished);
    }
    output.close()?;
    captions.close()?;
    end
}

/// Reads the bus until the end, showing progress and minding interrupts.
fn follow(
    transcription: &Transcription,
    progress: &Progress,
    interrupts: &AtomicBool,
) -> Result<End, Failure> {
    let bus = transcription.bus();
    let mut missing = MissingPlugins::default();
    let mut interrupted = false;
    loop {
        if !interrupted && interrupts.load(Ordering::Relaxed) {
            interrupted = true;
            if !transcription.finish_early() {
                return Ok(End::Interrupted);
            }
            progress.note("interrupted; finishing what was heard (again to stop at once)");
        }
        progress.show(transcription.decided(), transcription.duration());

        let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(100)) else {
            continue;
        };
        match message.view() {
            gst::MessageView::Eos(_) if interrupted => return Ok(End::Interrupted),
            gst::MessageView::Eos(_) => return missing.check_heard(transcription.heard_audio()),
            gst::MessageView::Error(err) => {
                return Err(missing.explain(err, transcription.heard_audio()));
            }
            gst::MessageView::Warning(warning) => {
                progress.note(&format!(
                    "warning: {}",
                    failure::reason(warning.error().message())
                ));
            }
            gst::MessageView::Progress(loading) => match loading.get() {
                (gst::ProgressType::Start | gst::ProgressType::Continue, _, text) => {
                    progress.say(text)
                }
                _ => progress.say(""),
            },
            gst::MessageView::Element(element) => {
                let Some(structure) = element.structure() else {
                    continue;
                };
                missing.note(structure);
                if structure.name() == "whisperstream/partial"
                    && let Ok(text) = structure.get::<&str>("text")
                {
                    progress.say(text);
                }
            }
            _ => (),
        }
    }
}

/// Set by Ctrl-C. The second one ends the program on the spot.
fn watch_interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    // In this order: the handlers run in the order in which they were registered.
    flag::register_conditional_shutdown(SIGINT, 130, interrupted.clone())
        .and_then(|_| flag::register(SIGINT, interrupted.clone()))
        .map_err(|err| Failure::Setup(format!("Ctrl-C cannot be handled: {err}")))?;
    Ok(interrupted)
}
