//! Which tones are on the line: answering machines' beeps, special information tones, fax, and call progress of Europe and
//! North America.
//!
//! [`Detector`] takes audio in any cut and tells of [`Tone`]s as soon as they are sure. It works at 8 kHz, in steps of
//! 10 ms counted from the first sample:
//!
//! 1. `line` drops DC, hum and what is above 4 kHz, and keeps the last second;
//! 2. `track` cuts out *bursts*, stretches whose power lies at one or two frequencies;
//! 3. `examine` looks at all of a burst at once: how many sines, what else, how steady amplitude and phase are;
//! 4. `cadence` knows the networks' tones by frequency, length and pause;
//! 5. `judge` decides.
//!
//! What makes a beep: one sine whose phase strays from a straight line by less than 0.3 rad and whose amplitude sways by
//! less than 12 % from 10 ms behind its onset on, with nothing else above -18 dB, and no other note just before it. Voices and
//! instruments do not hold a note so; and where a synthesiser does, it plays others around it.

mod cadence;
mod examine;
mod judge;
mod line;
mod spectrum;
mod track;

use judge::{Found, Judge};
use line::Line;
use track::{HOP, Tracker};

/// What a tone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One steady tone, as answering machines play before they record.
    Beep,
    /// Special information tones: the call failed, an announcement follows.
    Sit,
    /// A fax that calls.
    FaxCng,
    /// A fax or modem that answers.
    FaxCed,
    /// The other end is rung.
    RingBack,
    /// The other end is busy.
    Busy,
    /// The network is: fast busy, reorder.
    Congestion,
    /// The line waits for a number.
    Dial,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Beep,
        Kind::Sit,
        Kind::FaxCng,
        Kind::FaxCed,
        Kind::RingBack,
        Kind::Busy,
        Kind::Congestion,
        Kind::Dial,
    ];

    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Beep => "beep",
            Kind::Sit => "sit",
            Kind::FaxCng => "fax-cng",
            Kind::FaxCed => "fax-ced",
            Kind::RingBack => "ring-back",
            Kind::Busy => "busy",
            Kind::Congestion => "congestion",
            Kind::Dial => "dial",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Of the audio, in Hz: 8000 or 16000.
    pub rate: u32,
    /// The shortest beep, in ms: 100 to 1000.
    pub min_duration_ms: u32,
    /// The lowest and the highest beep, in Hz: 350 to 2200.
    pub min_frequency: u32,
    pub max_frequency: u32,
    /// The softest tone of any kind, in dBFS: -60 to 0. A sine of full scale has 0.
    pub min_level: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rate: 8_000,
            min_duration_ms: 150,
            min_frequency: 440,
            max_frequency: 2_000,
            min_level: -45.0,
        }
    }
}

/// Settings that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    #[error("audio of {0} Hz cannot be listened to: the rate must be 8000 or 16000")]
    Rate(u32),
    #[error(
        "min-duration is {0} ms: it must be from 100 to 1000, shorter beeps cannot be told from speech"
    )]
    Duration(u32),
    #[error("{name} is {value} Hz: it must be from 350 to 2200")]
    Frequency { name: &'static str, value: u32 },
    #[error(
        "min-frequency is {min} Hz and max-frequency {max} Hz: no beep lies between them; min-frequency must not be above max-frequency"
    )]
    Frequencies { min: u32, max: u32 },
    #[error("min-level is {0} dBFS: it must be from -60 to 0")]
    Level(f64),
}

impl Settings {
    /// Whether they make sense.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !matches!(self.rate, 8_000 | 16_000) {
            return Err(SettingsError::Rate(self.rate));
        }
        if !(100..=1_000).contains(&self.min_duration_ms) {
            return Err(SettingsError::Duration(self.min_duration_ms));
        }
        let (min, max) = (self.min_frequency, self.max_frequency);
        for (name, value) in [("min-frequency", min), ("max-frequency", max)] {
            if !(350..=2_200).contains(&value) {
                return Err(SettingsError::Frequency { name, value });
            }
        }
        if min > max {
            return Err(SettingsError::Frequencies { min, max });
        }
        if !(-60.0..=0.0).contains(&self.min_level) {
            return Err(SettingsError::Level(self.min_level));
        }
        Ok(())
    }

    /// Whether a beep may have this frequency, which is known to some Hz.
    fn may_beep(&self, hz: f64) -> bool {
        const OFF: f64 = 5.0;
        (f64::from(self.min_frequency) - OFF..=f64::from(self.max_frequency) + OFF).contains(&hz)
    }

    /// The squared amplitude of the softest tone; half a decibel less, for what is measured is not exact.
    fn floor(&self) -> f64 {
        10f64.powf((self.min_level - 0.5) / 10.0)
    }
}

