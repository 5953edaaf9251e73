//! The calls of `calls.tsv`, read and made audible. Who includes this includes `sounds.rs` and `voices.rs` beside it.
#![allow(dead_code)]

use std::path::PathBuf;

use super::sounds::{self, RATE, Signal};
use super::voices::{self, Voice};

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Human,
    Machine,
    MachineBeep,
    Silence,
    Fax,
    NoAnswer,
}

impl Class {
    pub const ALL: [Class; 6] = [
        Class::Human,
        Class::Machine,
        Class::MachineBeep,
        Class::Silence,
        Class::Fax,
        Class::NoAnswer,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Class::Human => "human",
            Class::Machine => "machine",
            Class::MachineBeep => "machine-beep",
            Class::Silence => "silence",
            Class::Fax => "fax",
            Class::NoAnswer => "no-answer",
        }
    }

    /// The right verdict, by its name in messages.
    pub fn verdict(self) -> &'static str {
        match self {
            Class::Human => "human",
            Class::Machine | Class::MachineBeep => "machine",
            Class::Fax => "fax",
            Class::Silence | Class::NoAnswer => "no-answer",
        }
    }
}

#[derive(Clone, Debug)]
pub enum Part {
    Say(String),
    /// Seconds.
    Quiet(f64),
    /// Hz and seconds.
    Beep(f64, f64),
    /// So many seconds of it.
    Signal(Signal, f64),
}

#[derive(Clone, Debug)]
pub struct Call {
    pub id: String,
    pub held_out: bool,
    pub class: Class,
    pub language: String,
    /// What makes it hard, if anything.
    pub note: Option<String>,
    pub voice: Option<Voice>,
    /// dBFS of speech and tones, and of the line's noise.
    pub level: f64,
    pub noise: f64,
    pub seed: u64,
    /// Seconds before and after.
    pub lead: f64,
    pub trail: f64,
    pub script: Vec<Part>,
}

/// Where a part of the script lies in the audio, in samples.
#[derive(Clone, Debug)]
pub struct Placed {
    pub part: Part,
    pub start: usize,
    pub end: usize,
}

/// All calls of `calls.tsv`.
pub fn all() -> Vec<Call> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/calls/calls.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let call = |line: &str| call(line).unwrap_or_else(|| panic!("a bad line: {line}"));
    text.lines().skip(1).map(call).collect()
}

fn call(line: &str) -> Option<Call> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [
        id,
        half,
        class,
        language,
        note,
        voice,
        speed,
        pitch,
        level,
        noise,
        seed,
        lead,
        trail,
        script,
    ] = columns[..]
    else {
        return None;
    };
    let voice = match voice {
        "-" => None,
        name => Some(Voice {
            // Of some hundred calls, once a process.
            name: name.to_string().leak(),
            pitch: pitch.parse().ok()?,
            speed: speed.parse().ok()?,
        }),
    };
    Some(Call {
        id: id.into(),
        held_out: match half {
            "tune" => false,
            "held" => true,
            _ => return None,
        },
        class: Class::ALL.into_iter().find(|c| c.name() == class)?,
        language: language.into(),
        note: (note != "-").then(|| note.into()),
        voice,
        level: level.parse().ok()?,
        noise: noise.parse().ok()?,
        seed: seed.parse().ok()?,
        lead: lead.parse::<f64>().ok()? / 1000.0,
        trail: trail.parse::<f64>().ok()? / 1000.0,
        script: script.split(" | ").map(part).collect::<Option<_>>()?,
    })
}

fn part(part: &str) -> Option<Part> {
    let (name, rest) = part.split_once(' ').unwrap_or((part, ""));
    let seconds = |ms: &str| Some(ms.parse::<f64>().ok()? / 1000.0);
    let country = match rest {
        "eu" => "de",
        other => other,
    };
    let signal = |kind, country, seconds| Part::Signal(Signal::of(kind, country), seconds);
    Some(match name {
        "say" => Part::Say(rest.into()),
        "quiet" => Part::Quiet(seconds(rest)?),
        "beep" => {
            let (hz, ms) = rest.split_once(' ')?;
            Part::Beep(hz.parse().ok()?, seconds(ms)?)
        }
        "sit" => signal("sit", "itu", 0.99),
        "cng" => signal("fax-cng", "itu", 7.0),
        "ced" => signal("fax-ced", "itu", 3.0),
        "busy" => signal("busy", country, 4.0),
        "congestion" => signal("congestion", country, 4.0),
        "ring" => signal("ring-back", country, 12.0),
        _ => return None,
    })
}

impl Call {
    /// What is heard, 16 kHz, and where its parts lie.
    pub fn render(&self) -> (Vec<i16>, Vec<Placed>) {
        let mut samples = sounds::silence(self.lead, RATE);
        let mut placed = Vec::new();
        for part in &self.script {
            let sound = self.sound(part);
            placed.push(Placed {
                part: part.clone(),
                start: samples.len(),
                end: samples.len() + sound.len(),
            });
            samples.extend(sound);
        }
        samples.extend(sounds::silence(self.trail, RATE));
        let seconds = samples.len() as f64 / f64::from(RATE);
        let noise = sounds::white(self.noise, seconds, RATE, self.seed);
        (sounds::telephone(&sounds::mix(&samples, &noise)), placed)
    }

    fn sound(&self, part: &Part) -> Vec<i16> {
        match part {
            Part::Say(text) => {
                let voice = self.voice.expect("who speaks has a voice");
                let speech = voices::say(text, &voice);
                sounds::gain(&speech, self.level - sounds::level(&speech))
            }
            Part::Quiet(seconds) => sounds::silence(*seconds, RATE),
            Part::Beep(hz, seconds) => sounds::tone(&[*hz], self.level, *seconds, RATE),
            Part::Signal(signal, seconds) => signal.play(self.level, *seconds, RATE),
        }
    }

    /// What is said in it.
    pub fn text(&self) -> String {
        let said = self.script.iter().filter_map(|part| match part {
            Part::Say(text) => Some(text.as_str()),
            _ => None,
        });
        said.collect::<Vec<_>>().join(" … ")
    }
}
