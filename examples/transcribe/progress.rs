// SPDX-License-Identifier: MPL-2.0

//! The progress bar on stderr, drawn only when stderr is a terminal.

use std::io::IsTerminal;

use gst::ClockTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Args;

#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
}

impl Progress {
    pub fn new(args: &Args) -> Progress {
        let target = if args.quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(10)
        };
        Progress {
            bar: ProgressBar::with_draw_target(None, target),
            quiet: args.quiet,
        }
    }

    /// How far the text is decided, of how much.
    pub fn show(&self, decided: ClockTime, duration: Option<ClockTime>) {
        if self.bar.is_hidden() {
            return;
        }
        if self.bar.length().is_none()
            && let Some(duration) = duration
        {
            self.bar.set_length(duration.mseconds());
            self.bar.set_style(style(
                "{elapsed_precise} [{wide_bar}] {percent:>3} % {prefix}  {msg}",
            ));
        } else if self.bar.length().is_none() {
            self.bar
                .set_style(style("{elapsed_precise} {spinner} {prefix}  {msg}"));
        }
        self.bar.set_prefix(clock(decided));
        self.bar.set_position(decided.mseconds());
    }

    /// Words beside the bar.
    pub fn say(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// A line of its own above the bar; without a terminal a line on stderr.
    pub fn note(&self, line: &str) {
        if !self.quiet || line.starts_with("warning: ") {
            self.aside(|| eprintln!("{line}"));
        }
    }

    /// Does something that may print while the bar is out of the way.
    pub fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn clock(time: ClockTime) -> String {
    let seconds = time.seconds();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
