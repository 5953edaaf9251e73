//! Hold music: pieces composed here by rule and seed, written as Standard MIDI Files, and played by fluidsynth with
//! Debian's sound font (timgm6mb-soundfont). What was played is kept in the build's temporary folder.
//! Who includes this includes `sounds.rs` beside it, as `sounds`.
#![allow(dead_code)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sounds::{self, Random};

/// Where Debian's packages put sound fonts; the first that is there is played.
const FONTS: [&str; 2] = [
    "/usr/share/sounds/sf2/TimGM6mb.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
];

/// What plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One melody on one instrument, with nothing under it: as near to a beep as music comes.
    Solo(Instrument),
    /// A melody over broken chords, as waiting loops have it.
    Accompanied(Instrument),
    /// Long chords of an organ or strings.
    Chords(Instrument),
    /// Melody, chords, bass and drums.
    Band(Instrument),
    /// Drums alone.
    Drums,
}

/// Instruments by their General MIDI programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Instrument {
    Piano = 0,
    ElectricPiano = 4,
    MusicBox = 10,
    Vibraphone = 11,
    DrawbarOrgan = 16,
    ChurchOrgan = 19,
    Accordion = 21,
    Guitar = 24,
    Violin = 40,
    Strings = 48,
    Choir = 52,
    Voice = 53,
    Trumpet = 56,
    Saxophone = 65,
    Clarinet = 71,
    Flute = 73,
    Recorder = 74,
    PanFlute = 75,
    Whistle = 78,
    Ocarina = 79,
    SquareLead = 80,
    Calliope = 82,
}

impl Instrument {
    pub const ALL: [Instrument; 22] = [
        Instrument::Piano,
        Instrument::ElectricPiano,
        Instrument::MusicBox,
        Instrument::Vibraphone,
        Instrument::DrawbarOrgan,
        Instrument::ChurchOrgan,
        Instrument::Accordion,
        Instrument::Guitar,
        Instrument::Violin,
        Instrument::Strings,
        Instrument::Choir,
        Instrument::Voice,
        Instrument::Trumpet,
        Instrument::Saxophone,
        Instrument::Clarinet,
        Instrument::Flute,
        Instrument::Recorder,
        Instrument::PanFlute,
        Instrument::Whistle,
        Instrument::Ocarina,
        Instrument::SquareLead,
        Instrument::Calliope,
    ];
}

/// A few minutes of these have something of everything.
pub const STYLES: [Style; 8] = [
    Style::Band(Instrument::Piano),
    Style::Accompanied(Instrument::Flute),
    Style::Chords(Instrument::ChurchOrgan),
    Style::Chords(Instrument::Strings),
    Style::Solo(Instrument::Piano),
    Style::Accompanied(Instrument::Whistle),
    Style::Band(Instrument::Saxophone),
    Style::Drums,
];

/// Ticks in a quarter note.
const QUARTER: u32 = 480;
/// The drums' channel.
const DRUMS: u8 = 9;

/// `seconds` of a piece, 16 kHz mono, its peak at about -6 dBFS. The same style and seed are the same piece.
pub fn play(style: Style, seed: u64, seconds: f64) -> Vec<i16> {
    let midi = compose(style, seed, seconds);
    let kept = cache().join(format!("{:016x}.s16", fingerprint(&midi)));
    let samples = match std::fs::read(&kept) {
        Ok(bytes) => from_bytes(&bytes),
        Err(_) => {
            let samples = render(&midi, &kept);
            // Whole or not at all: tests that run at the same time write the same file.
            let part = kept.with_extension(format!("{}.part", std::process::id()));
            std::fs::write(
                &part,
                samples
                    .iter()
                    .flat_map(|s| s.to_le_bytes())
                    .collect::<Vec<u8>>(),
            )
            .unwrap();
            std::fs::rename(&part, &kept).unwrap();
            samples
        }
    };
    let mut samples = samples;
    samples.resize((seconds * f64::from(sounds::RATE)).round() as usize, 0);
    samples
}