/// A tone is on the line, or has been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    pub kind: Kind,
    /// Its frequency; of several, the strongest's. Hz.
    pub frequency: f64,
    /// dBFS; a sine of full scale has 0.
    pub level: f64,
    /// Its first sample, counted as they came in.
    pub start: u64,
    /// Its length in samples, or what was heard of it so far. Cadences count from the first burst to the end of the last.
    pub length: u64,
    /// It has ended. What ends before it is sure is told once, and is final; anything else is told when it is sure and
    /// when it has ended.
    pub is_final: bool,
}

/// Listens to one line.
pub struct Detector {
    settings: Settings,
    line: Line,
    tracker: Tracker,
    judge: Judge,
}

impl Detector {
    /// Refuses settings that make no sense.
    pub fn new(settings: Settings) -> Result<Detector, SettingsError> {
        settings.check()?;
        Ok(Detector {
            settings,
            line: Line::new(settings.rate == 16_000),
            tracker: Tracker::new(settings.floor()),
            judge: Judge::new(settings),
        })
    }

    /// Hears `samples`, which follow those before. Tells what is sure by the end of each step of 10 ms.
    pub fn push(&mut self, samples: &[i16], tell: impl FnMut(Tone)) {
        self.extend(samples.iter().copied(), tell);
    }

    /// The same for samples that do not lie in a slice.
    pub fn extend(&mut self, samples: impl Iterator<Item = i16>, mut tell: impl FnMut(Tone)) {
        for sample in samples {
            self.hear(sample, &mut tell);
        }
    }

    /// Hears `samples` samples of silence: a hole in the audio.
    pub fn silence(&mut self, samples: u64, mut tell: impl FnMut(Tone)) {
        for _ in 0..samples {
            self.hear(0, &mut tell);
        }
    }

    fn hear(&mut self, sample: i16, tell: &mut impl FnMut(Tone)) {
        if !self.line.hear(sample) || !self.line.position().is_multiple_of(HOP) {
            return;
        }
        let now = self.line.position();
        let (ended, total) = self.tracker.step(&self.line);
        self.judge.note_power(now, total);
        let line = &self.line;
        let mut found = |found: Found| tell(tone(line, found));
        if let Some(burst) = ended {
            self.judge.ended(&burst, now, &mut found);
        }
        let running = self.tracker.running();
        if let Some(burst) = &running {
            self.judge.running(burst, &mut found);
        }
        let heard = running
            .map(|burst| (burst.start, burst.hz))
            .or(self.tracker.dawning());
        self.judge.pass(now, heard, &mut found);
    }

    /// The audio ends or jumps here: tells what goes on as ended. Samples are counted on.
    pub fn finish(&mut self, mut tell: impl FnMut(Tone)) {
        let now = self.line.position();
        let ended = self.tracker.finish(&self.line);
        let line = &self.line;
        let mut found = |found: Found| tell(tone(line, found));
        if let Some(burst) = ended {
            self.judge.ended(&burst, now, &mut found);
        }
        self.judge.finish(now, &mut found);
    }

    /// Forgets everything, and counts from 0 again.
    pub fn reset(&mut self) {
        self.line = Line::new(self.settings.rate == 16_000);
        self.tracker = Tracker::new(self.settings.floor());
        self.judge = Judge::new(self.settings);
    }
}

fn tone(line: &Line, found: Found) -> Tone {
    let (start, end) = (line.input(found.start), line.input(found.end));
    Tone {
        kind: found.kind,
        frequency: found.hz,
        level: 10.0 * found.power.max(1e-12).log10(),
        start,
        length: end.saturating_sub(start),
        is_final: found.is_final,
    }
}
