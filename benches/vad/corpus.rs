//! Speech with its truth, in every condition, and what is no speech.

use std::path::Path;

use crate::{music, sounds};

const RATE: u32 = sounds::RATE;
/// Samples of a frame of truth (10 ms).
pub const STEP: usize = 160;
/// Frames: a gap shorter than this between words belongs to the speech (0.2 s); a longer pause than this parts two
/// utterances (0.5 s, as `vad-min-silence`).
const GAP: usize = 20;
const PAUSE: usize = 50;

#[derive(Clone)]
pub struct Recording {
    pub samples: Vec<i16>,
    /// Whether each frame holds speech.
    pub truth: Vec<bool>,
}

pub struct Noise {
    pub kind: String,
    pub samples: Vec<i16>,
}

type Change = fn(&[i16]) -> Vec<i16>;

/// What a call does to speech.
pub const CONDITIONS: &[(&str, Change)] = &[
    ("clean", |x| x.to_vec()),
    ("pink noise, 20 dB", |x| noisy(x, 20.0)),
    ("pink noise, 10 dB", |x| noisy(x, 10.0)),
    ("pink noise, 5 dB", |x| noisy(x, 5.0)),
    ("white noise, 10 dB", |x| {
        sounds::mix_at_snr(x, &sounds::white(-30.0, 60.0, RATE, 7), 10.0)
    }),
    ("telephone", sounds::telephone),
    ("noise 10 dB, telephone", |x| {
        sounds::telephone(&noisy(x, 10.0))
    }),
    ("30 dB softer", |x| sounds::gain(x, -30.0)),
    ("30 dB softer, telephone", |x| {
        sounds::telephone(&sounds::gain(x, -30.0))
    }),
    ("off centre by 20 %", |x| sounds::offset(x, 6_500)),
    ("clipped", |x| sounds::gain(x, 26.0)),
];

fn noisy(samples: &[i16], snr_db: f64) -> Vec<i16> {
    sounds::mix_at_snr(samples, &sounds::pink(-30.0, 60.0, RATE, 7), snr_db)
}

impl Recording {
    /// In silence: what comes before its first word and behind its last is heard, too.
    fn new(samples: &[i16], truth: &[bool]) -> Recording {
        let (before, behind) = (1.5, 2.0);
        let frames = |seconds: f64| vec![false; (seconds * 100.0) as usize];
        let samples = sounds::join(&[
            &sounds::silence(before, RATE),
            samples.get(..truth.len() * STEP).unwrap_or(samples),
            &sounds::silence(behind, RATE),
        ]);
        let truth = [&frames(before)[..], truth, &frames(behind)].concat();
        Recording { samples, truth }
    }

    pub fn changed(&self, change: Change) -> Recording {
        let mut samples = change(&self.samples);
        samples.resize(self.samples.len(), 0);
        Recording {
            samples,
            truth: self.truth.clone(),
        }
    }

    /// From and to, in frames.
    pub fn utterances(&self) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (n, _) in self
            .truth
            .iter()
            .enumerate()
            .filter(|(_, is_speech)| **is_speech)
        {
            match found.last_mut() {
                Some((_, end)) if n - *end <= PAUSE => *end = n + 1,
                _ => found.push((n, n + 1)),
            }
        }
        found
    }
}

#[derive(serde::Deserialize)]
struct Text {
    words: Vec<Word>,
}

#[derive(serde::Deserialize)]
struct Word {
    start: f64,
    end: f64,
}

pub fn bundled() -> Vec<Recording> {
    let mut recordings = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio");
    read(&folder, &mut recordings, &mut Vec::new());
    recordings
}

/// All WAV files of a folder. The truth is that of the words in NAME.json beside NAME.wav; where there is none it is told
/// by energy, which takes clean recordings.
pub fn read(folder: &Path, recordings: &mut Vec<Recording>, noises: &mut Vec<Noise>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "wav"));
    paths.sort();
    for path in paths {
        let samples = wav(&path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if let Some(kind) = name.strip_prefix("noise-") {
            // A short sound is heard again and again, a second apart.
            let mut long = Vec::new();
            while long.len() < 60 * RATE as usize {
                long.extend_from_slice(&samples);
                if kind.contains("beep") {
                    long.extend(sounds::silence(1.0, RATE));
                }
            }
            noises.push(Noise {
                kind: kind.replace('_', " "),
                samples: long,
            });
            continue;
        }
        let truth = match std::fs::read(path.with_extension("json")) {
            Ok(json) => of_words(&samples, &serde_json::from_slice(&json).unwrap()),
            Err(_) => of_energy(&samples),
        };
        recordings.push(Recording::new(&samples, &truth));
    }
}