/// The piece as a Standard MIDI File.
pub fn compose(style: Style, seed: u64, seconds: f64) -> Vec<u8> {
    let mut random = Random::new(seed ^ 0x6D75_7369_6321);
    let tempo = random.between(70.0, 140.0);
    let root = 55 + random.below(12) as u8;
    let minor = random.unit() < 0.4;
    let mut piece = Piece {
        notes: Vec::new(),
        programs: Vec::new(),
        root,
        minor,
    };
    let bars = (seconds * tempo / 60.0 / 4.0).ceil() as u32 + 1;
    // Roots of the chords of a bar, as steps of the scale.
    let progression: Vec<usize> = random
        .pick(&[
            [0, 5, 3, 4],
            [0, 3, 4, 4],
            [5, 3, 0, 4],
            [0, 2, 3, 4],
            [0, 4, 5, 3],
        ])
        .to_vec();
    let chord_of = |bar: u32| progression[bar as usize % progression.len()];
    match style {
        Style::Solo(instrument) => piece.melody(0, instrument, bars, &chord_of, &mut random),
        Style::Accompanied(instrument) => {
            piece.melody(0, instrument, bars, &chord_of, &mut random);
            piece.arpeggio(1, Instrument::Guitar, bars, &chord_of);
        }
        Style::Chords(instrument) => piece.chords(0, instrument, bars, &chord_of),
        Style::Band(instrument) => {
            piece.melody(0, instrument, bars, &chord_of, &mut random);
            piece.chords(1, Instrument::Strings, bars, &chord_of);
            piece.bass(2, bars, &chord_of);
            piece.drums(bars, &mut random);
        }
        Style::Drums => piece.drums(bars, &mut random),
    }
    piece.file(tempo)
}

struct Note {
    at: u32,
    length: u32,
    channel: u8,
    key: u8,
    velocity: u8,
}

struct Piece {
    notes: Vec<Note>,
    programs: Vec<(u8, u8)>,
    root: u8,
    minor: bool,
}

impl Piece {
    /// The MIDI key of a step of the scale.
    fn key(&self, step: usize, octave: u8) -> u8 {
        let scale: [u8; 7] = if self.minor {
            [0, 2, 3, 5, 7, 8, 10]
        } else {
            [0, 2, 4, 5, 7, 9, 11]
        };
        (self.root + 12 * octave + 12 * (step / 7) as u8 + scale[step % 7]).min(108)
    }

    fn note(&mut self, at: u32, length: u32, channel: u8, key: u8, velocity: u8) {
        self.notes.push(Note {
            at,
            length,
            channel,
            key,
            velocity,
        });
    }

    /// Phrases of two bars with rests between them; notes from an eighth to a whole.
    fn melody(
        &mut self,
        channel: u8,
        instrument: Instrument,
        bars: u32,
        chord: &dyn Fn(u32) -> usize,
        random: &mut Random,
    ) {
        self.programs.push((channel, instrument as u8));
        let mut step = 7 + random.below(5);
        for bar in 0..bars {
            let mut at = 0;
            while at < 4 * QUARTER {
                let length = *random.pick(&[
                    QUARTER / 2,
                    QUARTER / 2,
                    QUARTER,
                    QUARTER,
                    QUARTER,
                    2 * QUARTER,
                    4 * QUARTER,
                ]);
                let length = length.min(4 * QUARTER - at);
                let is_rest = random.unit() < 0.15;
                // On strong beats a note of the chord, else a step up or down.
                step = if at.is_multiple_of(2 * QUARTER) {
                    7 * (step / 7) + (chord(bar) + [0, 2, 4][random.below(3)]) % 7
                } else {
                    (step + random.below(5)).saturating_sub(2).clamp(4, 16)
                };
                if !is_rest {
                    let sounding = length * [80, 95, 100][random.below(3)] / 100;
                    let velocity = 80 + random.below(40) as u8;
                    self.note(
                        bar * 4 * QUARTER + at,
                        sounding,
                        channel,
                        self.key(step, 0),
                        velocity,
                    );
                }
                at += length;
            }
        }
    }

    fn arpeggio(
        &mut self,
        channel: u8,
        instrument: Instrument,
        bars: u32,
        chord: &dyn Fn(u32) -> usize,
    ) {
        self.programs.push((channel, instrument as u8));
        for bar in 0..bars {
            for (eighth, step) in [0, 2, 4, 7, 4, 2, 4, 2].into_iter().enumerate() {
                let at = bar * 4 * QUARTER + eighth as u32 * QUARTER / 2;
                let key = self.key(chord(bar) + step, 0) - 12;
                self.note(at, QUARTER / 2, channel, key, 70);
            }
        }
    }

    fn chords(
        &mut self,
        channel: u8,
        instrument: Instrument,
        bars: u32,
        chord: &dyn Fn(u32) -> usize,
    ) {
        self.programs.push((channel, instrument as u8));
        for bar in 0..bars {
            for step in [0, 2, 4] {
                let key = self.key(chord(bar) + step, 0);
                self.note(bar * 4 * QUARTER, 4 * QUARTER - 20, channel, key, 75);
            }
        }
    }

