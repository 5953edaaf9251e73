// SPDX-License-Identifier: MPL-2.0

//! What the demo shows: a line for each word, and behind it, greyed on a terminal, what is not decided yet.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use gst::ClockTime;

/// A decided word.
pub struct Word {
    pub text: String,
    pub start: ClockTime,
    /// From the end of the word to its decision.
    pub lag: ClockTime,
}

pub struct Screen {
    /// A terminal: the undecided tail is a line that comes and goes.
    live: bool,
    bold: &'static str,
    grey: &'static str,
    plain: &'static str,
    /// The tail on show.
    tail: String,
    words: usize,
    lags: Vec<ClockTime>,
}

/// Where the words stand.
const MARGIN: &str = "                       ";
/// The tail is cut here, so that it never wraps to a second line, which could not be wiped.
const TAIL_CHARS: usize = 52;

impl Screen {
    pub fn open(recording: &Path, language: &str) -> io::Result<Screen> {
        let live = io::stdout().is_terminal();
        let coloured = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let [bold, grey, plain] = if coloured {
            ["\x1b[1m", "\x1b[90m", "\x1b[0m"]
        } else {
            ["", "", ""]
        };
        let screen = Screen {
            live,
            bold,
            grey,
            plain,
            tail: String::new(),
            words: 0,
            lags: Vec::new(),
        };
        println!(
            "\n{bold}{}{plain}  language={language}, played in real time\n",
            recording.display()
        );
        println!("{grey}   spoken   decided    word{plain}");
        Ok(screen)
    }

    /// Decided words, which never change again.
    pub fn decided(&mut self, words: &[Word]) {
        self.wipe_tail();
        for word in words {
            println!(
                "  {:>7}  +{:.2} s    {}{}{}",
                clock(word.start),
                word.lag.nseconds() as f64 / 1e9,
                self.bold,
                word.text,
                self.plain
            );
            self.lags.push(word.lag);
        }
        self.words += words.len();
    }

    /// What is behind them, which may still change.
    pub fn undecided(&mut self, tail: &str) {
        let shown: String = tail.trim().chars().take(TAIL_CHARS).collect();
        if shown == self.tail {
            return;
        }
        self.wipe_tail();
        if shown.is_empty() {
            return;
        }
        print!("{MARGIN}{}{shown}…{}", self.grey, self.plain);
        if self.live {
            self.tail = shown;
        } else {
            println!();
        }
        let _ = io::stdout().flush();
    }

    /// The end: how late words were, and the captions as they are in the file.
    pub fn captions(&mut self, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
        self.wipe_tail();
        self.lags.sort();
        if let Some(median) = self.lags.get(self.lags.len() / 2) {
            println!(
                "\n{} words; half of them decided within {:.2} s of their end",
                self.words,
                median.nseconds() as f64 / 1e9
            );
        }
        println!("\n{}{}{}\n", self.bold, file.display(), self.plain);
        for line in fs::read_to_string(file)?.lines() {
            println!("    {line}");
        }
        Ok(())
    }

    fn wipe_tail(&mut self) {
        if !self.tail.is_empty() {
            print!("\r\x1b[2K");
            self.tail.clear();
        }
    }
}

fn clock(time: ClockTime) -> String {
    let hundredths = time.mseconds() / 10;
    format!(
        "{}:{:02}.{:02}",
        hundredths / 6000,
        hundredths / 100 % 60,
        hundredths % 100
    )
}