fn wav(path: &Path) -> Vec<i16> {
    let mut reader =
        hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    assert_eq!(spec.channels, 1, "{}: not mono", path.display());
    let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
    sounds::resample(&samples, spec.sample_rate, RATE)
}

fn of_words(samples: &[i16], text: &Text) -> Vec<bool> {
    let mut truth = vec![false; samples.len() / STEP];
    for word in &text.words {
        let (from, to) = ((word.start * 100.0) as usize, (word.end * 100.0) as usize);
        let end = to.min(truth.len());
        truth[from.min(end)..end].fill(true);
    }
    close(&mut truth);
    truth
}

/// Frames less than 32 dB below the loud ones, and 8 dB above the quietest.
fn of_energy(samples: &[i16]) -> Vec<bool> {
    let levels: Vec<f64> = samples
        .chunks_exact(STEP)
        .map(|c| sounds::level(c).max(-90.0))
        .collect();
    let smooth: Vec<f64> = (0..levels.len())
        .map(|n| {
            let around = &levels[n.saturating_sub(1)..(n + 2).min(levels.len())];
            around.iter().sum::<f64>() / around.len() as f64
        })
        .collect();
    let mut sorted = levels;
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64) as usize];
    let (quiet, loud) = (at(0.05), at(0.95));
    let threshold = (loud - 32.0).max(quiet.min(loud - 40.0) + 8.0).max(-57.0);
    let mut truth: Vec<bool> = smooth.iter().map(|level| *level > threshold).collect();
    close(&mut truth);
    // A click is no word.
    for n in 0..truth.len() {
        if truth[n] && (n == 0 || !truth[n - 1]) {
            let length = truth[n..].iter().take_while(|t| **t).count();
            if length < 5 {
                truth[n..n + length].fill(false);
            }
        }
    }
    truth
}

fn close(truth: &mut [bool]) {
    let mut last = None;
    for n in 0..truth.len() {
        if truth[n] {
            if let Some(last) = last.filter(|last| n - last <= GAP) {
                truth[last..n].fill(true);
            }
            last = Some(n);
        }
    }
}

/// Generated: silence, noises, tones, music, breath and keyboards; some through the telephone.
pub fn noises(seconds: f64) -> Vec<Noise> {
    let tone = |kind, country| sounds::Signal::of(kind, country).play(-15.0, seconds, RATE);
    let digits: String = "1234567890*#"
        .chars()
        .cycle()
        .take((seconds * 4.0) as usize)
        .collect();
    let mut sounding: Vec<(String, Vec<i16>)> = vec![
        ("digital silence".into(), sounds::silence(seconds, RATE)),
        ("keyboard".into(), sounds::keyboard(-6.0, seconds, RATE, 1)),
        (
            "soft keyboard".into(),
            sounds::keyboard(-20.0, seconds, RATE, 2),
        ),
        ("breath".into(), sounds::breath(-25.0, seconds, RATE, 3)),
        (
            "line noise -35 dB".into(),
            sounds::line_noise(-35.0, seconds, RATE, 4),
        ),
        (
            "pink noise -30 dB".into(),
            sounds::pink(-30.0, seconds, RATE, 5),
        ),
        (
            "white noise -30 dB".into(),
            sounds::white(-30.0, seconds, RATE, 6),
        ),
        ("ring-back fr".into(), tone("ring-back", "fr")),
        ("ring-back us".into(), tone("ring-back", "us")),
        ("ring-back uk".into(), tone("ring-back", "uk")),
        ("busy fr".into(), tone("busy", "fr")),
        ("busy us".into(), tone("busy", "us")),
        ("dial us".into(), tone("dial", "us")),
        ("SIT".into(), tone("sit", "itu")),
        (
            "DTMF".into(),
            sounds::dtmf(&digits, 0.12, 0.13, -12.0, RATE),
        ),
    ];
    for (n, style) in music::STYLES.into_iter().enumerate() {
        sounding.push((
            format!("music {style:?}").to_lowercase(),
            music::play(style, 40 + n as u64, seconds),
        ));
    }
    let mut noises: Vec<Noise> = vec![
        Noise {
            kind: "white noise -15 dB".into(),
            samples: sounds::white(-15.0, seconds, RATE, 8),
        },
        Noise {
            kind: "pink noise -15 dB".into(),
            samples: sounds::pink(-15.0, seconds, RATE, 9),
        },
    ];
    for (kind, samples) in sounding {
        let kind: String = kind
            .chars()
            .filter(|c| !"()".contains(*c))
            .take(21)
            .collect();
        let over = sounds::telephone(&samples);
        noises.push(Noise {
            kind: kind.clone(),
            samples,
        });
        noises.push(Noise {
            kind: format!("{kind} ☎"),
            samples: over,
        });
    }
    noises
}