    fn bass(&mut self, channel: u8, bars: u32, chord: &dyn Fn(u32) -> usize) {
        self.programs.push((channel, 33));
        for beat in 0..bars * 4 {
            let key = self.key(chord(beat / 4), 0) - 24;
            self.note(beat * QUARTER, QUARTER * 9 / 10, channel, key, 90);
        }
    }

    fn drums(&mut self, bars: u32, random: &mut Random) {
        const KICK: u8 = 36;
        const SNARE: u8 = 38;
        const HAT: u8 = 42;
        for bar in 0..bars {
            for eighth in 0..8 {
                let at = (bar * 8 + eighth) * QUARTER / 2;
                self.note(at, 60, DRUMS, HAT, 60 + random.below(30) as u8);
                if eighth % 4 == 0 || random.unit() < 0.15 {
                    self.note(at, 60, DRUMS, KICK, 110);
                }
                if eighth % 4 == 2 {
                    self.note(at, 60, DRUMS, SNARE, 100);
                }
            }
        }
    }

    /// Format 0: one track.
    fn file(mut self, tempo: f64) -> Vec<u8> {
        let mut events: Vec<(u32, u8, [u8; 3])> = Vec::new();
        for note in self.notes.drain(..) {
            // At one instant, notes end before others start.
            events.push((note.at, 1, [0x90 | note.channel, note.key, note.velocity]));
            events.push((
                note.at + note.length.max(1),
                0,
                [0x80 | note.channel, note.key, 0],
            ));
        }
        events.sort_by_key(|(at, order, _)| (*at, *order));

        let mut track = vec![0, 0xFF, 0x51, 3];
        track.extend(&((60e6 / tempo) as u32).to_be_bytes()[1..]);
        for (channel, program) in &self.programs {
            track.extend([0, 0xC0 | channel, *program]);
        }
        let mut now = 0;
        for (at, _, bytes) in &events {
            variable(&mut track, at - now);
            track.extend(bytes);
            now = *at;
        }
        track.extend([0, 0xFF, 0x2F, 0]);

        let mut file = b"MThd\0\0\0\x06\0\0\0\x01".to_vec();
        file.extend((QUARTER as u16).to_be_bytes());
        file.extend(b"MTrk");
        file.extend((track.len() as u32).to_be_bytes());
        file.extend(track);
        file
    }
}

/// A number as MIDI files have it: seven bits a byte, the highest bit set on all but the last.
fn variable(to: &mut Vec<u8>, value: u32) {
    for shift in [21, 14, 7] {
        if value >> shift > 0 {
            to.push((value >> shift & 0x7F) as u8 | 0x80);
        }
    }
    to.push((value & 0x7F) as u8);
}

fn render(midi: &[u8], beside: &Path) -> Vec<i16> {
    let font = FONTS
        .iter()
        .find(|font| Path::new(font).exists())
        .unwrap_or_else(|| {
            panic!(
                "there is no sound font ({}): run `scripts/setup test`, which installs one",
                FONTS.join(", ")
            )
        });
    let song = beside.with_extension(format!("{}.mid", std::process::id()));
    let out = beside.with_extension(format!("{}.raw", std::process::id()));
    std::fs::write(&song, midi).unwrap();
    let output = Command::new("fluidsynth")
        .args([
            "-n", "-i", "-q", "-g", "0.6", "-r", "16000", "-T", "raw", "-O", "s16", "-E", "little",
        ])
        .arg("-F")
        .args([&out, Path::new(font), &song])
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "fluidsynth cannot be run ({error}): run `scripts/setup test`, which installs it"
            )
        });
    let stereo = std::fs::read(&out).unwrap_or_default();
    let _ = std::fs::remove_file(&song);
    let _ = std::fs::remove_file(&out);
    assert!(
        output.status.success() && stereo.len() > 4 * 16_000,
        "fluidsynth played nothing: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mono: Vec<i32> = from_bytes(&stereo)
        .chunks_exact(2)
        .map(|pair| i32::from(pair[0]) + i32::from(pair[1]))
        .collect();
    let peak = mono.iter().map(|s| s.abs()).max().unwrap_or(1).max(1);
    let scale = 16_384.0 / f64::from(peak);
    mono.iter()
        .map(|&s| (f64::from(s) * scale) as i16)
        .collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<i16> {
    bytes
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

fn fingerprint(midi: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    midi.hash(&mut hasher);
    hasher.finish()
}

fn cache() -> PathBuf {
    // Cargo names a folder for tests and benchmarks; examples have none.
    let folder = option_env!("CARGO_TARGET_TMPDIR")
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("hold-music");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
